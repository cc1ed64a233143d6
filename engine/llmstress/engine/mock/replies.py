"""Answers as the pacer writes them: streams, streams that are held back to their end, and answers in one piece."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from llmstress.engine.mock.chunking import USAGE, Run, StreamedReply
from llmstress.engine.mock.dialects.answer_spec import Kind, Said
from llmstress.engine.mock.endings import ENDLESS, Course, End

_MISSING = 64
"""Bytes that a body which breaks off should still have had, by its Content-Length."""


class Reply(Protocol):
    """An answer as writes; see `StreamedReply`."""

    writes: int
    bytewise: bool
    pings: int
    usage_told: bool

    @property
    def end(self) -> End:
        """What happens after the last write."""

    @property
    def finished(self) -> bool:
        """Whether its last write says why it ends."""

    def write(self, number: int) -> bytes:
        """Write `number`, counted from 0, in full; each is asked for at most once, in order."""

    def ping(self) -> bytes:
        """What may be sent between two writes at any time; empty if nothing may."""

    def events_in(self, number: int) -> int:
        """Token events in a write."""

    def gaps_before(self, number: int) -> int:
        """How many gaps lie between a write and the one before it, or the time of the first token."""

    def run(self, number: int) -> Run:
        """The prepared writes from write `number` on; none if `until` isn't beyond it."""

    def tokens_in(self, writes: int) -> dict[Kind, int]:
        """How many tokens of each kind the first `writes` writes bear, of all choices."""


class OnePiece:
    """A reply of a single write, head and all."""

    __slots__ = ("_events", "_gaps", "_make", "_tokens", "bytewise", "end", "finished", "pings", "usage_told", "writes")

    def __init__(
        self,
        make: Callable[[], bytes],
        *,
        gaps: int,
        tokens: dict[Kind, int],
        events: int = 0,
        end: End = End.ORDER,
        finished: bool = True,
        bytewise: bool = False,
        usage_told: bool = False,
    ) -> None:
        """`make` gives all that is written, `gaps` after the time of the first token; `tokens` and token `events`
        are in it."""
        self._make = make
        self._gaps = gaps
        self._tokens = tokens
        self._events = events
        self.end = end
        self.finished = finished
        self.bytewise = bytewise
        self.pings = 0
        self.usage_told = usage_told
        self.writes = 1

    @classmethod
    def nothing(cls) -> "OnePiece":
        """The one that never comes."""
        reply = cls(bytes, gaps=0, tokens={}, end=End.HANG, finished=False)
        reply.writes = 0
        return reply

    def write(self, number: int) -> bytes:
        """See `Reply`."""
        data = self._make()
        self.usage_told = self.usage_told or USAGE in data
        return data

    def ping(self) -> bytes:
        """See `Reply`."""
        return b""

    def events_in(self, number: int) -> int:
        """See `Reply`."""
        return self._events

    def gaps_before(self, number: int) -> int:
        """See `Reply`."""
        return self._gaps

    def run(self, number: int) -> Run:
        """See `Reply`."""
        return Run((), number)

    def tokens_in(self, writes: int) -> dict[Kind, int]:
        """See `Reply`."""
        return self._tokens if writes else {}


class Job(NamedTuple):
    """What is to be done for a request that is answered."""

    api: str
    said: Said
    head: bytes
    """Sent at once; empty if the head comes with the first write."""
    reply: Reply
    keep_alive: bool
    failing: bool
    """Whether the client has something to complain about."""
    inputs: int = 0
    """Texts whose embeddings are sent."""


def held_back(stream: StreamedReply, head: Callable[[int], bytes]) -> OnePiece:
    """A stream, not in chunks, that is sent as a whole at its end; `head` takes the length of the body."""
    numbers = range(stream.writes)
    if stream.endless or not stream.writes:
        return OnePiece.nothing()
    body = b"".join([stream.write(number) for number in numbers])
    missing = 0 if stream.end is End.ORDER else _MISSING
    return OnePiece(
        lambda: head(len(body) + missing) + body,
        gaps=sum(map(stream.gaps_before, numbers)),
        tokens=stream.tokens_in(stream.writes),
        events=sum(map(stream.events_in, numbers)),
        end=stream.end,
        finished=stream.finished,
        bytewise=stream.bytewise,
        usage_told=stream.usage_told,
    )


def whole(
    said: Said, body: Callable[[], bytes], error: Callable[[], bytes], head: Callable[[int], bytes], course: Course
) -> OnePiece:
    """An answer that isn't streamed. Of `course`, which counts a token as an event, it takes what can be done to it."""
    steps = sum(part.tokens for part in said.parts)
    tokens: dict[Kind, int] = {part.kind: part.tokens * said.choices for part in said.parts}
    if course.events == ENDLESS or (course.end is End.HANG and not course.events):
        return OnePiece.nothing()
    in_order = course.end is End.ORDER
    finished = course.last == "closing" and course.broken < 0

    def make() -> bytes:
        data = error() if course.last == "error" else body()
        if not in_order:
            part = data[: max(1, len(data) * course.events // max(1, steps))]
            return head(len(data)) + part[: len(data) - 1]
        if not finished and course.last != "error":
            data = data[:-2]
        return head(len(data)) + data

    return OnePiece(make, gaps=max(0, steps - 1), tokens=tokens if finished else {}, end=course.end, finished=finished)
