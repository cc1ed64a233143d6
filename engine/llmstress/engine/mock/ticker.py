"""A timer that ticks every millisecond, precisely on the wheel's slots."""

import time

from llmstress.engine.health.timerfd import TimerFd
from llmstress.engine.mock.wheel import SLOT_US

_SLOT_NS = SLOT_US * 1_000


class Ticker:
    """Its `fd` is readable at every end of a slot while it is started."""

    def __init__(self) -> None:
        self._timer = TimerFd()
        self.fd = self._timer.fd
        self.clear = self._timer.clear
        self.close = self._timer.close

    def start(self) -> None:
        """Tick from the end of the current slot on."""
        self._timer.set((time.monotonic_ns() // _SLOT_NS + 1) * _SLOT_NS, _SLOT_NS)

    def stop(self) -> None:
        """No more ticks."""
        self._timer.set(0)
