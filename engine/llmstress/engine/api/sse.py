"""Any endpoint that streams server-sent events: the user says where the text is, and what ends the stream."""

import re
from typing import Any

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.lenient import is_ping, named_error, not_json, read_json, read_odd, unknown, unreadable_answer
from llmstress.engine.api.meaning import FOREIGN, NOTHING, TOKEN, Meaning
from llmstress.engine.api.template import Template

DONE = "[DONE]"

_MAY_BE_ERROR = re.compile(rb'"\w*(?:err|detail|fault|exception|success|status|code|ok)\w*"', re.IGNORECASE)
"""A member that an error has in one of its usual shapes: only objects with one are looked at, where all data is text.
An object with a message alone is text there."""

_BRACE = b"{"[0]

_STEP = re.compile(r'[^"\\\x00-\x1f]+')
_MOST_STEPS = 30


class Sse(Template):
    """A stream of events, each of which is a token if there is text in it.

    Its text is all of its data (the inside of a JSON string, if it is one), or what lies at a path in its JSON. Where
    each event repeats the text so far, it counts once for each event all the same.
    """

    TAKES = Template.TAKES | {"text", "done", "error_event"}

    def __init__(self, ask: Ask) -> None:
        """Raises ValueError: what was asked for can't be said here."""
        super().__init__(ask)
        if not ask.stream:
            raise ValueError("--no-stream does not work with this API; use --api http")
        done = ask.done or DONE
        self._last_words = {done.encode(), msgspec.json.encode(done)}
        self._last = Meaning(finish=done, done=True)
        self._error_name = ask.error_event.encode() or b"error"
        self.ends_with_body = not ask.done
        self.classify = self._classify_text
        if ask.text:
            self._path = Path(ask.text)
            self.classify = self._classify_json

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """See `Api`."""
        value = read_odd(body, b"")
        if isinstance(value, Meaning) and value.error:
            return value
        return unreadable_answer("the answer is not an event stream", body)

    def _classify_text(self, data: bytes, name: bytes = b"") -> Meaning:
        if name and (event := self._meaning_of_name(name, data)) is not None:
            return event
        if data in self._last_words:
            return self._last
        if not data or data == b'""':
            return NOTHING
        if data[0] == _BRACE and _MAY_BE_ERROR.search(data) and (said := unknown(data)).error:
            return said
        return TOKEN

    def _classify_json(self, data: bytes, name: bytes = b"") -> Meaning:
        if name and (event := self._meaning_of_name(name, data)) is not None:
            return event
        if data in self._last_words:
            return self._last
        return TOKEN if self._path.leads_to_text(data) else self._classify_odd(data)

    def _classify_odd(self, data: bytes) -> Meaning:
        """Without text, or with text that a second look finds."""
        odd = read_odd(data, b"")
        try:
            text = self._path.follow(odd if isinstance(odd, dict) else read_json(data))
        except (ValueError, RecursionError) as fault:
            # where only the end of the body ends an answer, text that is no ping may be why it ended
            ignored = isinstance(odd, Meaning) and odd.foreign and not (self.ends_with_body and _may_be_error(data))
            return FOREIGN if ignored else not_json(fault, data)
        except LookupError:
            return odd if isinstance(odd, Meaning) and (odd.error or odd.foreign) else unknown(data)
        if _is_text(text):
            return TOKEN
        return odd if isinstance(odd, Meaning) and odd.error else NOTHING

    def _meaning_of_name(self, name: bytes, data: bytes) -> Meaning | None:
        if name == self._error_name:
            return named_error(data)
        if name in self._last_words:
            return self._last
        return FOREIGN if is_ping(name) else None


class Path:
    """Where text lies in JSON: names of members and numbers of places, `choices.0.text`."""

    def __init__(self, text: str) -> None:
        """Raises ValueError: there is a step without a name, or with one that no decoder takes, or too many."""
        self._steps = text.split(".")
        if len(self._steps) > _MOST_STEPS or not all(_STEP.fullmatch(step) for step in self._steps):
            raise ValueError(f"--text {text[:80]!r} is not a path like choices.0.text")
        kind: Any = Any
        self._places: list[int | None] = []
        for step in reversed(self._steps):
            place = int(step) if _is_number(step) else None
            self._places.insert(0, place)
            if place is None:
                member = msgspec.defstruct("Member", [("inside", kind, None)], rename={"inside": step}, gc=False)
                kind = member | None
            else:
                kind = list[kind] | None
        self._decode = msgspec.json.Decoder(kind).decode

    def leads_to_text(self, data: bytes) -> bool:
        """Whether there is text at the path: one typed decode, which may miss what `follow` finds."""
        try:
            value: Any = self._decode(data)
            for place in self._places:
                value = value.inside if place is None else value[place]
        except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
            return False
        return bool(value)

    def follow(self, value: Any) -> Any:
        """What lies at the path in `value`; None: nothing, as in events that tell of an end or of usage.

        Raises:
            LookupError: it isn't even an object, or list, that the path can begin in.
        """
        for number, step in enumerate(self._steps):
            if isinstance(value, list) and _is_number(step):
                value = value[int(step)] if int(step) < len(value) else None
            elif isinstance(value, dict) and (number or step in value):
                value = value.get(step)
            elif number:
                return None
            else:
                raise LookupError(step)
        return value


def _may_be_error(data: bytes) -> bool:
    """Whether text says more than that the server is still there, as a comment, a date or a name for that do."""
    text = data.strip()
    return bool(text) and not text[:1].isdigit() and not text.startswith(b":") and not is_ping(text)


def _is_number(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) <= 9


def _is_text(value: Any) -> bool:
    """Anything but null, false and what is empty; a number is never empty."""
    return bool(value) or (isinstance(value, int | float) and not isinstance(value, bool))
