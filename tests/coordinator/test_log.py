"""Messages: the log file has all of them, stderr those that were requested, and neither can block a run."""

import os
import re
import signal
from pathlib import Path

import pytest
from helpers.processes import Run, llmstress, mock_server, workers_of
from helpers.terminal import terminal

from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.log import Follower, LogFile

pytestmark = pytest.mark.slow

LOAD = ("--model", "mock-7b", "--procs", "1", "--streams", "5")

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (run|screen|worker \d+) +\S.*")


def lines_of(path: Path) -> list[str]:
    """The lines of a log, after a check of their format."""
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    lines = text.splitlines()
    assert [line for line in lines if LINE.fullmatch(line) is None] == []
    return lines


def test_everything_that_is_said_is_in_the_log_file(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("2020-01-01T00:00:00.000Z run       an earlier run\n")
    with mock_server() as server:
        code, _, said = llmstress(*("--url", server.url, *LOAD), "--duration", "1s", "--log-file", str(path))
    assert code == 0
    lines = lines_of(path)
    assert lines[0].endswith("an earlier run")
    logged = [line[35:] for line in lines]
    for line in said.splitlines():
        if line.strip():
            assert line in logged
    assert "phase: steady window begins (1s)" in logged
    assert "end: the run has ended (duration)" in logged
    assert not any("first connection" in line for line in said.splitlines()), "that is for the log"
    [first] = [line for line in lines if "first connection" in line]
    assert "worker 0" in first
    assert server.url.removeprefix("http://") in first
    assert any("worker 0" in line and "5 streams to http://" in line for line in lines)
    assert any("worker 0" in line and "ended: requests" in line and " ok" in line for line in lines)


def test_verbose_says_what_workers_do_and_quiet_doesn_t() -> None:
    with mock_server() as server:
        _, _, said = llmstress("--url", server.url, *LOAD, "--requests", "20", "--verbose")
    assert "worker 0: INFO worker: first connection: 127.0.0.1:" in said
    assert "run: phase: steady window begins" in said
    _, _, said = llmstress(
        *("--url", "http://127.0.0.1:9", *LOAD, "--no-probe", "--max-errors", "3", "--interval", "50ms", "--verbose"),
    )
    assert "worker 0: WARNING worker: first connect_refused: " in said


def test_a_worker_s_last_words_are_kept_whole(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('no uvloop today')")
    path = tmp_path / "run.log"
    code, _, said = llmstress(
        *("--url", "http://127.0.0.1:9", *LOAD, "--no-probe", "--log-file", str(path)),
        env={"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert (code, said.count("\n")) == (3, 1)
    lines = lines_of(path)
    assert any("worker 0" in line and "Traceback (most recent call last):" in line for line in lines)
    assert any("worker 0" in line and "ImportError: no uvloop today" in line for line in lines)
    assert "died before it was ready" in lines[-1]


def test_a_killed_worker_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with mock_server() as server:
        run = Run("--url", server.url, *LOAD, "--duration", "30s", "--log-file", str(path))
        run.wait_for("steady")
        os.kill(workers_of(run.process.pid)[0], signal.SIGKILL)
        code, _, _ = run.finish()
    assert code == 4
    assert any("worker 0 was lost: killed by SIGKILL" in line for line in lines_of(path))


def test_the_log_goes_on_behind_a_screen(home: Path, tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal(
            *("--url", server.url, *LOAD, "--duration", "60s", "--log-file", "run.log", "--verbose"),
            cwd=tmp_path,
            env={"CI": "", "NO_COLOR": "", "XDG_RUNTIME_DIR": str(home)},
        ) as shown,
    ):
        shown.wait_for("5/5")
        shown.wait(lambda: "steady" in (tmp_path / "run.log").read_text("utf-8"), "a second's line in the log")
        assert b"first connection" not in shown.raw
        shown.press("qy")
        shown.wait_for("done")
        shown.press("q")
        assert shown.finish() == 0
    lines = lines_of(tmp_path / "run.log")
    assert any("note: ended by you: finishing open requests" in line for line in lines)
    assert any("measurement: " in line for line in lines)


def test_a_full_disk_is_one_warning_and_not_an_end() -> None:
    with mock_server() as server:
        code, summary, said = llmstress(
            *("--url", server.url, *LOAD, "--duration", "1s", "--log-file", "/dev/full", "--verbose")
        )
    assert (code, summary["ended_by"]) == (0, "duration")
    assert said.count("--log-file: [Errno 28] No space left on device; the log ends here") == 1


class Screen:
    """A stream that stores what is written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.fixture
def stream() -> Screen:
    return Screen()


def test_a_file_that_vanishes_is_one_warning(tmp_path: Path, stream: Screen) -> None:
    path = tmp_path / "run.log"
    console = Console(stream, LogFile(path))  # type: ignore[arg-type]
    console.say("before")
    path.unlink()
    console.hold()
    console.say("after")
    console.relay("worker 1", "not heard")
    console.release()
    assert stream.text.splitlines() == [
        "before",
        "llmstress: --log-file: [Errno 2] the file was removed; the log ends here",
        "after",
    ]


def test_secrets_are_redacted_before_they_are_kept(tmp_path: Path, stream: Screen) -> None:
    console = Console(stream, LogFile(tmp_path / "run.log"), verbose=True)  # type: ignore[arg-type]
    console.hide(["sk-123456"])
    console.say("a sk-123456 b")
    console.warn("sk-123456")
    console.relay("worker 0", "x\nsk-123456")
    console.note("sk-123456 once more")
    console.close()
    assert "sk-1" not in stream.text + (tmp_path / "run.log").read_text()
    assert (tmp_path / "run.log").read_text().count("***") == 4


def test_a_follower_gives_whole_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "f"
    follower = Follower(path)
    assert follower.lines() == []
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert follower.lines() == ["one"]
        file.write("o\ndrü".encode()[:-1])
        assert follower.lines() == ["two"]
        file.write("ü".encode()[1:] + b"\nfour")
        assert follower.lines() == ["drü"]
    assert follower.lines() == []
    assert follower.lines(last=True) == ["four"]
    assert follower.lines(last=True) == []
