"""What a read looks like that is one HTTP chunk holding one token event: the fast path takes no other."""

from llmstress.engine.api.base import Api, Framing

FAST_READ = 4096
"""Reads below this many bytes may take the fast path."""

_LF, _CR = b"\n\r"  # as integers: looking for a byte takes 20 ns, looking for bytes 200


class Shape:
    """Of the token events of one API.

    `prefixes` has for every length of a read what it begins with if it is one chunk holding one event: comparing with
    that proves the chunk size right and finds the payload, without parsing the number.
    """

    __slots__ = ("end", "lines", "prefixes")

    def __init__(self, api: Api) -> None:
        self.lines = api.FRAMING is Framing.EVENTS
        """The payload is a line; else any bytes."""
        self.end = b"\n\n\r\n" if self.lines else b"\r\n"
        """Of an event that ends with its chunk."""
        begins = api.EVENT_BEGINS if self.lines else b""
        around = len(self.end) - 2
        self.prefixes = [b"\0"] * FAST_READ
        for size in range(len(begins) + around, FAST_READ):
            head = b"%x\r\n" % size
            if len(head) + size + 2 < FAST_READ:
                self.prefixes[len(head) + size + 2] = head + begins

    def payload(self, chunk: bytes) -> bytes | None:
        """The data of an event, given its chunk without `end`; None: it is of another shape."""
        size = len(chunk) + len(self.end)
        prefix = self.prefixes[size] if size < FAST_READ else b"\0"
        payload = chunk[len(prefix) :]
        return None if not chunk.startswith(prefix) or _LF in payload or _CR in payload else payload
