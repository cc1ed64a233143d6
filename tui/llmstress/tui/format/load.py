"""The load in words: what the run asks for, what it has achieved, and which stage or point lasts. Pure functions."""

import math

import msgspec

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.load_profile import Profile, Unit
from llmstress.engine.telemetry.messages import LABELS, Phase, Window
from llmstress.tui.steering import has_points


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The stage of the load, or the point of a sweep, that lasts."""

    name: str
    """`stage 2 of 5`, `point 3 of 10`, `point 3` of a search."""
    last: bool
    """None follows."""
    settling: bool
    """The load has just changed, and the point is not measured yet."""
    left_s: float | None
    """Seconds until it ends; None: that is decided while it lasts."""
    levels: str
    """Its load: `340 → 1,000 streams`."""


def place_of(view: RunView) -> Place | None:
    """The stage or point that lasts; None: the run has none, has not started, or is over."""
    aggregate = view.aggregate
    window = aggregate.windows[min(aggregate.window, len(aggregate.windows) - 1)]
    if not view.facts.started_at or view.ended is not None or window.label == LABELS[window.kind]:
        return None
    measured = [each for each in aggregate.windows if each.kind is Phase.STEADY]
    number = sum(each.index < window.index for each in measured) + 1
    by_points = has_points(view)
    of = view.facts.points if by_points else len(measured)
    name = f"{'point' if by_points else 'stage'} {number}{f' of {of}' if of else ''}"
    return Place(
        name=name,
        last=number == of,
        settling=window.kind is not Phase.STEADY,
        left_s=None if by_points or window.end is None else max(0.0, (window.end - aggregate.elapsed_ns) / 1e9),
        levels="" if view.profile is None else levels_words(view.profile, window, aggregate.elapsed_ns),
    )


def measured_name(view: RunView) -> str:
    """What the windows are called whose figures are those of the summary."""
    if view.facts.whole_run:
        return "whole run"
    if sum(each.kind is Phase.STEADY for each in view.aggregate.windows) > 1 or has_points(view):
        return "all points" if has_points(view) else "all stages"
    return "steady window"


def levels_words(profile: Profile, window: Window, now: int) -> str:
    """The load of a window, from its begin to its end, or to `now` (ns after T0) if its end is open."""
    begin = window.begin or 0
    end = max(begin + 1, now if window.end is None else window.end)
    inside = [piece for piece in profile.pieces if piece.begin < end and (piece.end is None or piece.end > begin)]
    first, last = profile.level_at(begin), profile.level_at(end - 1)
    within = [level for piece in inside[1:-1] for level in (piece.first, piece.last)]
    low, high = min([first, last, *within]), max([first, last, *within])
    if low < min(first, last) or high > max(first, last):
        return f"{level_number(low, profile.unit)} to {level_words(high, profile.unit)}"
    if level_number(first, profile.unit) == level_number(last, profile.unit):
        return level_words(last, profile.unit)
    return f"{level_number(first, profile.unit)} → {level_words(last, profile.unit)}"


def level_number(level: float, unit: Unit) -> str:
    """A level without its unit: `1,000`, `0.5`."""
    if unit == "streams":
        return formatting.count(math.ceil(round(level, 6)))
    return rate_number(level)


def level_words(level: float, unit: Unit) -> str:
    """A level with its unit: `1,000 streams`, `50/s`, `2 × trace`, `5 sessions/s`."""
    number = level_number(level, unit)
    streams = "stream" if number == "1" else "streams"
    return {
        "streams": f"{number} {streams}",
        "requests": f"{number}/s",
        "trace": f"{number} × trace",
        "sessions": f"{number} sessions/s",
    }[unit]


def rate_number(per_second: float) -> str:
    """A rate with four digits, so that asked and achieved rate can be compared: `200`, `199.8`, `12,345`."""
    rounded = float(f"{per_second:.4g}")
    return formatting.count(per_second) if rounded >= 1000 else f"{rounded:g}"


def asked_mean(view: RunView, begin: int, end: int) -> float | None:
    """The mean level that was asked for from `begin` to `end` (ns after T0), in which nothing is asked for after the
    last window before the drain; None: the run has no profile."""
    profile = view.profile
    if profile is None or end <= begin:
        return None
    last = drain_begin(view)
    until = end if last is None else min(end, last)
    return profile.mean(begin, until) * (until - begin) / (end - begin) if until > begin else 0.0


def drain_begin(view: RunView) -> int | None:
    """When the drain begins or began (ns after T0); None: that is not decided."""
    found = (view.aggregate.windows[-1].begin, view.aggregate.began(Phase.DRAIN))
    return min((t for t in found if t is not None), default=None)


def wanted_streams(view: RunView) -> int:
    """Streams wanted now, over all workers that still run: what the profile asks for, else the number of each worker.
    In the open model it is the most requests in flight."""
    profile = view.profile
    if profile is not None and profile.unit == "streams" and view.ended is None:
        return math.ceil(round(profile.level_at(view.aggregate.elapsed_ns), 6))
    return sum(worker.streams for worker in view.aggregate.workers if worker.state != "lost")
