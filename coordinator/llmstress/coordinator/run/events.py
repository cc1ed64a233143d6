"""Everything that happens to a run, in one queue: messages, processes that end, signals, seconds gone by."""

import asyncio
import signal

import msgspec

from llmstress.coordinator.processes.broadcaster import Broadcaster
from llmstress.coordinator.processes.hub import Hub
from llmstress.coordinator.processes.screen_process import ScreenClosed
from llmstress.coordinator.processes.supervisor import Exited
from llmstress.engine.control import FromWorker
from llmstress.engine.telemetry.broadcast import Command


class Signalled(msgspec.Struct, frozen=True):
    """SIGINT, SIGTERM or SIGHUP has come."""

    number: int


class Lost(msgspec.Struct, frozen=True):
    """A worker has ended, and what it had sent before has had its time to arrive."""

    exited: Exited


class Tick(msgspec.Struct, frozen=True):
    """A second has gone by."""


Event = FromWorker | Exited | Lost | Signalled | Tick | ScreenClosed | Command


class Inbox:
    """The queue, and those who fill it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self._sources: list[asyncio.Task[None]] = []
        self._signals: list[signal.Signals] = []

    def put(self, event: Event) -> None:
        """Something has happened."""
        self._queue.put_nowait(event)

    def put_later(self, seconds: float, event: Event) -> None:
        """Something will have happened."""
        asyncio.get_running_loop().call_later(seconds, self.put, event)

    async def get(self) -> Event:
        """What has happened next. Raises what ended a source: a run that hears no more can't go on."""
        event = await self._queue.get()
        if isinstance(event, BaseException):
            raise event
        return event

    def open(self, hub: Hub, broadcaster: Broadcaster) -> None:
        """Begin to listen: to workers, viewers, signals and the clock."""
        loop = asyncio.get_running_loop()
        self._signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup a closed terminal is to be ignored
            self._signals.append(signal.SIGHUP)
        for number in self._signals:
            loop.add_signal_handler(number, self.put, Signalled(number))
        sources = (self._hear_workers(hub), self._hear_viewers(broadcaster), self._tick())
        self._sources = [loop.create_task(source) for source in sources]
        for task in self._sources:
            task.add_done_callback(self._ended)

    def close(self) -> None:
        """Stop listening; signals do again what they do by default."""
        for task in self._sources:
            task.cancel()
        for number in self._signals:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._queue.put_nowait(fault)

    async def _hear_workers(self, hub: Hub) -> None:
        while True:
            self.put(await hub.receive())

    async def _hear_viewers(self, broadcaster: Broadcaster) -> None:
        while True:
            self.put(await broadcaster.next_command())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.put(Tick())
