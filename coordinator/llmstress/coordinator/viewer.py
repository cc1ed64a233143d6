"""The process that holds the screen: `python -m llmstress.coordinator.viewer DIRECTORY` with `--control` to steer.

It follows one run through the sockets in the run's directory and has no other tie to it: whatever happens to it, the
run goes on.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from llmstress.coordinator.broadcaster import ASK, NUMBER_BYTES, WATCH
from llmstress.coordinator.rundir import coordinator_of, is_alive
from llmstress.engine.telemetry.broadcast import Command, Frame, RunView, decode, encode
from llmstress.tui.source import Player, SourceLost

LOOK_S = 1.0
"""Without a message for this long: is the coordinator still there?"""

MAX_FRAME = 64 * 1024 * 1024


class LiveSource:
    """A run of this machine and user, followed over its sockets. `tui.source.Source` says what the methods mean."""

    def __init__(self, directory: Path, *, controls: bool) -> None:
        self.controls = controls
        self.player: Player | None = None
        self._pid = coordinator_of(directory)
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
                if not is_alive(self._pid):
                    raise SourceLost("its coordinator is gone") from None
            except (ValueError, msgspec.DecodeError, RecursionError) as error:
                raise SourceLost(f"it speaks another language ({error}): was llmstress updated meanwhile?") from error


def watch(directory: Path, *, controls: bool) -> int:
    """Show the run of `directory` until its viewer leaves; gives the screen's exit code."""
    from llmstress.tui.app import StressApp  # Textual takes 0.2 s: not before it is needed

    async def show() -> int:
        source = LiveSource(directory, controls=controls)
        try:
            app = StressApp(source)
            await app.run_async()
            return app.return_code or 0
        finally:
            source.close()

    return asyncio.run(show())


def main() -> None:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is a key of the screen; before that it is the coordinator's
    sys.exit(watch(Path(sys.argv[1]), controls="--control" in sys.argv[2:]))


if __name__ == "__main__":
    main()
