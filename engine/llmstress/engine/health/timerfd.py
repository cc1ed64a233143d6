"""A kernel timer behind a file descriptor, served by an event loop on the same path as its sockets.

The loop's own timers count in whole milliseconds and fire up to one early.
"""

import contextlib
import ctypes
import os
import time

_TFD_TIMER_ABSTIME = 1

# struct itimerspec: interval s, interval ns, first expiry s, first expiry ns
_Spec = ctypes.c_long * 4


class TimerFd:
    """Readable from when it expires until it is cleared or set anew. (Python has it from 3.13 on.)"""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    def set(self, first_ns: int, interval_ns: int = 0) -> None:
        """Expire at stamp `first_ns` of the monotonic clock, then every `interval_ns`; both 0: never."""
        spec = _Spec(*divmod(interval_ns, 1_000_000_000), *divmod(first_ns, 1_000_000_000))
        if self._libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def clear(self) -> None:
        """Take note of the expiries so far."""
        # set anew since it became readable: nothing to read
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
