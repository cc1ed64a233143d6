"""Histograms as the summary shows them: µs become milliseconds with three decimal places. Pure functions."""

import msgspec

from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram
from llmstress.engine.telemetry.intervals import percentile_intervals


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution in milliseconds. A percentile is null where n < 1 / (1 - p)."""

    count: int
    mean: float | None
    min: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    low_sample: list[str]
    """Percentiles for which the sample is thin."""
    over_an_hour: int
    """Values that were longer, and are counted as an hour."""
    intervals: dict[str, tuple[float | None, float | None]]
    """Percentile -> its 99 % confidence interval by order statistics. A null limit: the samples give none on this
    side."""


def describe(histogram: Histogram | None) -> Latency:
    """A histogram in µs as its summary in ms."""
    found = histogram if histogram is not None else Histogram()
    parts = list(PERCENTILES.values())
    values = dict(zip(PERCENTILES, found.percentiles(parts), strict=True))
    intervals = zip(PERCENTILES, percentile_intervals(found, parts), strict=True)
    return Latency(
        count=found.count,
        mean=in_ms(found.mean),
        min=in_ms(found.min if found.count else None),
        max=in_ms(found.max if found.count else None),
        low_sample=found.low_sample(),
        over_an_hour=found.overflow,
        intervals={name: (in_ms(low), in_ms(high)) for name, (low, high) in intervals},
        **{name: in_ms(value) for name, value in values.items()},
    )


def in_ms(us: float | None) -> float | None:
    """Microseconds as rounded milliseconds."""
    return None if us is None else round(us / 1000, 3)
