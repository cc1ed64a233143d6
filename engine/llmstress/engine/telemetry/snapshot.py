"""One frozen picture of the run, for the progress line, the screen and the summary."""

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.goodput import Goodput, goodput
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.load_profile import Unit
from llmstress.engine.telemetry.messages import Phase, RateLimit, add_counts, merge_histograms
from llmstress.engine.telemetry.timeline import RECENT_S, Recent, WorkerRecent

P99_SAMPLES = 100
"""Least samples for a p99."""

_WIDER_S = (10, 20, 30, RECENT_S)
"""Spans that are tried, in seconds, until a latency has `P99_SAMPLES`."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one stretch of time. Latencies in µs; None where there is no data."""

    seconds: float
    """Length of the stretch."""
    requests_per_s: float | None
    """Requests that ended ok."""
    events_per_s: float | None
    tokens_per_s: float | None
    input_per_s: float | None
    """Input tokens."""
    inputs_per_s: float | None
    """Inputs; a request for embeddings has several."""
    latency: dict[str, Histogram]
    """Metric -> its samples; not to be changed."""
    finished: int
    failed: int
    failed_by: dict[str, int]
    """Class of failure -> how many; the sum is `failed`. Not to be changed."""
    started_per_s: float
    """Requests that started."""
    due_per_s: float
    """Requests that arrived (open model)."""
    spans: dict[str, float]
    """Metric -> seconds that its samples come from, where they are more than `seconds` because the span was widened."""
    goodput: Goodput
    """Requests that ended in the stretch; without SLOs none is good."""

    def percentile(self, metric: str, name: str) -> int | None:
        """A percentile of `histogram.PERCENTILES`, in µs; None without enough samples."""
        histogram = self.latency.get(metric)
        return None if histogram is None else histogram.percentile(name)


