"""A kernel timer with a file descriptor, which an event loop serves in the same way as its sockets.

uvloop's own timers count whole milliseconds and fire up to one millisecond early.
"""

import contextlib
import ctypes
import os
import time

_TFD_TIMER_ABSTIME = 1

# struct itimerspec: interval s, interval ns, first expiry s, first expiry ns
_Spec = ctypes.c_long * 4


class TimerFd:
    """A timer whose descriptor `fd` is readable from its expiry until it is cleared or set again.

    It calls libc, because Python's `os.timerfd_create` exists from 3.13 on only.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    def set(self, first_ns: int, interval_ns: int = 0) -> None:
        """Expire at `first_ns` of the monotonic clock, then every `interval_ns` (0: only once). Both 0: never."""
        spec = _Spec(*divmod(interval_ns, 1_000_000_000), *divmod(first_ns, 1_000_000_000))
        if self._libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def clear(self) -> None:
        """Reset the descriptor after an expiry, so that it is readable again only after the next one."""
        # BlockingIOError: the timer was set again after it became readable, so there is nothing to read.
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
