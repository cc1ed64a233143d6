"""One frozen picture of the run, for whoever shows it: the headless line, a screen."""

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Phase


class Snapshot(msgspec.Struct, frozen=True):
    """Figures of the last `window_s` seconds beside those of the whole run; latencies in µs, None without samples."""

    phase: Phase
    elapsed_s: float
    window_s: float
    open: int
    target: int
    requests_per_s: float
    """Those that ended ok, as in the summary."""
    events_per_s: float
    tokens_per_s: float
    ttft_p50: int | None
    ttft_p99: int | None
    itl_p50: int | None
    itl_p99: int | None
    finished: int
    failed: int
    """Of the whole run, as is `finished`."""


def take(aggregate: Aggregate, window_s: float = 2.0) -> Snapshot:
    """A picture of `aggregate` whose live figures look back `window_s` seconds."""
    since = aggregate.elapsed_ns - int(window_s * 1e9)
    recent = [each for each in aggregate.recent if each.t_to > since]
    # a delta that began before the window counts with the part of it that lies within
    weights = [min(1.0, (each.t_to - since) / max(1, each.t_to - each.t_from)) for each in recent]
    seconds = min(window_s, aggregate.elapsed_ns / 1e9) or 1.0
    ttft, itl = Histogram(), Histogram()
    for each in recent:
        if each.ttft is not None:
            ttft.merge(each.ttft)
        if each.itl is not None:
            itl.merge(each.itl)
    whole = aggregate.counters()
    events_per_s = sum(each.events * weight for each, weight in zip(recent, weights, strict=True)) / seconds
    ok_per_s = sum(each.ok * weight for each, weight in zip(recent, weights, strict=True)) / seconds
    output_per_s = sum(each.output * weight for each, weight in zip(recent, weights, strict=True)) / seconds
    per_event = whole.output_streamed / whole.events_ok if whole.events_ok else 1.0
    ttft_p50, ttft_p99 = ttft.percentiles((5_000, 9_900))
    itl_p50, itl_p99 = itl.percentiles((5_000, 9_900))
    return Snapshot(
        phase=aggregate.phase,
        elapsed_s=aggregate.elapsed_ns / 1e9,
        window_s=seconds,
        open=aggregate.open,
        target=sum(worker.streams for worker in aggregate.workers),
        requests_per_s=ok_per_s,
        events_per_s=events_per_s,
        tokens_per_s=events_per_s * per_event if events_per_s else output_per_s,
        ttft_p50=ttft_p50,
        ttft_p99=ttft_p99,
        itl_p50=itl_p50,
        itl_p99=itl_p99,
        finished=sum(aggregate.ended().values()),
        failed=aggregate.failed(),
    )
