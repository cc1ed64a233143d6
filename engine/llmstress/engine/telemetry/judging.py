"""Judges the thresholds of a run: reads their values from the measurements and compares them.

Without a suffix, or with `in`, a threshold is judged by the totals that a run keeps anyway. For `over` and `after` the
samples are collected from the deltas as they come, one stretch at a time, so memory does not depend on the length of
the run. Two things follow. A delta belongs to the stretch in which its middle lies, so the edges of a stretch are exact
to one interval of the reports. And as in the timeline, samples of requests that fail later are included.
"""

from collections.abc import Collection, Sequence

import msgspec

from llmstress.engine.telemetry import verdict
from llmstress.engine.telemetry.aggregate import sum_of
from llmstress.engine.telemetry.broadcast import RunView, lasted_ns
from llmstress.engine.telemetry.cost import Cost, cost_of
from llmstress.engine.telemetry.formatting import duration
from llmstress.engine.telemetry.messages import (
    Delta,
    Part,
    Phase,
    Window,
    add_counts,
    merge_histograms,
    task_of,
    window_of,
    without_bystander,
)
from llmstress.engine.telemetry.spending import by_task, in_windows, steady_by_task, total_cost
from llmstress.engine.telemetry.subjects import SUBJECTS, Stretch
from llmstress.engine.telemetry.thresholds import STATES, Judgement, Reading, Threshold, judge
from llmstress.engine.telemetry.windows import measured_until

_NS = 1_000_000_000

_ROUNDING_NS = 1_000_000
"""Lengths of windows are rounded to microseconds: a stretch that lacks less than this is a full one."""


class _Tally(msgspec.Struct):
    """What was collected for a threshold with `over` or `after`."""

    stretches: dict[int, Part] = msgspec.field(default_factory=dict)
    """Number of a stretch that is not over -> its measurements."""
    tasks: dict[int, dict[int, Part]] = msgspec.field(default_factory=dict)
    """The same by task, for a subject that needs prices."""
    closed: int = 0
    """Stretches that are over and judged."""
    worst: Judgement | None = None
    """The worst judgement of those."""


class _Now(msgspec.Struct, frozen=True):
    """The run as it is now, with the sums that several thresholds need."""

    view: RunView
    steady: Part
    whole: Part
    per_event: float
    status: str

    @property
    def over(self) -> bool:
        """Nothing changes any more."""
        return self.view.ended is not None


