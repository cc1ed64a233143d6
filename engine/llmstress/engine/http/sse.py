"""Server-sent events, sans I/O: bytes of a body in, events out (WHATWG HTML, section 9.2.6).

Rules of this file: an event comes out in the very call that brings the first byte of its blank line's end, because
that call's time is its stamp (so a bare CR ends a line at once and swallows a LF that follows it later); work is
linear in the bytes fed; what the standard ignores is ignored. Deviations are for servers that bend the rules: the
unfinished last event is handed out by `end` for the caller to judge, an object in a field `error` is an event of that
name (older builds of llama.cpp fail so), as is a bare object whose first member is (frameworks whose generator has
failed), and `id` and `retry` are not kept. Lines that are no field of an event are ignored as the standard says, but
the first of them are kept: they may be the only words that a failing server has said.
"""

from typing import NamedTuple

from llmstress.engine.http.response import Malformed

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event, all its lines together."""

MAX_STRAY = 800
"""Bytes that are kept of lines that are no field of an event."""

_BOM = b"\xef\xbb\xbf"

_BARE_ERROR = b'{"error"'
"""What such a line has for a field."""

_OTHER_FIELDS = frozenset({b"id", b"retry"})

_LF, _CR = b"\n\r"


class ServerEvent(NamedTuple):
    """Name (empty: `message`) and data of one event, undecoded."""

    name: bytes
    data: bytes


class Decoder:
    """Decodes one body."""

    __slots__ = ("_data", "_first", "_held", "_name", "_size", "_swallow_lf", "comments", "stray")

    def __init__(self) -> None:
        self.comments = 0
        """Comment lines seen: the pings of gateways and frameworks."""
        self.stray = b""
        """The first lines that are no field of an event, up to `MAX_STRAY` bytes of them."""
        self._held = bytearray()  # an unfinished line
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0  # of the lines of the unfinished event, whatever their fields
        self._swallow_lf = False
        self._first = True

    @property
    def between_events(self) -> bool:
        """Nothing is half-read: the next byte begins an event."""
        return not (self._held or self._size or self._swallow_lf or self._first)

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take in a piece of the body; give the events it completed.

        Raises:
            Malformed: an event over `MAX_EVENT` bytes.
        """
        pending = self._held or self._size or self._swallow_lf
        if not pending and piece.startswith(b"data: ") and piece.endswith(b"\n\n"):
            # whole events of one line each, as from most servers
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
        """The body has ended: the event that its blank line is missing from, if there is one."""
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
        # "If the data buffer is an empty string": a lone empty `data:` line appends "" and LF, so it does dispatch
        return ServerEvent(name, joined)
