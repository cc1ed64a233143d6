"""The command line from outside: help, one sentence for every mistake, exit codes."""

import subprocess
import sys

import pytest
from processes import Run

from llmstress.coordinator import cli


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said to arguments that can't be run; exit code 2, one line, no traceback."""
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
        ((*URL, "--requests", "9", "--warmup", "1s"), "--warmup"),
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
        (("http://localhost:8000",), "a target is named with --url"),
        (("probe", "http://localhost:8000"), "a target is named with --url"),
        (
            (*URL, "--body", "{}"),
            "nothing in openai-chat: drop it, or name an --api that takes it (sse, text, http)",
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


def test_help_shows_every_flag_in_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    sections = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == [
        *("Target:", "Load:", "Request:", "What only some APIs know:", "Connection:", "Limits:", "Output:"),
        *("Other:", "Commands:"),
    ]
    assert all(flag in shown for flag in ("--procs", "--streams", "--timeout-first-token", "--histograms", "mock"))


def test_help_does_not_wait_for_the_engine() -> None:
    code = (
        "import sys; from llmstress.coordinator import cli; cli.run(['--help']);"
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
from llmstress.coordinator.outputs import write_out
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
