"""The time per output token (`tpot`) of one answer: known, assumed, or undetermined. Pure functions.

The divisor is the number of tokens generated after the first token event. Events in the read of the first one share its
stamp, so they count as generated before it. If usage came with events, the divisor is known. Otherwise there is only
the usage of the whole answer. If usage counts as many tokens as there were token events, an event is a token. If it
counts more, either the other tokens were generated before the first event (hidden reasoning, a tool parser, a first
event that bundles many tokens), or events carry several tokens each. The text decides: whether there is enough of it
for all tokens, and how it is spread over the events. If the text decides nothing, `tpot` lies between two bounds, and
no single number is given.

An assumed `tpot` may be too low by the share of tokens that were hidden after all: up to a quarter of them cannot be
told from long words.
"""

import msgspec

from llmstress.engine.api.lenient import read_json

FEW_PIECES = "few pieces"
"""The answer was generated before it was sent, or in a few large pieces."""
BUNDLED = "bundled first event"
HIDDEN = "hidden tokens"
"""Usage counts more tokens than the text of the events can hold: the rest may come from before the first event."""
FEWER = "fewer tokens than events"
"""Usage counts fewer tokens than there were token events."""
STALE = "usage that stops"
"""Token events came after the last usage report."""

_TOLERANCE = 1.05
"""Bounds within this ratio are one number."""

_PIECES = 8
"""Fewer pieces than this, with over `_PIECE` tokens each, have gaps that do not measure tokens."""
_PIECE = 3

_OUTSIZED, _LARGE = 4, 16
"""A first event bundles tokens if its text is `_OUTSIZED` times as long as that of the others on average, and longer
than `_LARGE` bytes."""

_TOKEN_BYTES = 3.5
"""Least average bytes of text of a token: English has 4.3."""
_EVENT_BYTES = 8
"""Least average bytes of text of an event that is taken to carry several tokens."""
_TOKENS_PER_WORD = 1.15
"""At most this many tokens per word: then the words are taken to be the tokens. A mock sends such short words."""

_FAST_NS = 5_000_000
"""Engines are rarely faster than this for one user. If a pace is faster, the tokens may have been generated earlier."""

_SOON = 0.1
"""If the first event came within this share of the time of all later ones, few hidden tokens can precede it."""

_TEXTS = frozenset(
    (
        *("content", "text", "refusal", "delta", "name", "arguments", "partial_json"),
        *("reasoning_content", "reasoning", "thinking"),
    )
)
"""Members of an event's JSON that hold generated text, in any API."""


class Texts(msgspec.Struct, frozen=True):
    """The generated text of an answer's token events, in figures; all 0: unknown."""

    first: int = 0
    """Bytes in the first event."""
    rest: int = 0
    """Bytes in all others together."""
    words: int = 0
    """Words in all events, estimated."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A streamed answer, in figures. Times are nanoseconds."""

    span: int
    """From the first token event to the last one, summed over the choices."""
    events: int
    """Token events."""
    first_events: int
    """The token events that came in the same read as the first one of their choice."""
    pieces: int
    """Reads that held token events."""
    choices: int
    tokens: int | None
    """Output tokens by usage, without those known to precede the first event; None: no usage."""
    after_first: int | None
    """The tokens after the `first_events`, if the server's reports tell; else None."""
    ended_itself: bool
    """The model ended the answer, not a limit: usage may count the token that ended it, which no event carries."""
    before: int
    """From the sending of the request to the first token event."""
    texts: Texts


class Pace(msgspec.Struct, frozen=True):
    """Nanoseconds per token. If the time is undetermined, `why` says the reason, `ns` is 0, and only the bounds
    hold."""

    ns: int
    why: str = ""
    by_usage: int = 0
    by_events: int = 0


