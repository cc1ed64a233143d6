"""Cuts what is said into writes; no I/O.

A streamed answer is a number of writes, each with a delay before it. Nearly all of them are one token event and nothing
else, prepared beforehand (`run`); the others are put together when their time has come (`write`).
"""

from functools import cache
from typing import NamedTuple

from llmstress.engine.mock.dialects.answer_spec import CYCLE, Kind, Said, words
from llmstress.engine.mock.dialects.dialect import Speech
from llmstress.engine.mock.draws import NO_FATE, Fate
from llmstress.engine.mock.endings import ENDLESS, End, course_of
from llmstress.engine.mock.framing import Form, Framing

USAGE = b'"usage":{'
"""Stands in what tells the usage, in whatever API; in a text the quotes would be escaped."""

_ERROR = "the model has failed", "server_error"


class Run(NamedTuple):
    """Writes that hold one prepared event each: write number i holds `events[i % CYCLE]`."""

    events: tuple[bytes, ...]
    until: int
    """Number of the first write behind them that holds something else."""


class Cut(NamedTuple):
    """How large the pieces are."""

    tokens_per_event: int = 1
    events_per_write: int = 1
    last_word: bool = True
    """Whether the mark that nothing more comes is said."""


class _Stretch(NamedTuple):
    """The token events of one part."""

    kind: Kind
    tokens: int
    first: int
    end: int
    """First event behind it."""


_PLAIN_FORM, _PLAIN_CUT = Form(), Cut()


