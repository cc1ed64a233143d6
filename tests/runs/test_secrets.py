"""Planted keys are looked for in everything that a run prints, keeps, or shows of its processes; they are nowhere."""

import base64
import contextlib
import itertools
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from helpers.bench import HEAD
from helpers.http_servers import Handler, served
from helpers.live_load import live
from helpers.processes import DEADLINE_S, Run, children_of, mock_server
from helpers.proxies import saying
from helpers.short_runs import load
from helpers.summaries import check
from helpers.terminal import terminal

from llmstress.coordinator.commands import cli
from llmstress.coordinator.config.keys import without_keys
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.shown_options import describe
from llmstress.coordinator.config.target_url import parse_target
from llmstress.coordinator.output.redaction import child_environment, scrub, secrets_in, secrets_of
from llmstress.coordinator.target.auth import build_headers
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.secrets import distinctive, redact
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.messages import Delta, ErrorSample, Part, Phase

PLANTED = {
    "key": "sk-planted/KEY+0123456789",
    "header from the environment": "planted-ENV-header-0123",
    "header": "planted-LITERAL-0123",
    "password of the URL": "planted-PASS-0123",
    "parameter": "planted-PARAM-0123",
    "password of the proxy": "planted-PROXY-0123",
}


def forms_of(secret: str) -> list[bytes]:
    """How a secret may be written."""
    encoded = base64.b64encode(secret.encode()).decode()
    return [
        form.encode()
        for form in (
            secret,
            quote(secret, safe=""),
            secret.replace("/", "\\/"),
            encoded.rstrip("="),
            base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
        )
    ]


CREDENTIALS = ("planted-user:planted-PASS-0123", "planted-proxy:planted-PROXY-0123")
PLAIN = {*(secret.encode() for secret in PLANTED.values()), b"sk-planted"}
NEEDLES = {*PLAIN, *(form for secret in (*PLANTED.values(), *CREDENTIALS) for form in forms_of(secret))}

BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")


def decoded_in(data: bytes) -> Iterator[bytes]:
    """What comes out of all that may be base64 in `data`, wherever it began."""
    for run in BASE64.findall(data):
        plain = run.translate(bytes.maketrans(b"-_", b"+/"))
        for begin in range(4):
            signs = plain[begin:]
            yield base64.b64decode(signs[: len(signs) - (len(signs) % 4 == 1)] + b"==")


def found_in(where: str, data: bytes) -> list[str]:
    found = {needle for needle in NEEDLES if needle in data}
    found |= {needle for text in decoded_in(data) for needle in PLAIN if needle in text}
    return [f"{where}: {needle.decode()}" for needle in found]


