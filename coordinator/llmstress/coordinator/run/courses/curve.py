"""Peak and knee of a curve of throughput against load. Pure functions."""

from collections.abc import Sequence

import msgspec

NEAR_END = 0.9
"""A knee beyond this share of the highest load can't be told from a straight line."""


class Measured(msgspec.Struct, frozen=True):
    """The throughput at a load."""

    level: float
    per_s: float
    half_width: float | None
    """Half of its interval, as a share of it; None: unknown."""

    @property
    def low(self) -> float:
        """The lower limit of the interval."""
        return self.per_s * (1 - (self.half_width or 0))

    @property
    def high(self) -> float:
        """The upper limit of the interval."""
        return self.per_s * (1 + (self.half_width or 0))


class Peak(msgspec.Struct, frozen=True):
    """The highest throughput."""

    at: Measured
    reached: float
    """The lowest load whose throughput is not certainly lower: its interval reaches that of the peak."""


class Knee(msgspec.Struct, frozen=True):
    """The load beyond which more load gives hardly more throughput."""

    level: float | None
    """None: there is no knee within the loads."""
    low: float | None
    high: float | None
    """Interval; None: unknown."""
    why: str
    """Why there is none; empty if there is one."""


def peak_of(points: Sequence[Measured]) -> Peak | None:
    """The peak; None: nothing was measured."""
    best = max(points, key=lambda point: point.per_s, default=None)
    if best is None or not best.per_s:
        return None
    return Peak(best, min(point.level for point in points if point.high >= best.low))


def knee_of(points: Sequence[Measured], *, rate: bool) -> Knee:
    """Where the line of light load reaches the peak: the saturation point N* of the asymptotic bounds of a queueing
    network (Lazowska et al., Quantitative System Performance, 1984, section 5.2). If one stream had a server to itself,
    its throughput would rise by that of the lowest load with every stream, until the server has no more to give.

    Args:
        points: in the order of load.
        rate: the levels and the throughputs are requests per second; a request that finds the server idle adds exactly
            itself. Else levels are streams.
    """
    peak = peak_of(points)
    if peak is None or len(points) < 2:
        return Knee(None, None, None, "two points with a throughput are needed")
    first, top = points[0], points[-1].level
    if not rate and not first.per_s:
        return Knee(None, None, None, "the lowest load has no throughput")
    slope = 1.0 if rate else first.per_s / first.level
    level = peak.at.per_s / slope
    if level >= NEAR_END * top:
        return Knee(None, None, None, "the throughput still grows with the load at the highest one")
    if level <= first.level / NEAR_END:
        return Knee(None, None, None, "the lowest load reaches the peak already")
    if peak.at.half_width is None or (not rate and first.half_width is None):
        return Knee(level, None, None, "")
    spread = 0.0 if rate else first.half_width or 0.0
    return Knee(level, peak.at.low / slope / (1 + spread), peak.at.high / slope / max(1e-9, 1 - spread), "")