class StreamedReply:
    """A streamed answer as writes."""

    __slots__ = (
        "_announced",
        "_course",
        "_cut",
        "_framing",
        "_opened",
        "_said",
        "_speech",
        "_spoken",
        "_stretches",
        "_tokens_out",
        "bytewise",
        "pings",
        "usage_told",
        "writes",
    )

    def __init__(
        self,
        said: Said,
        speech: Speech,
        *,
        form: Form = _PLAIN_FORM,
        cut: Cut = _PLAIN_CUT,
        fate: Fate = NO_FATE,
    ) -> None:
        stretches = _stretches(said, cut)
        course = course_of(fate.fault, fate.at, stretches[-1].end if stretches else 0)
        self._said = said
        self._speech = speech
        self._framing = Framing(form)
        self._cut = cut
        if course.last == "error" and not speech.error_event(*_ERROR):
            course = course._replace(last="nothing", end=End.CLOSE)
        if course.events == ENDLESS:
            stretches[-1] = stretches[-1]._replace(tokens=ENDLESS, end=ENDLESS)
        self._course = course
        self._stretches = stretches
        self._announced = stretches[-1].first if stretches and said.tool_call and speech.start("tool") else -1
        self._opened = False
        self._spoken = 0
        self._tokens_out = 0
        self.bytewise = form.bytewise
        self.pings = 0
        """How many were said."""
        self.usage_told = False
        self.writes = -(-course.events // cut.events_per_write) + course.apart
        """How many writes the answer has; 0 if nothing ever comes."""
        if not self.writes and course.last != "nothing":
            self.writes = 1  # an answer without tokens has to open and close all the same

    @property
    def end(self) -> End:
        """What happens after the last write."""
        return self._course.end

    @property
    def endless(self) -> bool:
        """Whether there is no last write."""
        return self._course.events == ENDLESS

    @property
    def finished(self) -> bool:
        """Whether its last write says why it ends."""
        return self._course.last == "closing"

    def write(self, number: int) -> bytes:
        """Write `number`, counted from 0, in full; each is asked for at most once, in order."""
        course, cut, speech = self._course, self._cut, self._speech
        said = self._open()
        first = number * cut.events_per_write
        for event in range(first, first + self._steps_in(number)):
            said += self._token(event)
        last = number == self.writes - 1
        if last and course.last != "nothing":
            said += self._say(self._closing() if course.last == "closing" else speech.error_event(*_ERROR))
        frame = self._framing.frame
        data = frame(b"".join(said)) if cut.events_per_write > 1 else b"".join([frame(each) for each in said])
        return data + self._framing.end() if last and course.end is End.ORDER else data

    def ping(self) -> bytes:
        """What the API says while it has nothing to say, to be sent now; empty if it keeps still."""
        return self._framing.frame(b"".join(self._open() + self._ping()))

    def events_in(self, number: int) -> int:
        """Token events in a write; the announcement of a call, which names the tool, is one as well."""
        steps = self._steps_in(number)
        first = number * self._cut.events_per_write
        return steps + (first <= self._announced < first + steps)

    def gaps_before(self, number: int) -> int:
        """How many gaps lie between a write and the one before it, or the time of the first token."""
        steps = self._steps_in(number)
        return max(0, steps - 1) if number == 0 else steps or 1

    def run(self, number: int) -> Run:
        """The prepared writes from write `number` on; none if `until` isn't beyond it.

        What opens or ends a part, or the answer, is no prepared write.
        """
        course, size = self._course, self._cut.tokens_per_event
        alike = self._framing.repeats and not (self.bytewise or self._speech.stamped or course.chatty)
        alike = alike and not self._said.document
        if alike and self._cut.events_per_write == 1:
            until = self.writes - 1 if number > course.broken else min(self.writes - 1, course.broken)
            for kind, _, first, end in self._stretches:
                if first < number < min(end - 1, until):
                    frame, token = self._framing.frame, self._speech.token_event
                    events = [frame(token(kind, text)) for text in _texts(-first % CYCLE, size)]
                    return Run(tuple(events), min(end - 1, until))
        return Run((), number)

    def tokens_in(self, writes: int) -> dict[Kind, int]:
        """How many tokens of each kind the first `writes` writes bear, of all choices."""
        events = min(writes * self._cut.events_per_write, self._course.events)
        counts: dict[Kind, int] = {}
        for kind, tokens, first, end in self._stretches:
            shown = min(tokens, (min(events, end) - first) * self._cut.tokens_per_event)
            if shown > 0:
                counts[kind] = shown * self._said.choices
        return counts

    def _steps_in(self, number: int) -> int:
        """Token events in a write that have a time of their own."""
        size = self._cut.events_per_write
        left = self._course.events - number * size
        return size if left >= size else max(0, left)

    def _open(self) -> list[bytes]:
        """What comes before everything else, pings included: some clients want it so."""
        if self._opened:
            return []
        self._opened = True
        return self._say(self._speech.opening())

    def _token(self, event: int) -> list[bytes]:
        """A token event, and what belongs around it."""
        speech = self._speech
        kind, tokens, first, end = next(each for each in self._stretches if event < each.end)
        said = self._say(speech.start(kind)) if event == first else []
        if self._course.chatty:
            said += self._ping()
        begin = (event - first) * self._cut.tokens_per_event
        count = min(self._cut.tokens_per_event, tokens - begin)
        data = speech.token_event(kind, self._said.text(kind, begin, count))
        if event == self._course.broken:
            said += [_broken(each) for each in self._say([data])]
        self._tokens_out += count
        said += self._say([data])
        return said + self._say(speech.end(kind)) if event == end - 1 else said

    def _closing(self) -> list[bytes]:
        events = self._speech.closing()
        self.usage_told = any(USAGE in event for event in events)
        last_word = self._speech.last_word
        return events[:-1] if last_word and not self._cut.last_word and events[-1] == last_word else events

    def _ping(self) -> list[bytes]:
        ping = self._speech.ping()
        self.pings += bool(ping)
        return self._say([ping]) if ping else []

    def _say(self, events: list[bytes]) -> list[bytes]:
        if self._speech.stamped:
            stamp = self._speech.stamp
            events = [stamp(event, self._spoken + i, self._tokens_out) for i, event in enumerate(events)]
            self._spoken += len(events)
        return events


@cache
def _texts(first: int, size: int) -> tuple[str, ...]:
    """What `CYCLE` token events say, from event number `first` on. As good as always the same."""
    return tuple([words(i * size, size) for i in range(first, first + CYCLE)])


def _stretches(said: Said, cut: Cut) -> list[_Stretch]:
    found: list[_Stretch] = []
    first = 0
    for kind, tokens in said.parts:
        end = first - (-tokens // cut.tokens_per_event)
        found.append(_Stretch(kind, tokens, first, end))
        first = end
    return found


def _broken(event: bytes) -> bytes:
    """The event without the end of its JSON; of several the last one."""
    text = event.rstrip(b"\n")
    return text.rpartition(b"\n\n")[2][:-2] + event[len(text) :]
