"""Which kind of body an answer has, and bodies that are buffered because they mean something only as a whole."""

from llmstress.engine.api.lenient import text_of_data
from llmstress.engine.http.decompress import decoded_prefix
from llmstress.engine.http.response import Head, Malformed
from llmstress.engine.outcome import End, class_of_status

MAX_JSON_ANSWER = 16 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error body that are read. A body up to this size is read to its end, so that the connection can be used
again; a longer body is not, and its connection is closed."""

MAX_SERVER_TEXT = 4096
"""Bytes of a server's text that are kept until secrets are redacted. A sample of 200 characters is cut only afterwards,
so that the cut does not leave a part of a secret."""


def succeeded(status: int) -> bool:
    """Whether an answer with this status has a body in the API's format."""
    return 200 <= status < 300 and status != 204


def request_id(head: Head) -> str:
    """The provider's ID of the request; empty if the head has none."""
    return head.headers.get("x-request-id") or head.headers.get("request-id", "")


def may_be_stream(head: Head, first: bytes) -> bool:
    """Whether the body of an answer can be an event stream. `first` is the first piece of the body and not empty.

    The first byte counts more than the Content-Type, which some servers set wrongly. No field of an event begins with
    `{` or `<`. JSON does not begin with the first letter of a field (`data`, `event`, `id`, `retry`), the colon of a
    comment, or a byte order mark.
    """
    if not succeeded(head.status) or first[0] in b"{<":
        return False
    return first[0] in b":deir\xef" or not head.headers.get("content-type", "").lower().startswith("application/json")


class BufferedBody:
    """A body that is buffered until it is complete: a JSON answer (decoded on arrival), or an error body (still in its
    content coding)."""

    __slots__ = ("_body", "_head")

    def __init__(self, head: Head) -> None:
        self._head = head
        self._body = bytearray()

    def add(self, piece: bytes) -> bool:
        """Append a piece. Returns False when no more is needed: an error body has reached its limit of 64 KiB.

        Raises:
            Malformed: the answer is larger than 16 MiB.
        """
        self._body += piece
        if not succeeded(self._head.status):
            return len(self._body) <= MAX_ERROR_BODY
        if len(self._body) > MAX_JSON_ANSWER:
            raise Malformed(f"an answer over {MAX_JSON_ANSWER} bytes")
        return True

    def content(self) -> bytes:
        """The bytes that have been added."""
        return bytes(self._body)

    def end_by_status(self) -> End:
        """The end of a request whose status is final and not a 2xx with a body of the API."""
        headers = self._head.headers
        body = decoded_prefix(headers.get("content-encoding", ""), self.content(), MAX_ERROR_BODY)
        return End(class_of_status(self._head.status, body, headers), body[:MAX_SERVER_TEXT].decode("utf-8", "replace"))


def with_server_text(end: End, outside: bytes, buffered: BufferedBody | None) -> End:
    """`end` with text of the server that may explain it, for classes that have no text of the server of their own.

    The text is `outside`: the last data that the server sent outside of its API. Without such data it is the buffered
    body if that broke off. A body that ends with a closing bracket is taken for complete JSON, which explains nothing.
    """
    if not outside and buffered is not None and not buffered.content().rstrip().endswith((b"}", b"]")):
        outside = buffered.content()[:MAX_SERVER_TEXT]
    text = text_of_data(outside) if outside else ""
    return End(end.outcome, f"{end.text}; the server said: {text}") if text else end