class Echo(Handler):
    """A server, and a proxy, that gives back all it was told, in every way that it can."""

    protocol_version = "HTTP/1.1"
    told: ClassVar[set[str]] = set()
    turn: ClassVar[int] = 0

    def do_GET(self) -> None:
        self.echo(404, "application/json", self.all_it_knows().encode())

    def do_POST(self) -> None:
        self.body()
        type(self).turn += 1
        words = self.all_it_knows()
        self.told.add(words)
        encoded = base64.b64encode(words.encode()).decode()
        finish = {"index": 0, "delta": {}, "finish_reason": self.header("Authorization")}
        events = {
            1: json.dumps({"error": {"message": words, "type": words}}).encode(),
            2: json.dumps({"choices": [{"index": 0, "delta": {"content": "x"}}]}).encode()
            + b"\n\ndata: "
            + json.dumps({"choices": [finish]}).encode(),
            3: b"{" + words.encode(),
        }
        way = self.turn % 6
        if way in (0, 4):
            shifted = base64.b64encode(b"x" * (self.turn // 6 % 3) + words.encode()).decode()
            body = shifted + words if way else json.dumps(words).replace("/", "\\/") + quote(words, safe="") + encoded
            self.echo(500 + way, "text/plain", body.encode())
        elif way == 5:
            self.wfile.write(b"HTTP/1.1 " + words.encode()[:300] + b"\r\n\r\n")
            self.close_connection = True
        else:
            self.echo(200, "text/event-stream", b"data: " + events[way] + b"\n\ndata: [DONE]\n\n")

    def header(self, name: str) -> str:
        return str(self.headers.get(name, ""))

    def all_it_knows(self) -> str:
        names = ("Authorization", "X-Env", "X-Literal", "Proxy-Authorization")
        decoded = [
            base64.b64decode(self.header(name).partition(" ")[2]).decode("latin-1")
            for name in ("Proxy-Authorization", "Authorization")
            if self.header(name).startswith("Basic ")
        ]
        return " | ".join([*(self.header(name) for name in names), self.path, *decoded])

    def echo(self, status: int, kind: str, body: bytes) -> None:
        request_id = self.header("Authorization") or self.header("X-Literal")
        self.answer(status, body, {"Content-Type": kind, "x-request-id": request_id})


@pytest.fixture
def echo() -> Iterator[str]:
    """Where the server is: host and port."""
    Echo.told.clear()
    with served(Echo) as url:
        yield url.removeprefix("http://")


def environment(home: Path, echo: str) -> dict[str, str]:
    key = PLANTED["key"]
    return {
        "XDG_RUNTIME_DIR": str(home),
        "MY_KEY": key,
        "SAME_KEY_ELSEWHERE": f"prefix {key} suffix",
        "OPENAI_API_KEY": key,
        "MY_HEADER": PLANTED["header from the environment"],
        "https_proxy": f"http://planted-proxy:{PLANTED['password of the proxy']}@{echo}",
        "CI": "",
        "NO_COLOR": "",
    }


def asking(echo: str, *, by: str) -> tuple[str, ...]:
    """Options with secrets in all places; `by`: whether the key or the URL's user is sent."""
    user = f"planted-user:{PLANTED['password of the URL']}@" if by == "user" else ""
    return (
        *("--url", f"http://{user}{echo}/v1?api_key={PLANTED['parameter']}", "--model", "m"),
        *(("--api-key-env", "MY_KEY") if by == "key" else ()),
        *("--header", "X-Env: env:MY_HEADER", "--header", f"X-Literal: {PLANTED['header']}"),
        *("--proxy", f"http://planted-proxy:{PLANTED['password of the proxy']}@{echo}"),
        *("--extra-body", json.dumps({"vendor_key": PLANTED["header"], "user": "me"})),
    )


def arguments(echo: str, *, by: str) -> tuple[str, ...]:
    """The same for a run that writes all that it can."""
    return (
        *asking(echo, by=by),
        *("--procs", "1", "--streams", "6", "--error-pause", "50ms", "--interval", "50ms"),
        *("--output", "out.json", "--record", "run.rec", "--log-file", "run.log", "--verbose"),
    )


def descendants_of(pid: int) -> list[int]:
    children = children_of(pid)
    return children + [each for child in children for each in descendants_of(child)]


def found_while_it_runs(pid: int, home: Path) -> list[str]:
    """What children show of themselves, and what lies in the directory of the run."""
    found: list[str] = []
    own = Path(f"/proc/{pid}/cmdline").read_bytes()
    for child in descendants_of(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{child}/cmdline").read_bytes() == own:
                continue  # it is about to execute another program, and still looks like the process that has forked it
        for name in ("cmdline", "environ"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += found_in(f"/proc/{child}/{name}", Path(f"/proc/{child}/{name}").read_bytes())
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "worker-0.log" for path in files)
    for path in files:
        found += found_in(str(path), path.read_bytes())
    return found


def found_afterwards(directory: Path) -> list[str]:
    names = {path.name for path in directory.iterdir()}
    assert names == {"out.json", "run.rec", "run.log"}
    return [each for name in names for each in found_in(name, (directory / name).read_bytes())]


@pytest.mark.parametrize("by", ["key", "user"])
def test_no_key_is_in_anything_that_a_run_leaves(echo: str, home: Path, tmp_path: Path, by: str) -> None:
    run = Run(*arguments(echo, by=by), "--duration", "1s", env=environment(home, echo), cwd=tmp_path)
    run.wait_for("steady")
    run.wait_for("first http_500")
    found = found_while_it_runs(run.process.pid, home)
    code, summary, said = run.finish()
    assert code in (0, 5)
    assert set(summary["errors"]) >= {"http_500", "http_504", "stream_error", "malformed"}
    found += found_in("stderr", said.encode()) + found_in("stdout", json.dumps(summary).encode())
    assert [*found, *found_afterwards(tmp_path)] == []
    told = "".join(Echo.told)
    sent = {"key", "header from the environment", "header", "parameter"} if by == "key" else {*PLANTED} - {"key"}
    assert all(PLANTED[name] in told for name in sent), "and all of it had been sent"
    assert "***" in said


@pytest.mark.slow
def test_no_key_is_on_the_screen(echo: str, home: Path, tmp_path: Path) -> None:
    env = environment(home, echo)
    with terminal(*arguments(echo, by="key"), "--duration", "60s", size=(200, 50), cwd=tmp_path, env=env) as shown:
        shown.wait_for("✖")
        shown.press("4")
        shown.wait_for("http_500")
        found = found_while_it_runs(shown.process.pid, home)
        assert any(b"viewer" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children_of(shown.process.pid))
        for key in "351":
            shown.press(key)
            shown.read(0.3)
        shown.press("qy")
        shown.wait_for("done")
        shown.press("q")
        shown.finish()
        found += found_in("the screen", shown.raw)
    assert [*found, *found_afterwards(tmp_path)] == []


@pytest.mark.slow
@pytest.mark.parametrize("by", ["key", "user"])
@pytest.mark.parametrize("form", [("--raw", "--events"), ("--raw", "--json")], ids=["text", "json"])
def test_no_key_is_in_what_a_probe_says(echo: str, home: Path, by: str, form: tuple[str, ...]) -> None:
    for _ in range(6):
        said = subprocess.run(
            [sys.executable, "-m", "llmstress", "probe", *form, *asking(echo, by=by)],
            capture_output=True,
            env={**os.environ, **environment(home, echo)},
            timeout=DEADLINE_S,
        )
        assert said.returncode in (0, 5)
        assert found_in("stdout", said.stdout) + found_in("stderr", said.stderr) == []
        assert b"***" in said.stdout
    told = "".join(Echo.told)
    sent = {"key", "header from the environment", "header", "parameter"} if by == "key" else {*PLANTED} - {"key"}
    assert all(PLANTED[name] in told for name in sent), "and all of it had been sent"


def test_a_server_that_refuses_the_key_may_say_which(home: Path, tmp_path: Path) -> None:
    class Refusing(Echo):
        def do_GET(self) -> None:
            key = PLANTED["key"].encode()
            encoded = b" ".join(base64.b64encode(b"x" * before + key) for before in range(3))
            self.echo(401, "text/plain", encoded + self.all_it_knows().encode())

    with served(Refusing) as url:
        where = url.removeprefix("http://")
        run = Run(*arguments(where, by="key"), env=environment(home, where), cwd=tmp_path)
        code, _, said = run.finish()
    assert (code, "401" in said) == (3, True)
    left = [each for path in tmp_path.iterdir() for each in found_in(path.name, path.read_bytes())]
    assert found_in("stderr", said.encode()) + left == []


NAMES_THE_KEY = f"Invalid API key {PLANTED['key']}".encode()


class NoHttp(socketserver.BaseRequestHandler):
    """Says that the key is wrong in words of its own, and waits until the client has had enough of it."""

    said: ClassVar[bytes]

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            self.request.recv(1 << 16)
            self.request.sendall(self.said)
            while self.request.recv(1 << 16):
                pass


@pytest.mark.parametrize("cut", [0, 9], ids=["whole", "cut-within-the-key"])
def test_no_key_is_in_what_is_left_of_an_answer_that_is_no_http(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(NoHttp, "said", NAMES_THE_KEY[: len(NAMES_THE_KEY) - cut], raising=False)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), NoHttp) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        where = f"127.0.0.1:{server.server_address[1]}"
        run = Run(*arguments(where, by="key"), "--requests", "20", env=environment(home, where), cwd=tmp_path)
        code, summary, said = run.finish()
        server.shutdown()
        thread.join()
    assert (code, summary["errors"]["malformed"]["count"]) == (5, 20)
    assert "Invalid API key ***" in summary["errors"]["malformed"]["samples"][0]["text"]
    found = found_in("stderr", said.encode()) + found_in("stdout", json.dumps(summary).encode())
    assert [*found, *found_afterwards(tmp_path)] == []


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(NAMES_THE_KEY + b"\n", id="no HTTP"),
        pytest.param(b"x" * 20 + NAMES_THE_KEY, id="no HTTP, the key further behind"),
        pytest.param(NAMES_THE_KEY[:-9], id="no HTTP, cut within the key"),
        pytest.param(b"HTTP/1.1 " + NAMES_THE_KEY + b"\r\n\r\n", id="a status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + NAMES_THE_KEY + b"\r\n\r\n", id="a header without a colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: " + NAMES_THE_KEY + b"\r\n\r\n", id="a length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: " + b"x" * 46 + NAMES_THE_KEY + b"\r\n\r\n", id="a length, cut off"
        ),
        pytest.param(HEAD + NAMES_THE_KEY + b"\r\n", id="a chunk's size"),
        pytest.param(HEAD + b"1\r\nx" + NAMES_THE_KEY + b"\r\n", id="a chunk that is too long"),
    ],
)
@live
async def test_what_is_quoted_of_a_malformed_answer_has_no_key(said: bytes) -> None:
    async with saying(said) as port:
        secrets = secrets_in([("Authorization", f"Bearer {PLANTED['key']}")])
        done = await load(f"http://127.0.0.1:{port}", secrets=secrets)
    assert done.ended == {"malformed": 6}
    assert all("***" in text for text in done.texts)
    assert [each for text in done.texts for each in found_in("a sample", text.encode())] == []


