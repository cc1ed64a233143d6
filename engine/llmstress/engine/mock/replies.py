"""Answers as the pacer writes them: streams, streams sent in one write, and answers that are not streamed."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from llmstress.engine.mock.chunking import USAGE_KEY, PreparedWrites, StreamedReply
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, TokenKind
from llmstress.engine.mock.endings import ENDLESS, AnswerPlan, Termination

_MISSING = 64
"""Bytes that the Content-Length of an incomplete body promises beyond those that are sent."""


class Reply(Protocol):
    """An answer as a sequence of writes. The attributes mean the same as those of `StreamedReply`."""

    writes: int
    one_byte_writes: bool
    pings: int
    usage_sent: bool

    @property
    def termination(self) -> Termination:
        """What happens to the body and the connection after the last write."""

    @property
    def finished(self) -> bool:
        """Whether the last write contains the finish reason and the usage, if the API has them."""

    def write(self, number: int) -> bytes:
        """All bytes of write `number`, counted from 0. Each write is requested at most once, in order."""

    def ping(self) -> bytes:
        """Bytes that may be sent between two writes at any time; empty: none."""

    def events_in(self, number: int) -> int:
        """Number of token events in a write."""

    def gaps_before(self, number: int) -> int:
        """Number of gaps between the previous write and this one; for write 0, between the first token and it."""

    def prepared(self, number: int) -> PreparedWrites:
        """The writes from `number` on that are encoded in advance; none if `until` is not above `number`."""

    def tokens_in(self, writes: int) -> dict[TokenKind, int]:
        """Number of tokens of each kind in the first `writes` writes, over all choices."""


class SingleWriteReply:
    """A reply that consists of a single write, which includes the head."""

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
        """`make` returns all bytes. They are due `gaps` gaps after the first token, and contain `tokens` tokens and
        `events` token events."""
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
    def never(cls) -> "SingleWriteReply":
        """A reply that is never sent."""
        reply = cls(bytes, gaps=0, tokens={}, termination=Termination.HANG, finished=False)
        reply.writes = 0
        return reply

    def write(self, number: int) -> bytes:
        data = self._make()
        self.usage_sent = self.usage_sent or USAGE_KEY in data
        return data

    def ping(self) -> bytes:
        return b""

    def events_in(self, number: int) -> int:
        return self._events

    def gaps_before(self, number: int) -> int:
        return self._gaps

    def prepared(self, number: int) -> PreparedWrites:
        return PreparedWrites((), number)

    def tokens_in(self, writes: int) -> dict[TokenKind, int]:
        return self._tokens if writes else {}


class Job(NamedTuple):
    """An answer to be sent."""

    api: str
    answer: AnswerSpec
    head: bytes
    """Bytes sent at once; empty if the first write contains the head."""
    reply: Reply
    keep_alive: bool
    failing: bool
    """Whether the request has a fault that a client should count as a failure."""
    inputs: int = 0
    """Number of texts whose embeddings are sent."""
    ttft_share: float = 1.0
    """The share of the time to the first token that this answer takes, because of cached tokens."""
    number: int = -1
    """Number of the request in the journal, if there is one."""


def in_one_write(stream: StreamedReply, head: Callable[[int], bytes]) -> SingleWriteReply:
    """A stream without chunks that is sent in one write when its end is due; `head` takes the length of the body."""
    numbers = range(stream.writes)
    if stream.endless or not stream.writes:
        return SingleWriteReply.never()
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
    """An answer that is not streamed. `plan` counts each token as an event; its pings and gaps are ignored."""
    total = sum(part.tokens for part in answer.parts)
    tokens: dict[TokenKind, int] = {part.kind: part.tokens * answer.choices for part in answer.parts}
    if plan.events == ENDLESS or (plan.termination is Termination.HANG and not plan.events):
        return SingleWriteReply.never()
    complete = plan.termination is Termination.COMPLETE
    finished = plan.last == "closing" and plan.malformed_at < 0

    def make() -> bytes:
        data = error() if plan.last == "error" else body()
        if not complete:
            part = data[: max(1, len(data) * plan.events // max(1, total))]
            return head(len(data)) + part[: len(data) - 1]
        if not finished and plan.last != "error":
            data = data[:-2]
        return head(len(data)) + data

    return SingleWriteReply(
        make, gaps=max(0, total - 1), tokens=tokens if finished else {}, termination=plan.termination, finished=finished
    )
