"""Drives a course (a sweep, or a search): reads what the workers report, asks the course, and orders the next load."""

import ipaddress
import math
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import is_address
from llmstress.coordinator.config.sweep_text import level_text, level_words
from llmstress.coordinator.output.points import FindRow, SweepRow
from llmstress.coordinator.run.course_summary import find_row, sweep_row
from llmstress.coordinator.run.courses.course import Course, Done, Step
from llmstress.coordinator.run.courses.estimates import relative_half_width
from llmstress.coordinator.run.courses.plan import course_of, with_begin, with_next_point
from llmstress.coordinator.run.courses.point import (
    Baseline,
    Point,
    e2e_s,
    late,
    limit_of_client,
    limit_of_machine,
    missed_by,
    slack_s,
)
from llmstress.coordinator.run.courses.readings import Reading, overdue, quiet_s, read
from llmstress.coordinator.run.courses.search import SearchCourse
from llmstress.coordinator.run.courses.settling import QUIET_S, Settling, may_begin, state_of
from llmstress.coordinator.run.steering import Steering
from llmstress.coordinator.target.resolved_target import ResolvedTarget
from llmstress.engine import schedule
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.formatting import duration, share
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.slo import Slo

JUDGED_EVERY = 1.2
"""The share of good requests is compared with the goal each time the point has become longer by this factor. If it was
compared with each report, chance alone would decide some of the probes."""


