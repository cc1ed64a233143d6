"""How the code that began a request is told what becomes of it. Requests without an observer cost nothing more."""

from typing import ClassVar, NamedTuple

from llmstress.engine.api.meaning import Meaning
from llmstress.engine.http.body import BufferedBody
from llmstress.engine.http.response import Head, ResponseReader
from llmstress.engine.outcome import End


class Ending(NamedTuple):
    """The end of a request."""

    end: End
    stamp: int
    """Of the read that ended it, or of the moment at which it was cut off (monotonic ns)."""
    head: Head | None
    """None: no final status came."""
    complete: bool
    """The HTTP message is complete, whatever its content means."""
    keep_alive: bool
    """The message is complete, and the server lets the connection serve another request."""
    body: bytes | None
    """Of an answer that was kept until it was complete, still coded if it is an error's. None: it was a stream."""


class Observer:
    """Is told what becomes of one request. A method does nothing unless it is overridden.

    The methods are called while a read is being processed, so they must be quick and must not raise. The stamp of a
    piece is the stamp of the read that brought it, however late it is processed. The exchange itself, with its stamps,
    gaps and usage, is what `Stream.begin` returns.
    """

    __slots__ = ()

    EVENTS: ClassVar[bool] = False
    """`read`, `event` and `comment` are called, too. No event of such a request takes the fast path."""

    def head(self, head: Head, stamp: int) -> None:
        """Status line and headers of the final response are complete."""

    def piece(self, data: bytes, stamp: int) -> None:
        """A piece of the body has come: without the framing of HTTP, and decoded if it has a content coding."""

    def retried(self, end: End, stamp: int) -> None:
        """An attempt has failed so; the request will be sent again."""

    def ended(self, ending: Ending) -> None:
        """The request has ended. The stream's next request has not begun yet."""

    def read(self, data: bytes, stamp: int) -> None:
        """A read is about to be processed; empty: the connection has ended."""

    def event(self, name: bytes, data: bytes, meaning: Meaning) -> None:
        """An event of the stream, or a line of an event that is several messages, with its meaning."""

    def comment(self) -> None:
        """A comment line of a server-sent event stream, whose text is not kept."""


def ending_of(end: End, stamp: int, reader: ResponseReader | None, buffered: BufferedBody | None) -> Ending:
    """The end of a request whose response was read by `reader`, and its body buffered in `buffered`."""
    complete = reader is not None and reader.complete
    return Ending(
        end=end,
        stamp=stamp,
        head=reader.head if reader is not None else None,
        complete=complete,
        keep_alive=reader is not None and complete and reader.keep_alive,
        body=buffered.content() if buffered is not None else None,
    )