class Judge:
    """The thresholds of one run and what is collected for them."""

    def __init__(self, thresholds: Sequence[Threshold]) -> None:
        self._thresholds = thresholds
        self._tallies = {at: _Tally() for at, each in enumerate(thresholds) if each.over_s or each.after_s}
        self._reached: dict[int, int] = {}
        """Worker -> end of its last delta (ns after T0)."""
        self._kept: dict[int, Judgement] = {}

    def add(self, delta: Delta, view: RunView) -> None:
        """Collect what `delta` contains; `view` has its windows and tasks."""
        if not self._tallies:
            return
        self._reached[delta.worker] = delta.t_to
        load, _ = without_bystander(delta.parts)
        for at, tally in self._tallies.items():
            threshold = self._thresholds[at]
            windows = covered_by(threshold, view.aggregate.windows)
            indices = {each.index for each in windows}
            tasks = view.facts.numbers_of(threshold.task) if threshold.task else None
            parts = {
                key: part
                for key, part in load.items()
                if window_of(key) in indices and (tasks is None or task_of(key) in tasks)
            }
            begin = _begin_of(windows)
            if not parts or begin is None:
                continue
            last = windows[-1].end
            middle = (max(delta.t_from, begin) + (delta.t_to if last is None else min(delta.t_to, last))) // 2
            since = middle - begin - int(threshold.after_s * _NS)
            if since < 0:
                continue
            number = since // int(threshold.over_s * _NS) if threshold.over_s else 0
            mine = tally.stretches.setdefault(number, Part())
            for key, part in parts.items():
                _collect(mine, part, threshold)
                if _needs_prices(threshold):
                    _collect(tally.tasks.setdefault(number, {}).setdefault(task_of(key), Part()), part, threshold)

    def keep(self, judgement: Judgement) -> None:
        """Keep the judgement that ended the run: what comes after it does not change it."""
        self._kept[next(at for at, each in enumerate(self._thresholds) if each is judgement.threshold)] = judgement

    def judgements(self, view: RunView, *, only_abort: bool = False) -> list[Judgement]:
        """Every threshold, or only those of `--abort-if`, judged by what is known. If the run has ended, none of them
        is pending."""
        wanted = [(at, each) for at, each in enumerate(self._thresholds) if each.abort or not only_abort]
        aggregate = view.aggregate
        asked = any(each.unit == "status" for _, each in wanted)
        now = _Now(
            view,
            aggregate.steady,
            aggregate.whole,
            aggregate.counters().tokens_per_event or 1.0,
            verdict.judge(aggregate, view.steady_s).status if asked else "",
        )
        return [self._kept.get(at) or self._judgement(at, each, now) for at, each in wanted]

    def _judgement(self, at: int, threshold: Threshold, now: _Now) -> Judgement:
        windows = covered_by(threshold, now.view.aggregate.windows)
        seconds = _seconds_of(threshold, windows, now.view)
        tally = self._tallies.get(at)
        cost = None
        if tally is None:
            part = _part_of(threshold, windows, now)
            cost = _cost_in(threshold, windows, now, seconds)
        elif threshold.over_s:
            self._close(tally, threshold, now)
            return _of_stretches(threshold, tally, over=now.over)
        else:
            part, seconds = tally.stretches.get(0, Part()), max(0.0, seconds - threshold.after_s)
            cost = _cost_of_tasks(threshold, tally.tasks.get(0, {}), now, seconds)
        stretch = Stretch(part=part, seconds=seconds, per_event=now.per_event, status=now.status, cost=cost)
        return judge(threshold, _read(threshold, stretch), over=now.over)

    def _close(self, tally: _Tally, threshold: Threshold, now: _Now) -> None:
        """Judge the stretches that are over."""
        windows = covered_by(threshold, now.view.aggregate.windows)
        begin, until = _begin_of(windows), self._known_until(windows, threshold, now.view)
        if begin is None or until is None:
            return
        over_ns, first = int(threshold.over_s * _NS), begin + int(threshold.after_s * _NS)
        while first + (tally.closed + 1) * over_ns <= until + _ROUNDING_NS:
            part = tally.stretches.pop(tally.closed, Part())
            cost = _cost_of_tasks(threshold, tally.tasks.pop(tally.closed, {}), now, threshold.over_s)
            stretch = Stretch(part=part, seconds=threshold.over_s, per_event=now.per_event, cost=cost)
            found = judge(threshold, _read(threshold, stretch), over=True)
            found = msgspec.structs.replace(found, at_s=(first + tally.closed * over_ns) / _NS)
            tally.closed += 1
            if tally.worst is None or _is_worse(found, tally.worst):
                tally.worst = found

    def _known_until(self, windows: Sequence[Window], threshold: Threshold, view: RunView) -> int | None:
        """Up to when everything of `windows` is known (ns after T0); None: that is not certain yet."""
        begin, end = _begin_of(windows), windows[-1].end if windows else None
        if view.ended is not None:
            return None if begin is None else begin + round(_seconds_of(threshold, windows, view) * _NS)
        if view.aggregate.phase is Phase.DRAIN:
            return None  # the end of a window that was cut short is known exactly when the run is over
        running = [worker.worker for worker in view.aggregate.workers if worker.state == "running"]
        reached = min((self._reached.get(worker, 0) for worker in running), default=0)
        return reached if end is None else min(reached, end)


def covered_by(threshold: Threshold, windows: Sequence[Window]) -> list[Window]:
    """The windows that `threshold` names; without a name the steady ones."""
    if threshold.window:
        return [each for each in windows if each.label == threshold.window]
    return [each for each in windows if each.kind is Phase.STEADY]


