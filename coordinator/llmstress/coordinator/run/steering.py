"""Changes the load during a run: a viewer's command becomes orders to the workers and a line of the log."""

from collections.abc import Callable

from llmstress.coordinator.host import preflight
from llmstress.coordinator.processes.hub import Hub
from llmstress.engine import control, schedule
from llmstress.engine.telemetry.broadcast import Message, Paused, RunView, WorkerChange


class Steering:
    """Sends orders to the running workers."""

    def __init__(
        self, hub: Hub, view: RunView, publish: Callable[[Message], None], notice: Callable[[str, str], None]
    ) -> None:
        """
        Args:
            hub: connection to the workers.
            view: state of the run.
            publish: publishes a change of the state.
            notice: adds a line to the log, by its kind and text.
        """
        self._hub = hub
        self._view = view
        self._publish = publish
        self._notice = notice

    async def order_all(self, order: control.ToWorker) -> None:
        """Send the same order to all running workers."""
        for worker in self._view.aggregate.workers:
            if worker.state == "running":
                await self._hub.send(worker.worker, order)

    async def pause(self, on: bool) -> None:
        """Start no new requests (`on`), or continue."""
        if on != self._view.paused:
            await self.order_all(control.Pause(on))
            self._publish(Paused(on))
            self._notice("load", "paused: no new requests" if on else "resumed")

    async def set_streams(self, total: int) -> None:
        """Change the load to `total` streams, in equal shares, within the limit of open files."""
        workers = [worker for worker in self._view.aggregate.workers if worker.state == "running"]
        before = sum(worker.streams for worker in workers)
        wanted = min(max(total, len(workers)), preflight.most_streams() * len(workers))
        for index, worker in enumerate(workers):
            streams = schedule.share(wanted, len(workers), index)
            if streams != worker.streams:
                await self._hub.send(worker.worker, control.SetStreams(streams))
                self._publish(WorkerChange(worker.worker, streams=streams))
        limit = f" (not {total:,}: open files are limited)" if wanted < total else ""
        if wanted != before or limit:
            self._notice("load", f"streams {before:,} → {wanted:,}{limit}")