def pace_of(answer: Answer) -> Pace | None:
    """The pace of an answer; None: no token event followed the first one."""
    if answer.events <= answer.choices:
        return None
    later = answer.events - answer.first_events
    if later <= 0 or not answer.span:
        return Pace(0, FEW_PIECES)  # one read held the whole answer
    if answer.after_first is not None:
        return Pace(answer.span // answer.after_first)
    by_events = answer.span // later
    if answer.tokens is None or answer.tokens == answer.events:
        return Pace(by_events)
    surplus = answer.tokens - answer.events
    if answer.ended_itself and surplus == answer.choices:
        return Pace(by_events)
    if answer.tokens <= answer.first_events:
        return Pace(0, FEWER, answer.span, by_events)
    by_usage = answer.span // (answer.tokens - answer.first_events)
    if max(by_usage, by_events) <= _TOLERANCE * min(by_usage, by_events):
        return Pace(by_usage)
    if surplus < 0:
        return Pace(0, FEWER, by_usage, by_events)
    assumed = round(answer.span / (answer.tokens * (1 - _first_share(answer))))
    why = _doubt(answer, answer.tokens, assumed)
    return Pace(0, why, by_usage, by_events) if why else Pace(assumed)


def stale_pace(answer: Answer) -> Pace | None:
    """The pace of an answer whose usage reports stopped before its token events: it had at least `tokens`."""
    pace = pace_of(msgspec.structs.replace(answer, tokens=None, after_first=None))
    if pace is None or pace.why or answer.tokens is None:
        return pace
    return Pace(0, STALE, answer.span // max(1, answer.tokens - answer.first_events), pace.ns)


def _doubt(answer: Answer, tokens: int, assumed: int) -> str:
    """Why the events cannot be assumed to carry all tokens, in proportion to their text; empty: they can."""
    if answer.pieces < _PIECES and tokens > _PIECE * answer.pieces:
        return FEW_PIECES
    texts = answer.texts
    if texts.first > max(_LARGE, _OUTSIZED * texts.rest / (answer.events - 1)) and texts.rest:
        return BUNDLED
    if assumed < _FAST_NS and answer.before >= tokens * assumed:
        return FEW_PIECES
    size = texts.first + texts.rest
    large = answer.pieces >= _PIECES and size >= max(_TOKEN_BYTES * tokens, _EVENT_BYTES * answer.events)
    shown = large or tokens <= _TOKENS_PER_WORD * texts.words
    # at most before / assumed tokens were generated before the first event at the same pace
    return "" if shown or answer.before <= _SOON * answer.span else HIDDEN


def _first_share(answer: Answer) -> float:
    """Share of the tokens in the first events: by the size of a single one, else the share of events."""
    texts = answer.texts
    equal = answer.first_events / answer.events
    if answer.first_events > 1 or not texts.first or not texts.rest:
        return equal
    most = (answer.events - 1) / answer.events  # each of the others carried at least one token
    return min(texts.first / (texts.first + texts.rest), most)


def texts_of(first: bytes, last: bytes, all_bytes: int, events: int) -> Texts:
    """The text of all token events, estimated from the data of the first and of the last one.

    all_bytes: length of the data of all token events. The bytes around the text of the last event are assumed to be
    around the text of each. So nothing is known if a server pads its events, or if no text is left for them.
    """
    if b'"obfuscation"' in last or events < 2:
        return Texts()
    begin, end = _text_in(first), _text_in(last)
    around = len(last) - len(end)
    rest = max(0, all_bytes - len(first) - (events - 1) * around)
    if rest < events - 1:
        return Texts()
    words = len(end.split())
    # an event of one word does not tell how long words are
    others = max(events - 1, rest * words // len(end)) if words > 1 else events - 1
    return Texts(len(begin), rest, len(begin.split()) + others)


def _text_in(data: bytes) -> bytes:
    """The generated text in the data of an event: that of its JSON, else all of the data."""
    try:
        value = read_json(data)
    except (ValueError, RecursionError):
        return data
    return value.encode() if isinstance(value, str) else b"".join(_texts_in(value))


def _texts_in(value: object) -> list[bytes]:
    if isinstance(value, list):
        return [text for each in value for text in _texts_in(each)]
    if not isinstance(value, dict):
        return []
    found: list[bytes] = []
    for name, each in value.items():
        found += [msgspec.json.encode(each)[1:-1]] if isinstance(each, str) and name in _TEXTS else _texts_in(each)
    return found
