"""The available charts: each has a name, and a drawing made from a run's view. Pure functions."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.load_profile import Profile
from llmstress.engine.telemetry.metrics import CHARTED, METRICS
from llmstress.engine.telemetry.snapshot import history
from llmstress.engine.telemetry.timeline import EARLIER_NS, SLOT_NS, Recent, Row
from llmstress.tui.charts import lines
from llmstress.tui.charts.axes import nice_ceiling
from llmstress.tui.charts.lines import Drawing, Line, TimeColumn, TimelineCache
from llmstress.tui.format.load import drain_begin

_OF_STREAMS = ("ttft", *CHARTED, "tokens", "requests", "failed")
_OF_WHOLE_ANSWERS = ("e2e", "requests", "failed")

_MOST_CLASSES = lines.MOST_LINES - 1
"""Number of failure classes with a line of their own; the others share one."""

EARLIER_S = EARLIER_NS / 1e9


def curves_of(view: RunView) -> tuple[str, ...]:
    """Names of the curves of this run, in the order in which a key cycles through them."""
    names = _OF_WHOLE_ANSWERS if view.aggregate.whole_answers else _OF_STREAMS
    return names if view.profile is None else (*names, "load")


def next_curve(curve: str, view: RunView) -> str:
    """The curve after `curve`."""
    names = curves_of(view)
    return names[(names.index(curve) + 1) % len(names)] if curve in names else names[0]


def drawing_of(curve: str, view: RunView, timeline: TimelineCache, most_points: int) -> Drawing:
    """The drawing of one of `curves_of` over the whole run, with at most `most_points` points."""
    aggregate = view.aggregate
    elapsed_s, marks = aggregate.elapsed_ns / 1e9, lines.marks_of(view)
    if curve in ("ttft", *CHARTED):
        metric = row_metric(curve, aggregate)
        upper, step = lines.upper_line(aggregate.rows, most_points, metric)
        columns = timeline.columns("latency", aggregate, step, metric)
        return lines.latency_drawing(columns, upper, elapsed_s, marks, METRICS[curve].label)
    columns = timeline.columns("rate", aggregate, lines.step_for(len(aggregate.rows), most_points))
    ended = view.ended is not None
    if curve == "load" and view.profile is not None:
        return _load(view, view.profile, columns, marks)
    if curve == "failed":
        return _failures(columns, aggregate, elapsed_s, ended, marks)
    per_event = aggregate.counters().tokens_per_event or 1.0
    per_column: Callable[[TimeColumn], float] = (
        (lambda column: column.events * per_event) if curve == "tokens" else (lambda column: float(column.requests))
    )
    name = f"{curve}/s"
    return lines.rate_drawing(name, columns, {name: per_column}, elapsed_s, ended=ended, marks=marks)


def latency_drawing_of(metric: str, view: RunView, timeline: TimelineCache, most_points: int) -> Drawing:
    """The drawing of a latency: over the whole run if the timeline contains it, else over the last minute."""
    if metric in ("ttft", *CHARTED):
        return drawing_of(metric, view, timeline, most_points)
    return recent_drawing(metric, view.aggregate)


def row_metric(metric: str, aggregate: Aggregate) -> str:
    """The key of a latency in the rows of the timeline; empty for their main latency."""
    return "" if metric == ("e2e" if aggregate.whole_answers else "ttft") else metric


def recent_drawing(metric: str, aggregate: Aggregate) -> Drawing:
    """The drawing of a latency over the last minute, for latencies that the timeline does not contain."""
    columns = [
        TimeColumn(
            [Row(latency=slot.latency[metric]) for slot in slots if metric in slot.latency], begin_s, EARLIER_S, ()
        )
        for begin_s, slots in _recent_steps(aggregate)
    ]
    upper = "p99" if any(column.percentiles["p99"] is not None for column in columns) else "max"
    begin_s = columns[0].begin_s if columns else 0.0
    elapsed_s = aggregate.elapsed_ns / 1e9
    title = f"{METRICS[metric].label}, last minute:"
    return lines.latency_drawing(columns, upper, elapsed_s, metric=title, begin_s=begin_s)


class WorkerSample(NamedTuple):
    """CPU use and lag of a worker in one step of the last minute; None: the worker sent no report."""

    at_s: float
    """Seconds after T0."""
    cpu: float | None
    """CPU use as a share of a core."""
    lag: int | None
    """p99 of the loop lag in µs; the maximum if there are too few samples."""


def worker_samples(worker: int, aggregate: Aggregate) -> list[WorkerSample]:
    """The last minute of a worker in steps of `EARLIER_S`."""
    made: list[WorkerSample] = []
    for begin_s, slots in _recent_steps(aggregate):
        found = [slot.workers[worker] for slot in slots if worker in slot.workers]
        at_s = min(begin_s + EARLIER_S / 2, aggregate.elapsed_ns / 1e9)
        if not found:
            made.append(WorkerSample(at_s, None, None))
            continue
        passed_ns = max(1, max(each.t_to for each in found) - min(each.t_from for each in found))
        lag = Histogram()
        for each in found:
            lag.merge(each.loop_lag)
        p99 = lag.percentile("p99")
        late = lag.max if p99 is None and lag.count else p99
        made.append(WorkerSample(at_s, sum(each.cpu_ns for each in found) / passed_ns, late))
    return made


def cpu_drawing(worker: int, samples: Sequence[WorkerSample], limit: float) -> Drawing:
    """CPU use of a worker; above `limit` the worker is marked."""
    points = tuple((each.at_s, each.cpu) for each in samples)
    high = nice_ceiling(max([1.0, *(each.cpu for each in samples if each.cpu is not None)]))
    return _of_worker(f"worker {worker} CPU, last minute", Line("CPU", points), limit, high, "share")


def lag_drawing(worker: int, samples: Sequence[WorkerSample], limit: float) -> Drawing:
    """Loop lag of a worker (p99); above `limit` (µs) the worker is marked."""
    points = tuple((each.at_s, None if each.lag is None else float(each.lag)) for each in samples)
    high = nice_ceiling(max([limit, *(each.lag for each in samples if each.lag is not None)]))
    return _of_worker(f"worker {worker} loop lag p99, last minute", Line("lag", points), limit, high, "us")


def _of_worker(title: str, line: Line, limit: float, high: float, unit: Literal["us", "share"]) -> Drawing:
    begin_s, end_s = (line.points[0][0], line.points[-1][0]) if line.points else (0.0, 1.0)
    if end_s - begin_s < EARLIER_S:
        begin_s = end_s - EARLIER_S
    known = any(value is not None for _, value in line.points)
    limits = (Line("limit", ((begin_s, limit), (end_s, limit))),) if known else ()
    return Drawing(title=title, lines=(line, *limits), begin=begin_s, end=end_s, low=0.0, high=high, unit=unit)


def _recent_steps(aggregate: Aggregate) -> list[tuple[float, list[Recent]]]:
    """The last minute in steps of `EARLIER_S`: the start (s) and the slots of each."""
    made: dict[int, list[Recent]] = {}
    for slot in history(aggregate):
        made.setdefault(slot.slot * SLOT_NS // EARLIER_NS, []).append(slot)
    return [(number * EARLIER_S, made[number]) for number in sorted(made)]


def _failures(
    columns: Sequence[TimeColumn],
    aggregate: Aggregate,
    elapsed_s: float,
    ended: bool,
    marks: tuple[tuple[float, str], ...],
) -> Drawing:
    """Failures per second: a line for each of the most frequent classes, and one for all others."""
    counts = {outcome: n for outcome, n in aggregate.ended().items() if n and outcome not in NOT_FAILED}
    ranked = sorted(counts, key=lambda outcome: (-counts[outcome], outcome))
    named, rest = ranked[:_MOST_CLASSES], ranked[_MOST_CLASSES:]
    groups = {name: [name] for name in named} | ({"others": rest} if rest else {})
    counters = {name: _counter_of(outcomes) for name, outcomes in groups.items()}
    drawing = lines.rate_drawing("failed/s by class", columns, counters, elapsed_s, ended=ended, marks=marks)
    return drawing if counters else msgspec.structs.replace(drawing, empty="no request has failed")


def _load(
    view: RunView, profile: Profile, columns: Sequence[TimeColumn], marks: tuple[tuple[float, str], ...]
) -> Drawing:
    """The load that was asked for beside what was achieved: open streams, or requests that began per second."""
    elapsed_s, ended = view.aggregate.elapsed_ns / 1e9, view.ended is not None
    drain = drain_begin(view)

    def asked(column: TimeColumn) -> float:
        begin, end = round(column.begin_s * 1e9), round(min(column.begin_s + column.seconds, elapsed_s) * 1e9)
        until = end if drain is None else min(end, drain)
        return profile.mean(begin, until) * (until - begin) / 1e9 if until > begin else 0.0

    def open_(column: TimeColumn) -> float:
        # the most that were open in a step count for its whole length; the last step may be shorter than its row
        return column.open * min(column.seconds, elapsed_s - column.begin_s)

    def started(column: TimeColumn) -> float:
        return float(column.started)

    def arrived(column: TimeColumn) -> float:
        return float(column.due)

    title, counters = {
        "streams": ("streams", {"asked": asked, "open": open_}),
        "requests": ("requests started/s", {"asked": asked, "started": started}),
        "trace": ("requests started/s", {"arrived": arrived, "started": started}),
        "sessions": ("requests started/s", {"due": arrived, "started": started}),
    }[profile.unit]
    return lines.rate_drawing(title, columns, counters, elapsed_s, ended=ended, marks=marks)


def _counter_of(outcomes: Sequence[str]) -> Callable[[TimeColumn], float]:
    return lambda column: float(sum(column.failed(outcome) for outcome in outcomes))
