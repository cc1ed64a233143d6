"""The queue of reads that have arrived, and the loop that processes them in the order of their stamps.

This loop is most of the CPU time that llmstress spends per token.
"""

from collections import deque
from collections.abc import Callable

from llmstress.engine.stream.fast_path import FAST_READ, NO_PREFIX
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.stream import Stream
from llmstress.engine.telemetry.histogram import HIGHEST_US

_LF, _CR = b"\n\r"


class Reads:
    """Reads that have been stamped and are not processed yet, the oldest first.

    This is the read side of all streams. Whatever receives bytes appends (stream, bytes, stamp) here in the order of
    the stamps, and an empty read where the connection has ended. Streams and the loop below don't know what it is:
    today it is `TransportStream`.

    Stamping is kept apart from processing so that no read waits for its stamp while others are parsed. Thousands of
    streams that began together also end together; when each read was processed as it came, such a wave held the next
    stamps up for 50 ms.
    """

    __slots__ = ("arrived", "clock", "recorder", "wake")

    def __init__(self, recorder: Recorder, clock: Callable[[], int], wake: Callable[[], None]) -> None:
        """wake: is called when the first read arrives; it sees to it that `process` is called soon."""
        self.arrived: deque[tuple[Stream, bytes, int]] = deque()
        self.clock = clock
        self.recorder = recorder
        self.wake = wake

    def process(self, most: int, until: int) -> None:
        """Process at most `most` reads, and none after one that took the long way and ended beyond stamp `until`."""
        arrived, progress, clock = self.arrived, self.recorder.progress, self.clock
        edge = progress.edge
        task = None
        for _ in range(min(most, len(arrived))):
            stream, data, now = arrived.popleft()
            if now >= edge:
                self.recorder.cross(now)
                edge = progress.edge
            exchange = stream.fast
            if exchange is not None:
                if exchange.task is not task:
                    task, prefixes, end, tail, lines, classify, record_gap = exchange.task.reading
                # The read is taken if it is one chunk of the right size, holds one line with the API's prefix, and its
                # event means the very same as the last token event.
                size = len(data)
                prefix = prefixes[size] if size < FAST_READ else NO_PREFIX
                payload = data[len(prefix) : tail]
                if (
                    data.startswith(prefix)
                    and data.endswith(end)
                    and (not lines or (_LF not in payload and _CR not in payload))
                    and classify(payload) is exchange.kind
                ):
                    gap = (now - exchange.last_token) // 1000
                    exchange.last_token = now
                    if exchange.notes_tokens:
                        exchange.note_token(payload, data, now)
                    record_gap(gap)
                    try:
                        exchange.gaps.append(gap)
                    except OverflowError:  # over 71 minutes
                        exchange.gaps.append(HIGHEST_US)
                    continue
            stream.read(data, now)
            edge = progress.edge
            if clock() > until:
                return
