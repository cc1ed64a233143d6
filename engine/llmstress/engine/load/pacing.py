"""How fast streams begin when many may: along the ramp, and in turns of the event loop when they are released."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from llmstress.engine.stream.stream import Stream

TURN = 64
"""Requests begun in one turn of the loop, so that dials and reads go on while thousands of streams begin."""

RAMP_STEP_NS = 20_000_000
"""A steep ramp is climbed in steps: with a turn of the loop for every stream a connection cost 460 µs, with steps of
20 ms 325. What a step adds to a stream's start is in `queue`."""


class Begin(Protocol):
    """Begins the next request of a stream, which is due at stamp `due`."""

    def __call__(self, stream: Stream, due: int) -> None:
        """See the class."""


async def climb(starts: Iterable[tuple[Stream, int]], step_ns: int, clock: Callable[[], int], begin: Begin) -> None:
    """Begin each stream at its stamp, in the order given. A wait lasts `step_ns` at least: a steep ramp has steps."""
    for index, (stream, due) in enumerate(starts):
        while (wait := due - clock()) > 0:  # uvloop's timers fire up to 1 ms early
            await asyncio.sleep(max(wait, step_ns) / 1e9)
        begin(stream, due)
        if index % TURN == 0:
            await asyncio.sleep(0)


class Release:
    """Streams that may begin now, and begin a few at a time: dials and reads go on while thousands of streams begin."""

    def __init__(self, connect_gap_ns: int, clock: Callable[[], int], begin: Begin) -> None:
        """connect_gap_ns: least time between two streams that begin with a new connection."""
        self._connect_gap_ns = connect_gap_ns
        self._clock = clock
        self._begin = begin
        self._waiting: deque[tuple[Stream, int]] = deque()
        """While there are any, `_begin_some` is on its way."""
        self._paced = 0
        """Before this stamp no released stream is due: connections are not all opened at once."""

    def add(self, streams: Iterable[Stream], due: int) -> None:
        """Have these streams begin; they are due at stamp `due`."""
        before = len(self._waiting)
        self._waiting += [(stream, due) for stream in streams]
        if self._waiting and not before:
            asyncio.get_running_loop().call_soon(self._begin_some)

    def _begin_some(self) -> None:
        loop = asyncio.get_running_loop()
        if (early := self._paced - self._clock()) > 0:
            loop.call_later(early / 1e9, self._begin_some)
            return
        connects = 0
        for _ in range(min(TURN, len(self._waiting))):
            stream, due = self._waiting.popleft()
            connects += stream.link is None
            self._begin(stream, max(due, self._paced))
        if not self._waiting:
            return
        if gap_ns := connects * self._connect_gap_ns:
            self._paced = self._clock() + gap_ns
            loop.call_later(gap_ns / 1e9, self._begin_some)
        else:
            loop.call_soon(self._begin_some)