def test_the_mock_of_a_demo_has_no_key_either(home: Path) -> None:
    load = ("--streams", "2", "--duration", "60s", "--procs", "1", "--header", "X-Env: env:MY_HEADER")
    run = Run(*load, env=environment(home, "127.0.0.1:9"))
    run.wait_for("steady")
    found = found_while_it_runs(run.process.pid, home)
    run.process.send_signal(signal.SIGINT)
    code, _, _ = run.finish()
    assert (code, found) == (130, [])


OUR_WORDS = ("X-Mode: length", "X-Tenant: mock-7b", "X-Team: content", "X-Class: connect_refused", "X-State: steady")


@pytest.mark.slow
@pytest.mark.parametrize("by", ["value", "environment"])
def test_a_header_s_value_that_is_a_word_of_ours_damages_nothing(home: Path, by: str) -> None:
    words = [each.partition(": ") for each in OUR_WORDS]
    headers = [f"{name}: {value if by == 'value' else f'env:{name[2:].upper()}'}" for name, _, value in words]
    environ = {name[2:].upper(): value for name, _, value in words} if by == "environment" else {}
    with mock_server("--ttft-ms", "1", "--gap-ms", "1") as server:
        asked = ("--url", server.url, "--model", "mock-7b", "--max-tokens", "3")
        given = [part for header in headers for part in ("--header", header)]
        run = Run(*asked, *given, "--procs", "1", "--streams", "2", "--requests", "4", env=environ, cwd=home)
        code, summary, said = run.finish()
        probe = subprocess.run(
            [sys.executable, "-m", "llmstress", "probe", "--json", *asked, *given],
            capture_output=True,
            env={**os.environ, **environ},
            timeout=DEADLINE_S,
        )
    assert code == 0
    check(summary)
    assert summary["finish"] == {"length": 4}
    assert (summary["run"]["model"], summary["run"]["url"]) == ("mock-7b", f"{server.url}/v1/chat/completions")
    assert summary["run"]["options"]["headers"] == headers
    assert "***" not in said
    shown = json.loads(probe.stdout)
    assert (shown["finish"], shown["where"]["model"]) == ("length", "mock-7b")
    assert b"***" not in probe.stdout


