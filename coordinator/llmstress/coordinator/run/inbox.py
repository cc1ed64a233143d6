"""One queue for every input of a run: messages of workers, commands of viewers, exited processes, signals, ticks."""

import asyncio
import signal

import msgspec

from llmstress.coordinator.processes.broadcaster import Broadcaster
from llmstress.coordinator.processes.hub import Hub
from llmstress.coordinator.processes.screen_process import ScreenClosed
from llmstress.coordinator.processes.worker_processes import Exited
from llmstress.engine.control import FromWorker
from llmstress.engine.telemetry.broadcast import Command


class Signalled(msgspec.Struct, frozen=True):
    """SIGINT, SIGTERM or SIGHUP was received."""

    number: int


class Lost(msgspec.Struct, frozen=True):
    """A worker has exited, and the time in which its last messages could arrive is over."""

    exited: Exited


class Tick(msgspec.Struct, frozen=True):
    """A second has passed."""


InboxItem = FromWorker | Exited | Lost | Signalled | Tick | ScreenClosed | Command


class Inbox:
    """The queue and the tasks that fill it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[InboxItem | BaseException] = asyncio.Queue()
        self._sources: list[asyncio.Task[None]] = []
        self._signals: list[signal.Signals] = []

    def put(self, item: InboxItem) -> None:
        """Add `item` to the queue."""
        self._queue.put_nowait(item)

    def put_later(self, seconds: float, item: InboxItem) -> None:
        """Add `item` to the queue in `seconds`."""
        asyncio.get_running_loop().call_later(seconds, self.put, item)

    async def get(self) -> InboxItem:
        """The next item. Raises the exception of a source that has failed: a run can't go on without its inputs."""
        item = await self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def open(self, hub: Hub, broadcaster: Broadcaster) -> None:
        """Start to receive: from workers, viewers, signals and the clock."""
        loop = asyncio.get_running_loop()
        self._signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup a closed terminal must not end the run
            self._signals.append(signal.SIGHUP)
        for number in self._signals:
            loop.add_signal_handler(number, self.put, Signalled(number))
        sources = (self._receive_from_workers(hub), self._receive_from_viewers(broadcaster), self._tick())
        self._sources = [loop.create_task(source) for source in sources]
        for task in self._sources:
            task.add_done_callback(self._ended)

    def close(self) -> None:
        """Stop receiving; signals have their default effect again."""
        for task in self._sources:
            task.cancel()
        for number in self._signals:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._queue.put_nowait(fault)

    async def _receive_from_workers(self, hub: Hub) -> None:
        while True:
            self.put(await hub.receive())

    async def _receive_from_viewers(self, broadcaster: Broadcaster) -> None:
        while True:
            self.put(await broadcaster.next_command())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.put(Tick())
