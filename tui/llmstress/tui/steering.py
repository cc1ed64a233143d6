"""How many streams a press of a key asks for."""

import time
from collections.abc import Callable

from llmstress.engine.telemetry.broadcast import RunView

SMALL_STEP, LARGE_STEP = 0.1, 0.5
"""Steps, as shares of the current number of streams."""

PENDING_S = 2.0
"""The run has this long to do what was asked."""


def stepped(base: int, share: float, procs: int) -> int:
    """`base` streams changed by a share of them: by at least one, and each of the `procs` processes keeps one."""
    change = max(1, round(abs(share) * base))
    return max(procs, base + change if share > 0 else base - change)


class RequestedStreams:
    """Remembers what was asked until the run has done it, so that several presses in a row add up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._total: int | None = None
        self._at = 0.0

    def step(self, view: RunView, share: float) -> int | None:
        """What to ask for after one more press; None if no worker is running."""
        procs = len(_running(view))
        return self.set(view, stepped(self.wanted(view), share, procs)) if procs else None

    def wanted(self, view: RunView) -> int:
        """How many streams are wanted now: what was asked last, else what the running workers have."""
        pending = self.pending(view)
        return sum(_running(view)) if pending is None else pending

    def set(self, view: RunView, total: int) -> int | None:
        """What to ask for to have `total` streams; None if no worker is running."""
        procs = len(_running(view))
        if not procs:
            return None
        self._total = max(total, procs)
        self._at = self._clock()
        return self._total

    def pending(self, view: RunView) -> int | None:
        """What was asked and is not done yet."""
        if self._total is not None and (self._total == sum(_running(view)) or self._clock() - self._at > PENDING_S):
            self._total = None
        return self._total


def _running(view: RunView) -> list[int]:
    """Streams of each running worker: only these can be steered."""
    return [worker.streams for worker in view.aggregate.workers if worker.state == "running"]
