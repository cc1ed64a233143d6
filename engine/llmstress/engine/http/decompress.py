"""Decoding of content codings without I/O: pieces of a coded body in, decoded pieces out (RFC 9110, section 8.4.1).

Requests ask for `identity`, but some gateways compress anyway. Rules of this file:

- The output that a byte completes is returned by the call that was given this byte, because the time of that call is
  the stamp of the output.
- Output comes in pieces of bounded size, so that the caller can stop a small body that expands to a huge one.
- The work is linear in the bytes of input and output.
- Neither the output nor the error depends on how the input was cut.
"""

import zlib
from collections.abc import Iterator

from llmstress.engine.http.response import Malformed

MAX_BURST = 16 * 1024 * 1024
"""Decoded bytes of one read, at most. Deflate expands up to a thousand times, and a read has up to 256 KiB."""

_PIECE = 64 * 1024
"""Bytes of one decoded piece, at most."""

_SLICE = 4 * 1024
"""Bytes of input that zlib is given at once, at most. zlib copies the input that it could not use yet, so a small slice
keeps these copies small."""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""The formats as zlib's parameter `wbits` encodes them."""


def inflater_of(content_encoding: str) -> "Inflater | None":
    """The decoder for a body with this `Content-Encoding`; None: the body is not coded.

    Raises:
        Malformed: the coding is not supported, or there are several.
    """
    codings = [coding.strip().lower() for coding in content_encoding.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return None
    if codings not in (["gzip"], ["x-gzip"], ["deflate"]):
        raise Malformed(
            f"the body is encoded in {', '.join(codings)[:80]!r}: Accept-Encoding asked for identity, and no more than "
            "one gzip or deflate can be decoded"
        )
    return Inflater(gzip=codings != ["deflate"])


class Inflater:
    """Decodes one body: gzip with one or several members, or deflate with or without zlib's header."""

    __slots__ = ("_format", "_zlib")

    def __init__(self, *, gzip: bool) -> None:
        self._format = _GZIP if gzip else 0  # 0: the first byte decides between _ZLIB and _RAW
        self._zlib = zlib.decompressobj(_GZIP) if gzip else None

    @property
    def complete(self) -> bool:
        """The data that was fed so far ends where the coded data ends."""
        return self._zlib is not None and self._zlib.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode a piece of the coded body; yields the decoded data in pieces of up to 64 KiB.

        Raises:
            Malformed: the data is not in this coding, or expands to more than `MAX_BURST` bytes.
        """
        size = 0
        for begin in range(0, len(data), _SLICE):
            for piece in self._inflate(data[begin : begin + _SLICE]):
                size += len(piece)
                if size > MAX_BURST:
                    raise Malformed(f"a read that expands to more than {MAX_BURST} bytes when decoded")
                yield piece

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while True:
            inflate = self._zlib
            if inflate is None or inflate.eof:
                if not data:
                    return
                inflate = self._zlib = self._begin(data)
            before = inflate.copy()  # 1 µs; needed if this slice turns out to be faulty
            try:
                piece = inflate.decompress(data, _PIECE)
            except zlib.error as error:
                if len(data) <= 1:
                    raise Malformed(f"the body does not have the encoding that its headers name: {error}") from None
                # zlib raises without returning the output before the fault. Decoding the slice again byte by byte
                # yields that output first.
                self._zlib = before
                for at in range(len(data)):
                    yield from self._inflate(data[at : at + 1])
                return
            if piece:
                yield piece
            data = inflate.unused_data or inflate.unconsumed_tail
            if not data and len(piece) < _PIECE:
                return

    def _begin(self, data: bytes) -> "zlib._Decompress":
        if not self._format:
            # The low four bits of zlib's header are 8 (deflate). Data without a header that begins with these bits
            # would be a stored block with padding that isn't zero, which no encoder writes.
            self._format = _ZLIB if data[0] & 0x0F == 0x08 else _RAW
        elif self._format != _GZIP:
            raise Malformed("bytes after the end of the coded body")
        return zlib.decompressobj(self._format)


def decoded_prefix(content_encoding: str, body: bytes, most: int) -> bytes:
    """The first `most` bytes of a complete coded body, decoded as far as possible. If nothing can be decoded: the
    reason, as text."""
    decoded = b""
    try:
        inflater = inflater_of(content_encoding)
        if inflater is None:
            return body[:most]
        for piece in inflater.feed(body):
            decoded += piece
            if len(decoded) >= most:
                break
    except Malformed as fault:
        decoded = decoded or str(fault).encode()
    return decoded[:most]
