"""What the benchmarks share: a target that knows the truth, a run against it, and what the kernel counts meanwhile."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Target:
    """A server as a process of its own."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url = url
        self._process = process

    def stop(self) -> dict[str, Any]:
        """End it; what it says it sent."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.stdout is not None
        truth: dict[str, Any] = json.loads(self._process.stdout.readline())
        return truth


@contextmanager
def mock(*options: str) -> Iterator[Target]:
    """The built-in mock server with these options."""
    command = [sys.executable, "-m", "llmstress.engine.mock", "--port", "0", *options]
    with _ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        yield Target(json.loads(process.stdout.readline())["listening"], process)


@contextmanager
def other(command: str) -> Iterator[Target]:
    """Another server: `command` holds `{port}`; on SIGTERM it has to print its truth as one line of JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(command.replace("{port}", str(port)))
    with _ended(subprocess.Popen(words, stdout=subprocess.PIPE, text=True)) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None:
                    sys.exit(f"{words[0]} ended with exit code {process.returncode}")
                time.sleep(0.05)
        yield Target(f"http://127.0.0.1:{port}", process)


class Run:
    """llmstress, as a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", output: Path) -> None:
        self.process = process
        self._output = output

    def summary(self) -> dict[str, Any]:
        """Wait for its end; its summary."""
        if code := self.process.wait():
            sys.exit(f"llmstress ended with exit code {code}")
        summary: dict[str, Any] = json.loads(self._output.read_bytes())
        return summary


@contextmanager
def llmstress(url: str, *options: str) -> Iterator[Run]:
    """A headless run against `url`."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "summary.json")
        command = [sys.executable, "-m", "llmstress", "--url", url, "--model", "mock-7b", "--headless", *options]
        command += ["--output", str(output)]
        with _ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)) as run:
            yield Run(run, output)


def workers_of(pid: int) -> list[int]:
    """Process ids of the workers of a run."""
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [child for child in children if b"llmstress.engine.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def tcp_sockets() -> int:
    """TCP sockets of this network namespace: a connection within it has two."""
    line = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return int(line.split()[2])


def tcp_counters() -> dict[str, int]:
    """What this network namespace has counted: connections refused by full listen queues, packets sent again."""
    found: dict[str, int] = {}
    for file in ("netstat", "snmp"):
        lines = Path(f"/proc/net/{file}").read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            found |= dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    return {name: found[name] for name in ("ListenOverflows", "ListenDrops", "TCPSynRetrans", "RetransSegs")}


@contextmanager
def _ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
