"""A timer that ticks every millisecond, exactly at the ends of the wheel's slots."""

import time

from llmstress.engine.health.timerfd import TimerFd
from llmstress.engine.mock.wheel import SLOT_US

_SLOT_NS = SLOT_US * 1_000


class Ticker:
    """A timer whose `fd` becomes readable at the end of every slot while the timer runs."""

    def __init__(self) -> None:
        self._timer = TimerFd()
        self.fd = self._timer.fd
        self.acknowledge = self._timer.clear
        self.close = self._timer.close

    def start(self) -> None:
        """Start ticking at the end of the current slot."""
        self._timer.set((time.monotonic_ns() // _SLOT_NS + 1) * _SLOT_NS, _SLOT_NS)

    def stop(self) -> None:
        """Stop ticking."""
        self._timer.set(0)
