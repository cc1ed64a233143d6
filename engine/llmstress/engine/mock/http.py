"""An incremental parser of HTTP/1.1 requests; no I/O."""

from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote

HEAD_LIMIT = 64 * 1024
"""Maximum size of request line and headers, and of a chunked body's trailers, in bytes."""
BODY_LIMIT = 64 * 1024 * 1024
_TLS = b"\x16\x03"
"""The first bytes of a TLS handshake. It contains no end of a head, so the client would wait forever."""
_SIZE_LINE_LIMIT = 4 * 1024

Headers = tuple[tuple[str, str], ...]
"""Header lines: names and values."""


class Request(NamedTuple):
    """A complete request."""

    method: str
    path: str
    """Decoded, without the query."""
    http_1_0: bool
    keep_alive: bool
    body: bytes
    query: str = ""
    """The query string, not decoded."""
    headers: Headers = ()
    """Names in lower case."""


class RequestError(Exception):
    """The bytes are not a request that can be served. The connection can't be used any more."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Head(NamedTuple):
    method: str
    path: str
    http_1_0: bool
    keep_alive: bool
    query: str
    headers: Headers
    length: int
    """Bytes of the body; -1: chunked."""
    expects_continue: bool


class RequestParser:
    """Parses requests from bytes as they arrive. Bytes after a request are kept for the next one."""

    __slots__ = ("_body", "_buffer", "_chunk_left", "_head", "_in_trailers", "_searched", "_wants_continue")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._head: _Head | None = None
        self._wants_continue = False
        self._body = bytearray()
        self._chunk_left = 0
        self._in_trailers = False

    @property
    def unread(self) -> int:
        """Number of bytes received and not yet taken."""
        return len(self._buffer)

    @property
    def head_only(self) -> Request | None:
        """The current request without its body, if its head has arrived."""
        head = self._head
        if head is None:
            return None
        return Request(head.method, head.path, head.http_1_0, head.keep_alive, b"", head.query, head.headers)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def take(self) -> Request | None:
        """The next complete request, if there is one.

        Raises:
            RequestError: the bytes are not a request that can be served.
        """
        head = self._head
        if head is None:
            raw = self._until(b"\r\n\r\n", HEAD_LIMIT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if raw is None:
                if self._buffer.startswith(_TLS):
                    raise RequestError(HTTPStatus.BAD_REQUEST, "this port speaks http, but the client sent TLS")
                return None
            self._head = head = _parse_head(raw)
            self._wants_continue = head.expects_continue
        if head.length > BODY_LIMIT:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large")
        if head.length < 0:
            if not self._chunks_complete():
                return None
            body = bytes(self._body)
            self._body.clear()
        else:
            if len(self._buffer) < head.length:
                return None
            body = bytes(self._buffer[: head.length])
            del self._buffer[: head.length]
        self._head = None
        self._wants_continue = False
        return Request(head.method, head.path, head.http_1_0, head.keep_alive, body, head.query, head.headers)

    def take_continue(self) -> bool:
        """Whether a `100 Continue` has to be sent, for which the client waits; True once per request."""
        wanted = self._wants_continue
        self._wants_continue = False
        return wanted

    def _until(self, end: bytes, limit: int, status: HTTPStatus) -> bytes | None:
        """Remove everything up to and including `end`, and return it without `end`; None: `end` has not arrived."""
        buffer = self._buffer
        while end == b"\r\n\r\n" and self._searched == 0 and buffer.startswith(b"\r\n"):
            del buffer[:2]  # RFC 9112, 2.2: empty lines before a request line are ignored
        found = buffer.find(end, self._searched)
        if found > limit or (found < 0 and len(buffer) > limit + len(end)):
            raise RequestError(status, f"more than {limit} bytes")
        if found < 0:
            # searching the same bytes again would make the cost quadratic in the number of reads
            self._searched = max(0, len(buffer) - len(end) + 1)
            return None
        self._searched = 0
        taken = bytes(buffer[:found])
        del buffer[: found + len(end)]
        return taken

    def _chunks_complete(self) -> bool:
        """Move complete chunks into the body; True after its last line."""
        buffer = self._buffer
        while True:
            if self._in_trailers:
                line = self._until(b"\r\n", HEAD_LIMIT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                if line is None:
                    return False
                if not line:
                    self._in_trailers = False
                    return True
            elif self._chunk_left:
                # the two bytes after the data belong to the chunk
                data = self._chunk_left - 2
                if len(buffer) < self._chunk_left:
                    return False
                if buffer[data : self._chunk_left] != b"\r\n":
                    raise RequestError(HTTPStatus.BAD_REQUEST, "a chunk is longer than its size says")
                self._body += buffer[:data]
                del buffer[: self._chunk_left]
                self._chunk_left = 0
            else:
                line = self._until(b"\r\n", _SIZE_LINE_LIMIT, HTTPStatus.BAD_REQUEST)
                if line is None:
                    return False
                size = _number(line.partition(b";")[0].strip(), 16)
                if size + len(self._body) > BODY_LIMIT:
                    raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large")
                self._chunk_left = size + 2 if size else 0
                self._in_trailers = not size


def _number(text: bytes, base: int) -> int:
    """A length; int() alone would take signs and underscores."""
    if not text.isalnum():
        raise RequestError(HTTPStatus.BAD_REQUEST, "a length is not a number")
    try:
        return int(text, base)
    except ValueError:
        raise RequestError(HTTPStatus.BAD_REQUEST, "a length is not a number") from None


def _parse_head(raw: bytes) -> _Head:
    first, *lines = raw.split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or not all(parts):
        raise RequestError(HTTPStatus.BAD_REQUEST, "malformed request line")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 and HTTP/1.0 are served")
    http_1_0 = version == b"HTTP/1.0"
    keep_alive = not http_1_0
    length: int | None = None
    chunked = expects_continue = False
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise RequestError(HTTPStatus.BAD_REQUEST, "malformed header line")
        name, value = name.lower(), value.strip()
        headers.append((name.decode("latin-1"), value.decode("latin-1")))
        match name:
            case b"content-length":
                number = _number(value, 10)
                if length not in (None, number):
                    raise RequestError(HTTPStatus.BAD_REQUEST, "two different content lengths")
                length = number
            case b"transfer-encoding":
                if value.lower() != b"chunked" or chunked:
                    raise RequestError(HTTPStatus.NOT_IMPLEMENTED, "only the chunked transfer encoding is known")
                chunked = True
            case b"connection":
                if b"close" in [token.strip() for token in value.lower().split(b",")]:
                    keep_alive = False
            case b"expect":
                expects_continue = value.lower() == b"100-continue" and not http_1_0
    if chunked and length is not None:
        raise RequestError(HTTPStatus.BAD_REQUEST, "both a content length and chunks")
    path, _, query = target.decode("latin-1").partition("?")
    size = -1 if chunked else (length or 0)
    return _Head(
        method=method.decode("latin-1"),
        path=unquote(path),
        http_1_0=http_1_0,
        keep_alive=keep_alive,
        query=query,
        headers=tuple(headers),
        length=size,
        expects_continue=expects_continue and size != 0,
    )
