"""What the head and the first bytes of an answer say about its body, and bodies that are kept until they are whole."""

from llmstress.engine.api.lenient import words_in_data
from llmstress.engine.http.decompress import decoded_words
from llmstress.engine.http.response import Head, Malformed
from llmstress.engine.outcome import End, class_of_status

MAX_JSON_ANSWER = 16 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
"""An error body is read to its end, so that the connection lives, but not beyond this."""

MAX_WORDS = 4096
"""Bytes of an error body that are looked through for secrets before a sample of 200 characters is cut from it."""


def succeeded(status: int) -> bool:
    """Whether an answer with this status has a body of the API."""
    return 200 <= status < 300 and status != 204


def request_id(head: Head) -> str:
    """The provider's name of the request; empty if it has none."""
    return head.headers.get("x-request-id") or head.headers.get("request-id", "")


def may_be_stream(head: Head, first: bytes) -> bool:
    """Whether a body that begins with `first`, which is not empty, is a stream of events, whatever its head says.

    No field of an event begins with a brace or an angle bracket; and JSON doesn't begin as the fields of events do.
    """
    if not succeeded(head.status) or first[0] in b"{<":
        return False
    return first[0] in b":deir\xef" or not head.headers.get("content-type", "").lower().startswith("application/json")


class Kept:
    """A body that means something only as a whole: a JSON answer, decoded already, or an error's words, coded still."""

    __slots__ = ("_body", "_head")

    def __init__(self, head: Head) -> None:
        self._head = head
        self._body = bytearray()

    def add(self, piece: bytes) -> bool:
        """Take in a piece; says whether more is wanted.

        Raises:
            Malformed: an answer over its limit of 16 MiB.
        """
        self._body += piece
        if not succeeded(self._head.status):
            return len(self._body) <= MAX_ERROR_BODY
        if len(self._body) > MAX_JSON_ANSWER:
            raise Malformed(f"an answer over {MAX_JSON_ANSWER} bytes")
        return True

    def body(self) -> bytes:
        """All that came."""
        return bytes(self._body)

    def end_by_status(self) -> End:
        """How a request ends whose final status is no 2xx with a body of the API."""
        headers = self._head.headers
        body = decoded_words(headers.get("content-encoding", ""), self.body(), MAX_ERROR_BODY)
        return End(class_of_status(self._head.status, body, headers), body[:MAX_WORDS].decode("utf-8", "replace"))


def explained(end: End, said: bytes, kept: Kept | None) -> End:
    """`end` with what the server said outside of its API, or what came of a body that broke off: where a request ends
    without words of the server, those may tell why."""
    if not said and kept is not None and not kept.body().rstrip().endswith((b"}", b"]")):
        said = kept.body()[:MAX_WORDS]
    words = words_in_data(said) if said else ""
    return End(end.outcome, f"{end.text}; the server said: {words}") if words else end