def _begin_of(windows: Sequence[Window]) -> int | None:
    return windows[0].begin if windows else None


def _seconds_of(threshold: Threshold, windows: Sequence[Window], view: RunView) -> float:
    """How long the windows have lasted so far."""
    if not threshold.window:
        return view.steady_s
    if all(each.kind is Phase.DRAIN for each in windows):
        return 0.0 if view.ended is None else view.ended.drain_s
    until = measured_until(view)
    return sum(lasted_ns(each, until) for each in windows) / _NS


def _part_of(threshold: Threshold, windows: Collection[Window], now: _Now) -> Part:
    if threshold.task:
        return _part_of_task(threshold, windows, now)
    if threshold.window:
        return sum_of(now.view.aggregate.of_window(each.index) for each in windows)
    return now.steady if SUBJECTS[threshold.subject].covers == "steady" else now.whole


def _part_of_task(threshold: Threshold, windows: Collection[Window], now: _Now) -> Part:
    aggregate, tasks = now.view.aggregate, now.view.facts.numbers_of(threshold.task)
    if threshold.window:
        return sum_of(aggregate.part(each.index, task) for each in windows for task in sorted(tasks))
    kinds = (Phase.STEADY,) if SUBJECTS[threshold.subject].covers == "steady" else ()
    return sum_of(aggregate.of_task(task, *kinds) for task in sorted(tasks))


def _needs_prices(threshold: Threshold) -> bool:
    return SUBJECTS[threshold.subject].needs == "prices"


def _cost_in(threshold: Threshold, windows: Collection[Window], now: _Now, seconds: float) -> Cost | None:
    """What the requests cost that a threshold without `over` and `after` judges; `windows` last `seconds`."""
    aggregate, facts = now.view.aggregate, now.view.facts
    if not _needs_prices(threshold) or not facts.pricing.known:
        return None
    whole = SUBJECTS[threshold.subject].covers == "run"
    if threshold.window:
        parts = in_windows(aggregate, {each.index for each in windows})
    elif whole and not threshold.task:
        return total_cost(aggregate, facts.pricing)
    else:
        parts = by_task(aggregate) if whole else steady_by_task(aggregate)
    if threshold.task:
        parts = {task: part for task, part in parts.items() if task in facts.numbers_of(threshold.task)}
    return cost_of(facts.pricing, parts, seconds)


def _cost_of_tasks(threshold: Threshold, tasks: dict[int, Part], now: _Now, seconds: float) -> Cost | None:
    pricing = now.view.facts.pricing
    return cost_of(pricing, tasks, seconds) if _needs_prices(threshold) and pricing.known else None


def _read(threshold: Threshold, stretch: Stretch) -> Reading:
    return SUBJECTS[threshold.subject].read(stretch, threshold.argument)


def _collect(mine: Part, part: Part, threshold: Threshold) -> None:
    """Add of `part` what the subject of `threshold` reads."""
    mine.counters.add(part.counters)
    add_counts(mine.ended, part.ended)
    add_counts(mine.retried, part.retried)
    for collected, given in ((mine.latency, part.latency), (mine.aside, part.aside)):
        if threshold.subject in given:
            merge_histograms(collected, {threshold.subject: given[threshold.subject]})


def _of_stretches(threshold: Threshold, tally: _Tally, *, over: bool) -> Judgement:
    """The worst of the stretches that are over."""
    if tally.worst is not None:
        return tally.worst
    why = f"no full window of {duration(threshold.over_s)}"
    return Judgement(threshold=threshold, state="undecided" if over else "pending", why=why)


def _is_worse(found: Judgement, other: Judgement) -> bool:
    """Whether `found` has a worse state than `other`, or the same at a smaller distance from the limit."""
    if found.state != other.state:
        return STATES.index(found.state) < STATES.index(other.state)
    if found.distance is None or other.distance is None:
        return found.distance is None and other.distance is not None
    return found.distance < other.distance
