"""Parsing of HTTP/1.1 responses without I/O: bytes of one response in, pieces of its body out (RFC 9112).

Rules of this file:

- It does not depend on sockets, clocks, or the content of the body, and it buffers no byte of a body.
- It is lenient towards what servers in use send (bare LF, chunk extensions, any case of header names). It is strict
  where leniency could lose the framing of the bytes that follow (chunk sizes, conflicting lengths).
- Its work is linear in the bytes that are fed, however they are cut.
"""

import functools
import re

import msgspec

MAX_HEAD = 64 * 1024
MAX_CHUNK_LINE = 4 * 1024

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: |$)")
_PLAIN_SIZE = re.compile(rb"([1-9a-f][0-9a-f]{0,7})\r\n")
_LAST_CHUNK = b"0\r\n\r\n"
_SIZE_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r?", re.DOTALL)


class Malformed(ValueError):
    """The bytes violate the protocol or exceed a limit; the text says how."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.pieces: list[bytes] = []
        """Pieces of the body that came before the fault in the same read. They are processed before the fault."""


class Head(msgspec.Struct, frozen=True):
    """Status and headers of a final response. Names are in lower case; the values of a repeated header are joined with
    commas."""

    status: int
    headers: dict[str, str]
    minor_version: int
    rate_limits: dict[str, str] = {}
    """The headers whose names contain `ratelimit`. They are found once for all answers with the same head."""


# The states are plain integers: reading a member of an enum class costs five times as much as comparing it.
_HEAD, _FIXED, _UNTIL_CLOSE, _CHUNK_SIZE, _CHUNK_DATA, _CHUNK_END, _TRAILERS, _COMPLETE = range(8)


def parse_head(head: bytes) -> Head | None:
    """Parse a status line and headers, without the blank line. None: an interim response (1xx except 101), after which
    the final head follows.

    Raises:
        Malformed: the status line or a header line is invalid.
    """
    lines = _FOLD.sub(b" ", head).split(b"\n")
    match = _STATUS_LINE.match(lines[0].rstrip(b"\r"))
    if match is None:
        raise Malformed(f"bad status line: {lines[0][:1000]!r}")
    minor, status = int(match[1]), int(match[2])
    if status < 200 and status != 101:
        return None
    values: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed(f"header line without a colon: {line[:1000]!r}")
        key = name.strip().lower().decode("latin-1")
        values.setdefault(key, []).append(value.strip().decode("latin-1"))
    # joined once at the end: a head of 64 KiB can hold 20,000 lines of one name, and joining each would be quadratic
    headers = {key: ", ".join(texts) for key, texts in values.items()}
    limits = {}
    if b"ratelimit" in head.lower():  # this check costs 0.5 µs of the 12 that parsing a head takes
        limits = {key: text for key, text in headers.items() if "ratelimit" in key}
    return Head(status, headers, minor, limits)


_parse_head_again = functools.lru_cache(maxsize=256)(parse_head)
"""`parse_head` with a cache, because thousands of answers a second may have the same head: 0.1 µs instead of 12. All
these answers share one `Head` object."""


class ResponseReader:
    """Reads one response: call `feed` until `complete`. The next response needs a new reader."""

    __slots__ = (
        "_bodiless",
        "_held",
        "_left",
        "_scanned",
        "_state",
        "_trailer_bytes",
        "_untouched",
        "head",
        "keep_alive",
        "surplus",
    )

    def __init__(self, *, bodiless: bool = False) -> None:
        """`bodiless`: the response answers a HEAD request, so it has no body, whatever its head says."""
        self._bodiless = bodiless
        self.head: Head | None = None
        self.keep_alive = False
        """Whether the connection can be used for another request once this body is complete."""
        self.surplus = False
        """Whether bytes came after the end of this response."""
        self._state = _HEAD
        self._held = bytearray()  # an incomplete head or line
        self._scanned = 0  # bytes of _held that have been searched for the end of the head
        self._left = 0  # bytes of the body or chunk that are still to come
        self._trailer_bytes = 0
        self._untouched = True

    @property
    def complete(self) -> bool:
        """The response has been read to its end."""
        return self._state == _COMPLETE

    @property
    def untouched(self) -> bool:
        """No byte has been fed."""
        return self._untouched

    @property
    def between_chunks(self) -> bool:
        """The next byte begins a chunk-size line."""
        return self._state == _CHUNK_SIZE and not self._held

    def eof(self) -> bool:
        """The peer has closed the connection. Returns whether the response is complete: it was before, or the end of
        the connection is the end of its body."""
        if self._state == _UNTIL_CLOSE:
            self._state = _COMPLETE
        return self.complete

    def feed(self, data: bytes) -> list[bytes]:
        """Parse what was read. Returns the pieces of the body in it, in order.

        Raises:
            Malformed: not HTTP/1.x, invalid framing, or a head or line over its limit. Its `pieces` are the pieces of
                the body that came before.
        """
        self._untouched = False
        pieces: list[bytes] = []
        try:
            self._feed(data, pieces)
        except Malformed as error:
            error.pieces = pieces
            raise
        return pieces

    def _feed(self, data: bytes, pieces: list[bytes]) -> None:
        position = 0
        while position < len(data):
            state = self._state
            if state in (_CHUNK_DATA, _FIXED):
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _CHUNK_END if state == _CHUNK_DATA else _COMPLETE
            elif state == _UNTIL_CLOSE:
                pieces.append(data[position:])
                break
            elif state == _COMPLETE:
                self.surplus = True
                break
            elif state == _HEAD:
                position = self._feed_head(data, position)
            elif state == _CHUNK_SIZE and not self._held and data.startswith(_LAST_CHUNK, position):
                position += len(_LAST_CHUNK)
                self._state = _COMPLETE
            elif state == _CHUNK_SIZE and not self._held and (chunk := _PLAIN_SIZE.match(data, position)):
                position = self._feed_chunk(data, chunk, pieces)
            else:
                position = self._feed_line(data, position)

    def _feed_chunk(self, data: bytes, size: re.Match[bytes], pieces: list[bytes]) -> int:
        """Read a chunk whose size line has no extension. Returns the new position. A complete chunk is read in one
        step, which takes a third of the time of reading line by line."""
        begin = size.end()
        end = begin + int(size[1], 16)
        if data[end : end + 2] == b"\r\n":
            pieces.append(data[begin:end])
            return end + 2
        self._left = end - begin
        self._state = _CHUNK_DATA
        return begin

    def _feed_head(self, data: bytes, position: int) -> int:
        held = self._held
        before = len(held)
        # Only an incomplete head is copied. One read can contain any number of interim heads; copying the rest of the
        # read for each of them would be quadratic.
        source, begin = (held, 0) if held else (data, position)
        if held:
            held += data
        if not b"HTTP/1.".startswith(source[begin : begin + 7]):
            raise Malformed(f"not an HTTP/1.x answer: {bytes(source[begin : begin + 1000])!r}")
        end = _END_OF_HEAD.search(source, begin + max(0, self._scanned - 3))
        if (len(source) if end is None else end.end()) - begin > MAX_HEAD:
            raise Malformed(f"response head over {MAX_HEAD} bytes")
        if end is None:
            if not held:
                held += data[position:]
            self._scanned = len(held)
            return len(data)
        head = bytes(source[begin : end.start()])
        self.head = (_parse_head_again if len(head) <= 1024 else parse_head)(head)
        if self.head is not None:
            self._choose_body(self.head.status, self.head.headers, self.head.minor_version)
        held.clear()
        self._scanned = 0
        return end.end() - before

    def _choose_body(self, status: int, headers: dict[str, str], minor: int) -> None:
        options = [option.strip() for option in headers.get("connection", "").lower().split(",")]
        persistent = "close" not in options and (minor == 1 or "keep-alive" in options)
        coding = headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length")
        if self._bodiless or status in (101, 204, 304):
            self._state, self.keep_alive = _COMPLETE, persistent and status != 101
        elif coding:
            chunked = coding.rsplit(",", 1)[-1].strip() == "chunked"
            self._state = _CHUNK_SIZE if chunked else _UNTIL_CLOSE
            # RFC 9112 (6.1) has the connection closed after a response with both Transfer-Encoding and Content-Length,
            # which is a way to smuggle messages, and after chunks in HTTP/1.0, which has none.
            self.keep_alive = persistent and chunked and length is None and minor == 1
        elif length is not None:
            values = {value.strip() for value in length.split(",")}
            value = values.pop()
            if values or not (value.isascii() and value.isdigit()) or len(value) > 18:
                raise Malformed(f"bad content-length: {length[:80]!r}")
            self._left = int(value)
            self._state = _FIXED if self._left else _COMPLETE
            self.keep_alive = persistent
        else:
            self._state = _UNTIL_CLOSE

    def _feed_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        held = self._held
        if end < 0:
            held += data[position:]
            if len(held) > MAX_CHUNK_LINE:
                raise Malformed(f"chunk line over {MAX_CHUNK_LINE} bytes")
            return len(data)
        line = data[position:end]
        if held:
            line = bytes(held) + line
            held.clear()
        if self._state == _CHUNK_SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None or len(line) > MAX_CHUNK_LINE:
                raise Malformed(f"bad chunk size: {line[:1000]!r}")
            self._left = int(match[1], 16)
            self._state = _CHUNK_DATA if self._left else _TRAILERS
        elif self._state == _CHUNK_END:
            if line not in (b"", b"\r"):
                raise Malformed(f"chunk longer than its size: {line[:1000]!r}")
            self._state = _CHUNK_SIZE
        elif line in (b"", b"\r"):
            self._state = _COMPLETE
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_HEAD or len(line) > MAX_CHUNK_LINE:
                raise Malformed(f"trailers over {MAX_HEAD} bytes, or one over {MAX_CHUNK_LINE}")
        return end + 1
