"""Content codings, sans I/O: pieces of a coded body in, what they stand for out (RFC 9110, section 8.4.1).

Requests ask for `identity`, but gateways compress whatever they are asked for. Rules of this file: everything that a
byte completes comes out in the call that brings it, because that call's time is its stamp; it comes in pieces of
bounded size, so that whoever takes them can stop a small body that stands for a huge one; work is linear in the
bytes that go in and come out; and neither output nor fault depends on how the input was cut.
"""

import zlib
from collections.abc import Iterator

from llmstress.engine.http.response import Malformed

MAX_BURST = 16 * 1024 * 1024
"""Bytes that one read may stand for: deflate makes a thousand of one, and a read is up to 256 KiB."""

_PIECE = 64 * 1024
"""Bytes that come out at once, at most."""

_SLICE = 4 * 1024
"""Bytes that go in at once, at most: zlib copies what it leaves over, so little may be left over."""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS  # as zlib wants to be told


def inflater_of(content_encoding: str) -> "Inflater | None":
    """What decodes a body with this `Content-Encoding`; None: there is nothing to decode.

    Raises:
        Malformed: a coding, or several, that can't be decoded here.
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
    """Decodes one body in gzip, of one member or several, or in deflate, with zlib's wrapping or bare."""

    __slots__ = ("_format", "_zlib")

    def __init__(self, *, gzip: bool) -> None:
        self._format = _GZIP if gzip else 0  # 0: the first byte will tell
        self._zlib = zlib.decompressobj(_GZIP) if gzip else None

    @property
    def complete(self) -> bool:
        """What was fed ends where the coded data does."""
        return self._zlib is not None and self._zlib.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in a piece of the coded body; give what it stands for, in pieces of up to 64 KiB.

        Raises:
            Malformed: the data is not in this coding, or stands for more than `MAX_BURST` bytes.
        """
        size = 0
        for begin in range(0, len(data), _SLICE):
            for piece in self._inflate(data[begin : begin + _SLICE]):
                size += len(piece)
                if size > MAX_BURST:
                    raise Malformed(f"a read that stands for more than {MAX_BURST} bytes when decoded")
                yield piece

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while True:
            inflate = self._zlib
            if inflate is None or inflate.eof:
                if not data:
                    return
                inflate = self._zlib = self._begin(data)
            before = inflate.copy()  # 1 µs
            try:
                piece = inflate.decompress(data, _PIECE)
            except zlib.error as error:
                if len(data) <= 1:
                    raise Malformed(f"the body does not have the encoding that its headers name: {error}") from None
                # zlib keeps to itself what came before the fault: once more, byte by byte
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
            # zlib's wrapping says in its first four bits that deflate follows; bare data that begins with the same ones
            # would be a stored block after a padding that isn't zero, which no encoder writes
            self._format = _ZLIB if data[0] & 0x0F == 0x08 else _RAW
        elif self._format != _GZIP:
            raise Malformed("bytes after the end of the coded body")
        return zlib.decompressobj(self._format)


def decoded_words(content_encoding: str, body: bytes, most: int) -> bytes:
    """The first `most` bytes of a whole coded body, as far as it can be decoded; a sentence why not if it can't."""
    words = b""
    try:
        inflater = inflater_of(content_encoding)
        if inflater is None:
            return body[:most]
        for piece in inflater.feed(body):
            words += piece
            if len(words) >= most:
                break
    except Malformed as fault:
        words = words or str(fault).encode()
    return words[:most]
