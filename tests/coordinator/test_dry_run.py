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
from tokenizers import Tokenizer, models, pre_tokenizers

from llmstress.coordinator.commands import cli
from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.output.curl import LONGEST_BODY, Blanks, curl_command
from llmstress.engine.control import Network, Tls
from llmstress.engine.prompts.words import WORDS

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
    text = printed(capfdbinary)
    assert re.match(r"llmstress \S+   the built-in mock LLM   openai-chat   model mock-7b\n", text)
    assert "the run starts the built-in mock LLM" in text


def test_a_mix_and_an_empty_file_without_a_target(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    (file := tmp_path / "run.toml").write_text("")
    assert "   the built-in mock LLM   openai-chat" in printed(capfdbinary, "--config", str(file))
    file.write_text('[[task]]\nname = "a"\n[[task]]\nname = "b"\n')
    text = printed(capfdbinary, "--config", str(file))
    assert re.findall(r"^  (\w)    50 %  (.+?)   openai-chat", text, re.MULTILINE) == [
        ("a", "the built-in mock LLM"),
        ("b", "the built-in mock LLM"),
    ]


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
    assert f"  step login: POST {url_of(silent)}/, once for each user\n" in text
    assert "\n    its answer gives token = json:token\n" in text
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


def test_the_steps_of_a_flow_show_what_is_their_own(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket
) -> None:
    (tmp_path / "flow.toml").write_text(
        f"""
url = "{url_of(silent)}"
model = "m"
timeout-idle = "20s"
check = ["not-empty"]
[[task]]
name = "rag"
slo = ["e2e<2s"]
[[task.step]]
name = "search"
prompt-tokens = 30
max-tokens = 7
timeout-total = "3s"
slo = ["e2e<300ms"]
extract = ["document = regex:(.+)"]
[[task.step]]
name = "ask"
prompt = "Use {{{{document}}}}"
think-time = "1s..3s"
retries = 2
on-status = ["503=retry"]
require-finish = true
keepalive = false
abandon = "5%"
abandon-after = "4s"
"""
    )
    text = printed(capfdbinary, "--config", str(tmp_path / "flow.toml"))
    about = text[text.index("task rag") : text.index("# step")].splitlines()
    assert about[2:-2] == [
        f"  step search: POST {url_of(silent)}/v1/chat/completions",
        "    prompt: made texts of 30 tokens; a run has other words each time",
        "    answer: at most 7 tokens",
        "    expected: about 30 input tokens a request, by one word a token",
        "    time limits: connect 10s, first token 10m, idle 20s, total 3s",
        "    SLOs: e2e<300ms",
        "    checks: not-empty",
        "    its answer gives document = regex:(.+)",
        f"  step ask: POST {url_of(silent)}/v1/chat/completions",
        "    think time before it: 1s to 3s",
        "    prompt: a text of 16 characters, with {{document}} filled in",
        "    answer: at most 128 tokens",
        "    expected: about 4 input tokens a request, by 4 bytes a token, besides the values of its variables",
        "    time limits: connect 10s, first token 10m, idle 20s",
        "    retries: at most 2",
        "    failures: 503=retry",
        "    connections: a new one for each request",
        "    SLOs: e2e<2s",
        "    checks: finish reason, not-empty",
        "    walking away: 5.0 % of the users, after 4s",
    ]


def test_what_all_steps_have_in_common_is_said_once(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket
) -> None:
    (tmp_path / "flow.toml").write_text(
        f"url = '{url_of(silent)}'\nmodel = 'm'\n[[task]]\nname = 'a'\n[[task.step]]\nname = 's'\n"
        "[[task.step]]\nname = 't'\nmax-tokens = 9\n"
    )
    text = printed(capfdbinary, "--config", str(tmp_path / "flow.toml"))
    assert (
        text.count("  each step: time limits: connect 10s, first token 10m, idle 2m\n")
        == text.count("time limits")
        == 1
    )
    assert re.findall(r"^    answer: (.+)", text, re.MULTILINE) == ["at most 128 tokens", "at most 9 tokens"]


def test_the_think_times_of_conversations_and_streams(
    capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket
) -> None:
    given = (url_of(silent), "--model", "m", "--think-time", "exp:2s")
    assert "  think time: a random time with the mean 2s between two requests of a stream\n" in printed(
        capfdbinary, *given
    )
    words = "  think time: a random time with the mean 2s before each turn but the first"
    text = printed(capfdbinary, *given, "--turns", "3", "--prompt-tokens", "50", "--shared-prefix-tokens", "20")
    assert f"{words}, and between two conversations of a stream\n" in text
    assert "made texts of 50 tokens, in the first turn the first 20 of them shared;" in text
    assert f"{words}\n" in printed(capfdbinary, *given, "--turns", "3", "--rate", "2/s")


def test_prompts_of_token_ids(capfdbinary: pytest.CaptureFixture[bytes], silent: socket.socket, tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: 7 + id for id, word in enumerate(WORDS[:40])}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    given = ("--prompt-tokens", "30", "--tokenizer", str(tmp_path / "tokenizer.json"), "--api", "openai-completions")
    text = printed(capfdbinary, url_of(silent), "--model", "m", *given, "--token-ids")
    assert "  prompt: made prompts of 30 token ids; a run has other ids each time\n" in text
    assert "  expected: about 30 input tokens a request, by the tokenizer\n" in text
    assert "made texts of 30 tokens" in printed(capfdbinary, url_of(silent), "--model", "m", *given)
