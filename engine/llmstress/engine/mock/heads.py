"""Status lines and headers of responses, and HTTP chunks."""

from http import HTTPStatus

from llmstress.engine.mock.http import Headers


def stream_head(content_type: str, *, headers: Headers = (), chunked: bool, keep_alive: bool) -> bytes:
    """The head of a streamed answer."""
    length = (("Transfer-Encoding", "chunked"),) if chunked else ()
    lines = (("Content-Type", content_type), ("Cache-Control", "no-cache"), *length, *headers)
    return _head(200, lines, keep_alive=keep_alive)


def response(
    status: int, body: bytes, *, headers: Headers = (), keep_alive: bool, content_type: str = "application/json"
) -> bytes:
    """A whole response."""
    lines = (("Content-Type", content_type), ("Content-Length", str(len(body))), *headers)
    return _head(status, lines, keep_alive=keep_alive) + body


def chunk(data: bytes) -> bytes:
    """One HTTP chunk; nothing for nothing, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _head(status: int, headers: Headers, *, keep_alive: bool) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""  # 529 has none
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
