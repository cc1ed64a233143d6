"""Cuts what is said into writes; no I/O.

A streamed answer is a number of writes, each with a delay before it. Nearly all of them are one token event and nothing
else, prepared beforehand (`run`); the others are put together when their time has come (`write`).
"""

from functools import cache
from typing import NamedTuple

from llmstress.engine.mock.dialects.answer_spec import CYCLE, AnswerSpec, TokenKind, words
from llmstress.engine.mock.dialects.dialect import AnswerEncoder
from llmstress.engine.mock.draws import NO_DRAW, Draw
from llmstress.engine.mock.endings import ENDLESS, Termination, plan_for
from llmstress.engine.mock.framing import Framing, WireFormat

USAGE_KEY = b'"usage":{'
"""Stands in what tells the usage, in whatever API; in a text the quotes would be escaped."""

_ERROR = "the model has failed", "server_error"


class PreparedWrites(NamedTuple):
    """Writes that hold one prepared event each: write number i holds `events[i % CYCLE]`."""

    events: tuple[bytes, ...]
    until: int
    """Number of the first write behind them that holds something else."""


class Chunking(NamedTuple):
    """How large the pieces are."""

    tokens_per_event: int = 1
    events_per_write: int = 1
    end_mark: bool = True
    """Whether the mark that nothing more comes is said."""


class _PartRange(NamedTuple):
    """The token events of one part."""

    kind: TokenKind
    tokens: int
    first: int
    end: int
    """First event behind it."""


_PLAIN_FORMAT, _PLAIN_CHUNKING = WireFormat(), Chunking()


