"""Changing the load while it runs: what a viewer asks for becomes orders to the workers and lines of the log."""

from collections.abc import Callable

from llmstress.coordinator.host import preflight
from llmstress.coordinator.processes.hub import Hub
from llmstress.engine import control, schedule
from llmstress.engine.telemetry.broadcast import Message, Paused, RunView, WorkerChange


class Steering:
    """Gives orders to the workers that are running."""

    def __init__(
        self, hub: Hub, view: RunView, tell: Callable[[Message], None], notice: Callable[[str, str], None]
    ) -> None:
        """`tell` publishes a change, `notice` a line of the log by its kind and text."""
        self._hub = hub
        self._view = view
        self._tell = tell
        self._notice = notice

    async def order_all(self, order: control.ToWorker) -> None:
        """The same order for all of them."""
        for worker in self._view.aggregate.workers:
            if worker.state == "running":
                await self._hub.send(worker.worker, order)

    async def pause(self, on: bool) -> None:
        """Begin no new requests, or go on."""
        if on != self._view.paused:
            await self.order_all(control.Pause(on))
            self._tell(Paused(on))
            self._notice("load", "paused: no new requests" if on else "resumed")

    async def set_streams(self, total: int) -> None:
        """Have `total` streams from now on, in equal shares, as far as open files allow."""
        workers = [worker for worker in self._view.aggregate.workers if worker.state == "running"]
        before = sum(worker.streams for worker in workers)
        wanted = min(max(total, len(workers)), preflight.most_streams() * len(workers))
        for index, worker in enumerate(workers):
            streams = schedule.share(wanted, len(workers), index)
            if streams != worker.streams:
                await self._hub.send(worker.worker, control.SetStreams(streams))
                self._tell(WorkerChange(worker.worker, streams=streams))
        limit = f" (not {total:,}: open files are limited)" if wanted < total else ""
        if wanted != before or limit:
            self._notice("load", f"streams {before:,} → {wanted:,}{limit}")
