"""Changes the load during a run: a viewer's command becomes orders to the workers and a line of the log."""

import math
import time
from collections.abc import Callable

from llmstress.coordinator.config.load_text import MOST_PER_S
from llmstress.coordinator.host import preflight
from llmstress.coordinator.processes.hub import Hub
from llmstress.engine import control, schedule
from llmstress.engine.telemetry.broadcast import Asked, Message, Paused, RunView, Windows, WorkerChange
from llmstress.engine.telemetry.formatting import rate
from llmstress.engine.telemetry.load_profile import RATES, Profile
from llmstress.engine.telemetry.messages import LABELS, Phase, Window
from llmstress.engine.telemetry.shares import share

HEAD_START_NS = 50_000_000
"""A change lies this far in the future when it is ordered, so that every worker knows it before it comes."""


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
        self.t0 = 0
        """Stamp of T0."""

    def soon(self) -> int:
        """The time for the next change, in ns after T0: every worker will know of it before."""
        return time.monotonic_ns() + HEAD_START_NS - self.t0

    async def set_profile(self, profile: Profile) -> None:
        """The load over time is another one from now on."""
        self._publish(Asked(profile))
        await self.order_all(control.SetProfile(profile))

    async def set_windows(self, windows: tuple[Window, ...]) -> None:
        """The windows of the run are known better."""
        self._publish(Windows(windows))
        await self.order_all(control.SetWindows(windows))

    async def set_rate(self, per_s: float) -> None:
        """Open model: another rate, until the next stage begins."""
        profile = self._view.profile
        if profile is None or profile.unit not in RATES:
            begin = "streams begin after their last answer"
            if profile is not None and profile.unit == "trace":
                begin = "requests arrive at the times of a trace"
            self._notice("note", f"this run has no rate: its {begin}")
        elif not 0 <= per_s <= MOST_PER_S:  # also without effect: what is no number
            self._notice("note", f"a rate must lie between 0 and {MOST_PER_S:,.0f}/s: {per_s:g}/s is ignored")
        else:
            before = await self._hold(profile, per_s)
            self._notice("load", f"rate {rate(before)}/s → {rate(per_s)}/s")

    async def _hold(self, profile: Profile, level: float) -> float:
        """Keep the load at this level until the next stage begins; gives the level before."""
        at = max(0, self.soon())
        await self.set_profile(profile.held(at, level, self._next_stage_at(at)))
        return profile.level_at(at)

    async def next_stage(self) -> None:
        """End the stage that lasts."""
        aggregate, profile = self._view.aggregate, self._view.profile
        at = max(0, self.soon())
        window = next((each for each in aggregate.windows if each.end is not None and each.end > at), None)
        if window is None or window.end is None or not is_stage(window) or profile is None:
            self._notice("note", "there is no stage that can be ended")
            return
        await self.set_windows(schedule.ended_early(aggregate.windows, window.index, at))
        await self.set_profile(profile.without(at, window.end))
        self._notice("load", f"{window.label} ended early")

    def _next_stage_at(self, at: int) -> int | None:
        """When the next stage begins (ns after T0); None: the run has no stages, or the last one lasts."""
        begins = [window.begin for window in self._view.aggregate.windows if is_stage(window)]
        return min((begin for begin in begins if begin is not None and begin > at), default=None)

    async def order_all(self, order: control.ToWorker) -> None:
        """Send the same order to all running workers."""
        for worker in self._view.aggregate.workers:
            if worker.state == "running":
                await self._hub.send(worker.worker, order)

    async def pause(self, on: bool) -> None:
        """Start no new requests (`on`), or continue."""
        if on != self._view.paused:
            await self.order_all(control.Pause(on, max(0, self.soon())))
            self._publish(Paused(on))
            self._notice("load", "paused: no new requests" if on else "resumed")

    async def set_streams(self, total: int) -> None:
        """Change the load to `total` streams, in equal shares, within the limit of open files."""
        workers = [worker for worker in self._view.aggregate.workers if worker.state == "running"]
        before = sum(worker.streams for worker in workers)
        wanted = min(max(total, len(workers)), preflight.most_streams() * len(workers))
        profile = self._view.profile
        if profile is not None and profile.unit == "streams":
            before = math.ceil(await self._hold(profile, wanted))
            workers = []
        for index, worker in enumerate(workers):
            streams = share(wanted, len(workers), index)
            if streams != worker.streams:
                await self._hub.send(worker.worker, control.SetStreams(streams))
                self._publish(WorkerChange(worker.worker, streams=streams))
        limit = f" (not {total:,}: open files are limited)" if wanted < total else ""
        if wanted != before or limit:
            what = "streams" if not self._view.facts.arrival else "most requests in flight"
            self._notice("load", f"{what} {before:,} → {wanted:,}{limit}")


def is_stage(window: Window) -> bool:
    """Whether a window is a stage of the load: it has a name of its own."""
    return window.kind is Phase.STEADY and window.label != LABELS[Phase.STEADY]
