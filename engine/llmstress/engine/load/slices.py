"""When reads are processed: in slices of a millisecond, between which the loop stamps what has arrived."""

import asyncio
from collections.abc import Callable

from llmstress.engine.stream.read_loop import Reads
from llmstress.engine.stream.recorder import Recorder

SLICE, SLICE_NS = 256, 1_000_000
"""Reads processed before the loop looks for new ones: 1 ms of work."""

BACKLOG = 16_384
"""Reads that may wait to be processed before slices grow. Stamping goes first: 4,000 requests that end together are
0.2 s of work, and slices that grew with the backlog from the start made stamps up to 40 ms late (p99); these, 5 ms."""

EXTRA_NS = 1_000
"""For every second read beyond that, so that reads don't pile up for ever."""

LARGE_READ, LARGE_SHARE = 64 * 1024, 32
"""From so many bytes on a read counts as one for each 32 of them. A server that floods its clients fills reads of
256 KB, and 16,384 of these would be 4 GB: five such streams made a backlog of 0.8 GB, half a minute of work, and their
worker passed for lost."""


def next_slice(reads: int, size: int) -> tuple[int, int]:
    """How many reads are processed before the loop looks for new ones, and for how long (ns), if `reads` wait and the
    first of them has `size` bytes."""
    waiting = reads if size < LARGE_READ else reads * (size // LARGE_SHARE)
    extra = max(0, waiting - BACKLOG) // 2
    return SLICE + extra, SLICE_NS + extra * EXTRA_NS


class SlicedReads(Reads):
    """Reads that are processed in slices, one in each turn of the event loop."""

    __slots__ = ("_fail", "_loop", "_woken")

    def __init__(self, recorder: Recorder, clock: Callable[[], int], fail: Callable[[BaseException], None]) -> None:
        """fail: is told of an exception that ends the run. To be made inside a running loop."""
        super().__init__(recorder, clock, self._wake)
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._woken = False

    def oldest(self) -> int | None:
        """Stamp of the oldest read that waits; None: none waits."""
        return self.arrived[0][2] if self.arrived else None

    def process_slice(self) -> bool:
        """Process some of the reads that wait; gives whether there are more, and the run still stands."""
        arrived = self.arrived
        most, lasting_ns = next_slice(len(arrived), len(arrived[0][1]) if arrived else 0)
        try:
            self.process(most, self.clock() + lasting_ns)
        except Exception as fault:
            self._fail(fault)
            return False
        return bool(arrived)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._woken = False
        if self.process_slice():
            self._wake()
