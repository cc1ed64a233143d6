"""Any endpoint that streams server-sent events. The user says where an event has its text, and what ends the stream."""

import re
from typing import Any

import msgspec

from llmstress.engine.api.answers import Draft
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.halves import encoded, text_with_halves
from llmstress.engine.api.lenient import (
    is_ping,
    named_error,
    not_json,
    read_json,
    read_json_with_halves,
    read_odd,
    unknown,
    unreadable_answer,
)
from llmstress.engine.api.meaning import FOREIGN, NOTHING, TOKEN, Meaning
from llmstress.engine.api.template import Template

DONE = "[DONE]"

_MAY_BE_ERROR = re.compile(rb'"\w*(?:err|detail|fault|exception|success|status|code|ok)\w*"', re.IGNORECASE)
"""A member of the usual error shapes. Without --text all data of an event is its text; only objects with such a member
are then examined as possible errors. An object that has only a message is text."""

_BRACE = b"{"[0]

_STEP = re.compile(r'[^"\\\x00-\x1f]+')
"""A step of a path: any name that msgspec accepts as the name of a field."""
_MOST_STEPS = 30


class Sse(Template):
    """A stream of events, each of which is a token if it has a text.

    The text of an event is all of its data (or the content of the string, if the data is a JSON string), or the value
    at a path in its JSON. Each event counts as one token event, also if every event repeats the text so far.
    """

    TAKES = Template.TAKES | {"text", "done", "error_event"}

    def __init__(self, ask: Ask) -> None:
        """Prepares the end marks and the path to the text.

        Raises:
            ValueError: `ask` does not ask for a stream, its path is invalid, or as in `Template`.
        """
        super().__init__(ask)
        if not ask.stream:
            raise ValueError("--no-stream does not work with this API; use --api http")
        done = ask.done or DONE
        self._end_marks = {done.encode(), msgspec.json.encode(done)}
        self._end = Meaning(finish=done, done=True)
        self._error_name = ask.error_event.encode() or b"error"
        self.ends_with_body = not ask.done
        self.classify = self._classify_text
        if ask.text:
            self._path = Path(ask.text)
            self.classify = self._classify_json

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """An answer that is not a stream can only be an error; any other is malformed."""
        value = read_odd(body, b"")
        if isinstance(value, Meaning) and value.error:
            return value
        return unreadable_answer("the answer is not an event stream", body)

    def add_to(self, draft: Draft, data: bytes, name: bytes = b"") -> None:
        """Add the text of an event to the draft: what is at the path, or all data of the event."""
        meaning = self.classify(data, name)
        draft.finish(meaning.finish)
        if not meaning.tokens:
            return
        try:
            value = read_json_with_halves(data)
            if self.ask.text:
                value = self._path.follow(value)
                draft.add_text(value if isinstance(value, str) else encoded(value))
            else:
                draft.add_text(value if isinstance(value, str) else text_with_halves(data))
        except (ValueError, RecursionError, LookupError):
            draft.add_text(text_with_halves(data))

    def _classify_text(self, data: bytes, name: bytes = b"") -> Meaning:
        if name and (event := self._meaning_of_name(name, data)) is not None:
            return event
        if data in self._end_marks:
            return self._end
        if not data or data == b'""':
            return NOTHING
        if data[0] == _BRACE and _MAY_BE_ERROR.search(data) and (meaning := unknown(data)).error:
            return meaning
        return TOKEN

    def _classify_json(self, data: bytes, name: bytes = b"") -> Meaning:
        if name and (event := self._meaning_of_name(name, data)) is not None:
            return event
        if data in self._end_marks:
            return self._end
        return TOKEN if self._path.leads_to_text(data) else self._classify_odd(data)

    def _classify_odd(self, data: bytes) -> Meaning:
        """The meaning of data in which the typed decode of the path found no text."""
        odd = read_odd(data, b"")
        try:
            text = self._path.follow(odd if isinstance(odd, dict) else read_json(data))
        except (ValueError, RecursionError) as fault:
            # If only the end of the body ends an answer, a text that is not a ping may say why the body ended.
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
        if name in self._end_marks:
            return self._end
        return FOREIGN if is_ping(name) else None


class Path:
    """A path to a text in JSON, made of names of members and indexes of lists: `choices.0.text`."""

    def __init__(self, text: str) -> None:
        """Builds a typed decoder for the path: nested structs with one member each, which skip all other members.

        Raises:
            ValueError: a step is empty or has a character that the decoder doesn't support, or there are too many.
        """
        self._steps = text.split(".")
        if len(self._steps) > _MOST_STEPS or not all(_STEP.fullmatch(step) for step in self._steps):
            raise ValueError(f"--text {text[:80]!r} is not a path like choices.0.text")
        kind: Any = Any
        self._indexes: list[int | None] = []
        for step in reversed(self._steps):
            index = int(step) if _is_number(step) else None
            self._indexes.insert(0, index)
            if index is None:
                member = msgspec.defstruct("Member", [("inside", kind, None)], rename={"inside": step}, gc=False)
                kind = member | None
            else:
                kind = list[kind] | None
        self._decode = msgspec.json.Decoder(kind).decode

    def leads_to_text(self, data: bytes) -> bool:
        """Whether there is a text at the path, by one typed decode. It may miss a text that `follow` finds, for
        instance in JSON that only `read_json` accepts."""
        try:
            value: Any = self._decode(data)
            for index in self._indexes:
                value = value.inside if index is None else value[index]
        except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
            return False
        return bool(value)

    def follow(self, value: Any) -> Any:
        """The value at the path in `value`; None: there is none, as in events with a finish reason or usage.

        Raises:
            LookupError: `value` has not even the first step of the path.
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
    """Whether a text can be more than a ping: it is not a comment, a date or the name of a ping."""
    text = data.strip()
    return bool(text) and not text[:1].isdigit() and not text.startswith(b":") and not is_ping(text)


def _is_number(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) <= 9


def _is_text(value: Any) -> bool:
    """Whether a value is a text: anything but null, false and empty values. Numbers are texts, 0 as well."""
    return bool(value) or (isinstance(value, int | float) and not isinstance(value, bool))
