"""Splits a streamed answer into writes; no I/O.

A streamed answer is a number of writes, each with a delay before it. Nearly all of them consist of exactly one token
event. These are encoded in advance (`prepared`); the others are encoded when they are due (`write`).
"""

from functools import cache
from typing import NamedTuple

from llmstress.engine.mock.dialects.answer_spec import CYCLE, AnswerSpec, TokenKind, words
from llmstress.engine.mock.dialects.dialect import AnswerEncoder
from llmstress.engine.mock.draws import NO_DRAW, Draw
from llmstress.engine.mock.endings import ENDLESS, Termination, plan_for
from llmstress.engine.mock.framing import Framing, WireFormat

USAGE_KEY = b'"usage":{'
"""Occurs in every event that reports usage, in every API. Within a text its quotes would be escaped."""

_ERROR = "the model has failed", "server_error"


class PreparedWrites(NamedTuple):
    """Writes that consist of one event each, encoded in advance: write number i is `events[i % CYCLE]`."""

    events: tuple[bytes, ...]
    until: int
    """Number of the first later write that is not one of them."""


class Chunking(NamedTuple):
    """The sizes of events and writes."""

    tokens_per_event: int = 1
    events_per_write: int = 1
    end_mark: bool = True
    """Whether the API's end mark is sent."""


class _PartRange(NamedTuple):
    """The token events of one part of an answer."""

    kind: TokenKind
    tokens: int
    first: int
    end: int
    """Number of the first event after the part."""


_PLAIN_FORMAT, _PLAIN_CHUNKING = WireFormat(), Chunking()


class StreamedReply:
    """A streamed answer as a sequence of writes."""

    __slots__ = (
        "_answer",
        "_chunking",
        "_encoder",
        "_events_out",
        "_framing",
        "_opened",
        "_part_ranges",
        "_plan",
        "_tokens_out",
        "_tool_start",
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
        self._tool_start = ranges[-1].first if ranges and answer.tool_call and encoder.part_start("tool") else -1
        self._opened = False
        self._events_out = 0
        self._tokens_out = 0
        self.one_byte_writes = wire_format.one_byte_writes
        self.pings = 0
        """Number of pings that were sent."""
        self.usage_sent = False
        self.writes = -(-plan.events // chunking.events_per_write) + plan.separate
        """Number of writes of the answer; 0 if nothing is ever sent."""
        if not self.writes and plan.last != "nothing":
            self.writes = 1  # an answer without tokens still has opening and closing events

    @property
    def termination(self) -> Termination:
        """What happens after the last write."""
        return self._plan.termination

    @property
    def endless(self) -> bool:
        """Whether the answer never ends."""
        return self._plan.events == ENDLESS

    @property
    def finished(self) -> bool:
        """Whether the last write contains the closing events: finish reason and usage."""
        return self._plan.last == "closing"

    def write(self, number: int) -> bytes:
        """All bytes of write `number`, counted from 0. Each write is requested at most once, in order."""
        plan, chunking, encoder = self._plan, self._chunking, self._encoder
        events = self._opening_once()
        first = number * chunking.events_per_write
        for event in range(first, first + self._timed_events_in(number)):
            events += self._token(event)
        last = number == self.writes - 1
        if last and plan.last != "nothing":
            events += self._filled_in(self._closing() if plan.last == "closing" else encoder.error_events(*_ERROR))
        frame = self._framing.frame
        data = frame(b"".join(events)) if chunking.events_per_write > 1 else b"".join([frame(each) for each in events])
        return data + self._framing.end() if last and plan.termination is Termination.COMPLETE else data

    def ping(self) -> bytes:
        """The bytes of a ping to be sent now; empty if the API has no pings."""
        return self._framing.frame(b"".join(self._opening_once() + self._ping()))

    def events_in(self, number: int) -> int:
        """Number of token events in a write, including the event that names the tool of a call."""
        timed = self._timed_events_in(number)
        first = number * self._chunking.events_per_write
        return timed + (first <= self._tool_start < first + timed)

    def gaps_before(self, number: int) -> int:
        """Number of gaps between the previous write and this one; for write 0, between the first token and it."""
        timed = self._timed_events_in(number)
        return max(0, timed - 1) if number == 0 else timed or 1

    def prepared(self, number: int) -> PreparedWrites:
        """The writes from `number` on that are encoded in advance; none if `until` is not above `number`.

        A write that begins or ends a part or the answer is never one of them.
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
        """Number of tokens of each kind in the first `writes` writes, over all choices."""
        events = min(writes * self._chunking.events_per_write, self._plan.events)
        counts: dict[TokenKind, int] = {}
        for kind, tokens, first, end in self._part_ranges:
            shown = min(tokens, (min(events, end) - first) * self._chunking.tokens_per_event)
            if shown > 0:
                counts[kind] = shown * self._answer.choices
        return counts

    def _timed_events_in(self, number: int) -> int:
        """Number of token events in a write that have a delay of their own."""
        size = self._chunking.events_per_write
        left = self._plan.events - number * size
        return size if left >= size else max(0, left)

    def _opening_once(self) -> list[bytes]:
        """The opening events, at the first call. They precede even pings because some clients require that."""
        if self._opened:
            return []
        self._opened = True
        return self._filled_in(self._encoder.opening())

    def _token(self, event: int) -> list[bytes]:
        """A token event, with the events that begin or end its part and the plan's pings."""
        encoder = self._encoder
        kind, tokens, first, end = next(each for each in self._part_ranges if event < each.end)
        events = self._filled_in(encoder.part_start(kind)) if event == first else []
        if self._plan.keepalives:
            events += self._ping()
        begin = (event - first) * self._chunking.tokens_per_event
        count = min(self._chunking.tokens_per_event, tokens - begin)
        data = encoder.token_event(kind, self._answer.text(kind, begin, count))
        if event == self._plan.malformed_at:
            events += [_malformed(each) for each in self._filled_in([data])]
        self._tokens_out += count
        events += self._filled_in([data])
        return events + self._filled_in(encoder.part_end(kind)) if event == end - 1 else events

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
    """The texts of `CYCLE` token events from event number `first` on. Cached: very few arguments occur."""
    return tuple([words(i * size, size) for i in range(first, first + CYCLE)])


def _part_ranges(answer: AnswerSpec, chunking: Chunking) -> list[_PartRange]:
    found: list[_PartRange] = []
    first = 0
    for kind, tokens in answer.parts:
        end = first - (-tokens // chunking.tokens_per_event)
        found.append(_PartRange(kind, tokens, first, end))
        first = end
    return found


def _malformed(event: bytes) -> bytes:
    """An event with truncated JSON: the last event in `event`, without its last two characters."""
    text = event.rstrip(b"\n")
    return text.rpartition(b"\n\n")[2][:-2] + event[len(text) :]
