"""Charts of the stages or points of a run against their load: pure functions that decide what is drawn."""

from collections.abc import Callable, Sequence
from typing import Literal

from llmstress.engine.telemetry.metrics import METRICS
from llmstress.engine.telemetry.windows import WindowFigures
from llmstress.tui.charts.axes import ceiling_of, decade_below, nice_ceiling
from llmstress.tui.charts.lines import LOG_ABOVE, Drawing, Line

Value = Callable[[WindowFigures], float | None]

_UNITS = {
    "streams": "streams",
    "requests": "asked requests/s",
    "trace": "speed of the trace",
    "sessions": "asked sessions/s",
}
"""Unit of a load -> how the horizontal axis is called."""

_NOTHING = "nothing to draw yet: no stage or point is over"


def drawings_of(points: Sequence[WindowFigures], counted_in: str, *, whole_answers: bool) -> list[Drawing]:
    """All charts: throughput and latency against load, and what a user gets against throughput.

    Args:
        points: the stages or points, in any order.
        counted_in: unit of the work, as in `Snapshot`.
        whole_answers: the answers are not streamed: they have an E2E, and no TTFT and no TPOT.
    """
    ordered = sorted((each for each in points if each.asked > 0), key=lambda each: (each.asked, each.index))
    latency = "e2e" if whole_answers else "ttft"
    against = _UNITS[ordered[0].unit] if ordered else "load"
    upper = {name: _percentile(latency, name) for name in ("p50", "p99")}
    made = [
        _against_load(f"{counted_in}/s against {against}", "rate", ordered, {"": work_of(counted_in)}),
        _against_load(f"{METRICS[latency].label} p50, p99 against {against}", "us", ordered, upper),
    ]
    return made if whole_answers else [*made, _interactivity(ordered)]


def work_of(counted_in: str) -> Value:
    """The throughput of a point, in the unit of the work."""
    if counted_in == "inputs":
        return lambda each: each.inputs_per_s
    return (lambda each: each.tokens_per_s) if counted_in == "tokens" else (lambda each: each.requests_per_s)


def _percentile(metric: str, name: str) -> Value:
    return lambda each: each.percentile(metric, name)


def _against_load(
    title: str, unit: Literal["us", "rate"], ordered: Sequence[WindowFigures], values: dict[str, Value]
) -> Drawing:
    lines = tuple(
        Line(name, tuple((each.asked, _number(value(each))) for each in ordered)) for name, value in values.items()
    )
    found = [value for line in lines for _, value in line.points if value]
    logarithmic = unit == "us" and bool(found) and max(found) > LOG_ABOVE * min(found)
    low, high = (decade_below(min(found)), nice_ceiling(max(found))) if logarithmic else (0.0, ceiling_of(found))
    loads = [each.asked for each in ordered]
    wide = bool(loads) and max(loads) > LOG_ABOVE * min(loads)
    return Drawing(
        title=f"{title}{' (log)' if wide else ''}{', log' if logarithmic else ''}",
        lines=lines,
        begin=decade_below(min(loads)) if wide else 0.0,
        end=nice_ceiling(max(loads)) if wide else ceiling_of(loads),
        low=low,
        high=high,
        logarithmic=logarithmic,
        unit=unit,
        across="number",
        logarithmic_across=wide,
        dots=True,
        empty=_NOTHING,
    )


def _interactivity(ordered: Sequence[WindowFigures]) -> Drawing:
    """Tokens per second of one user against those of all: a point for each load, joined in the order of load."""
    points = tuple(
        (each.tokens_per_s, each.interactivity) for each in ordered if each.tokens_per_s and each.interactivity
    )
    return Drawing(
        title="tokens/s of a user against tokens/s",
        lines=(Line("", points),),
        end=ceiling_of(x for x, _ in points),
        low=0.0,
        high=ceiling_of(y for _, y in points),
        unit="rate",
        across="number",
        dots=True,
        empty=_NOTHING,
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
