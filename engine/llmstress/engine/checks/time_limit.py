"""A limit on the time that a piece of Python code takes, also inside one call of `re`.

A regular expression may take for ever on an unlucky text, and nothing else in the process runs meanwhile. `re` looks
for signals now and then, so the timer's signal can end it. Signals reach the main thread only; in another thread there
is no limit.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class TookTooLong(Exception):
    """The time was over."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the time of the block.

    Raises:
        TookTooLong: the time was over. It is raised inside of the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def ring(number: int, frame: FrameType | None) -> None:
        if running:
            raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
