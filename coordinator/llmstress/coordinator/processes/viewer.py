"""The process that holds the screen: `python -m llmstress.coordinator.processes.viewer DIRECTORY [--control]`.

It follows one run through the sockets in the run's directory and has no other tie to it: whatever happens to it, the
run goes on.
"""

import asyncio
import contextlib
import logging
import signal
import sys
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
"""Without a message for this long: is the coordinator still there?"""

MAX_FRAME = 64 * 1024 * 1024


class LiveSource:
    """A run of this machine and user, followed over its sockets. `tui.source.Source` says what the methods mean."""

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
        """Close the sockets; commands on their way still leave."""
        self._watch.close()
        self._ask.close()
        self._context.term()

    async def send(self, command: Command) -> None:
        """Ask the run for something."""
        if self.controls:
            with contextlib.suppress(zmq.Again):
                await self._ask.send(encode(command), zmq.NOBLOCK)

    async def frames(self) -> AsyncIterator[Frame]:
        """A keyframe, then what follows; another keyframe whenever something was missed."""
        self._watch.subscribe(b"")
        expected: int | None = None
        while True:
            number, frame = await self._next()
            if isinstance(frame, RunView):
                # one that somebody else asked for: this viewer has it all, and its recent past besides
                known = number == expected
                expected = number + 1
                if known:
                    continue
            elif expected is None:
                continue  # until the keyframe comes
            elif number != expected:
                expected = None
                self._watch.unsubscribe(b"")
                self._watch.subscribe(b"")
                continue
            else:
                expected += 1
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
    """Show the run of `directory` until its viewer leaves; gives the screen's exit code.

    Args:
        directory: where the run's sockets are.
        controls: the viewer may steer.
        own: it is the screen that the run itself opened, which leaves when the coordinator is gone: the terminal
            belongs to the shell again.
    """
    from llmstress.tui.app import StressApp  # Textual takes 0.2 s: not before it is needed

    if own:  # its stderr is what it draws on
        logging.basicConfig(filename=directory / SCREEN_LOG, format="%(levelname)s %(name)s: %(message)s")

    async def show() -> int:
        source = LiveSource(directory, controls=controls)
        app = StressApp(source)
        watchdog = asyncio.create_task(_leave_without(directory, app)) if own else None
        try:
            await app.run_async()
            if (fault := app._exception) is not None:  # Textual shows it on the terminal, and tells nobody else
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
    # Ctrl-C is a key of the screen, and before it is one, the coordinator's. The other two would stop a screen whose
    # coordinator was killed, before it could put the terminal in order.
    for number in (signal.SIGINT, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(watch(Path(sys.argv[1]), controls="--control" in sys.argv[2:], own=True))


if __name__ == "__main__":
    main()
