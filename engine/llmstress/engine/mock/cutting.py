"""Cuts what is said into writes and frames them for HTTP; no I/O.

An answer is a number of writes, each with a delay before it. Nearly all of them are one token event and nothing
else, prepared beforehand (`run`); the others are put together when their time has come (`write`).
"""

from typing import NamedTuple, Protocol

from llmstress.engine.mock.heads import chunk, response
from llmstress.engine.mock.http import Headers
from llmstress.engine.mock.speech.dialect import Speech
from llmstress.engine.mock.speech.said import CYCLE, Kind, Said, words


class Run(NamedTuple):
    """Writes that hold one prepared event each: write number i holds `events[i % CYCLE]`."""

    events: tuple[bytes, ...]
    until: int
    """Number of the first write behind them that holds something else."""


class Reply(Protocol):
    """An answer as writes."""

    tokens: int
    """Tokens in it, of all choices."""
    steps: int
    """Points in time at which a token of each choice is there."""
    writes: int
    """How many writes the answer has."""
    streamed: bool

    def write(self, number: int) -> bytes:
        """Write `number`, counted from 0, in full; each is asked for at most once, in order."""

    def run(self, number: int) -> Run:
        """The prepared writes from write `number` on; none if `until` isn't beyond it."""


class _Stretch(NamedTuple):
    """The writes of one part."""

    kind: Kind
    first: int
    end: int
    """First write behind it."""


class StreamedReply:
    """An answer as events: one write per token.

    With `chunked` every event is an HTTP chunk of its own; without (HTTP/1.0) the end of the connection is
    the end of the answer.
    """

    __slots__ = ("_end", "_frame", "_said", "_speech", "_spoken", "_stretches", "steps", "tokens", "writes")

    streamed = True

    def __init__(self, said: Said, speech: Speech, *, chunked: bool = True) -> None:
        self._said = said
        self._speech = speech
        self._frame = chunk if chunked else bytes
        self._end = b"0\r\n\r\n" if chunked else b""
        self._spoken = 0
        self._stretches: list[_Stretch] = []
        steps = 0
        for kind, tokens in said.parts:
            self._stretches.append(_Stretch(kind, steps, steps + tokens))
            steps += tokens
        self.tokens = said.shown_tokens
        self.steps = steps
        # an answer without tokens has to open and close all the same
        self.writes = max(steps, 1)

    def write(self, number: int) -> bytes:
        """See `Reply`."""
        speech = self._speech
        before: list[bytes] = speech.opening() if number == 0 else []
        after: list[bytes] = []
        for kind, first, end in self._stretches:
            if first <= number < end:
                if number == first:
                    before += speech.start(kind)
                after.append(speech.token_event(kind, self._said.text(kind, number - first, 1)))
                if number == end - 1:
                    after += speech.end(kind)
        last = number == self.writes - 1
        if last:
            after += speech.closing()
        if speech.stamped:
            before = self._stamp(before, number)
            after = self._stamp(after, min(number + 1, self.steps))
        return b"".join([self._frame(event) for event in before + after]) + (self._end if last else b"")

    def _stamp(self, events: list[bytes], tokens: int) -> list[bytes]:
        stamped = [self._speech.stamp(event, self._spoken + i, tokens) for i, event in enumerate(events)]
        self._spoken += len(stamped)
        return stamped

    def run(self, number: int) -> Run:
        """See `Reply`. What opens or ends a part is no prepared write."""
        if not self._speech.stamped:
            for kind, first, end in self._stretches:
                if first < number < end - 1:
                    # the words of write number i, at place i % CYCLE
                    texts = [words(i - first, 1) for i in range(CYCLE - first % CYCLE, 2 * CYCLE - first % CYCLE)]
                    events = [self._frame(self._speech.token_event(kind, text)) for text in texts]
                    return Run(tuple(events), end - 1)
        return Run((), number)


class WholeReply:
    """An answer in one piece: a single write."""

    __slots__ = ("_headers", "_keep_alive", "_speech", "steps", "tokens")

    streamed = False
    writes = 1

    def __init__(self, said: Said, speech: Speech, *, headers: Headers = (), keep_alive: bool) -> None:
        self._speech = speech
        self._headers = headers
        self._keep_alive = keep_alive
        self.tokens = said.shown_tokens
        self.steps = sum(part.tokens for part in said.parts)

    def write(self, number: int) -> bytes:
        """See `Reply`: the head and the body."""
        return response(200, self._speech.whole(), headers=self._headers, keep_alive=self._keep_alive)

    def run(self, number: int) -> Run:
        """See `Reply`."""
        return Run((), number)
