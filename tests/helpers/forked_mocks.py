"""The mock server as a fork of a process that has imported it: a start takes 10 ms of CPU instead of 200 ms.

It is the program of `python -m llmstress.engine.mock`, in a process of its own, with the arguments, environment,
directory and stderr that the test has given it. `tests/mock/test_mock_server.py` starts the command itself.
"""

import atexit
import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from typing import Any, NoReturn

from llmstress.engine.health.orphan import die_with_parent
from llmstress.engine.mock.__main__ import main

_LONGEST_REQUEST = 1 << 18
"""Bytes: arguments and environment."""


class ForkedMock:
    """The process. As far as it goes, the methods are those of `subprocess.Popen`."""

    def __init__(self, pid: int, stdout: int, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self._status = status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end: exit code, or the negative number of the signal that ended it."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("llmstress.engine.mock", timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait for its end: the rest of its output. That is short, so the pipe holds it."""
        self.wait(timeout)
        return self.stdout.read(), None

    def end(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self.wait()
        self.stdout.close()
        self._status.close()

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._status.settimeout(timeout)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                data = self._status.recv(16)
                assert data, "the process that forks the mocks has died"
                self.returncode = os.waitstatus_to_exitcode(int(data))
        return self.returncode


def fork_mock(*arguments: str) -> ForkedMock:
    """Start a mock with these arguments."""
    control = _template()
    reading, writing = os.pipe()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked = json.dumps({"arguments": arguments, "environment": dict(os.environ), "directory": os.getcwd()}).encode()
    try:
        socket.send_fds(control, [asked], [writing, there.fileno(), sys.__stderr__.fileno() if sys.__stderr__ else 2])
    finally:
        os.close(writing)
        there.close()
    return ForkedMock(int(here.recv(16)), reading, here)


@functools.cache
def _template() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _LONGEST_REQUEST)
    command = [sys.executable, __file__, str(there.fileno())]
    process = subprocess.Popen(command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    there.close()

    def end() -> None:
        here.close()
        process.wait()

    atexit.register(end)
    return here


def _fork_on_request(control: socket.socket) -> None:
    """Fork a mock for each message that comes, and tell of the end of each, until the other side closes."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    pid, status = key.data
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    with contextlib.suppress(BrokenPipeError):
                        status.send(str(os.waitpid(pid, 0)[1]).encode())
                    status.close()
                    continue
                asked, fds, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, 3)
                if not asked:
                    return
                stdout, status_fd, stderr = fds
                pid = os.fork()
                if pid == 0:
                    control.close()
                    os.close(status_fd)
                    _be_a_mock(json.loads(asked), stdout, stderr)
                os.close(stdout)
                os.close(stderr)
                status = socket.socket(fileno=status_fd)
                status.send(str(pid).encode())
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))


def _be_a_mock(asked: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """What `python -m llmstress.engine.mock` does, in this process."""
    code = 1
    try:
        die_with_parent(os.getppid())
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        os.close(stderr)
        os.chdir(asked["directory"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["llmstress.engine.mock", *asked["arguments"]]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    _fork_on_request(socket.socket(fileno=int(sys.argv[1])))
