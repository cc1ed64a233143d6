"""What the summary says about the load: asked and achieved, as a whole and window by window. Pure functions."""

from collections.abc import Mapping, Sequence

import msgspec

from llmstress.coordinator.output.judging_schema import Goodput
from llmstress.coordinator.output.latencies import Latency
from llmstress.coordinator.output.load_schema import Load
from llmstress.coordinator.output.schema import WindowRow
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.load_profile import RATES
from llmstress.engine.telemetry.windows import WindowFigures


def load_of(aggregate: Aggregate, windows: Sequence[WindowFigures], arrival: str, burstiness: float | None) -> Load:
    """The load of a run.

    Args:
        aggregate: what was measured.
        windows: its steady windows that have begun.
        arrival: how requests arrive; empty in the closed model.
        burstiness: of gamma arrivals.
    """
    whole, steady = aggregate.counters(), aggregate.steady
    unit = windows[0].unit if windows else "requests" if arrival else "streams"
    if not arrival:
        return Load(model="closed", unit=unit, started=whole.started)
    seconds = sum(window.seconds for window in windows)
    asked = sum(window.asked * window.seconds for window in windows)
    queue = steady.latency.get("queue")
    slip_us = queue.percentile("p99") if queue is not None else None
    return Load(
        model="open",
        arrival=arrival,
        burstiness=burstiness,
        unit=unit,
        asked_per_s=round(asked / seconds, 3) if unit in RATES and seconds else None,
        due=whole.due,
        started=whole.started,
        dropped=whole.dropped,
        due_per_s=round(steady.counters.due / seconds, 3) if seconds else None,
        achieved_per_s=round(steady.counters.started / seconds, 3) if seconds else None,
        achieved_share=_share(steady.counters.started, steady.counters.due),
        waiting_max=aggregate.waiting_max,
        slip_p99_ms=None if slip_us is None else slip_us / 1000,
    )


def window_row(
    window: WindowFigures, latencies: Mapping[str, Latency], goodput: Goodput | None, *, arrivals: bool
) -> WindowRow:
    """A row of the summary. `arrivals`: the run has an open model."""
    interactivity = window.interactivity
    return WindowRow(
        label=window.label,
        begin_s=round(window.begin_s, 6),
        seconds=round(window.seconds, 6),
        unit=window.unit,
        asked=round(window.asked, 3),
        due=window.due if arrivals else None,
        started=window.started,
        dropped=window.dropped if arrivals else None,
        started_per_s=_rounded(window.achieved_per_s),
        achieved_share=_share(window.started, window.due) if arrivals else None,
        ok=window.ok,
        failed=window.failed,
        filtered=window.ended.get("filtered", 0),
        cancelled=window.cancelled,
        lost=window.ended.get("lost", 0),
        failed_by=dict(window.failed_by),
        requests_per_s=_rounded(window.requests_per_s),
        output_per_s=_rounded(window.tokens_per_s),
        events_per_s=_rounded(window.events_per_s),
        interactivity=_rounded(interactivity),
        latency_ms=dict(latencies),
        goodput=goodput or msgspec.UNSET,
    )


def _share(started: int, due: int) -> float | None:
    return round(started / due, 6) if due else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
