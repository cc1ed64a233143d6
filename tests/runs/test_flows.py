"""Flows against the mock: login, search, chat. What the mock has received is compared with what the run says."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.http_servers import Handler, served
from helpers.processes import llmstress, mock_server

FLOW = """\
model = "mock-7b"
url = "URL"

[[task]]
name = "rag"

[[task.step]]
name = "login"
setup = true
api = "http"
url = "URL/login"
method = "POST"
body = '{"user": "u{{user}}"}'
extract = ["token = json:token"]

[[task.step]]
name = "search"
api = "http"
url = "URL/search?flow={{number}}"
body = '{"q": "{{prompt}}"}'
prompt-tokens = 6
header = ["Authorization: Bearer {{token}}"]
extract = ["document = json:documents.0.text", "kind = header:Content-Type", 'id = regex:"id": *"([^"]+)"']

[[task.step]]
name = "chat"
prompt = "Answer with this document ({{id}}, {{kind}}): {{document}}"
system = "Be brief to user {{user}}."
check = ["not-empty"]
header = ["Authorization: Bearer {{token}}"]

[[task.step]]
name = "more"
prompt = "You said: {{chat.answer}}"
header = ["Authorization: Bearer {{token}}"]
"""

ALWAYS = ("--headless", "--quiet", "--no-probe", "--proxy", "none", "--error-pause", "10ms")


def run(place: Path, url: str, text: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the summary, and what was printed."""
    file = place / "flow.toml"
    file.write_text(text.replace("URL", url))
    return llmstress("--config", str(file), *ALWAYS, *arguments)


def received(file: Path) -> list[dict[str, Any]]:
    """The requests for an answer that have come to the mock."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line for line in lines if line["event"] == "request"]


def steps(flow: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Step -> started, ok, failed."""
    return {row["step"]: (row["started"], row["ok"], row["failed"]) for row in flow["steps"]}


