"""The command line as a user sees it: help, one-line error messages, exit codes."""

import json
import subprocess
import sys

import pytest
from helpers.processes import Run, llmstress, mock_server

from llmstress.coordinator.commands import cli
from llmstress.coordinator.commands.other_tools import ANSWERS


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error message for wrong arguments: exit code 2, one line, no traceback."""
    assert cli.run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("llmstress: ")
    assert said.err.count("\n") == 1
    return said.err


URL = ("--url", "http://127.0.0.1:1", "--model", "m")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--streems", "5"), "--streams"),
        (("extra",), "extra"),
        ((*URL, "--streams", "0"), "--streams"),
        ((*URL, "--procs", "-1"), "--procs"),
        ((*URL, "--procs", "many"), "--procs"),
        ((*URL, "--duration", "10"), "--duration"),
        ((*URL, "--duration", "0s"), "--duration"),
        ((*URL, "--ramp-up", "5x"), "--ramp-up"),
        ((*URL, "--requests", "0"), "--requests"),
        ((*URL, "--warmup-requests", "9", "--warmup", "1s"), "--warmup and --warmup-requests can't be used together"),
        ((*URL, "--warmup-requests", "0"), "--warmup-requests must be at least 1"),
        ((*URL, "--interval", "1ms"), "--interval"),
        ((*URL, "--max-errors", "-3"), "--max-errors"),
        ((*URL, "--max-errors", "101%"), "--max-errors"),
        ((*URL, "--extra-body", "[1]"), "--extra-body"),
        ((*URL, "--extra-body", "{"), "--extra-body"),
        ((*URL, "--header", "no colon"), "--header"),
        ((*URL, "--header", "X: env:NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
        ((*URL, "--api-key-env", "NO_SUCH_VARIABLE"), "--api-key-env"),
        ((*URL, "--output", "/no/such/place/out.json"), "--output"),
        ((*URL, "--max-tokens", "0"), "--max-tokens"),
        (("--url", "localhost:8000"), "did you mean http://localhost:8000"),
        (("--url", "ftp://x"), "--url"),
        (("http://127.0.0.1:1", "--streams", "0"), "--streams must be at least 1"),
        (("--streams", "0", "http://127.0.0.1:1"), "--streams must be at least 1"),
        (("http://127.0.0.1:1", "--url", "http://127.0.0.1:1", "--streams", "0"), "--streams must be at least 1"),
        (("probe", "--max-tokens", "0", "http://127.0.0.1:1"), "--max-tokens must be at least 1"),
        (("localhost:8000",), "did you mean http://localhost:8000?"),
        (("8000",), "did you mean http://localhost:8000?"),
        (("probe", "localhost:8000"), "did you mean http://localhost:8000?"),
        (("http://127.0.0.1:1", "http://127.0.0.1:2"), "two targets"),
        (("http://127.0.0.1:1", "--url", "http://127.0.0.1:2"), "two targets"),
        (("probe", "--url", "http://127.0.0.1:2", "http://127.0.0.1:1"), "two targets"),
        (("http://127.0.0.1:1", "probe"), "options must follow the command's name"),
        (("ollama",), "No such command 'ollama'; a target is a URL like http://localhost:8000"),
        (
            ("run", "http://127.0.0.1:1"),
            "No such command 'run'; a run needs no command: llmstress http://localhost:8000\n",
        ),
        ((*URL, "--json"), "unknown flag --json: the summary is JSON"),
        ((*URL, "--format", "json"), "unknown flag --format: the summary is JSON"),
        ((*URL, "--key", "x"), "--cert; for an API key, use --api-key-env NAME"),
        (("bench",), "a run needs no command: llmstress http://localhost:8000\n"),
        (("mok",), "No such command 'mok'. Did you mean 'mock'?\n"),
        ((*URL, "--duration", "60"), "llmstress: --duration needs a unit, e.g. 60s\n"),
        ((*URL, "--grace=1.5"), "llmstress: --grace needs a unit, e.g. 1.5s\n"),
        (("mock", "--ttft", "200"), "llmstress: --ttft needs a unit, e.g. 200s\n"),
        ((*URL, "--progress", "500ms"), "--progress must be whole seconds, from 1s to 1h"),
        ((*URL, "--progress", "2h"), "--progress must be whole seconds, from 1s to 1h"),
        (
            (*URL, "--body", "{}"),
            "--body isn't supported by openai-chat: drop it, or choose an API that supports it (sse, text, http)",
        ),
        ((*URL, "--min-tokens", "9", "--max-tokens", "8"), "--min-tokens 9 is more than --max-tokens (8)"),
        ((*URL, "--min-tokens", "129"), "--min-tokens 129 is more than --max-tokens (128)"),
        ((*URL, "--header", "Content-Length: 3"), "--header"),
        (("mock", "--jitter", "lots"), "--jitter"),
        (("mock", "--tokens", "0"), "--tokens"),
        (("mock", "--port", "99999"), "--port"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str
) -> None:
    assert named in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-c", "10"), "use --total-streams N"),
        (("-c10",), "use --total-streams N"),
        (("--concurrency=10",), "use --total-streams N"),
        (("--concurency", "10"), "if you mean --concurrency, use --total-streams N"),
        (("--max_concurrency", "10"), "use --total-streams N"),
        (("--users", "10"), "use --total-streams N"),
        (("-u", "10"), "use --total-streams N"),
        (("--connections", "10"), "use --total-streams N"),
        (("-n", "10"), "use --requests N"),
        (("--num-prompts", "10"), "use --requests N"),
        (("--rps", "10"), "use --rate with a unit, e.g. --rate 50/s"),
        (("--qps", "10"), "use --rate with a unit, e.g. --rate 50/s"),
        (("--request-rate", "inf"), "use --rate with a unit, e.g. --rate 50/s"),
        (("--stages", "30s:10"), "use --stage TIME:LOAD for each stage"),
        (("--wait-time", "1s"), "use --think-time TIME"),
        (("-q", "10"), "for no progress lines, use --quiet; for a request rate, use --rate with a unit"),
        (("--host", "http://h"), "use --url URL"),
        (("--run-time", "1m"), "use --duration with a unit"),
        (("-t", "1m"), "use --duration with a unit"),
        (("--spawn-rate", "5"), "use --ramp-up DURATION"),
        (("--threads", "5"), "use --procs N"),
        (("-cpus", "5"), "use --procs N"),
        (("-H", "X: y"), "use --header 'Name: value'"),
        (("--dataset-name", "sharegpt"), "use --prompts FILE"),
        (("--isl", "512"), "use --prompt-tokens N"),
        (("--prefix-len", "512"), "use --shared-prefix-tokens N"),
        (("--temperature", "0"), "use --extra-body JSON"),
        (("--streems", "5"), "did you mean --streams?"),
        (("-duration", "5s"), "did you mean --duration?"),
        (("--MAX_TOKENS", "5"), "did you mean --max-tokens?"),
        (("--raw",), "it is a flag of llmstress probe"),
        (("--ttft", "5ms"), "it is a flag of llmstress mock"),
        (("probe", "--streams", "5"), "it is a flag of a run"),
        (("probe", "--concurrency", "5"), "use --total-streams N"),
        (("mock", "--prots", "5"), "did you mean --procs?"),
        (("mock", "--concurrency", "5"), "--help lists all flags"),
        (("attach", "--kontrol"), "did you mean --control?"),
        (("--" + "x" * 100_000,), "--help lists all flags"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_an_unknown_flag_is_answered_with_the_one_that_is_meant(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(capsys, *arguments)


def test_the_value_of_an_unknown_flag_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("--api-key", "sk-secret"), ("--api-key=sk-secret",)):
        told = refused(capsys, *arguments)
        assert "use --api-key-env NAME" in told
        assert "sk-secret" not in told


def test_the_flags_that_are_advised_exist_and_those_of_other_tools_don_t() -> None:
    known = {name for parameter in cli.cli.params for name in parameter.opts}
    for flag, answer in ANSWERS.items():
        assert flag not in known
        assert {word.rstrip(",.;)") for word in answer.split() if word.startswith("--")} <= known, answer


def test_a_value_may_look_like_a_flag_a_command_or_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("--bogus", "mock", "http://127.0.0.1:2", "-"):
        assert "--streams must be at least 1" in refused(capsys, *URL, "--model", value, "--streams", "0")


def test_a_target_needs_no_flag() -> None:
    with mock_server() as server:
        code, summary, _ = llmstress("--streams", "2", server.url, "--procs", "1", "--requests", "6")
        probe = subprocess.run(
            [sys.executable, "-m", "llmstress", "probe", server.url, "--json"], check=True, capture_output=True
        )
    assert (code, summary["requests"]["ok"]) == (0, 6)
    assert json.loads(probe.stdout)["where"]["url"].startswith(server.url)


@pytest.mark.parametrize(
    "command", [(), ("probe",), ("mock",), ("attach",), ("replay",), ("config",), ("completion",)], ids=" ".join
)
def test_h_is_help(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    shown = []
    for flag in ("-h", "--help"):
        assert cli.run([*command, flag]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0].startswith("Usage: llmstress ")


def test_help_shows_every_flag_in_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    sections = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == [
        *(
            "Target:",
            "Load:",
            "Scenarios:",
            "Trace:",
            "Request:",
            "Prompts:",
            "Conversations:",
            "API-specific:",
            "Connection:",
        ),
        *("Limits:", "Checks:", "Cost:", "SLOs:"),
        *("Thresholds:", "Output:", "Configuration:", "Other:", "Commands:"),
    ]
    assert all(flag in shown for flag in ("--procs", "--streams", "--timeout-first-token", "--histograms", "mock"))


def test_help_does_not_wait_for_the_engine() -> None:
    code = (
        "import sys; from llmstress.coordinator.commands import cli; cli.run(['--help']);"
        "sys.exit(' '.join({'aiohttp', 'uvloop', 'zmq', 'asyncio'} & sys.modules.keys()) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_mock_command_tells_the_truth_at_its_end() -> None:
    run = Run("mock", "--port", "0", "--ttft", "5ms", "--gap", "1ms", "--tokens", "3", "--jitter", "0%")
    line = run.wait_for("mock LLM at http://127.0.0.1:")
    url = line.split()[3]
    load = Run("--url", url, "--procs", "1", "--streams", "2", "--requests", "10")
    code, summary, _ = load.finish()
    assert code == 0
    run.process.terminate()
    mock_code, truth, _ = run.finish()
    assert mock_code == 0
    assert truth["requests"] == summary["requests"]["ok"] == 10
    assert truth["ttft_ms"]["p50"] >= 5


WRITES = """
import signal, sys
from llmstress.coordinator.output.outputs import write_out
signal.signal(signal.SIGALRM, lambda *_: print("interrupted", file=sys.stderr, flush=True))
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
write_out(b"x" * 5_000_000)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.mark.parametrize("unbuffered", [(), ("-u",)], ids=["buffered", "unbuffered"])
def test_a_signal_takes_nothing_from_what_is_written(unbuffered: tuple[str, ...]) -> None:
    command = [sys.executable, *unbuffered, "-c", WRITES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(3):  # nobody reads yet, so the pipe is full
            process.stderr.readline()
        out, _ = process.communicate()
    assert (len(out), process.returncode) == (5_000_000, 0)
