"""How many requests were good, how fluid the answers were, and what readers had of them: from counts. Pure functions.

`docs/metrics.md` has the definitions and their sources.
"""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram
from llmstress.engine.telemetry.intervals import Interval, percentile_intervals, share_interval
from llmstress.engine.telemetry.messages import Part

MISSED = "missed_deadlines"
"""Name in `Part.aside`: the share of an answer's deadlines that were missed, in parts per 10,000."""

IDLE = "idle"
"""Name in `Part.aside`: how long the reader of an answer waited for its tokens (µs)."""

FLUID = 0.9
"""An answer is fluid from this index on: the bar of Etalon (arXiv 2407.07000)."""


class Goodput(msgspec.Struct, frozen=True, kw_only=True):
    """The good requests of a stretch of time: those that ended ok and met every SLO."""

    met: int
    unknown: int
    """Requests that ended ok, missed no SLO for certain, and whose value in one of them is unknown."""
    finished: int
    """All requests that ended in the stretch, except the cancelled ones."""
    missed: Mapping[str, int]
    """Text of an SLO -> how many ok requests missed it; a request may miss several. Not to be changed."""
    per_s: float | None
    """Good requests per second; None: the stretch has no length."""
    tokens_per_s: float | None
    """Output tokens of the good requests per second."""

    @property
    def share(self) -> float | None:
        """Share of the finished requests that were certainly good; None: none has finished."""
        return self.met / self.finished if self.finished else None

    @property
    def share_max(self) -> float | None:
        """The share if all unknown requests were good as well."""
        return (self.met + self.unknown) / self.finished if self.finished else None

    @property
    def share_interval(self) -> Interval:
        """The 99 % confidence interval of the share. An unknown request makes it wider: the lower limit counts it as
        not good, the upper one as good."""
        low, _ = share_interval(self.met, self.finished)
        _, high = share_interval(self.met + self.unknown, self.finished)
        return low, high


def goodput(part: Part, seconds: float) -> Goodput:
    """The good requests that ended in `part`, which is `seconds` long."""
    counters = part.counters
    return Goodput(
        met=counters.slo_met,
        unknown=counters.slo_unknown,
        finished=sum(part.ended.values()) - part.ended.get("cancelled", 0),
        missed=part.missed,
        per_s=counters.slo_met / seconds if seconds > 0 else None,
        tokens_per_s=counters.good_output / seconds if seconds > 0 else None,
    )


class Fluidity(msgspec.Struct, frozen=True, kw_only=True):
    """How many deadlines the answers of a stretch of time met."""

    answers: int
    """Those that have an index."""
    deadlines: int
    missed: int
    fluid: int
    """Answers with an index of `FLUID` or more."""
    index: Mapping[str, float | None]
    """`p50`, `p10`, `p1` of the index: one answer in ten is below `p10`. None with fewer than 2, 10, 100 answers."""
    low_sample: list[str]
    """Percentiles of the index for which there are too few answers."""
    intervals: Mapping[str, Interval]
    """Percentile of the index -> its 99 % confidence interval."""


_OF_MISSES: Mapping[str, str] = {"p50": "p50", "p10": "p90", "p1": "p99"}
"""Percentile of the index -> that of the share of missed deadlines, which is recorded."""


def fluidity(part: Part) -> Fluidity:
    """The fluidity of the answers that ended in `part`."""
    counters, shares = part.counters, part.aside.get(MISSED, Histogram())
    parts = [PERCENTILES[name] for name in _OF_MISSES.values()]
    missed = zip(_OF_MISSES, shares.percentiles(parts), strict=True)
    limits = zip(_OF_MISSES, percentile_intervals(shares, parts), strict=True)
    return Fluidity(
        answers=shares.count,
        deadlines=counters.deadlines,
        missed=counters.deadlines_missed,
        fluid=counters.fluid,
        index={name: _index(share) for name, share in missed},
        low_sample=[name for name, of_misses in _OF_MISSES.items() if of_misses in shares.low_sample()],
        intervals={name: (_index(high), _index(low)) for name, (low, high) in limits},
    )


def _index(missed: float | None) -> float | None:
    return None if missed is None else 1 - missed / 10_000


class SmoothGoodput(msgspec.Struct, frozen=True, kw_only=True):
    """What readers of the answers of a stretch of time had of them."""

    answers: int
    """Those that have a benefit."""
    per_s: float | None
    """Sum of the benefits (tokens) per second; None: the stretch has no length."""
    idle: Histogram
    """How long readers waited (µs); not to be changed."""


def smooth_goodput(part: Part, seconds: float) -> SmoothGoodput:
    """The smooth goodput of the answers that ended in `part`, which is `seconds` long."""
    idle = part.aside.get(IDLE, Histogram())
    return SmoothGoodput(
        answers=idle.count,
        per_s=part.counters.benefit_milli / 1000 / seconds if seconds > 0 else None,
        idle=idle,
    )
