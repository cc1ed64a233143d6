"""Status lines and headers of responses, and HTTP chunks."""

from http import HTTPStatus

from llmstress.engine.mock.http import Headers


def stream_head(
    content_type: str, *, headers: Headers = (), chunked: bool, keep_alive: bool, length: int | None = None
) -> bytes:
    """The head of a streamed answer. `length`: bytes of the body, if it is sent in one piece."""
    lines = (("Cache-Control", "no-cache"), *((("Transfer-Encoding", "chunked"),) if chunked else ()), *headers)
    return head(200, content_type, length, headers=lines, keep_alive=keep_alive)


def response(
    status: int, body: bytes, *, headers: Headers = (), keep_alive: bool, content_type: str = "application/json"
) -> bytes:
    """A complete response: head and body."""
    return head(status, content_type, len(body), headers=headers, keep_alive=keep_alive) + body


def head(status: int, content_type: str, length: int | None, *, headers: Headers = (), keep_alive: bool) -> bytes:
    """The head of a response. `length`: bytes of the body; None: its end is marked by chunks or by the connection."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""  # 529 has no standard phrase
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in headers]
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One HTTP chunk; empty for empty data, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
