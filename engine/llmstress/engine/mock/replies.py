"""Answers as the pacer writes them: streams, streams that are held back to their end, and answers in one piece."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from llmstress.engine.mock.chunking import USAGE_KEY, PreparedWrites, StreamedReply
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, TokenKind
from llmstress.engine.mock.endings import ENDLESS, AnswerPlan, Termination

_MISSING = 64
"""Bytes that a body which breaks off should still have had, by its Content-Length."""


class Reply(Protocol):
    """An answer as writes; see `StreamedReply`."""

    writes: int
    one_byte_writes: bool
    pings: int
    usage_sent: bool

    @property
    def termination(self) -> Termination:
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

    def prepared(self, number: int) -> PreparedWrites:
        """The prepared writes from write `number` on; none if `until` isn't beyond it."""

    def tokens_in(self, writes: int) -> dict[TokenKind, int]:
        """How many tokens of each kind the first `writes` writes bear, of all choices."""


class SingleWriteReply:
    """A reply of a single write, head and all."""

    __slots__ = (
        "_events",
        "_gaps",
        "_make",
        "_tokens",
        "finished",
        "one_byte_writes",
        "pings",
        "termination",
        "usage_sent",
        "writes",
    )

    def __init__(
        self,
        make: Callable[[], bytes],
        *,
        gaps: int,
        tokens: dict[TokenKind, int],
        events: int = 0,
        termination: Termination = Termination.COMPLETE,
        finished: bool = True,
        one_byte_writes: bool = False,
        usage_sent: bool = False,
    ) -> None:
        """`make` gives all that is written, `gaps` after the time of the first token; `tokens` and token `events`
        are in it."""
        self._make = make
        self._gaps = gaps
        self._tokens = tokens
        self._events = events
        self.termination = termination
        self.finished = finished
        self.one_byte_writes = one_byte_writes
        self.pings = 0
        self.usage_sent = usage_sent
        self.writes = 1

    @classmethod
    def nothing(cls) -> "SingleWriteReply":
        """The one that never comes."""
        reply = cls(bytes, gaps=0, tokens={}, termination=Termination.HANG, finished=False)
        reply.writes = 0
        return reply

    def write(self, number: int) -> bytes:
        """See `Reply`."""
        data = self._make()
        self.usage_sent = self.usage_sent or USAGE_KEY in data
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

    def prepared(self, number: int) -> PreparedWrites:
        """See `Reply`."""
        return PreparedWrites((), number)

    def tokens_in(self, writes: int) -> dict[TokenKind, int]:
        """See `Reply`."""
        return self._tokens if writes else {}


class Job(NamedTuple):
    """What is to be done for a request that is answered."""

    api: str
    answer: AnswerSpec
    head: bytes
    """Sent at once; empty if the head comes with the first write."""
    reply: Reply
    keep_alive: bool
    failing: bool
    """Whether the client has something to complain about."""
    inputs: int = 0
    """Texts whose embeddings are sent."""


def in_one_write(stream: StreamedReply, head: Callable[[int], bytes]) -> SingleWriteReply:
    """A stream, not in chunks, that is sent as a whole at its end; `head` takes the length of the body."""
    numbers = range(stream.writes)
    if stream.endless or not stream.writes:
        return SingleWriteReply.nothing()
    body = b"".join([stream.write(number) for number in numbers])
    missing = 0 if stream.termination is Termination.COMPLETE else _MISSING
    return SingleWriteReply(
        lambda: head(len(body) + missing) + body,
        gaps=sum(map(stream.gaps_before, numbers)),
        tokens=stream.tokens_in(stream.writes),
        events=sum(map(stream.events_in, numbers)),
        termination=stream.termination,
        finished=stream.finished,
        one_byte_writes=stream.one_byte_writes,
        usage_sent=stream.usage_sent,
    )


def whole_reply(
    answer: AnswerSpec,
    body: Callable[[], bytes],
    error: Callable[[], bytes],
    head: Callable[[int], bytes],
    plan: AnswerPlan,
) -> SingleWriteReply:
    """An answer that isn't streamed. Of `plan`, which counts a token as an event, it takes what can be done to it."""
    steps = sum(part.tokens for part in answer.parts)
    tokens: dict[TokenKind, int] = {part.kind: part.tokens * answer.choices for part in answer.parts}
    if plan.events == ENDLESS or (plan.termination is Termination.HANG and not plan.events):
        return SingleWriteReply.nothing()
    in_order = plan.termination is Termination.COMPLETE
    finished = plan.last == "closing" and plan.malformed_at < 0

    def make() -> bytes:
        data = error() if plan.last == "error" else body()
        if not in_order:
            part = data[: max(1, len(data) * plan.events // max(1, steps))]
            return head(len(data)) + part[: len(data) - 1]
        if not finished and plan.last != "error":
            data = data[:-2]
        return head(len(data)) + data

    return SingleWriteReply(
        make, gaps=max(0, steps - 1), tokens=tokens if finished else {}, termination=plan.termination, finished=finished
    )
