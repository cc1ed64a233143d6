"""`--dry-run` prints what a run would send, without secrets, and sends nothing."""

import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.processes import DEADLINE_S, mock_server

from llmstress.coordinator.commands import cli
from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.output.curl import LONGEST_BODY, Blanks, curl_command
from llmstress.engine.control import Network, Tls

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A socket that listens; nobody connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def printed(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> str:
    assert cli.run([*arguments, "--dry-run"]) == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    return out.decode()


def refused(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> str:
    assert cli.run([*arguments, "--dry-run"]) in (ExitCode.USAGE, ExitCode.NOT_STARTED)
    out, err = capfdbinary.readouterr()
    assert out == b""
    return err.decode()


def commands_in(text: str) -> list[str]:
    """The commands, each as it can be pasted."""
    blocks = [block.partition("\n") for block in text.split("\n\n") if block.startswith("# ")]
    return [command for _, _, command in blocks]


def test_plan_of_a_mix(capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "mix.toml"
    file.write_text(
        f"""\
url = "{url_of(silent)}"
model = "m"
procs = 3
total-streams = 6
requests = 1001
fail-if = ["ttft.p99>2s"]
[[task]]
name = "chat"
weight = 7
prompt-tokens = "uniform:10..30"
max-tokens = 100
slo = ["ttft<1s"]
check = ["not-empty"]
price = "input=1,output=2"
[[task]]
name = "embed"
weight = 3
api = "openai-embeddings"
prompt = "abcd"
price = "input=10,output=0"
""",
        "utf-8",
    )
    text = printed(capfdbinary, "--config", str(file))
    numbers = [int(found) for found in re.findall(r"^task \w+: (\d+) requests$", text, re.MULTILINE)]
    assert sum(numbers) == 1001
    assert abs(numbers[0] - 700.7) < 3  # each worker is off by less than one
    for line in (
        "  weight 7 of 10: 70 %",
        "  prompt: made texts of uniform:10..30 tokens; a run has other words each time",
        "  answer: at most 100 tokens",
        "  expected: about 20 input tokens a request, by one word a token",
        "  SLOs: ttft<1s",
        "  checks: not-empty",
        "  threshold: --fail-if ttft.p99>2s",
        "  prompt: a text of 4 characters, the same in every request",
    ):
        assert line in text.split("\n")
    cost = numbers[0] * (20 * 1 + 100 * 2) / 1e6
    assert f"  cost: about ${cost:.3f}, if every answer is as long as its limit" in text
    commands = commands_in(text)
    assert [url_of(silent) + "/v1/embeddings" in command for command in commands] == [False] * 3 + [True] * 3
    assert len(set(commands)) == 4  # made prompts differ, the others do not


def test_a_rate_has_an_expected_number(capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket) -> None:
    at_rate = ("--rate", "50/s", "--duration", "20s", "--warmup", "4s", "--model", "m")
    assert "requests: about 1,200 requests, as they arrive" in printed(capfdbinary, url_of(silent), *at_rate)
    assert "as many as the answers allow" in printed(capfdbinary, url_of(silent), "--model", "m")
    assert "requests: 2 requests" in (text := printed(capfdbinary, url_of(silent), "--model", "m", "--requests", "2"))
    assert len(commands_in(text)) == 2


def test_no_more_than_a_run_would_know(capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket) -> None:
    text = printed(capfdbinary, url_of(silent), "--turns", "2..4", "--requests", "9", "--max-tokens", "5")
    assert '"model":"MODEL"' in text
    assert "MODEL stands for the model" in text
    assert "requests: its part of the 9 requests; one of its conversations has several" in text
    assert text.count("# session") == 3
    assert "only first requests are shown" in text
    assert "name the model with --model" in refused(capfdbinary, url_of(silent), "--no-probe")
    wrong = ("--model", "m", "--fail-if", "ttft.p99>1s in peak")
    assert "the run has no window 'peak'" in refused(capfdbinary, url_of(silent), *wrong)
    assert "/nowhere" in refused(capfdbinary, url_of(silent), "--model", "m", "--trace", "/nowhere")


def test_rows_of_a_file(capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one\ntwo\nthree\nfour\n", "utf-8")
    given = (url_of(silent), "--model", "m", "--prompts", str(file))
    text = printed(capfdbinary, *given, "--once", "--total-streams", "1")
    assert re.findall('"content":"(.*?)"', text) == ["one", "two", "three"]
    assert "requests: 4 requests" in text
    assert f"  prompt: 4 rows of {file}" in text
    file.write_text("", "utf-8")
    assert str(file) in refused(capfdbinary, *given)


def test_find_and_the_mock(capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket) -> None:
    assert cli.run(["find", url_of(silent), "--model", "m", "--slo", "ttft<1s", "--dry-run"]) == 0
    assert b"requests: as many as the search needs" in capfdbinary.readouterr().out
    assert "the run starts the built-in mock LLM" in printed(capfdbinary)


def test_no_secret_is_printed(
    capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "planted-KEY-0123")
    monkeypatch.setenv("MY_HEADER", "planted-ENV-0123")
    place = url_of(silent).removeprefix("http://")
    text = printed(
        capfdbinary,
        *("--url", f"http://planted-user:planted-PASS-0123@{place}/v1/chat/completions?api_key=planted-PARAM-0123"),
        *("--proxy", f"http://planted-user:planted-PROXY-0123@{place}"),
        *("--api-key-env", "MY_KEY", "--header", "X-Here: env:MY_HEADER", "--header", "X-Secret: planted-LITERAL-0123"),
        *("--header", "X-Short-Token: pla", "--header", "X-Plain: costs $5"),
        *("--extra-body", '{"user_token": "planted-EXTRA-0123", "deep": [{"password": "pl"}], "repeats": 1}'),
        *("--prompt", "say planted-EXTRA-0123, planted-KEY-0123 and planted-PASS-0123"),
        *("--model", "m"),
    )
    assert "planted" not in text.replace('"content":"say', "")
    assert ": pla'" not in text
    assert '"password":"***"' in text
    assert '-H "Authorization: Bearer $MY_KEY"' in text
    assert '-H "X-Here: $MY_HEADER"' in text
    assert "-H 'X-Secret: ***'" in text
    assert "-H 'X-Plain: costs $5'" in text
    assert f"--proxy 'http://***@{place}'" in text
    assert "Proxy-Authorization" not in text


@needs_curl
def test_commands_work_in_a_shell(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "planted-KEY-0123")
    with mock_server() as mock:
        text = printed(
            capfdbinary,
            *(mock.url, "--model", "m", "--api-key-env", "MY_KEY", "--prompt", """it's "50 %" of $HOME\n\\ `ls` ü"""),
        )
        command = commands_in(text)[0]
        sent = subprocess.run(["sh", "-c", f"{command} \\\n --silent --fail"], capture_output=True, timeout=DEADLINE_S)
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.endswith(b"data: [DONE]\n\n")
        assert mock.stop()["requests"] == 1


@pytest.mark.parametrize("body", [b"\x00\xff'%\\ \x1b[2J", '{"a": "ü\'$(ls)\\n"}'.encode(), b"a\nb\r\n", b""])
def test_bodies_reach_the_server_byte_for_byte(body: bytes, silent: socket.socket) -> None:
    head = b"POST /x?a[]=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: %d\r\n\r\n" % len(body)
    command = curl_command(head + body, "http://h:1/", Network(), Blanks(), streamed=False)
    assert all(sign.isprintable() or sign == "\n" for sign in command)
    stub = 'curl() { for last; do :; done; case "$last" in @-) cat;; *) printf %s "$last";; esac; }\n'
    heard = subprocess.run(["sh", "-c", stub + command], capture_output=True, timeout=DEADLINE_S)
    assert (heard.returncode, heard.stdout) == (0, body)


def test_a_command_has_the_way_to_the_target() -> None:
    head = b"GET /a/../b HTTP/1.1\r\nHost: other\r\nAccept: */*\r\nX-Empty: \r\n\r\n"
    network = Network(addresses=["127.0.0.1"], tls=Tls("/ca file", insecure=True))
    command = curl_command(head, "https://h/a/../b", network, Blanks(), streamed=True, proxies=True)
    assert shlex.split(command.replace("\\\n", "")) == [
        *("curl", "--no-buffer", "--http1.1", "--path-as-is", "--insecure", "https://h/a/../b"),
        *("--resolve", "h:443:127.0.0.1", "--cacert", "/ca file", "--noproxy", "*"),
        *("-H", "Host: other", "-H", "Accept: */*", "-H", "X-Empty;"),
    ]


def test_a_long_body_is_cut_between_characters() -> None:
    body = b"x" + "ü".encode() * LONGEST_BODY
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Type: text/plain\r\n\r\n"
    command = curl_command(head + body, "http://h/", Network(), Blanks(), streamed=False)
    shown, _, comment = command.rpartition("\n")
    kept = shlex.split(shown)[-1].encode()
    assert body.startswith(kept)
    assert LONGEST_BODY - 2 < len(kept) <= LONGEST_BODY
    assert comment == f"# ... {len(body) - len(kept):,} more bytes: the body is cut here"


def test_a_printed_file_has_no_dry_run(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for more in ((), ("--all",)):
        assert cli.run(["config", "--dry-run", *more]) == 0
        assert b"dry-run" not in capfdbinary.readouterr().out


def test_a_flow_is_shown_with_its_steps(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket
) -> None:
    (tmp_path / "flow.toml").write_text(
        '[[task]]\nname = "rag"\n[[task.step]]\nname = "login"\nsetup = true\napi = "http"\n'
        'body = \'{"user": "u{{user}}"}\'\n'
        'extract = ["token = json:token"]\n[[task.step]]\nname = "chat"\nheader = ["Authorization: Bearer {{token}}"]\n'
    )
    text = printed(capfdbinary, url_of(silent), "--model", "m", "--config", str(tmp_path / "flow.toml"))
    assert f"  step login: POST {url_of(silent)}/, once for each user; its answer gives token" in text
    assert f"  step chat: POST {url_of(silent)}/v1/chat/completions" in text
    first, *_ = commands_in(text)
    assert '{"user": "u1"}' in first


def test_a_step_has_a_file_of_prompts(
    capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "asked.txt").write_text("the question of the file\n")
    (tmp_path / "flow.toml").write_text(
        f"url = '{url_of(silent)}'\nmodel = 'm'\n[[task]]\nname = 'a'\n[[task.step]]\nname = 's'\n"
        f"prompts = '{tmp_path / 'asked.txt'}'\n"
    )
    assert '"content":"the question of the file"' in printed(capfdbinary, "--config", str(tmp_path / "flow.toml"))
