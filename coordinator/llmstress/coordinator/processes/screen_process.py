"""The screen of a run as a child process: whether to open one, how to start and stop it, and how to restore the
terminal."""

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

EXIT_LIMIT_S = 2.0
"""Time limit for a screen to exit after SIGTERM; then it is killed."""

_RESTORE = (
    "\x1b[?1049l"  # back from the alternate screen
    "\x1b[?25h"  # cursor
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l"  # mouse
    "\x1b[?1004l\x1b[?2004l\x1b[?2048l"  # focus reports, bracketed paste, resize reports
    "\x1b[<u\x1b[0m\r\n"  # keyboard protocol, colours
)


class ScreenClosed(msgspec.Struct, frozen=True):
    """The screen process has exited."""

    code: int
    """Exit code; negative: the signal that killed it."""


def wanted(options: Options, environ: Mapping[str, str], *, terminal: bool, piped: bool, foreground: bool) -> bool:
    """Whether this run opens a screen.

    Args:
        options: `--tui` and `--headless` override everything else.
        environ: with `CI` set or a dumb `TERM` no screen is opened.
        terminal: stdin and stderr (on which Textual draws) are a terminal.
        piped: stdout is not a terminal, so another program waits for the summary and for the end of the command.
        foreground: this process may read from the terminal.

    Raises:
        UsageError: `--tui` was given, but there is no terminal.
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


def require_terminal() -> None:
    """
    Raises:
        UsageError: stdin or stderr is not a terminal.
    """
    if not has_terminal():
        raise UsageError("a screen needs a terminal as stdin and stderr")


def in_foreground() -> bool:
    """Whether this process may read from its terminal."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


class Screen:
    """A screen process."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: list[Any] | None) -> None:
        self._process = process
        self._terminal = terminal

    @classmethod
    async def start(cls, directory: Path, environ: dict[str, str]) -> "Screen":
        """Start a screen that may control the run of `directory`. It inherits the terminal; its environment is
        `environ`."""
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
        """Wait until the process exits, restore the terminal, and call `on_close`."""
        code = await self._process.wait()
        if code < 0:  # killed; Textual restores the terminal if it ends by itself, even with a traceback
            self._restore()
        on_close(ScreenClosed(code))

    def terminate(self) -> None:
        """Send SIGTERM; `watch` reports the exit."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def close(self) -> None:
        """Stop the process, if it is still running, and restore the terminal."""
        if self._process.returncode is None:
            self.terminate()
            try:
                async with asyncio.timeout(EXIT_LIMIT_S):
                    await self._process.wait()
            except TimeoutError:  # stopped by job control, or busy
                self._process.kill()
                await self._process.wait()
            self._restore()

    def _restore(self) -> None:
        if self._terminal is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._terminal)
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), _RESTORE.encode())
