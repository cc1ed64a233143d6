"""The screen of a run as a process of its own: whether there should be one, its start, its end, the terminal after."""

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options

PATIENCE_S = 2.0
"""How long a screen may take to end before it is killed."""

_RESTORE = (
    "\x1b[?1049l"  # back from the alternate screen
    "\x1b[?25h"  # cursor
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l"  # mouse
    "\x1b[?1004l\x1b[?2004l\x1b[?2048l"  # focus reports, bracketed paste, resize reports
    "\x1b[<u\x1b[0m\r\n"  # keyboard protocol, colours
)


class ScreenClosed(msgspec.Struct, frozen=True):
    """The process of the screen has ended."""

    code: int


def wanted(options: Options, environ: Mapping[str, str], *, terminal: bool, piped: bool, foreground: bool) -> bool:
    """Whether this run gets a screen.

    Args:
        options: `--tui` and `--headless` decide if they are given.
        environ: `TERM` and `CI` speak against it.
        terminal: stdin and stderr (which Textual draws on) are one.
        piped: stdout isn't: somebody waits for the summary, and for the end of the command.
        foreground: this process may read from it.

    Raises:
        UsageError: `--tui`, but there is no terminal.
    """
    if options.tui:
        if not terminal:
            raise UsageError("--tui needs a terminal as stdin and stderr: leave it out, or don't redirect them")
        return True
    if options.headless or not terminal or piped or not foreground:
        return False
    ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return not ci and environ.get("TERM", "") not in ("", "dumb", "unknown")


def has_terminal() -> bool:
    """Whether stdin and stderr are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def in_foreground() -> bool:
    """Whether this process may read from its terminal."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


class Screen:
    """One screen, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: list[Any] | None) -> None:
        self._process = process
        self._terminal = terminal

    @classmethod
    async def start(cls, directory: Path, environ: dict[str, str]) -> "Screen":
        """Start one that may steer the run of `directory`; it inherits the terminal, but has `environ`."""
        terminal = None
        with contextlib.suppress(termios.error, OSError):
            terminal = termios.tcgetattr(sys.stdin.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "llmstress.coordinator.processes.viewer", str(directory), "--control"),
            env=environ,
        )
        return cls(process, terminal)

    async def watch(self, on_close: Callable[[ScreenClosed], None]) -> None:
        """Wait for its end, put the terminal in order, and tell."""
        code = await self._process.wait()
        if code < 0:  # killed; Textual leaves the terminal in order if it ends by itself, be it with a traceback
            self._restore()
        on_close(ScreenClosed(code))

    def terminate(self) -> None:
        """End it; `watch` tells when that is done."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def close(self) -> None:
        """End it, if it is still there, and put the terminal in order."""
        if self._process.returncode is None:
            self.terminate()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._process.wait()
            except TimeoutError:  # stopped, or busy
                self._process.kill()
                await self._process.wait()
            self._restore()

    def _restore(self) -> None:
        if self._terminal is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._terminal)
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), _RESTORE.encode())
