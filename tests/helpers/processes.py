"""Real processes for tests and benchmarks: the mock server, the command, and their children."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.forked_mocks import ForkedMock, fork_mock

DEADLINE_S = 60
"""Far beyond what anything here takes: only a hang reaches it."""


class ServerProcess:
    """A server as a process that prints one line of JSON, its truth, on SIGTERM."""

    def __init__(self, process: "subprocess.Popen[str] | ForkedMock", url: str) -> None:
        self.process = process
        self.url = url

    def stop(self) -> dict[str, Any]:
        """End the server; returns its truth: what it says it sent."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        truth: dict[str, Any] = json.loads(out)
        return truth


class MockServer(ServerProcess):
    """The built-in mock server."""

    def __init__(self, process: "subprocess.Popen[str] | ForkedMock") -> None:
        assert process.stdout is not None
        super().__init__(process, json.loads(process.stdout.readline())["listening"])


@contextlib.contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Kills the process on leaving if it still runs, and closes its stdout."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def mock_server(*options: str) -> Iterator[MockServer]:
    """A mock with short delays: 20 ms to the first token, 2 ms gaps, 8 tokens, unless `options` say otherwise."""
    process = fork_mock("--port", "0", "--ttft-ms", "20", "--gap-ms", "2", "--tokens", "8", *options)
    try:
        yield MockServer(process)
    finally:
        process.end()


class Run:
    """The command as a process. Its stderr is read line by line, so that a test can wait for what it says."""

    def __init__(
        self, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None, nofile: int | None = None
    ) -> None:
        def limit() -> None:
            if nofile is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmstress", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            cwd=cwd,
            preexec_fn=limit,
        )
        self.said: list[str] = []

    def wait_for(self, text: str) -> str:
        """Read stderr up to the first line that contains `text`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"it never said {text!r}, but:\n{''.join(self.said)}")

    def finish(self, deadline_s: float = DEADLINE_S) -> tuple[int, dict[str, Any], str]:
        """Wait for its end: exit code, summary (empty if none was printed), all of stderr."""
        out, err = self.process.communicate(timeout=deadline_s)
        self.said.append(err)
        return self.process.returncode, json.loads(out) if out else {}, "".join(self.said)

    def end(self) -> None:
        """Leave nothing behind, whatever happened before."""
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate(timeout=DEADLINE_S)

    def children(self) -> list[int]:
        """Process ids of its children."""
        return children_of(self.process.pid)


def children_of(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in children.read_text().split()]
    return found


def workers_of(pid: int) -> list[int]:
    """Process ids of the workers among the children of a process."""
    return [
        child for child in children_of(pid) if b"llmstress.engine.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of the processes is alive."""
    deadline = time.monotonic() + DEADLINE_S
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still alive: {[pid for pid in pids if alive(pid)]}"
        time.sleep(0.01)


def llmstress(
    *arguments: str, env: dict[str, str] | None = None, deadline_s: float = DEADLINE_S
) -> tuple[int, dict[str, Any], str]:
    """Run the command to its end: exit code, summary, stderr."""
    return Run(*arguments, env=env).finish(deadline_s)
