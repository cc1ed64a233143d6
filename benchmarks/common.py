"""What the benchmarks share: a target that knows the truth, a run against it, and what the kernel counts meanwhile."""

import json
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.processes import MockServer, ServerProcess, ended, workers_of

__all__ = ["llmstress", "mock", "other", "resident_kib", "tcp_counters", "tcp_sockets", "workers_of"]


@contextmanager
def mock(*options: str) -> Iterator[ServerProcess]:
    """The built-in mock server with these options."""
    command = [sys.executable, "-m", "llmstress.engine.mock", "--port", "0", *options]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        yield MockServer(process)


@contextmanager
def other(command: str) -> Iterator[ServerProcess]:
    """Another server: `command` holds `{port}`; on SIGTERM it has to print its truth as one line of JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(command.replace("{port}", str(port)))
    with ended(subprocess.Popen(words, stdout=subprocess.PIPE, text=True)) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None:
                    sys.exit(f"{words[0]} ended with exit code {process.returncode}")
                time.sleep(0.05)
        yield ServerProcess(process, f"http://127.0.0.1:{port}")


class MeasuredRun:
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
def llmstress(url: str, *options: str) -> Iterator[MeasuredRun]:
    """A headless run against `url`."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "summary.json")
        command = [sys.executable, "-m", "llmstress", "--url", url, "--model", "mock-7b", "--headless", *options]
        command += ["--output", str(output)]
        with ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)) as run:
            yield MeasuredRun(run, output)


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
