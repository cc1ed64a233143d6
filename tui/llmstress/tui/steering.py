"""The number of streams that key presses request."""

import time
from collections.abc import Callable

from llmstress.engine.telemetry.broadcast import RunView

SMALL_STEP, LARGE_STEP = 0.1, 0.5
"""Steps as shares of the current number of streams."""

PENDING_S = 2.0
"""How long a request counts as pending if the run does not fulfil it."""


def stepped(base: int, share: float, procs: int) -> int:
    """`base` streams changed by a share of them, at least by one; each of the `procs` processes keeps one stream."""
    change = max(1, round(abs(share) * base))
    return max(procs, base + change if share > 0 else base - change)


class RequestedStreams:
    """Remembers the requested number until the run has it, so that several key presses add up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._total: int | None = None
        self._at = 0.0

    def step(self, view: RunView, share: float) -> int | None:
        """The number to request after another key press; None: no worker is running."""
        procs = len(_running(view))
        return self.set(view, stepped(self.wanted(view), share, procs)) if procs else None

    def wanted(self, view: RunView) -> int:
        """The number of streams wanted now: the pending request, else the streams of the running workers."""
        pending = self.pending(view)
        return sum(_running(view)) if pending is None else pending

    def set(self, view: RunView, total: int) -> int | None:
        """The number to request so that the run has `total` streams; None: no worker is running."""
        procs = len(_running(view))
        if not procs:
            return None
        self._total = max(total, procs)
        self._at = self._clock()
        return self._total

    def pending(self, view: RunView) -> int | None:
        """The requested number that the run does not have yet; None: no request is pending."""
        if self._total is not None and (self._total == sum(_running(view)) or self._clock() - self._at > PENDING_S):
            self._total = None
        return self._total


def _running(view: RunView) -> list[int]:
    """Streams of each running worker; only running workers can be steered."""
    return [worker.streams for worker in view.aggregate.workers if worker.state == "running"]
