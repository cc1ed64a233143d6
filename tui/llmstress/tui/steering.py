"""The load that key presses request: a number of streams, or a rate of arrivals."""

import time
from collections.abc import Callable
from typing import Literal

from llmstress.engine.telemetry.broadcast import Command, RateRequested, RunView, StreamsRequested
from llmstress.engine.telemetry.formatting import count, rate
from llmstress.engine.telemetry.messages import LABELS, Phase

SMALL_STEP, LARGE_STEP = 0.1, 0.5
"""Steps as shares of the current load."""

PENDING_S = 2.0
"""How long a request counts as pending if the run does not fulfil it."""

LOWEST_RATE = 0.01
"""The lowest rate that keys reach, in requests per second. None at all is a pause."""

FIRST_RATE = 1.0
"""The rate that a key asks for if there is none: a share of 0 would be 0."""

Steered = Literal["streams", "rate", "nothing"]


def steered_by(view: RunView) -> Steered:
    """What keys change: the rate of the open model, else the streams; or nothing."""
    if obstacle(view):
        return "nothing"
    return "streams" if view.profile is None or view.profile.unit == "streams" else "rate"


def obstacle(view: RunView) -> str:
    """Why keys can't change the load, in words; empty: they can."""
    if has_points(view):
        return "the load can't be changed: the sweep or the search decides it"
    if view.profile is not None and view.profile.unit == "trace":
        return "the load can't be changed: the trace says when requests arrive"
    return ""


def has_points(view: RunView) -> bool:
    """Whether the load goes from point to point, and settles before each is measured."""
    return any(each.kind is Phase.WARMUP and each.label != LABELS[Phase.WARMUP] for each in view.aggregate.windows)


def stepped(base: int, share: float, procs: int) -> int:
    """`base` streams changed by a share of them, at least by one; each of the `procs` processes keeps one stream."""
    change = max(1, round(abs(share) * base))
    return max(procs, base + change if share > 0 else base - change)


def stepped_rate(base: float, share: float) -> float:
    """A rate changed by a share of it, rounded to three digits."""
    if base <= 0:
        return FIRST_RATE if share > 0 else LOWEST_RATE
    return max(LOWEST_RATE, float(f"{base * (1 + share):.3g}"))


class RequestedLoad:
    """Remembers the requested load until the run has it, so that several key presses add up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._level: float | None = None
        self._at = 0.0

    def step(self, view: RunView, share: float) -> Command | None:
        """What to send after another key press; None: no worker is running."""
        base = self.wanted(view)
        if steered_by(view) == "rate":
            return self.set(view, stepped_rate(base, share))
        procs = _running(view)
        return self.set(view, stepped(round(base), share, procs)) if procs else None

    def wanted(self, view: RunView) -> float:
        """The load wanted now, in streams or requests per second: the pending request, else that of the run."""
        pending = self.pending(view)
        return level_now(view) if pending is None else pending

    def set(self, view: RunView, level: float) -> Command | None:
        """What to send so that the run has this load; None: no worker is running."""
        procs = _running(view)
        if not procs:
            return None
        rated = steered_by(view) == "rate"
        self._level = level if rated else float(max(round(level), procs))
        self._at = self._clock()
        return RateRequested(self._level) if rated else StreamsRequested(round(self._level))

    def pending(self, view: RunView) -> float | None:
        """The requested load that the run does not have yet; None: no request is pending."""
        # what the workers report is as old as their interval
        limit_s = PENDING_S + view.facts.interval_s
        if self._level is not None and (self._level == level_now(view) or self._clock() - self._at > limit_s):
            self._level = None
        return self._level

    def words(self, view: RunView) -> str:
        """The pending request: `→ 110 streams`, `→ 220/s`; empty: there is none."""
        pending = self.pending(view)
        if pending is None:
            return ""
        return f"→ {rate(pending)}/s" if steered_by(view) == "rate" else f"→ {count(pending)} streams"


def level_now(view: RunView) -> float:
    """The load that the run asks for now: requests per second, or streams of the running workers; only running
    workers can be steered."""
    if view.profile is not None:
        return view.profile.level_at(view.aggregate.elapsed_ns)
    return float(sum(worker.streams for worker in view.aggregate.workers if worker.state == "running"))


def _running(view: RunView) -> int:
    return sum(worker.state == "running" for worker in view.aggregate.workers)
