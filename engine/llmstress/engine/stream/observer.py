"""How the code that began a request is told what becomes of it. Requests without an observer cost nothing more."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

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


class Answered(Protocol):
    """An answer that has ended well."""

    @property
    def finish(self) -> str:
        """Its finish reason."""

    @property
    def output(self) -> tuple[int, bool]:
        """Its output tokens, and whether the server's usage says so; otherwise token events are counted."""


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """It is not wanted any more."""


class HasEvents(Protocol):
    """An attempt."""

    @property
    def event_count(self) -> int:
        """Token events that have been processed."""


class InFlight(Protocol):
    """A request in flight, as its observer may act on it."""

    @property
    def exchange(self) -> HasEvents | None:
        """The attempt in flight; None: it is over."""

    def call_at(self, at: int, act: Callable[[int], None]) -> Timer:
        """Call `act` at stamp `at` or later, with the stamp up to which everything has been processed then."""

    def leave(self, now: int) -> None:
        """Abandon the request at stamp `now`, as a user does who walks away. It ends as cancelled, unless its answer is
        complete already."""


class Observer:
    """Is told what becomes of one request. A method does nothing unless it is overridden.

    The methods are called while a read is being processed, so they must be quick. After one has raised an exception
    (those that need `EVENTS` must not), only `ended` is called, and an answer that would be ok ends in the class
    `exception` (`broken.py`). The stamp of a piece is the stamp of the read that brought it, however late it is
    processed. The exchange itself, with its stamps, gaps and usage, is what `Stream.begin` returns.
    """

    __slots__ = ()

    EVENTS: ClassVar[bool] = False
    """`read`, `event` and `comment` are called, too. No event of such a request takes the fast path."""

    def begun(self, in_flight: InFlight, stamp: int) -> None:
        """The request has started. `in_flight` is valid until `ended`."""

    def head(self, head: Head, stamp: int) -> None:
        """Status line and headers of the final response are complete."""

    def piece(self, data: bytes, stamp: int) -> None:
        """A piece of the body has come: without the framing of HTTP, and decoded if it has a content coding."""

    def retried(self, end: End, stamp: int) -> None:
        """An attempt has failed so; the request will be sent again."""

    def judged(self, end: End, answered: Answered) -> End:
        """An attempt has ended ok: gives `end`, or another end that it is to have. This is called once, before anything
        is counted; a failure then has the same consequences as any other."""
        return end

    def ended(self, ending: Ending) -> None:
        """The request has ended. The stream's next request has not begun yet."""

    def counts(self, count: Callable[[End], None]) -> bool:
        """The request, which has ended ok, is to be counted. Gives whether this observer takes that over: it calls
        `count` soon, with the end that the request is to have."""
        return False

    def read(self, data: bytes, stamp: int) -> None:
        """A read is about to be processed; empty: the connection has ended."""

    def event(self, name: bytes, data: bytes, meaning: Meaning) -> None:
        """An event of the stream, or a line of an event that is several messages, with its meaning."""

    def comment(self) -> None:
        """A comment line of a server-sent event stream, whose text is not kept."""


def both(first: Observer | None, second: Observer | None) -> Observer | None:
    """One observer for what two are told; None: there is none."""
    if first is None or second is None:
        return first or second
    return Both(first, second)


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


class Both(Observer):
    """Two observers of one request, neither of which needs `EVENTS`."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Observer, second: Observer) -> None:
        self._first = first
        self._second = second

    def begun(self, in_flight: InFlight, stamp: int) -> None:
        """Tell both."""
        self._first.begun(in_flight, stamp)
        self._second.begun(in_flight, stamp)

    def head(self, head: Head, stamp: int) -> None:
        """Tell both."""
        self._first.head(head, stamp)
        self._second.head(head, stamp)

    def piece(self, data: bytes, stamp: int) -> None:
        """Tell both."""
        self._first.piece(data, stamp)
        self._second.piece(data, stamp)

    def retried(self, end: End, stamp: int) -> None:
        """Tell both."""
        self._first.retried(end, stamp)
        self._second.retried(end, stamp)

    def judged(self, end: End, answered: Answered) -> End:
        """The first judgement that is not ok counts."""
        judged = self._first.judged(end, answered)
        return judged if judged.failed else self._second.judged(end, answered)

    def ended(self, ending: Ending) -> None:
        """Tell both, the second one also if the first one raises."""
        try:
            self._first.ended(ending)
        finally:
            self._second.ended(ending)

    def counts(self, count: Callable[[End], None]) -> bool:
        """One of them may take it over."""
        return self._first.counts(count) or self._second.counts(count)
