"""The command in a real terminal: a pty with the command as session leader, and pyte to read its screen."""

import contextlib
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyte
from helpers.processes import DEADLINE_S

_OWN = {"TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}
"""Variables of such a terminal; the last two would stand for its size, whatever it is."""


class Terminal:
    """The command, or another program, in a terminal of its own."""

    def __init__(
        self,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        cwd: Path,
        env: dict[str, str],
        shell: bool = False,
        program: Sequence[str] = (sys.executable, "-m", "llmstress"),
    ) -> None:
        self._master, slave = pty.openpty()
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        """Everything that was written to it."""
        self.resize(*size)
        self._before = termios.tcgetattr(slave)

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        command = [*program, *arguments]
        if shell:  # that waits for a line once the command is gone
            command = ["bash", "-c", f"{shlex.join(command)}; read -r"]
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
            cwd=cwd,
            env={key: value for key, value in ({**os.environ, **_OWN, **env}).items() if value},
        )
        self._slave: int | None = slave

    def resize(self, columns: int, rows: int) -> None:
        """Another size; the processes in it hear of it by SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    @property
    def text(self) -> str:
        """What can be read on it."""
        return "\n".join(self._screen.display)

    def read(self, seconds: float) -> bool:
        """Take in what it was told, waiting at most so long; False: there will be nothing more."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if ready:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # the last process in it is gone
                return False
            self.raw += data
            self._stream.feed(data)
        return True

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Read until `condition` holds."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.read(0.1) or condition(), f"it ended before {what}:\n{self.text}"
            assert time.monotonic() < end, f"never {what}:\n{self.text}"

    def wait_for(self, text: str) -> None:
        """Read until `text` stands on it."""
        self.wait(lambda: text in self.text, f"{text!r}")

    def finish(self) -> int:
        """Read to the end of the command; gives its exit code."""
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            self.read(0.05)
            assert time.monotonic() < end, f"it never ended:\n{self.text}"
        while select.select([self._master], [], [], 0)[0] and self.read(0):
            pass
        return self.process.returncode

    @property
    def restored(self) -> bool:
        """The terminal's modes are as they were, and the main screen with its cursor is back."""
        assert self._slave is not None
        last = {mode: max(self.raw.rfind(b"\x1b[?%dh" % mode), 0) for mode in (25, 1049)}
        left = {mode: max(self.raw.rfind(b"\x1b[?%dl" % mode), 0) for mode in (25, 1049)}
        modes = termios.tcgetattr(self._slave)
        return modes == self._before and last[25] >= left[25] and left[1049] >= last[1049]

    def close(self) -> None:
        """The window is closed: the kernel sends SIGHUP."""
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None
            os.close(self._master)


@contextlib.contextmanager
def terminal(
    *arguments: str, size: tuple[int, int] = (80, 24), cwd: Path, env: dict[str, str], **other: Any
) -> Iterator[Terminal]:
    """A terminal that leaves nothing behind."""
    opened = Terminal(*arguments, size=size, cwd=cwd, env=env, **other)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(opened.process.pid, signal.SIGKILL)
            opened.process.wait()
        opened.close()
