"""How well this process itself does: how late its event loop serves a timer, how much memory it holds.

Loop lag is the error that a stamp can have: a timerfd fires at a random moment and is served on the same path as a
socket. (Timers of the loop would not do: they have a resolution of 1 ms and fire up to 1 ms early.)
"""

import asyncio
import ctypes
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

MEAN_PERIOD_S = 0.01
"""100 moments a second: 6,000 a minute carry a p99, at under 0.2 % of a core."""

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class LagProbe:
    """Calls `report(microseconds late)` about a hundred times a second, at random moments."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._due = 0
        self._random = random.Random()
        asyncio.get_running_loop().add_reader(self._fd, self._fired)
        self._arm()

    def close(self) -> None:
        """Stop probing."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _arm(self) -> None:
        self._due = time.monotonic_ns() + int(self._random.uniform(0.5, 1.5) * MEAN_PERIOD_S * 1e9)
        moment = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(self._due, 1_000_000_000)))
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(moment), None)

    def _fired(self) -> None:
        late = time.monotonic_ns() - self._due
        os.read(self._fd, 8)
        self._report(late // 1000)
        self._arm()


def resident_bytes() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