# the pieces


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("X-Mode", "length", False),
        ("X-Tenant", "tiny-llama", False),
        ("X-Model", "meta-llama/Llama-3.1-8B-Instruct", False),
        ("X-Date", "2026-01-31T09:14:07Z", False),
        ("X-Author", "Jane Doe", False),
        ("X-Author-Id", "Jane Doe", False),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)", False),
        ("anthropic-version", "2023-06-01", False),
        ("Authorization", "hunter22", True),
        ("Proxy-Authorization", "hunter22", True),
        ("Cookie", "id=hunter22", True),
        ("X-Api-Key", "hunter22", True),
        ("api-key", "hunter22", True),
        ("X-Gateway-Token", "hunter22", True),
        ("X-Client-Secret", "hunter22", True),
        ("X-Passwd", "hunter22", True),
        ("X-Auth", "hunter22", True),
        ("X-Amz-Signature", "hunter22", True),
        ("X-Amz-Credential", "hunter22", True),
        ("X-Authority", "hunter22", True),
        ("X-Custom", "sk-proj-abcd1234", True),
        ("X-Custom", "Bearer abcdefgh", True),
        ("X-Custom", "eyJhbGciOiJIUzI1NiJ9.e30.abc", True),
        ("X-Custom", "9f86d081884c7d659a2feaa0c55ad015", True),
        ("X-Custom", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", True),
        ("X-Custom", "user:A1b2C3d4E5f6G7h8", True),
    ],
)
def test_which_headers_hold_a_secret(name: str, value: str, secret: bool) -> None:
    options = Options(procs=1, prompt="p", url="http://h", headers=((name, value),))
    assert (value in secrets_of(options, [(name, value)])) is secret
    assert (value not in describe(options)["headers"][0]) is secret


