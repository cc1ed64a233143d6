"""The wire format of a stream's body: chunks, line ends, compression."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

from llmstress.engine.mock.heads import chunk

_GZIP = 16 + zlib.MAX_WBITS


class WireFormat(NamedTuple):
    """The wire format of a stream."""

    chunked: bool = True
    crlf: bool = False
    """Use CRLF line ends in events."""
    gzip: bool = False
    one_byte_writes: bool = False
    """Send each byte as a chunk of its own, and each byte of that chunk in a write of its own."""


_PLAIN_FORMAT = WireFormat()


class Framing:
    """Turns events into bytes for the wire."""

    __slots__ = ("_gzip", "_wire_format", "frame", "repeats")

    def __init__(self, wire_format: WireFormat) -> None:
        self._wire_format = wire_format
        self._gzip = zlib.compressobj(wbits=_GZIP) if wire_format.gzip else None
        self.repeats = not wire_format.gzip
        """Whether the same event always gives the same bytes."""
        self.frame: Callable[[bytes], bytes] = chunk if wire_format == _PLAIN_FORMAT else self._frame
        """The bytes on the wire for one or several events."""

    def _frame(self, data: bytes) -> bytes:
        if self._wire_format.crlf:
            data = data.replace(b"\n", b"\r\n")
        if self._gzip is not None and data:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        return self._chunked(data)

    def end(self) -> bytes:
        """The bytes that end the body."""
        rest = b"" if self._gzip is None else self._chunked(self._gzip.flush())
        return rest + (b"0\r\n\r\n" if self._wire_format.chunked else b"")

    def _chunked(self, data: bytes) -> bytes:
        if not self._wire_format.chunked:
            return data
        if self._wire_format.one_byte_writes:
            return b"".join([chunk(data[i : i + 1]) for i in range(len(data))])
        return chunk(data)
