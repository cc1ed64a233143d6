"""Decoding of server-sent events without I/O: bytes of a body in, events out (WHATWG HTML, section 9.2.6).

Rules of this file:

- An event is returned by the call that brings the first byte that ends its blank line, because the time of that call
  is its stamp. A CR therefore ends a line at once, and a LF that follows it later is skipped.
- The work is linear in the bytes that are fed.
- What the standard ignores is ignored; `id` and `retry` are not stored, because a client that never reconnects has no
  use for them.

Deviations from the standard, for servers that violate it:

- `end` returns an incomplete last event, and the caller decides what to do with it.
- A field `error` whose value is an object is an event with the name `error` (older builds of llama.cpp report failures
  like this). So is a line that is an object with `error` as its first member (frameworks whose generator has failed).
- The first lines that are not fields of an event are stored, although they are ignored otherwise. They may be the only
  explanation that a failing server has sent.
"""

from typing import NamedTuple

from llmstress.engine.http.response import Malformed

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event, all its lines together."""

MAX_STRAY = 800
"""Bytes that are stored of lines that are not fields of an event."""

_BOM = b"\xef\xbb\xbf"

_BARE_ERROR = b'{"error"'
"""The part before the first colon of a line that is an error object."""

_OTHER_FIELDS = frozenset({b"id", b"retry"})

_LF, _CR = b"\n\r"


class ServerEvent(NamedTuple):
    """Name (empty: `message`) and data of one event, as bytes."""

    name: bytes
    data: bytes


class Decoder:
    """Decodes one body."""

    __slots__ = ("_data", "_first", "_held", "_name", "_size", "_swallow_lf", "comments", "stray")

    def __init__(self) -> None:
        self.comments = 0
        """Number of comment lines, which gateways and frameworks send as pings."""
        self.stray = b""
        """The first lines that are not fields of an event, up to `MAX_STRAY` bytes."""
        self._held = bytearray()  # an incomplete line
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0  # bytes of all lines of the incomplete event
        self._swallow_lf = False
        self._first = True

    @property
    def between_events(self) -> bool:
        """No event is incomplete: the next byte begins an event."""
        return not (self._held or self._size or self._swallow_lf or self._first)

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Decode a piece of the body. Returns the events that it completes.

        Raises:
            Malformed: an event over `MAX_EVENT` bytes.
        """
        pending = self._held or self._size or self._swallow_lf
        if not pending and piece.startswith(b"data: ") and piece.endswith(b"\n\n"):
            # fast way for complete events of one line each, which most servers send
            lines = piece[6:-2].split(b"\n\ndata: ")
            if _CR not in piece and len(piece) <= MAX_EVENT and not any(_LF in line for line in lines):
                self._first = False
                return [ServerEvent(b"", line) for line in lines]
        if self._swallow_lf and piece:
            self._swallow_lf = False
            if piece[:1] == b"\n":
                piece = piece[1:]
        if b"\r" in piece:
            self._swallow_lf = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        newline = piece.find(b"\n")
        if newline < 0:
            if piece:
                self._hold(piece)
            return []
        if self._held:
            self._held += piece
            piece = bytes(self._held)
            self._held.clear()
        lines = piece.split(b"\n")
        rest = lines.pop()
        if self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        events: list[ServerEvent] = []
        for line in lines:
            if line:
                self._take(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if rest:
            self._hold(rest)
        return events

    def end(self) -> ServerEvent | None:
        """Call it when the body has ended. Returns the last event if its blank line is missing, and None otherwise."""
        if self._held:
            line = bytes(self._held)
            self._held.clear()
            self._take(line.removeprefix(_BOM) if self._first else line)
        return self._dispatch()

    def _hold(self, piece: bytes) -> None:
        self._held += piece
        if len(self._held) + self._size > MAX_EVENT:
            raise Malformed(f"event over {MAX_EVENT} bytes")

    def _take(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > MAX_EVENT:
            raise Malformed(f"event over {MAX_EVENT} bytes")
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        elif field == b"error" and value.startswith(b"{"):
            self._name = field
            self._data.append(value)
        elif field == _BARE_ERROR:
            self._name = b"error"
            self._data.append(line)
        elif not field:
            self.comments += 1
        elif field not in _OTHER_FIELDS and len(self.stray) < MAX_STRAY:
            self.stray = (self.stray + b"\n" + line if self.stray else line)[:MAX_STRAY]

    def _dispatch(self) -> ServerEvent | None:
        data, name = self._data, self._name
        self._name = b""
        self._size = 0
        if not data:
            return None
        self._data = []
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        # The standard drops an event whose data buffer is the empty string. A single empty `data:` line appends "" and
        # a LF, so its buffer is not empty, and the event is returned with empty data.
        return ServerEvent(name, joined)