def test_what_comes_from_the_environment_is_a_secret_unless_it_is_public() -> None:
    def hidden(value: str, **changes: Any) -> bool:
        options = Options(procs=1, prompt="p", headers=(("X-Env", "env:NAME"),), **{"url": "http://h:8000", **changes})
        assert describe(options)["headers"] == ["X-Env: env:NAME"]
        return value in secrets_of(options, [("X-Env", value)])

    assert hidden("tiny-llama")
    assert not hidden("tiny-llama", model="tiny-llama")
    assert not hidden("tiny-llama", model="org/tiny-llama:free")
    assert not hidden("llm.example.com", url="https://llm.example.com/v1")
    assert not hidden("team-seven", url="https://h/team-seven/v1")
    assert hidden("sk-team-seven", url="https://h/sk-team-seven/v1"), "a key in the path is a key"
    assert hidden("hunter22", url="https://user:hunter22@h/v1"), "credentials are no part of what is shown"
    for word in ("length", "content_filter", "latency_ms", "requests", "content", "openai-chat", "http_404"):
        assert not hidden(word), word


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (("Authorization", "Bearer abcdef-1"), "abcdef-1"),
        (("Authorization", "Token abcdef-1"), "abcdef-1"),
        (("Authorization", "ApiKey  abcdef-1"), "abcdef-1"),
        (("Authorization", f"Basic {base64.b64encode(b'user:hunter22').decode()}"), "hunter22"),
        (("Cookie", "session=abcdef-1; theme=length"), "abcdef-1"),
    ],
)
def test_a_secret_s_parts_are_secrets(header: tuple[str, str], part: str) -> None:
    found = secrets_of(Options(procs=1, prompt="p", headers=(header,)), [header])
    assert {header[1], part} <= {*found}
    assert not {"length", "Bearer", "Token", "session"} & {*found}


