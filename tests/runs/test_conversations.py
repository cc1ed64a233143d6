"""Conversations as they arrive at a server: what they say, on which connection, how fast, and how they end."""

import contextlib
import itertools
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from helpers.http_servers import Handler, served
from helpers.live_load import live, task_of
from helpers.processes import llmstress, mock_server
from helpers.relay import Relayed, relaying
from helpers.short_runs import load

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Conversation, TaskPlan, Think

ALWAYS = ("--model", "mock-7b", "--headless", "--quiet", "--no-probe", "--proxy", "none")

Messages = list[dict[str, Any]]


def events(answer: bytes) -> list[dict[str, Any]]:
    """The JSON of the events of a stream."""
    lines = [line[6:] for line in answer.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [json.loads(line) for line in lines]


def said(api: str, answer: bytes) -> str:
    """The text of an answer, streamed or not, read without the engine."""
    if answer.startswith(b"{"):
        whole = json.loads(answer)
        match api:
            case "openai-chat":
                return str(whole["choices"][0]["message"]["content"])
            case "openai-completions":
                return str(whole["choices"][0]["text"])
            case "anthropic":
                return "".join(part["text"] for part in whole["content"])
            case _:
                return "".join(part["text"] for item in whole["output"] for part in item["content"])
    match api:
        case "openai-chat":
            deltas = [each["choices"][0]["delta"].get("content") for each in events(answer) if each["choices"]]
        case "openai-completions":
            deltas = [each["choices"][0]["text"] for each in events(answer) if each["choices"]]
        case "anthropic":
            deltas = [each["delta"]["text"] for each in events(answer) if each["type"] == "content_block_delta"]
        case _:
            deltas = [each["delta"] for each in events(answer) if each["type"] == "response.output_text.delta"]
    return "".join(filter(None, deltas))


def history(api: str, body: dict[str, Any]) -> Messages:
    """What a request says was said before, and the new text."""
    if api == "openai-completions":
        lines = [line.partition(": ") for line in body["prompt"].split("\n")]
        return (
            [{"role": role, "content": text} for role, _, text in lines]
            if lines[0][1]
            else [{"role": "user", "content": body["prompt"]}]
        )
    found: Messages = body["input"] if api == "openai-responses" else body["messages"]
    return [each for each in found if each["role"] != "system"]


def conversations(api: str, kept: list[Relayed]) -> list[list[tuple[Messages, bytes]]]:
    """The conversations that came, each with its requests: those of a connection come one after the other."""
    by_connection = defaultdict[int, list[Relayed]](list)
    for each in kept:
        by_connection[each.connection].append(each)
    found: list[list[tuple[Messages, bytes]]] = []
    for relayed in by_connection.values():
        for each in relayed:
            messages = history(api, each.body)
            if len(messages) == 1:
                found.append([])
            found[-1].append((messages, each.answer))
    return found


def assert_histories(api: str, kept: list[Relayed]) -> None:
    """Each request has exactly what the one before it had, the server's answer to that, and a new text."""
    for talk in conversations(api, kept):
        for turn, ((before, answer), (after, _)) in enumerate(itertools.pairwise(talk), 1):
            assert after[:-1] == [*before, {"role": "assistant", "content": said(api, answer)}]
            assert len(before) == 2 * turn - 1
            assert after[-1]["role"] == "user"


def steps(url: str, api: str, ask: Ask, count: int) -> tuple[TaskPlan, ...]:
    """The tasks of conversations of `count` turns."""
    talk = Conversation(count, count, keeps_answers=True, think=Think(), seed=3)
    plan = task_of(url, api=api, ask=ask)
    first = msgspec.structs.replace(plan, step="turn 1", steps=count, conversation=talk)
    return (first, *(msgspec.structs.replace(plan, step=f"turn {turn}") for turn in range(2, count + 1)))


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", ["openai-chat", "openai-completions", "openai-responses", "anthropic"])
@live
async def test_the_history_is_what_the_server_said(api: str, stream: bool) -> None:
    ask = Ask(model="mock-7b", prompt="Hello there", stream=stream, max_tokens=50)
    kept: list[Relayed] = []
    with mock_server("--tokens", "2..9", "--ttft-ms", "1", "--gap-ms", "0.1") as mock, relaying(mock.url, kept) as url:
        kind = make_api(api, ask)
        path = kind.endpoint("", "").path
        await load(url, path=path, streams=3, requests=20, tasks=steps(url + path, api, ask, 4))
    assert len(kept) == 20
    assert_histories(api, kept)
    assert max(map(len, conversations(api, kept))) == 4
    assert len({said(api, each.answer) for each in kept}) > 4


def test_a_run_keeps_its_conversations_on_their_connections_and_counts_them_by_turn() -> None:
    kept: list[Relayed] = []
    with mock_server("--tokens", "2..9", "--fault", "http_500=5%") as mock, relaying(mock.url, kept) as url:
        code, summary, _ = llmstress(
            url, *ALWAYS, "--total-streams", "4", "--procs", "2", "--requests", "60", "--turns", "2..5",
            *("--retries", "9", "--prompt-tokens", "12", "--system", "Be brief."),
        )  # fmt: skip
    assert code == 0
    kept = [each for each in kept if not each.answer.startswith(b'{"error')]
    assert len(kept) == 60
    assert_histories("openai-chat", kept)
    talks = conversations("openai-chat", kept)
    assert all(each.body["messages"][0] == {"role": "system", "content": "Be brief."} for each in kept)
    texts = [message["content"] for talk in talks for message in talk[-1][0] if message["role"] == "user"]
    assert len(set(texts)) == len(texts)  # each turn has a text of its own
    assert {len(text.split()) for text in texts} == {12}

    found = summary["conversations"]
    assert found["started"] == len(talks) == found["completed"] + found["cut_off"]
    assert found["failed"] == found["overflowed"] == 0
    for number, row in enumerate(found["turns"]):
        usages = [events(talk[number][1])[-1]["usage"] for talk in talks if len(talk) > number]
        assert row["turn"] == f"turn {number + 1}"
        assert row["ok"] == row["latency_ms"]["ttft"]["count"] == len(usages)
        assert row["input_mean"] == round(statistics.mean(usage["prompt_tokens"] for usage in usages), 1)
        assert row["output_mean"] == round(statistics.mean(usage["completion_tokens"] for usage in usages), 1)
    assert sum(row["started"] for row in found["turns"]) == summary["requests"]["started"] == 60
    inputs = [row["input_mean"] for row in found["turns"]]
    assert inputs == sorted(inputs)


class Noted(msgspec.Struct):
    """What has come to a server."""

    bodies: list[dict[str, Any]]
    stamps: list[float]


@contextlib.contextmanager
def talking(noted: Noted, refuse_from: int = 1_000, refusal: bytes = b"") -> Iterator[str]:
    """The URL of a server that answers `yes`, and refuses requests of so many messages with 400."""
    yes = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).encode()

    class Talking(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.body())
            noted.stamps.append(time.monotonic())
            noted.bodies.append(body)
            refused = len(body["messages"]) >= refuse_from
            self.answer(400 if refused else 200, refusal if refused else yes, {"Content-Type": "application/json"})

    with served(Talking) as url:
        yield url