@pytest.mark.parametrize("procs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_each_stream_logs_in_once_and_answers_go_into_later_requests(procs: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    with mock_server("--login-required", "--ttft-ms", "1", "--gap-ms", "0.1", "--keep-requests", str(kept)) as mock:
        code, summary, said = run(
            *(tmp_path, mock.url, FLOW, "--procs", procs, "--total-streams", "5", "--requests", "64"),
            *("--fail-if", "rag/chat.ttft.max>60s", "--fail-if", "rag.flow.max>99s"),
            *("--fail-if", "search.requests.ok<1"),
        )  # fmt: skip
        truth = mock.stop()
    assert code == 0, said
    [flow] = summary["flows"]
    found = {row["text"].partition(".")[0]: row["value"] for row in summary["thresholds"]}
    _, search, chat, _ = flow["steps"]
    assert found == {
        "rag/chat": chat["latency_ms"]["ttft"]["max"],
        "search": search["ok"],
        "rag": flow["duration_ms"]["max"],
    }
    came = steps(flow)
    assert truth["application"] == {"logins": 5, "searches": came["search"][0]}
    assert came["login"] == (5, 5, 0)
    assert sum(started for started, _, _ in came.values()) == summary["requests"]["ok"] == 64
    assert flow["started"] == flow["completed"] + flow["cut_off"] == came["search"][0]
    assert flow["completed"] == came["more"][1] == flow["duration_ms"]["count"]
    assert flow["failed"] == flow["set_up_again"] == 0
    assert set(flow["steps"][1]["latency_ms"]) == {"e2e"}
    assert flow["steps"][2]["latency_ms"]["ttft"]["count"] == came["chat"][1]
    assert flow["duration_ms"]["min"] >= flow["steps"][2]["latency_ms"]["e2e"]["min"]
    assert "whole flow" in said

    chats = [each["body"]["messages"] for each in received(kept)]
    firsts = [messages for messages in chats if messages[0]["role"] == "system"]
    assert {messages[0]["content"] for messages in firsts} == {f"Be brief to user {user}." for user in (1, 2, 3, 4, 5)}
    texts = [messages[1]["content"] for messages in firsts]
    assert len(set(texts)) == len(texts) == came["chat"][0]  # each flow has searched for something else
    assert all("application/json): " in text and "{{" not in text for text in texts)
    later = [messages[0]["content"] for messages in chats if messages[0]["role"] == "user"]
    assert len(later) == came["more"][0]
    assert all(len(text) > len("You said: ") for text in later)


def test_a_user_logs_in_again_when_the_token_has_expired_and_no_flow_fails(tmp_path: Path) -> None:
    with mock_server("--login-required", "--login-ttl-ms", "200", "--ttft-ms", "1", "--gap-ms", "0.1") as mock:
        code, summary, said = run(tmp_path, mock.url, FLOW, "--procs", "2", "--total-streams", "4", "--duration", "1s")
        truth = mock.stop()
    assert code == 0, said
    [flow] = summary["flows"]
    assert flow["failed"] == 0
    assert flow["set_up_again"] == summary["errors"]["http_401"]["count"] > 0
    assert truth["application"]["logins"] == 4 + flow["set_up_again"]
    assert steps(flow)["login"] == (4 + flow["set_up_again"],) * 2 + (0,)
    assert flow["started"] == flow["completed"] + flow["cut_off"]
    assert f"set up again after a 401: {flow['set_up_again']}" in said
    refused = summary["errors"]["http_401"]["count"]
    assert f"{refused} of the {refused} http_401 led to a new set-up of the flow" in summary["outcome"]["text"]


SECRET_FLOW = """\
url = "URL"
api = "http"
method = "POST"
body = "{}"

[[task]]
name = "shop"

[[task.step]]
name = "login"
setup = true
extract = ["token = json:token", "ticket = json:ticket", "pin = json:pin", "city = json:city"]

[[task.step]]
name = "search"
url = "URL/search?token={{token}}"
header = ["X-Api-Key: {{ticket}}", "X-Pin: {{pin}}", "X-City: {{city}}"]
body = '{"password": "{{pin}}"}'
"""


def test_what_a_login_gives_is_shown_in_no_message_that_repeats_it(tmp_path: Path) -> None:
    given = {"token": "tok/12345678", "ticket": "plain ticket", "pin": "pin-12345678", "city": "Buxtehude"}

    class Shop(Handler):
        def do_POST(self) -> None:
            if self.path == "/":
                return self.answer(200, json.dumps(given).encode())
            repeated = [*given.values(), self.path, base64.b64encode(given["token"].encode()).decode()]
            return self.answer(500, json.dumps({"error": " ".join(repeated)}).encode())

    with served(Shop) as url:
        code, summary, said = run(
            tmp_path,
            url,
            SECRET_FLOW,
            "--procs",
            "1",
            "--total-streams",
            "1",
            "--requests",
            "4",
            "--on-status",
            "500=count",
        )
    [sample, *_] = summary["errors"]["http_500"]["samples"]
    assert code == 0, said
    assert sample["text"] == '{"error": "*** *** *** Buxtehude /search?token=*** ***"}'
    assert not re.search("tok.{1,3}1234|plain ticket|pin-1234", said + json.dumps(summary))


@pytest.mark.slow
def test_a_second_401_fails_the_flow_and_the_run_goes_on(tmp_path: Path) -> None:
    text = FLOW.replace("Bearer {{token}}", "Bearer no{{token}}", 1)
    with mock_server() as mock:
        _, summary, _ = run(tmp_path, mock.url, text, "--procs", "1", "--total-streams", "1", "--requests", "13")
        truth = mock.stop()
    [flow] = summary["flows"]  # a login, then in each flow a search, another login, and the search again
    assert steps(flow) == {"login": (5, 5, 0), "search": (8, 0, 8), "chat": (0, 0, 0), "more": (0, 0, 0)}
    assert (flow["started"], flow["completed"], flow["failed"], flow["set_up_again"]) == (4, 0, 4, 4)
    assert truth["application"] == {"logins": 5, "search_unauthorized": 8}


@pytest.mark.slow
def test_an_extraction_that_finds_nothing_fails_the_flow_and_says_where(tmp_path: Path) -> None:
    text = FLOW.replace("json:documents.0.text", "json:documents.7.text")
    with mock_server() as mock:
        _, summary, _ = run(tmp_path, mock.url, text, "--procs", "1", "--total-streams", "2", "--requests", "10")
        truth = mock.stop()
    [flow] = summary["flows"]
    assert flow["failed"] == flow["started"] == summary["errors"]["validation"]["count"] == 8
    assert steps(flow)["chat"] == (0, 0, 0)
    assert truth["application"] == {"logins": 2, "searches": 8}
    [sample, *_] = summary["errors"]["validation"]["samples"]
    assert sample["text"].startswith("step search: document: nothing at json:documents.7.text; the answer says {")


@pytest.mark.slow
def test_flows_arrive_at_the_rate_and_the_slots_keep_their_logins(tmp_path: Path) -> None:
    text = FLOW.replace('prompt = "You', 'think-time = "5ms"\nprompt = "You')
    with mock_server("--login-required", "--ttft-ms", "1", "--gap-ms", "0.1") as mock:
        code, summary, said = run(
            tmp_path, mock.url, text, "--procs", "2", "--rate", "30/s", "--arrival", "constant", "--duration", "1s"
        )
        truth = mock.stop()
    assert code == 0, said
    [flow] = summary["flows"]
    assert flow["started"] == 30
    assert flow["completed"] + flow["cut_off"] == 30
    assert summary["load"]["unit"] == "sessions"
    assert summary["load"]["due"] == summary["load"]["started"] == summary["requests"]["started"]
    assert truth["application"]["logins"] == steps(flow)["login"][0] < 30
    assert truth["application"]["searches"] == 30