def test_a_plain_word_stays_in_sentences_of_ours() -> None:
    secrets = ["steady", "tiny-llama", "hunter22", "correct horse battery staple"]
    assert distinctive(secrets) == ["hunter22", "correct horse battery staple"]
    notice: Any = scrub(Notice(0, "phase", "steady window; hunter22"), secrets)
    assert notice.text == "steady window; ***"
    sample = ErrorSample("http_500", 500, "tiny-llama is not steady", "steady", "")
    delta: Any = scrub(Delta(0, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {}, [sample]), secrets)
    assert delta.samples == [ErrorSample("http_500", 500, "*** is not ***", "***", "")]


def test_finish_reasons_of_protocols_stay() -> None:
    part = Part(finish={"content_filter": 1, "length": 2, "my content": 3})
    scrubbed: Any = scrub(Delta(0, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {2: part}, []), ["content", "length"])
    assert scrubbed.parts[2].finish == {"content_filter": 1, "length": 2, "my ***": 3}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("No such command 'sk-proj-abc123'.", "No such command '***'."),
        ("no such option: --api-key=sk-abc123", "no such option: --api-key=***"),
        ("--cacert /etc/sk-local-ca/ca.pem: No such file", "--cacert /etc/sk-local-ca/ca.pem: No such file"),
        ("unknown task-runner", "unknown task-runner"),
    ],
)
def test_a_message_about_wrong_usage_repeats_no_key(said: str, shown: str) -> None:
    assert without_keys(said) == shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("--api-key-env", PLANTED["key"]),
        ("--header", f"Authorization: env:{PLANTED['key']}"),
        ("--header", f"Authorization Bearer {PLANTED['key']}"),
        (PLANTED["key"],),
        ("probe", "--api-key-env", PLANTED["key"]),
        ("probe", PLANTED["key"]),
    ],
)
def test_a_key_in_a_wrong_place_is_not_printed(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    url = ("--url", "http://127.0.0.1:9", "--model", "m", "--headless")
    probing = arguments[0] == "probe"
    assert cli.run(["probe", *url[:-1], *arguments[1:]] if probing else [*url, *arguments]) == 2
    said = capsys.readouterr()
    assert found_in("stderr", said.err.encode()) + found_in("stdout", said.out.encode()) == []


def test_what_a_server_makes_of_a_secret_is_a_secret() -> None:
    secrets = secrets_in([("X", "a/b+c&d\"e'f")], "http://user:p%40ssword@h/?token=v%2Falue1")
    for shown in ("a/b+c&d\"e'f", "a\\/b+c&d\\\"e'f", "a%2Fb%2Bc%26d%22e%27f", "a/b+c&amp;d&quot;e&#x27;f"):
        assert redact(f"<{shown}>", secrets) == "<***>"
    for shown in ("p%40ssword", "p@ssword", "user:p@ssword", "v%2Falue1", "v/alue1"):
        assert redact(f"<{shown}>", secrets) == "<***>"
    for before, encode in itertools.product(range(3), (base64.b64encode, base64.urlsafe_b64encode)):
        encoded = encode(b"?" * before + b"user:p@ssword" + b"?").decode()
        shown = redact(encoded, secrets)
        assert shown.count("***") == 1
        assert len(shown.rstrip("=")) <= 3 + 6, "but for what stood before and after it"
    assert secrets_in([("Accept", "*/*")]) == [], "too short to be one"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-0123456789", "key ***"),
        ("key sk-012345", "key ***"),
        ("key sk-0123", "key sk-0123"),
        ("sk-012345 and more", "sk-012345 and more"),
        ("sk-0123456789sk-0123456789sk-012345678", "*********"),
        ("", ""),
    ],
)
def test_a_secret_that_was_cut_off_is_one(text: str, shown: str) -> None:
    assert redact(text, ["sk-0123456789"]) == shown