class CourseDriver:
    """Carries out what a course decides."""

    def __init__(
        self,
        course: Course,
        slos: Sequence[Slo],
        view: RunView,
        steering: Steering,
        notice: Callable[[str, str], None],
        *,
        connect_gap_ns: int,
        local: bool,
    ) -> None:
        """
        Args:
            course: decides.
            slos: those that requests are judged by.
            view: state of the run.
            steering: sends orders to the workers.
            notice: adds a line to the log, by its kind and text.
            connect_gap_ns: least time between two new connections of a worker.
            local: the target runs on this machine.
        """
        self.done: list[Done] = []
        self.ended = ""
        """Why the course is over; empty: it is not."""
        self._course = course
        self._slos = slos
        self._view = view
        self._steering = steering
        self._notice = notice
        self._connect_gap_ns = connect_gap_ns
        self._local = local
        self._level = course.first
        self._reports = 0
        self._readings: list[Reading] = []
        self._kept_ns = int(max([QUIET_S, *(slo.limit_us / 1e6 for slo in slos)]) * 1e9) + 10**9
        self._settling: Settling | None = self._change(0, 0.0, self._level, None)
        self._empties = False
        """Nothing arrives until the queue of the load before is gone."""
        self._moved = 0.0
        self._began = 0
        self._settle_s = 0.0
        self._settled = True
        self._baseline = Baseline(late={}, in_flight=0, cpu_ns=())
        self._amounts: list[tuple[float, float]] = []
        self._judge_at = 0.0

    async def look(self) -> None:
        """Take in what has been reported: once when every worker has sent a further report."""
        running = [worker.deltas for worker in self._view.aggregate.workers if worker.state == "running"]
        if self.ended or not running or min(running) <= self._reports:
            return
        self._reports = min(running)
        self._readings.append(reading := read(self._view))
        while reading.t - self._readings[0].t > self._kept_ns:
            self._readings.pop(0)
        if self._settling is not None:
            await self._settle(self._settling, reading)
        elif reading.t > self._began:
            await self._measure(reading)

    def found(self) -> SweepRow | FindRow:
        """What was found so far. The point that lasts is included if the course is not over."""
        done = list(self.done)
        if not self.ended and self._settling is None and self._readings and self._readings[-1].t > self._began:
            done.append(self._done(self._point(self._readings[-1]), Step("stopped", "the run ended", None)))
        ended = self.ended or "the run ended before"
        done = [self._with_machine(each) for each in done]
        if isinstance(self._course, SearchCourse):
            return find_row(self._course, self._slos, self._view, done, ended)
        return sweep_row(self._view, done, ended, rate=self._course.rate)

    async def _settle(self, change: Settling, reading: Reading) -> None:
        index, in_flight = self._window, reading.open + reading.waiting
        if self._empties:
            await self._empty(in_flight, reading)
            return
        state = state_of(
            change,
            t=reading.t / 1e9,
            in_flight=in_flight,
            ended=reading.ended,
            e2e_s=e2e_s(self._view.aggregate.of_window(index - 1)),
            quiet_s=quiet_s(self._readings),
        )
        if state == "waits":
            return
        self._settling = None
        self._began = at = self._steering.soon()
        self._settle_s, self._settled = at / 1e9 - self._moved, state == "settled"
        workers = self._view.aggregate.workers
        self._baseline = Baseline(
            late=overdue(self._readings, self._slos),
            in_flight=in_flight,
            cpu_ns=tuple(worker.steady_cpu_ns for worker in workers),
        )
        self._amounts = [(0.0, 0.0)]
        self._judge_at = 0.0
        await self._steering.set_windows(with_begin(self._view.aggregate.windows, index, at))

    async def _measure(self, reading: Reading) -> None:
        part = self._view.aggregate.of_window(self._window)
        self._amounts.append(((reading.t - self._began) / 1e9, _amount(part)))
        point = self._point(reading)
        if point.to_judge:
            self._judge_at = JUDGED_EVERY * max(1.0, point.seconds)
        if (step := self._course.step(self.done, point, reading.t / 1e9)) is None:
            return
        self._add(point, step)
        at = self._steering.soon()
        windows = self._view.aggregate.windows
        if step.level is None:
            self.ended = step.ended
            self._notice("note", step.ended)
            await self._steering.set_windows(with_begin(windows, len(windows) - 1, at))
            return
        self._settling = self._change(at, self._level, step.level, reading)
        self._moved, self._empties = at / 1e9, self._course.rate and step.level <= self._level
        self._level = step.level
        label = self._label(step.level)
        await self._steering.set_windows(with_next_point(windows, at, label))
        await self._hold(at, 0.0 if self._empties else step.level)

    async def _empty(self, in_flight: int, reading: Reading) -> None:
        """Begin the new rate when the queue of the one before is gone."""
        shortest_us = min((_median_us(self._view.aggregate.of_window(each.window)) for each in self.done), default=0)
        if may_begin(
            in_flight=in_flight,
            natural=self._level * shortest_us / 1e6,
            waited_s=reading.t / 1e9 - self._moved,
            quiet_s=quiet_s(self._readings),
        ):
            self._empties = False
            at = self._steering.soon()
            self._settling = self._change(at, self._level, self._level, reading)
            await self._hold(at, self._level)

    async def _hold(self, at: int, level: float) -> None:
        """The load is `level` from `at` ns after T0 on."""
        assert self._view.profile is not None
        await self._steering.set_profile(self._view.profile.held(at, level))

    @property
    def _window(self) -> int:
        """Index of the window of the point that lasts or comes."""
        return 2 * len(self.done) + 1

    def _label(self, level: float) -> str:
        """The label of a point; a load that is measured again gets a number."""
        label, before = level_text(level, rate=self._course.rate), sum(each.point.level == level for each in self.done)
        return f"{label} ({before + 1})" if before else label

    def _change(self, at: int, before: float, level: float, reading: Reading | None) -> Settling:
        more = 0 if self._course.rate else math.ceil(max(0.0, level - before) / len(self._view.aggregate.workers))
        return Settling(
            at=at / 1e9,
            all_started=(at + more * self._connect_gap_ns) / 1e9,
            in_flight=reading.open + reading.waiting if reading is not None else 0,
            ended=reading.ended if reading is not None else 0,
            streams=None if self._course.rate else round(level),
        )

    def _point(self, reading: Reading) -> Point:
        aggregate = self._view.aggregate
        part = aggregate.of_window(self._window)
        seconds = (reading.t - self._began) / 1e9
        late_by = late(part, overdue(self._readings, self._slos), self._baseline, self._slos)
        counters = part.counters
        return Point(
            level=self._level,
            seconds=seconds,
            to_judge=seconds >= self._judge_at,
            ok=part.ended.get("ok", 0),
            failed=sum(n for outcome, n in part.ended.items() if outcome not in NOT_FAILED),
            finished=sum(n for outcome, n in part.ended.items() if outcome != "cancelled"),
            dropped=counters.dropped,
            due=counters.due,
            met=counters.slo_met,
            unknown=counters.slo_unknown,
            missed=missed_by(part, late_by),
            late=max(late_by.values(), default=0),  # a request may be late in several
            grown=max(0, reading.open + reading.waiting - self._baseline.in_flight),
            e2e_s=e2e_s(part),
            slack_s=slack_s(part, self._slos),
            quiet_s=quiet_s(self._readings),
            half_width=relative_half_width(self._amounts),
            client=limit_of_client(
                part,
                seconds,
                aggregate.workers,
                self._baseline,
                self._slos,
                sum(worker.streams for worker in aggregate.workers) if self._course.rate else None,
            ),
        )

    def _done(self, point: Point, step: Step) -> Done:
        return Done(
            point=point,
            state=step.state,
            why=step.why,
            window=self._window,
            settle_s=self._settle_s,
            settled=self._settled,
        )

    def _with_machine(self, done: Done) -> Done:
        """`done` with what limited it: the load of the machine is reported when the window is over."""
        part = self._view.aggregate.of_window(done.window)
        client = done.point.client or limit_of_machine(part, local=self._local)
        return msgspec.structs.replace(done, point=msgspec.structs.replace(done.point, client=client))

    def _add(self, point: Point, step: Step) -> None:
        self.done.append(self._done(point, step))
        good = f", {share(point.met, point.counted)} of {point.counted:,} requests met the SLOs" if self._slos else ""
        why = f" ({step.why})" if step.why else ""
        load = level_words(point.level, rate=self._course.rate)
        self._notice("note", f"{load}: {step.state} after {duration(round(point.seconds, 1))}{why}{good}")


def _amount(part: Part) -> float:
    """What the throughput is made of: token events, or ok requests if there are none."""
    return float(part.counters.events or part.ended.get("ok", 0))


def _median_us(part: Part) -> int:
    """The p50 of `e2e` in µs; 0: no request has ended ok."""
    return part.latency["e2e"].percentile("p50") or 0 if "e2e" in part.latency else 0


def driver_of(
    options: Options, resolved: ResolvedTarget, view: RunView, steering: Steering, notice: Callable[[str, str], None]
) -> CourseDriver | None:
    """The driver of a run; None: its load is planned."""
    if (course := course_of(options)) is None:
        return None
    gap_ns = schedule.connect_gap_ns(options.procs, tls=resolved.target.url.startswith("https:"))
    return CourseDriver(
        course, options.objectives.slos, view, steering, notice, connect_gap_ns=gap_ns, local=_is_local(resolved)
    )


def _is_local(resolved: ResolvedTarget) -> bool:
    """Whether the target runs on this machine, as far as its URL says."""
    host = urlsplit(resolved.target.url).hostname or ""
    loopback = is_address(host) and ipaddress.ip_address(host).is_loopback
    return bool(resolved.network.unix_socket) or host == "localhost" or loopback
