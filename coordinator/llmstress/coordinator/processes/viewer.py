"""The process of the screen: `python -m llmstress.coordinator.processes.viewer DIRECTORY [--control]`.

It follows one run through the sockets in the run's directory, and depends on nothing else of it. The run continues
whatever happens to this process. With `commands/replay.py` this is the only module that imports the screen.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from llmstress.coordinator.processes.broadcaster import ASK, NUMBER_BYTES, WATCH
from llmstress.coordinator.processes.run_directory import SCREEN_LOG, is_alive
from llmstress.engine.telemetry.broadcast import Command, Frame, RunView, decode, encode
from llmstress.tui.sources.source import Playback, SourceLost

if TYPE_CHECKING:
    from llmstress.tui.app import StressApp

LOOK_S = 1.0
"""After this long without a message: check whether the coordinator is alive."""

ASK_AGAIN_S = 2.0
"""A viewer that waits for a keyframe asks for another one after this time."""

MAX_FRAME = 64 * 1024 * 1024
"""Bytes of a message; ZeroMQ drops larger ones."""


class LiveSource:
    """A run of this user on this machine, followed through its sockets; implements `tui.sources.source.Source`."""

    def __init__(self, directory: Path, *, controls: bool) -> None:
        self.controls = controls
        self.playback: Playback | None = None
        self._directory = directory
        self._context = zmq.asyncio.Context()
        self._watch = self._context.socket(zmq.SUB)
        self._watch.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
        self._watch.connect(f"ipc://{directory / WATCH}")
        self._ask = self._context.socket(zmq.PUSH)
        self._ask.connect(f"ipc://{directory / ASK}")
        for socket in (self._watch, self._ask):
            socket.linger = 500

    def close(self) -> None:
        """Close the sockets; commands in the queue are still sent."""
        self._watch.close()
        self._ask.close()
        self._context.term()

    async def send(self, command: Command) -> None:
        """Send a command to the run."""
        if self.controls:
            with contextlib.suppress(zmq.Again):
                await self._ask.send(encode(command), zmq.NOBLOCK)

    async def frames(self) -> AsyncIterator[Frame]:
        """A keyframe, then the messages after it; a new keyframe whenever a message was missed."""
        self._watch.subscribe(b"")
        asked_at, expected = time.monotonic(), None
        while True:
            number, frame = await self._next()
            if isinstance(frame, RunView):
                # one for another viewer: this viewer knows it, and has finer recent history
                known = number == expected
                expected = number + 1
                if known:
                    continue
            elif number == expected:
                expected += 1
            else:
                # a keyframe that does not come was dropped, too
                if expected is not None or time.monotonic() - asked_at > ASK_AGAIN_S:
                    asked_at, expected = time.monotonic(), None
                    self._watch.unsubscribe(b"")
                    self._watch.subscribe(b"")
                continue
            yield frame

    async def _next(self) -> tuple[int, Frame]:
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    head, data = await self._watch.recv_multipart()
                return int.from_bytes(head[:NUMBER_BYTES], "big"), decode(data)
            except TimeoutError:
                if not is_alive(self._directory):
                    raise SourceLost("its coordinator has ended") from None
            except (ValueError, RecursionError) as error:
                raise SourceLost(
                    f"it uses another protocol version ({error}); llmstress may have been updated since the run began"
                ) from error


def watch(directory: Path, *, controls: bool, own: bool = False) -> int:
    """Show the run of `directory` until the user closes the screen; returns the exit code of the screen.

    Args:
        directory: the directory with the run's sockets.
        controls: the viewer may control the run.
        own: the run itself opened this screen. It closes when the coordinator is gone, because the terminal then
            belongs to the shell again.
    """
    from llmstress.tui.app import StressApp  # importing Textual takes 0.2 s

    if own:  # stderr is the terminal that the screen draws on
        logging.basicConfig(filename=directory / SCREEN_LOG, format="%(levelname)s %(name)s: %(message)s")

    async def show() -> int:
        source = LiveSource(directory, controls=controls)
        app = StressApp(source)
        watchdog = asyncio.create_task(_leave_without(directory, app)) if own else None
        try:
            await app.run_async()
            if (fault := app._exception) is not None:  # Textual prints it to the terminal and doesn't raise it
                logging.error("the screen failed", exc_info=fault)
            return app.return_code or 0
        finally:
            if watchdog is not None:
                watchdog.cancel()
            source.close()

    return asyncio.run(show())


async def _leave_without(directory: Path, app: "StressApp") -> None:
    while is_alive(directory):
        await asyncio.sleep(LOOK_S)
    app.exit(message="llmstress: the coordinator of the run has ended, so the run is over")


def main() -> None:
    """Entry point of the process."""
    # Ctrl-C is a key of the screen; before the screen reads keys, the coordinator handles SIGINT. The other two signals
    # would stop a screen whose coordinator was killed before it could restore the terminal.
    for number in (signal.SIGINT, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(watch(Path(sys.argv[1]), controls="--control" in sys.argv[2:], own=True))


if __name__ == "__main__":
    main()