def test_children_get_an_environment_without_secrets() -> None:
    environ = {
        "PATH": "/planted-1234",
        "KEY": "sk-secret",
        "COPY": "x sk-secret y",
        "HTTP_PROXY": "http://u:p@h",
        "OTHER": "planted-1234",
        "LANG": "C",
        "EMPTY": "",
        "NAMED_AND_SHORT": "abc",
        "KEPT": "abc",
    }
    kept = child_environment(environ, ["planted-1234"], ["KEY", "NAMED_AND_SHORT", "UNSET"])
    assert kept == {"PATH": "/planted-1234", "LANG": "C", "EMPTY": "", "KEPT": "abc"}


def test_messages_lose_the_secrets_that_servers_put_into_them() -> None:
    secrets = ["sk-123456"]
    part = Part(finish={"stop": 1, "sk-123456": 2, "a sk-123456": 3})
    samples = [ErrorSample("http_500", 500, "wrong key sk-123456", "req sk-123456", "x-ratelimit-key: sk-123456")]
    fatal = {"end": ErrorSample("quota", 429, "no money for sk-123456", "")}
    delta = Delta(0, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {2: part}, samples, fatal=fatal)
    scrubbed: Any = scrub(delta, secrets)
    assert scrubbed.parts[2].finish == {"stop": 1, "***": 2, "a ***": 3}
    assert scrubbed.samples == [ErrorSample("http_500", 500, "wrong key ***", "req ***", "x-ratelimit-key: ***")]
    assert scrubbed.fatal == {"end": ErrorSample("quota", 429, "no money for ***", "")}
    assert scrub(Notice(0, "note", "sk-123456"), secrets).text == "***"


def test_a_body_s_keys_are_not_in_the_summary() -> None:
    body = {"api_key": "sk-123456", "nested": {"auth_token": "x"}, "max_tokens": 5, "stop": "END"}
    shown = describe(Options(procs=1, prompt="p", extra_body=body))["extra_body"]
    assert shown == {"api_key": "***", "nested": {"auth_token": "***"}, "max_tokens": 5, "stop": "END"}


def test_an_escaped_key_in_a_body_is_not_in_the_summary() -> None:
    template = r'{"api_key": "s\u006b-abc\"def", "prompt": "{prompt}"}'
    shown = describe(Options(procs=1, prompt="p", body=template))["body"]
    assert json.loads(shown) == {"api_key": "***", "prompt": "{prompt}"}


def test_keys_in_lists_are_keys() -> None:
    body = {"tools": [{"auth_token": "sk-123456", "name": "search"}, "x"], "stop": ["END"]}
    shown = describe(Options(procs=1, prompt="p", extra_body=body))["extra_body"]
    assert shown == {"tools": [{"auth_token": "***", "name": "search"}, "x"], "stop": ["END"]}


def test_a_body_s_keys_are_secrets() -> None:
    extra = {"api_key": "sk-123456", "tools": [{"auth_token": "sk-654321"}], "max_tokens": 5, "stop": "the END"}
    template = '{"secret": "sk-abcdef", "prompt": "{prompt}"}'
    options = Options(procs=1, prompt="p", extra_body=extra, body=template)
    said = "sk-123456 sk-654321 sk-abcdef the END {prompt}"
    assert redact(said, secrets_of(options, [])) == "*** *** *** the END {prompt}"
    assert secrets_of(Options(procs=1, prompt="p", body="no JSON, key=sk-123456"), []) == []


def test_the_user_of_the_url_is_sent_as_such() -> None:
    options = Options(procs=1, prompt="p", url="http://u:p%40ss@h")
    api = OpenAIChat(Ask())
    [(name, value)] = build_headers(options, api, parse_target(options.url or "", api), os.environ)
    assert (name, base64.b64decode(value.removeprefix("Basic "))) == ("Authorization", b"u:p@ss")