class WorkerFigures(msgspec.Struct, frozen=True):
    """One worker: shares of a core, events/s, loop lag in µs."""

    events_per_s: float | None
    cpu_share: float | None
    loop_lag_p99: int | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run is, and the figures of its last seconds beside those of its steady windows."""

    phase: Phase
    """Kind of the window that lasts."""
    elapsed_s: float
    open: int
    target: int
    whole_answers: bool
    """No answer was streamed (`Aggregate.whole_answers`)."""
    counted_in: str
    """Unit of the work: tokens, inputs or requests."""
    now: Figures
    whole: Figures
    retries: int
    """Over the whole run."""
    rate_limits: dict[str, RateLimit]
    """Kind -> what the server has reported; not to be changed."""
    asked_per_s: float | None = None
    """The rate that was asked for in the stretch of `now`; None: closed model, or arrivals of a trace."""
    asked_unit: Unit = "requests"
    """What it is a rate of."""
    waiting: int = 0
    """Requests that have arrived and wait for a stream."""
    dropped: int = 0
    """Requests of the whole run that have arrived and were never started."""


def take(
    aggregate: Aggregate,
    steady_s: float = 0.0,
    window_s: float = 2.0,
    *,
    widen: bool = False,
    asked_per_s: float | None = None,
    asked_unit: Unit = "requests",
) -> Snapshot:
    """A picture of `aggregate`.

    Args:
        aggregate: everything measured so far.
        steady_s: how long the steady windows have lasted so far.
        window_s: how far the live figures look back, in seconds.
        widen: as for `recent`.
        asked_per_s: the rate that was asked for in these seconds (`windows.asked_lately`).
        asked_unit: what it is a rate of.
    """
    return Snapshot(
        phase=aggregate.phase,
        elapsed_s=aggregate.elapsed_ns / 1e9,
        open=aggregate.open,
        target=sum(worker.streams for worker in aggregate.workers if worker.state != "lost"),
        whole_answers=aggregate.whole_answers,
        counted_in=counted_in(aggregate),
        now=recent(aggregate, window_s, widen=widen),
        whole=steady(aggregate, steady_s),
        retries=sum(aggregate.retried().values()),
        rate_limits=aggregate.rate_limits,
        asked_per_s=asked_per_s,
        asked_unit=asked_unit,
        waiting=aggregate.waiting,
        dropped=aggregate.counters().dropped,
    )


def counted_in(aggregate: Aggregate) -> str:
    """Unit of the work of a run: tokens, unless its answers have none. In a mix of chats and embeddings: tokens."""
    counters = aggregate.counters()
    if counters.inputs and not counters.output:
        return "inputs"
    return "requests" if aggregate.whole_answers and not counters.output else "tokens"


def steady(aggregate: Aggregate, steady_s: float) -> Figures:
    """The figures of the summary: rates and latencies of the steady windows, which have lasted `steady_s` so far;
    finished and failed requests of the whole run."""
    part = aggregate.steady
    # until a stream has ended ok, an event is assumed to be a token
    tokens = part.counters.output_of_all(aggregate.counters().tokens_per_event or 1.0)

    def per_second(n: float) -> float | None:
        return n / steady_s if steady_s > 0 else None

    return Figures(
        seconds=steady_s,
        requests_per_s=per_second(part.ended.get("ok", 0)),
        events_per_s=per_second(part.counters.events),
        tokens_per_s=per_second(tokens),
        input_per_s=per_second(part.counters.input),
        inputs_per_s=per_second(part.counters.inputs),
        latency=part.latency,
        finished=aggregate.finished(),
        failed=aggregate.failed(),
        failed_by={outcome: n for outcome, n in aggregate.ended().items() if n and outcome not in NOT_FAILED},
        started_per_s=per_second(part.counters.started) or 0.0,
        due_per_s=per_second(part.counters.due) or 0.0,
        spans={},
        goodput=goodput(part, steady_s),
    )


def recent(aggregate: Aggregate, window_s: float, *, widen: bool = False) -> Figures:
    """The figures of the last `window_s` seconds (at most `FINE_S`), or of as many as are known. With `widen` a latency
    that has too few samples for a p99 looks back further, at most `RECENT_S`; `Figures.spans` contains how far."""
    since = aggregate.elapsed_ns - int(window_s * 1e9)
    slots = [slot for slot in aggregate.recent if slot.t_to > since]
    # a slot that began earlier counts with the part of it that lies within the last `window_s`
    weights = [min(1.0, (slot.t_to - since) / max(1, slot.t_to - slot.t_from)) for slot in slots]
    begin = max(since, min((slot.t_from for slot in slots), default=0), 0)
    seconds = (aggregate.elapsed_ns - begin) / 1e9 or 1.0
    latency: dict[str, Histogram] = {}
    failed_by: dict[str, int] = {}
    missed: dict[str, int] = {}
    for slot in slots:
        merge_histograms(latency, slot.latency)
        add_counts(failed_by, slot.failed_by)
        add_counts(missed, slot.missed)
    spans = _widen(latency, aggregate, since) if widen else {}
    per_event = aggregate.counters().tokens_per_event or 1.0
    events = sum(slot.events * weight for slot, weight in zip(slots, weights, strict=True))
    output = sum(slot.output * weight for slot, weight in zip(slots, weights, strict=True))
    finished = sum(slot.finished for slot in slots)
    return Figures(
        seconds=seconds,
        requests_per_s=sum(slot.ok * weight for slot, weight in zip(slots, weights, strict=True)) / seconds,
        events_per_s=events / seconds,
        tokens_per_s=(events * per_event if events else output) / seconds,
        input_per_s=None,
        inputs_per_s=sum(slot.inputs * weight for slot, weight in zip(slots, weights, strict=True)) / seconds,
        latency=latency,
        finished=finished,
        failed=sum(slot.failed for slot in slots),
        failed_by=failed_by,
        started_per_s=sum(slot.started * weight for slot, weight in zip(slots, weights, strict=True)) / seconds,
        due_per_s=sum(slot.due * weight for slot, weight in zip(slots, weights, strict=True)) / seconds,
        spans=spans,
        goodput=Goodput(
            met=sum(slot.slo_met for slot in slots),
            unknown=sum(slot.slo_unknown for slot in slots),
            finished=finished,
            missed=missed,
            per_s=sum(slot.slo_met * weight for slot, weight in zip(slots, weights, strict=True)) / seconds,
            tokens_per_s=sum(slot.good_output * weight for slot, weight in zip(slots, weights, strict=True)) / seconds,
        ),
    )


def history(aggregate: Aggregate) -> list[Recent]:
    """The slots of the last `RECENT_S` seconds, oldest first: long ones, then short ones."""
    return [*aggregate.earlier, *aggregate.recent]


def _widen(latency: dict[str, Histogram], aggregate: Aggregate, since: int) -> dict[str, float]:
    """Add earlier samples than `since` (ns after T0) to the latencies that have too few for a p99, step by step, until
    they have enough. Returns how many seconds each of these looks back now."""
    slots = [slot for slot in history(aggregate) if slot.t_to <= since]
    lacking = {metric for slot in slots for metric in slot.latency}
    begin = max(0, min((slot.t_from for slot in slots), default=0))
    spans: dict[str, float] = {}
    for wider_s in _WIDER_S:
        lacking = {metric for metric in lacking if metric not in latency or latency[metric].count < P99_SAMPLES}
        if not lacking or since <= begin:
            break
        until, since = since, min(since, aggregate.elapsed_ns - wider_s * 1_000_000_000)
        for slot in slots:
            # a slot that the begin of the span cuts is left out: its samples have no stamps of their own
            if since <= slot.t_from < until:
                found = {metric: samples for metric, samples in slot.latency.items() if metric in lacking}
                merge_histograms(latency, found)
        spans |= dict.fromkeys(lacking, (aggregate.elapsed_ns - max(begin, since)) / 1e9)
    return {metric: seconds for metric, seconds in spans.items() if metric in latency}


def worker_recent(aggregate: Aggregate, worker: int, window_s: float) -> WorkerFigures:
    """The figures of a worker for the last `window_s` seconds; None where it sent nothing."""
    since = aggregate.elapsed_ns - int(window_s * 1e9)
    found: list[WorkerRecent] = [
        slot.workers[worker] for slot in aggregate.recent if slot.t_to > since and worker in slot.workers
    ]
    if not found:
        return WorkerFigures(None, None, None)
    seconds = max(1, found[-1].t_to - found[0].t_from) / 1e9
    lag = Histogram()
    for each in found:
        lag.merge(each.loop_lag)
    cpu_s = sum(each.cpu_ns for each in found) / 1e9
    return WorkerFigures(sum(each.events for each in found) / seconds, cpu_s / seconds, lag.percentile("p99"))


def worker_steady(aggregate: Aggregate, worker: int, steady_s: float) -> WorkerFigures:
    """The figures of a worker in the steady windows, which have lasted `steady_s` so far."""
    state = aggregate.workers[worker]
    if steady_s <= 0:
        return WorkerFigures(None, None, None)
    return WorkerFigures(
        state.steady_events / steady_s, state.steady_cpu_ns / 1e9 / steady_s, state.loop_lag.percentile("p99")
    )