class StreamedReply:
    """A streamed answer as writes."""

    __slots__ = (
        "_announcement",
        "_answer",
        "_chunking",
        "_encoder",
        "_events_out",
        "_framing",
        "_opened",
        "_part_ranges",
        "_plan",
        "_tokens_out",
        "one_byte_writes",
        "pings",
        "usage_sent",
        "writes",
    )

    def __init__(
        self,
        answer: AnswerSpec,
        encoder: AnswerEncoder,
        *,
        wire_format: WireFormat = _PLAIN_FORMAT,
        chunking: Chunking = _PLAIN_CHUNKING,
        draw: Draw = NO_DRAW,
    ) -> None:
        ranges = _part_ranges(answer, chunking)
        plan = plan_for(draw.fault, draw.position, ranges[-1].end if ranges else 0)
        self._answer = answer
        self._encoder = encoder
        self._framing = Framing(wire_format)
        self._chunking = chunking
        if plan.last == "error" and not encoder.error_events(*_ERROR):
            plan = plan._replace(last="nothing", termination=Termination.CLOSE)
        if plan.events == ENDLESS:
            ranges[-1] = ranges[-1]._replace(tokens=ENDLESS, end=ENDLESS)
        self._plan = plan
        self._part_ranges = ranges
        self._announcement = ranges[-1].first if ranges and answer.tool_call and encoder.part_start("tool") else -1
        self._opened = False
        self._events_out = 0
        self._tokens_out = 0
        self.one_byte_writes = wire_format.one_byte_writes
        self.pings = 0
        """How many were said."""
        self.usage_sent = False
        self.writes = -(-plan.events // chunking.events_per_write) + plan.separate
        """How many writes the answer has; 0 if nothing ever comes."""
        if not self.writes and plan.last != "nothing":
            self.writes = 1  # an answer without tokens has to open and close all the same

    @property
    def termination(self) -> Termination:
        """What happens after the last write."""
        return self._plan.termination

    @property
    def endless(self) -> bool:
        """Whether there is no last write."""
        return self._plan.events == ENDLESS

    @property
    def finished(self) -> bool:
        """Whether its last write says why it ends."""
        return self._plan.last == "closing"

    def write(self, number: int) -> bytes:
        """Write `number`, counted from 0, in full; each is asked for at most once, in order."""
        plan, chunking, encoder = self._plan, self._chunking, self._encoder
        answer = self._open()
        first = number * chunking.events_per_write
        for event in range(first, first + self._steps_in(number)):
            answer += self._token(event)
        last = number == self.writes - 1
        if last and plan.last != "nothing":
            answer += self._filled_in(self._closing() if plan.last == "closing" else encoder.error_events(*_ERROR))
        frame = self._framing.frame
        data = frame(b"".join(answer)) if chunking.events_per_write > 1 else b"".join([frame(each) for each in answer])
        return data + self._framing.end() if last and plan.termination is Termination.COMPLETE else data

    def ping(self) -> bytes:
        """What the API says while it has nothing to say, to be sent now; empty if it keeps still."""
        return self._framing.frame(b"".join(self._open() + self._ping()))

    def events_in(self, number: int) -> int:
        """Token events in a write; the announcement of a call, which names the tool, is one as well."""
        steps = self._steps_in(number)
        first = number * self._chunking.events_per_write
        return steps + (first <= self._announcement < first + steps)

    def gaps_before(self, number: int) -> int:
        """How many gaps lie between a write and the one before it, or the time of the first token."""
        steps = self._steps_in(number)
        return max(0, steps - 1) if number == 0 else steps or 1

    def prepared(self, number: int) -> PreparedWrites:
        """The prepared writes from write `number` on; none if `until` isn't beyond it.

        What opens or ends a part, or the answer, is no prepared write.
        """
        plan, size = self._plan, self._chunking.tokens_per_event
        alike = self._framing.repeats and not (self.one_byte_writes or self._encoder.fills_in or plan.keepalives)
        alike = alike and not self._answer.document
        if alike and self._chunking.events_per_write == 1:
            until = self.writes - 1 if number > plan.malformed_at else min(self.writes - 1, plan.malformed_at)
            for kind, _, first, end in self._part_ranges:
                if first < number < min(end - 1, until):
                    frame, token = self._framing.frame, self._encoder.token_event
                    events = [frame(token(kind, text)) for text in _texts(-first % CYCLE, size)]
                    return PreparedWrites(tuple(events), min(end - 1, until))
        return PreparedWrites((), number)

    def tokens_in(self, writes: int) -> dict[TokenKind, int]:
        """How many tokens of each kind the first `writes` writes bear, of all choices."""
        events = min(writes * self._chunking.events_per_write, self._plan.events)
        counts: dict[TokenKind, int] = {}
        for kind, tokens, first, end in self._part_ranges:
            shown = min(tokens, (min(events, end) - first) * self._chunking.tokens_per_event)
            if shown > 0:
                counts[kind] = shown * self._answer.choices
        return counts

    def _steps_in(self, number: int) -> int:
        """Token events in a write that have a time of their own."""
        size = self._chunking.events_per_write
        left = self._plan.events - number * size
        return size if left >= size else max(0, left)

    def _open(self) -> list[bytes]:
        """What comes before everything else, pings included: some clients want it so."""
        if self._opened:
            return []
        self._opened = True
        return self._filled_in(self._encoder.opening())

    def _token(self, event: int) -> list[bytes]:
        """A token event, and what belongs around it."""
        encoder = self._encoder
        kind, tokens, first, end = next(each for each in self._part_ranges if event < each.end)
        answer = self._filled_in(encoder.part_start(kind)) if event == first else []
        if self._plan.keepalives:
            answer += self._ping()
        begin = (event - first) * self._chunking.tokens_per_event
        count = min(self._chunking.tokens_per_event, tokens - begin)
        data = encoder.token_event(kind, self._answer.text(kind, begin, count))
        if event == self._plan.malformed_at:
            answer += [_broken(each) for each in self._filled_in([data])]
        self._tokens_out += count
        answer += self._filled_in([data])
        return answer + self._filled_in(encoder.part_end(kind)) if event == end - 1 else answer

    def _closing(self) -> list[bytes]:
        events = self._encoder.closing()
        self.usage_sent = any(USAGE_KEY in event for event in events)
        end_mark = self._encoder.end_mark
        return events[:-1] if end_mark and not self._chunking.end_mark and events[-1] == end_mark else events

    def _ping(self) -> list[bytes]:
        ping = self._encoder.ping()
        self.pings += bool(ping)
        return self._filled_in([ping]) if ping else []

    def _filled_in(self, events: list[bytes]) -> list[bytes]:
        if self._encoder.fills_in:
            fill_in = self._encoder.fill_in
            events = [fill_in(event, self._events_out + i, self._tokens_out) for i, event in enumerate(events)]
            self._events_out += len(events)
        return events


@cache
def _texts(first: int, size: int) -> tuple[str, ...]:
    """What `CYCLE` token events say, from event number `first` on. As good as always the same."""
    return tuple([words(i * size, size) for i in range(first, first + CYCLE)])


def _part_ranges(answer: AnswerSpec, chunking: Chunking) -> list[_PartRange]:
    found: list[_PartRange] = []
    first = 0
    for kind, tokens in answer.parts:
        end = first - (-tokens // chunking.tokens_per_event)
        found.append(_PartRange(kind, tokens, first, end))
        first = end
    return found


def _broken(event: bytes) -> bytes:
    """The event without the end of its JSON; of several the last one."""
    text = event.rstrip(b"\n")
    return text.rpartition(b"\n\n")[2][:-2] + event[len(text) :]
