"""The form that the body of a stream has on the wire."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

from llmstress.engine.mock.heads import chunk

_GZIP = 16 + zlib.MAX_WBITS


class Form(NamedTuple):
    """How a stream is sent."""

    chunked: bool = True
    crlf: bool = False
    """CRLF line ends."""
    gzip: bool = False
    bytewise: bool = False
    """Each byte a chunk of its own, and each byte of that a write of its own."""


_PLAIN = Form()


class Framing:
    """Turns what is said into bytes for the wire."""

    __slots__ = ("_form", "_gzip", "frame", "repeats")

    def __init__(self, form: Form) -> None:
        self._form = form
        self._gzip = zlib.compressobj(wbits=_GZIP) if form.gzip else None
        self.repeats = not form.gzip
        """Whether the same words always give the same bytes."""
        self.frame: Callable[[bytes], bytes] = chunk if form == _PLAIN else self._frame
        """Takes what is said, gives what is sent."""

    def _frame(self, data: bytes) -> bytes:
        if self._form.crlf:
            data = data.replace(b"\n", b"\r\n")
        if self._gzip is not None and data:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        return self._chunked(data)

    def end(self) -> bytes:
        """What ends the body."""
        rest = b"" if self._gzip is None else self._chunked(self._gzip.flush())
        return rest + (b"0\r\n\r\n" if self._form.chunked else b"")

    def _chunked(self, data: bytes) -> bytes:
        if not self._form.chunked:
            return data
        if self._form.bytewise:
            return b"".join([chunk(data[i : i + 1]) for i in range(len(data))])
        return chunk(data)
