"""An alarm that rings at a stamp, to the accuracy of the kernel's timers."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from llmstress.engine.health.timerfd import TimerFd


class Rings(Protocol):
    """Calls a function when a stamp has come."""

    def set(self, stamp: int | None) -> None:
        """Ring at this stamp of the monotonic clock, instead of at an earlier one that was set; None: not at all. One
        that has passed rings in the next turn of the loop."""

    def close(self) -> None:
        """It rings no more."""


MakeAlarm = Callable[[Callable[[], None]], Rings]
"""Makes an alarm that calls this function; inside a running loop."""


class Alarm(Rings):
    """By a kernel timer. uvloop's own timers count whole milliseconds: at 2,000 requests a second every second one
    would be late by half of the time between two requests."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """To be made inside a running loop."""
        self._ring = ring
        self._timer = TimerFd()
        asyncio.get_running_loop().add_reader(self._timer.fd, self._fired)

    def set(self, stamp: int | None) -> None:
        """See `Rings`."""
        self._timer.set(0 if stamp is None else max(1, stamp))

    def close(self) -> None:
        """See `Rings`."""
        asyncio.get_running_loop().remove_reader(self._timer.fd)
        self._timer.close()

    def _fired(self) -> None:
        self._timer.clear()
        self._ring()
