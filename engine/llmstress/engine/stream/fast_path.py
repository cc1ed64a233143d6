"""What a read looks like that is one HTTP chunk holding one token event: the fast path takes no other."""

from functools import lru_cache

from llmstress.engine.api.base import Api, Framing

FAST_READ = 4096
"""Reads below this many bytes may take the fast path."""

NO_PREFIX = b"\0"
"""Stands where no read can take the fast path. A chunk begins with its size, so no chunk begins with a NUL."""

_LF, _CR = b"\n\r"  # as integers: looking for a byte takes 20 ns, looking for bytes 200


class Shape:
    """The shape of the token events of one API."""

    __slots__ = ("end", "lines", "prefixes", "tail")

    def __init__(self, lines: bool, begins: bytes) -> None:
        """begins: what comes before the data of an event."""
        self.lines = lines
        """The payload is a line; else any bytes."""
        self.end = b"\n\n\r\n" if lines else b"\r\n"
        """What an event ends with that ends with its chunk."""
        self.tail = -len(self.end)
        self.prefixes = [NO_PREFIX] * FAST_READ
        """For every length of a read: what the read begins with if it is one chunk holding one event. The length of a
        read determines the chunk's size, so one comparison proves the size right and finds the payload, without parsing
        the number."""
        for size in range(len(begins) + len(self.end) - 2, FAST_READ):
            head = b"%x\r\n" % size
            if len(head) + size + 2 < FAST_READ:
                self.prefixes[len(head) + size + 2] = head + begins

    def payload(self, chunk: bytes) -> bytes | None:
        """The data of an event, given its chunk without `end`; None: the chunk is of another shape."""
        size = len(chunk) - self.tail
        prefix = self.prefixes[size] if size < FAST_READ else NO_PREFIX
        payload = chunk[len(prefix) :]
        return None if not chunk.startswith(prefix) or _LF in payload or _CR in payload else payload


def shape_of(api: Api) -> Shape:
    """The shape of an API's token events."""
    lines = api.FRAMING is Framing.EVENTS
    return _shape(lines, api.EVENT_BEGINS if lines else b"")


_shape = lru_cache(maxsize=16)(Shape)  # 0.2 MB each, and most APIs have the same one
