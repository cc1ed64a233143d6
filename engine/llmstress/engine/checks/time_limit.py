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
    """Limit the CPU time of the block: a machine that is busy or throttled must not decide what becomes of an answer.

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

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
