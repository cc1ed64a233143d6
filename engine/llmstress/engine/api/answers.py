"""What an answer says: the text, the reasoning and the tool calls of its first choice, joined from all of its events.

The hot path doesn't need this: it counts events and looks at no text. An answer is read like this once, at its end, and
only if something asks what it says.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from llmstress.engine.api.halves import encoded, joined
from llmstress.engine.api.lenient import finish_in, read_json_with_halves

_BOM = b"\xef\xbb\xbf"

_TEXTS = ("text", "content", "summary", "thinking", "reasoning", "value", "transcript")
"""Members of an object that have its text, the preferred one first."""

_DEEPEST = 4
"""Levels of objects and lists that are searched for text."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that the model calls."""

    name: str
    arguments: str
    """As the model wrote them, which is usually JSON."""


class Answer(msgspec.Struct, frozen=True):
    """What an answer says; of several choices, what the first one (index 0) says."""

    text: str = ""
    """What a user sees, a refusal included."""
    reasoning: str = ""
    tools: tuple[ToolCall, ...] = ()
    finish: str = ""
    """The first finish reason as the API gives it; empty: the body has none."""


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self, id: str) -> None:
        self.id = id
        self.name = ""
        self.arguments: list[str] = []


class Draft:
    """An answer while its events are read. A value that is not of the type that it should be is left out."""

    __slots__ = ("_calls", "_finish", "_open_calls", "_reasoning", "_text")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._open_calls: dict[int | str, _Call] = {}
        self._finish = ""

    @property
    def is_empty(self) -> bool:
        """Neither text nor reasoning nor a call has been added."""
        return not (self._text or self._reasoning or self._calls)

    def add_text(self, value: Any) -> None:
        """Add the text that `value` is or contains."""
        if text := text_in(value):
            self._text.append(text)

    def add_reasoning(self, value: Any) -> None:
        """Add the reasoning that `value` is or contains."""
        if text := text_in(value):
            self._reasoning.append(text)

    def add_call(self, key: Any, *, name: Any = "", arguments: Any = "", id: Any = "", whole: bool = False) -> None:
        """Add a call, or a part of one, which is known by `key`: its number or ID in the answer.

        arguments: the next part of its arguments; an object is all of them. id: another one than before under the same
        key means another call. whole: `arguments` are all of them, which may have come in parts already.
        """
        key = key if isinstance(key, int | str) else 0
        id = id if isinstance(id, str) else ""
        call = self._open_calls.get(key)
        if call is None or (id and call.id and id != call.id):
            call = self._open_calls[key] = _Call(id)
            self._calls.append(call)
        if isinstance(name, str) and not call.name:
            call.name = name
        if isinstance(arguments, dict | list):
            arguments, whole = encoded(arguments), True
        if isinstance(arguments, str) and arguments and not (whole and call.arguments):
            call.arguments.append(arguments)

    def finish(self, reason: Any) -> None:
        """Note a finish reason."""
        self._finish = self._finish or finish_in(reason)

    def answer(self) -> Answer:
        """What has been read."""
        return Answer(
            text=joined(self._text),
            reasoning=joined(self._reasoning),
            tools=tuple(ToolCall(joined([call.name]), joined(call.arguments)) for call in self._calls),
            finish=joined([self._finish]),
        )


def is_event_stream(body: bytes) -> bool:
    """Whether the body of an answer that was asked to be streamed is server-sent events. It is no event stream if it is
    JSON or a web page: no field of an event begins like one."""
    return body.lstrip()[:1] not in (b"{", b"<", b"")


def events_in(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each server-sent event of a complete body; of the last one also without its blank line."""
    name, data = b"", list[bytes]()
    body = body.removeprefix(_BOM)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in (*body.split(b"\n"), b""):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
        elif not line:
            if data:
                yield name, b"\n".join(data)
            name, data = b"", []


def objects_in(data: bytes) -> list[dict[str, Any]]:
    """The JSON object that `data` is, or those of its lines; empty: there is none."""
    value = _value_of(data)
    values = [value] if value is not None or b"\n" not in data else map(_value_of, data.split(b"\n"))
    return [each for each in values if isinstance(each, dict)]


def text_in(value: Any, depth: int = 0) -> str:
    """The text that a value is, or that its parts contain."""
    if isinstance(value, str):
        return value
    if depth < _DEEPEST:
        if isinstance(value, list):
            return "".join(text_in(each, depth + 1) for each in value)
        if isinstance(value, dict):
            return next(filter(None, (text_in(value.get(name), depth + 1) for name in _TEXTS)), "")
    return ""


def dicts_in(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty if it is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _value_of(data: bytes) -> Any:
    try:
        return read_json_with_halves(data)
    except (ValueError, RecursionError):
        return None