OVERFLOW = (
    b'{"error": {"message": "This model\'s maximum context length is 4097 tokens. However, your messages resulted in '
    b'5000 tokens.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}'
)


@pytest.mark.slow
@pytest.mark.parametrize("refusal", [OVERFLOW, b'{"error": {"message": "no such thing"}}'], ids=["overflow", "other"])
def test_a_full_context_ends_a_conversation_and_is_told_from_other_failures(refusal: bytes) -> None:
    noted = Noted([], [])
    with talking(noted, refuse_from=5, refusal=refusal) as url:
        code, summary, said = llmstress(
            url, *ALWAYS, "--total-streams", "2", "--procs", "1", "--requests", "12", "--turns", "4", "--no-stream",
            *("--error-pause", "10ms"),
        )  # fmt: skip
    found = summary["conversations"]
    assert [len(body["messages"]) for body in noted.bodies].count(5) == 4
    assert (found["started"], found["completed"], found["cut_off"]) == (4, 0, 0)
    assert (found["overflowed"], found["failed"]) == ((4, 0) if refusal is OVERFLOW else (0, 4))
    assert summary["errors"]["http_400"]["count"] == 4
    assert [(row["ok"], row["failed"]) for row in found["turns"]] == [(4, 0), (4, 0), (0, 4), (0, 0)]
    assert "conversations  4 started" in said
    assert code == 0


@pytest.mark.slow
@pytest.mark.parametrize("procs", ["1", "5"])
def test_conversations_arrive_at_the_rate_and_are_the_same_in_any_number_of_processes(procs: str) -> None:
    noted = Noted([], [])
    with talking(noted) as url:
        code, summary, said = llmstress(
            url, *ALWAYS, "--procs", procs, "--rate", "40/s", "--arrival", "constant", "--duration", "1.5s",
            *("--turns", "2..4", "--seed", "5", "--no-stream", "--total-streams", "60", "--prompt-tokens", "6"),
            *("--think-time", "50ms..100ms"),
        )  # fmt: skip
    found, load_ = summary["conversations"], summary["load"]
    assert code == 0
    assert found["started"] == 60
    assert found["completed"] + found["cut_off"] == 60
    assert found["turns"][0]["started"] == 60
    assert load_["unit"] == "sessions"
    assert load_["asked_per_s"] == found["started_per_s"] == 40
    assert load_["due"] == load_["started"] == len(noted.bodies)
    assert "asked 40.0 sessions/s" in said
    asked_for = [random.Random(f"5/conversation/{number}").randint(2, 4) for number in range(60)]
    came = Counter(len(body["messages"]) // 2 + 1 for body in noted.bodies)
    assert came[1] == 60
    for turn in (2, 3, 4):  # all turns that the seed says, but those that the end cut off
        wanted = sum(turns >= turn for turns in asked_for)
        assert wanted - found["cut_off"] <= came[turn] <= wanted
    assert found["completed"] >= 30
    begun = dict[str, float]()
    for body, stamp in zip(noted.bodies, noted.stamps, strict=True):
        talk = body["messages"][0]["content"]
        assert stamp - begun.get(talk, 0.0) >= 0.05  # nobody thinks less than that
        begun[talk] = stamp
    assert len(begun) == 60


@pytest.mark.slow
def test_answers_in_conversations_are_checked_and_users_walk_away() -> None:
    """Both were once ignored in conversations."""
    turns = ("--turns", "2", "--total-streams", "2", "--requests", "8", "--procs", "1")
    common = ("--headless", "--no-probe", "--quiet", "--proxy", "none", "--model", "mock-7b", *turns)
    with mock_server("--ttft-ms", "5", "--gap-ms", "1") as server:
        code, checked, said = llmstress(server.url, *common, "--check", "contains:zebra")
    assert code == 5, said
    assert checked["errors"]["validation"]["count"] == checked["conversations"]["failed"] == 8
    with mock_server("--ttft-ms", "5", "--gap-ms", "500") as server:  # seconds are left after the second token
        _, left, _ = llmstress(server.url, *common, "--abandon", "100%", "--abandon-after-tokens", "2")
        truth = server.stop()
    assert left["requests"]["abandoned"] == truth["aborted"] == 8
    assert left["conversations"]["cut_off"] == 8
