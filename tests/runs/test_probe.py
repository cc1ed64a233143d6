"""`llmstress probe` as a process: against the mock, and against servers that answer in every other way."""

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
from helpers.bench import DONE, END, FINISH, HEAD, REASONING, ROLE, TOKEN, body_of, chunk, delta, event, usage
from helpers.fuzzing import JSON_ANSWER, answer, flushed
from helpers.http_servers import Handler, served
from helpers.live_load import live
from helpers.processes import DEADLINE_S, MockServer, Run, mock_server
from helpers.proxies import saying
from helpers.terminal import terminal

from llmstress.coordinator.commands import cli
from llmstress.coordinator.probe import report

SCHEMA = json.loads(Path(report.__file__).with_name("probe.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def probe(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "llmstress", "probe", *arguments],
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def facts(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and what it says as JSON, which keeps the published schema."""
    code, out, err = probe("--json", *arguments)
    assert err == ""
    found = json.loads(out)
    VALIDATOR.validate(found)
    return code, found


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    with mock_server("--gap-ms", "20") as server:
        yield server


# --- the mock


@pytest.mark.slow
def test_a_stream_moment_by_moment(mock: MockServer) -> None:
    code, out, err = probe("--url", mock.url)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith(f"   POST {mock.url}/v1/chat/completions")
    names = ("api", "model", "connected", "sent", "head", "first token", "last token", "last word", "end")
    found = [next(number for number, line in enumerate(lines) if f"  {name}  " in line) for name in names]
    assert found == sorted(found)
    assert "mock-7b (the only one that the target lists)" in out
    assert "7 gaps: min " in out
    assert "8 token, 1 nothing, 1 finish, 1 usage, 1 done" in out
    assert "8 output" in out
    assert "ok" in lines
    assert "\x1b" not in out


@pytest.mark.slow
def test_the_same_as_json(mock: MockServer) -> None:
    code, found = facts("--url", mock.url, "--model", "m")
    assert code == 0
    assert (found["schema"], found["outcome"], found["finish"]) == ("llmstress.probe/1", "ok", "stop")
    assert found["where"]["model_because"] == "named with --model"
    at = found["at_ms"]
    moments = ["sent", "head", "first_token", "last_token", "last_word", "end"]
    assert [at[name] for name in moments] == sorted(at[name] for name in moments)
    latency = found["latency_ms"]
    assert latency["ttft"] == at["first_token"]
    assert latency["connect"] == at["sent"]
    assert latency["ttfb"] == pytest.approx(at["head"] - at["sent"], abs=0.0021), "each is cut to whole microseconds"
    assert latency["e2e"] == at["last_word"]
    assert latency["stall"] == max(found["gaps_ms"])
    assert sum(found["gaps_ms"]) == pytest.approx(at["last_token"] - at["first_token"], abs=0.01)
    assert found["tokens"]["output"] == found["tokens"]["events"] == 8
    assert [each["what"] for each in found["events"]] == [
        ["nothing"],
        *[["token"]] * 8,
        ["finish"],
        ["usage"],
        ["done"],
    ]
    assert found["raw"] is None
    assert found["head"]["headers"]["content-type"].startswith("text/event-stream")


def test_an_answer_as_a_whole(mock: MockServer) -> None:
    code, found = facts("--url", mock.url, "--no-stream")
    assert code == 0
    assert [each["what"] for each in found["events"]] == [["token", "finish", "usage"]]
    assert "ttft" not in found["latency_ms"]
    assert found["tokens"]["output"] == 8
    assert found["remarks"] == []
    code, out, _ = probe("--url", mock.url, "--no-stream")
    assert (code, "first token" in out, "e2e " in out) == (0, False, True)


@pytest.mark.slow
def test_the_bytes(mock: MockServer) -> None:
    _, found = facts("--url", mock.url, "--raw", "--prompt", "Grüße an 漢")
    request = found["raw"]["request"]["text"]
    head, _, body = request.partition("\r\n\r\n")
    assert json.loads(body)["messages"][0]["content"] == "Grüße an 漢"
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")
    assert len(request.encode()) == found["asked"]["bytes"]
    assert len(body.encode()) == found["asked"]["body_bytes"]
    assert [len(read["text"].encode()) for read in found["raw"]["reads"]] == [read["bytes"] for read in found["reads"]]
    _, out, _ = probe("--url", mock.url, "--raw")
    assert "  POST /v1/chat/completions HTTP/1.1\\r\\n\n" in out
    assert "  data: [DONE]\\n\n  \\n\n" in out


@pytest.mark.slow
def test_all_events(mock: MockServer) -> None:
    _, some, _ = probe("--url", mock.url)
    _, all_of_them, _ = probe("--url", mock.url, "--events")
    assert "more: --events" in some
    assert "more: --events" not in all_of_them
    assert all_of_them.count('"content":" tok') == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("api", "words"),
    [
        ("openai-completions", ["token", "finish", "usage", "done"]),
        ("openai-responses", ["nothing", "token", "finish", "usage", "done"]),
        ("openai-embeddings", ["answer", "finish", "usage"]),
        ("anthropic", ["nothing", "ping", "token", "finish", "usage", "done"]),
    ],
)
def test_other_apis(mock: MockServer, api: str, words: list[str]) -> None:
    code, found = facts("--url", mock.url, "--api", api)
    assert (code, found["outcome"], found["where"]["api"]) == (0, "ok", api)
    assert {word for each in found["events"] for word in each["what"]} == {*words}
    assert "unknown" not in words


def test_without_a_target_it_is_a_mock_of_our_own() -> None:
    code, out, err = probe("--max-tokens", "3")
    assert (code, err) == (0, "")
    assert "no --url given: this is the built-in mock LLM" in out
    assert "2 gaps" in out


@pytest.mark.slow
def test_bare_text_of_the_mock_of_our_own() -> None:
    code, found = facts("--api", "text")
    assert (code, found["outcome"]) == (0, "ok")
    assert {word for each in found["events"] for word in each["what"]} == {"token"}
    assert found["tokens"]["source"] == "events"


# --- answers of every kind


GZIPPED = HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
CASES = {
    "a key": (
        answer(b'{"error":{"message":"Incorrect API key"}}', b"Content-Type: application/json", status=b"401 No"),
        "http_401",
        "--api-key-env",
    ),
    "a page": (answer(b"<!DOCTYPE html><html>", b"Content-Type: text/html"), "malformed", "a web page"),
    "truncated": (HEAD + ROLE + TOKEN + TOKEN, "truncated", "the answer is incomplete"),
    "an error within": (HEAD + TOKEN + event({"error": {"message": "boom"}}) + END, "stream_error", "with this error"),
    "empty": (HEAD + ROLE + delta(finish="length") + usage(9, 9) + DONE + END, "empty", "--max-tokens"),
    "another API": (HEAD + event({"type": "message_start"}) + END, "truncated", "use --api anthropic"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed", "not a web server"),
    "nothing": (b"", "reset", "https://"),
    "moved": (answer(b"", b"Location: http://h/v1", status=b"308 No"), "http_308", "http://h/v1"),
    "together": (HEAD + TOKEN * 9 + FINISH + DONE + END, "ok", ""),
    "compressed": (GZIPPED + chunk(gzip.compress(body_of(ROLE, TOKEN, FINISH, DONE))) + END, "ok", ""),
    "pings": (HEAD + chunk(b": ping\n\n") * 2 + ROLE + REASONING + TOKEN + FINISH + usage(2) + DONE + END, "ok", ""),
    "as a whole": (answer(JSON_ANSWER, b"Content-Type: application/json"), "ok", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize(("said", "outcome", "hint"), CASES.values(), ids=CASES)
@live
async def test_answers_of_every_kind(said: bytes, outcome: str, hint: str) -> None:
    async with saying(said) as port:
        where = ("--url", f"http://127.0.0.1:{port}", "--model", "m")
        code, found = await asyncio.to_thread(facts, *where)
        same_code, out, _ = await asyncio.to_thread(probe, *where, env={"COLUMNS": "80"})
    assert found["outcome"] == outcome
    assert code == same_code == (0 if outcome == "ok" else 5)
    assert hint in found["hint"]
    assert bool(hint) == bool(found["hint"])
    last = out[out.rindex("\n\n") + 2 :]
    assert last.startswith(outcome)
    assert "".join(found["hint"].split()) in "".join(last.split())
    assert all("".join(remark.split()) in "".join(last.split()) for remark in found["remarks"])


@live
async def test_events_that_come_together_are_said_to() -> None:
    async with saying(HEAD.replace(b"x-r", b"Server: nginx\r\nx-r"), TOKEN * 9, FINISH + usage(9) + DONE + END) as port:
        where = ("--url", f"http://127.0.0.1:{port}", "--model", "m")
        _, out, _ = await asyncio.to_thread(probe, *where)
    assert "all 9 token events came in one read" in out
    assert "answers come in one piece" in out
    assert "server: nginx" in out


@live
async def test_pings_are_comments() -> None:
    async with saying(CASES["pings"][0]) as port:
        _, found = await asyncio.to_thread(facts, "--url", f"http://127.0.0.1:{port}", "--model", "m")
    assert [each["what"] for each in found["events"]][:4] == [["comment"], ["comment"], ["nothing"], ["reasoning"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [gzip.compress, lambda body: flushed(body[:30], body[30:])[:-9]], ids=["whole", "cut"]
)
@live
async def test_compressed_bytes_are_not_shown_if_they_hold_a_key(shape: Callable[[bytes], bytes]) -> None:
    said = body_of(delta(content="your key is planted-KEY-0123"))
    async with saying(GZIPPED + chunk(shape(said)) + END) as port:
        where = ("--url", f"http://127.0.0.1:{port}", "--model", "m", "--raw", "--header")
        _, hidden = await asyncio.to_thread(facts, *where, "X-Key: planted-KEY-0123")
        _, shown = await asyncio.to_thread(facts, *where, "X-Key: planted-KEY-9999")
    assert [read["text"] for read in hidden["raw"]["reads"]] == ["(compressed, and a secret is in it)"] * len(
        hidden["reads"]
    )
    assert "planted-KEY" not in json.dumps(hidden)
    assert shown["raw"]["reads"][0]["text"].startswith("HTTP/1.1 200 OK")
    assert "planted-KEY-0123" in json.dumps(shown["events"])


# --- where there is no answer


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for model in ((), ("--model", "m")):
        code, found = facts("--url", f"http://127.0.0.1:{port}", *model)
        assert (code, found["outcome"], found["connection"]) == (5, "connect_refused", None)
        assert [(each["address"], each["error"]) for each in found["attempts"]] == [
            (f"127.0.0.1:{port}", "Connection refused")
        ]
        assert found["where"]["model"] == ("m" if model else "")


class Gateway(Handler):
    """Lists two models, and one in its second half."""

    def do_GET(self) -> None:
        models = [{"id": "one"}, {"id": "two"}]
        body = json.dumps({"data": models if self.path == "/v1/models" else models[:1]}).encode()
        if self.path.startswith("/page/"):
            body = b"<html>Welcome</html>"
        self.answer(200, body)


@pytest.mark.slow
def test_which_model_must_be_said_if_there_are_several() -> None:
    with served(Gateway) as url:
        several = probe("--url", url)
        one = probe("--url", f"{url}/one/v1")
        page = probe("--url", f"{url}/page/v1")
    assert several == (3, "", "llmstress: name the model with --model (the target lists one, two)\n")
    assert page[0] == 3
    assert page[2] == (
        f"llmstress: {url}/page/v1/models returned no list of models; check --url; "
        "if the URL is right, name the model with --model\n"
    )
    assert one[0] == 5, "it can't be posted to"
    assert "one (the only one that the target lists)" in one[1]
    assert "http_501" in one[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("probe", "--url", "localhost:8000"), "did you mean http://localhost:8000"),
        (("probe", "--url", "http://h", "--api", "nonsense"), "--api nonsense: unknown API 'nonsense'; choose from "),
        (("probe", "--url", "http://h", "--procs", "2"), "--procs"),
        (("probe", "--url", "http://h", "--timeout-idle", "5"), "--timeout-idle"),
        (("probe", "--cacert", "x"), "--cacert needs a target (--url)"),
        (("--url", "http://h", "probe"), "--url stands before 'probe'"),
        (("--streams", "5", "mock"), "--streams stands before 'mock'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str
) -> None:
    assert cli.run(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert named in said.err


def test_help_shows_the_flags_that_a_run_has_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["probe", "--help"]) == 0
    shown = capsys.readouterr().out
    sections = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == [
        "Target:",
        "Request:",
        "API-specific:",
        "Connection:",
        "Limits:",
        "Output:",
        "Configuration:",
        "Other:",
    ]
    assert all(flag in shown for flag in ("--url", "--extra-body", "--proxy", "--timeout-total", "--raw"))
    assert not any(flag in shown for flag in ("--no-probe", "--procs", "--max-errors"))


# --- terminals


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_on_a_terminal(mock: MockServer, tmp_path: Path, env: dict[str, str], coloured: bool) -> None:
    with terminal("probe", "--url", mock.url, size=(80, 50), cwd=tmp_path, env={"NO_COLOR": "", **env}) as shown:
        assert shown.finish() == 0
        assert (b"\x1b[" in shown.raw) == coloured
        lines = [line.rstrip() for line in shown.text.splitlines()]
    assert "waiting" not in shown.text
    assert lines[0].endswith(f"   POST {mock.url}/v1/chat/completions")
    assert "ok" in lines
    assert lines[lines.index("") + 1].split()[2] == "connected"


class Silent(Handler):
    """Takes a request, and says nothing until it is over."""

    asked: ClassVar[threading.Event]
    over: ClassVar[threading.Event]

    def do_POST(self) -> None:
        self.asked.set()
        self.over.wait(DEADLINE_S)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_shows_what_has_come(number: int, code: int) -> None:
    Silent.asked, Silent.over = threading.Event(), threading.Event()
    with served(Silent) as url:
        run = Run("probe", "--url", url, "--model", "m", "--json")
        Silent.asked.wait(DEADLINE_S)
        run.process.send_signal(number)
        ended, found, said = run.finish()
        Silent.over.set()
    assert (ended, found["outcome"], said) == (code, "cancelled", "")
    assert list(found["at_ms"]) == ["sent", "end"]
