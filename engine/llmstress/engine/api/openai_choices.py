"""The common part of chat completions and completions: an event is a list of choices, each of which may have content
and a finish reason."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from llmstress.engine.api.answers import Draft, dicts_in, objects_in
from llmstress.engine.api.error_shapes import is_error
from llmstress.engine.api.lenient import (
    converted,
    error_event,
    finish_in,
    read_json,
    read_odd,
    unknown,
    unreadable_answer,
)
from llmstress.engine.api.meaning import NOTHING, REASONING, TOKEN, UNKNOWN, Meaning, TokenOf
from llmstress.engine.api.openai_usage import OtherUsage, usage_in, usage_in_other_places
from llmstress.engine.api.unknown_text import reasoning_of_field, unknown_text_field


class Choice(Protocol):
    """The members of a choice that a module must declare."""

    finish_reason: str | None
    index: int | None
    error: Any

    def token(self) -> TokenOf | None:
        """The token of this choice if it has non-empty content; white space is content. None: it has none."""


ChoiceT = TypeVar("ChoiceT", bound=Choice)


class Chunk(msgspec.Struct, Generic[ChoiceT], gc=False):
    """An event of a stream, or a whole answer."""

    choices: tuple[ChoiceT, ...] | None = None
    usage: Any = None
    error: Any = None


class _Open(OtherUsage, gc=False):
    """The type of a second decode of a chunk, which keeps the choices as plain objects."""

    choices: Any = None


_decode_open = msgspec.json.Decoder(_Open).decode

_COMMON = {event.tokens: event for event in (TOKEN, REASONING, NOTHING)}
"""Tokens -> the singleton with these tokens and nothing else."""


class Dialect(msgspec.Struct, Generic[ChoiceT], frozen=True):
    """The differences between chat completions and completions."""

    kind: type[Chunk[ChoiceT]]
    """The type for chunks that the module's own decoder refuses."""
    payload: Callable[[dict[str, Any]], Any]
    """Gets the part of a choice that contains its text."""
    known: frozenset[str]
    """The members of this part that the module knows."""

    def classify_odd(self, data: bytes, name: bytes) -> Meaning:
        """The meaning of data that is not a chunk with choices: an error, the end event, usage alone, another dialect,
        or no JSON."""
        chunk = converted(read_odd(data, name), self.kind)
        if isinstance(chunk, Meaning):
            return unknown(data) if chunk is UNKNOWN else chunk
        if chunk.choices is not None:
            return self.meaning(chunk.choices, chunk.usage, data)
        usage = usage_in(chunk.usage)
        event = Meaning(usage=usage) if usage is not None else self.look_again(data, NOTHING)
        return unknown(data) if event is NOTHING else event

    def meaning(self, choices: tuple[ChoiceT, ...], usage_value: Any, data: bytes) -> Meaning:
        """The meaning of the chunk `data`, given its decoded choices and usage."""
        usage = usage_in(usage_value)
        tokens: list[TokenOf] = []
        finishes: dict[int, str] = {}
        for choice in choices:
            if (choice.error and is_error(choice.error)) or choice.finish_reason in ("error", "abort"):
                return error_event(choice.error or f"finish_reason is {choice.finish_reason}")
            if (token := choice.token()) is not None:
                tokens.append(token)
            if finish := finish_in(choice.finish_reason):
                finishes[choice.index or 0] = finish
        content = tuple(tokens)
        if finishes:
            reasons = tuple(finishes.values())
            event = Meaning(content, reasons[0], "content_filter" in reasons, usage, finished=tuple(finishes))
        else:
            event = Meaning(content, usage=usage) if usage is not None else _COMMON.get(content) or Meaning(content)
        if not choices and usage is None:
            # an empty list of choices: usage in another place, an error beside it, or nothing
            event = self.look_again(data, event)
            other = unknown(data) if event is NOTHING else event
            return other if other.error else event
        if len(tokens) < len(choices) or (usage is None and finishes):
            return self.look_again(data, event)
        return event

    def look_again(self, data: bytes, event: Meaning) -> Meaning:
        """`event` is the meaning of the chunk `data`. Returns it with what the typed decode skipped: text in unknown
        fields, and usage in other places. It costs a second decode, so it is called only if text or usage is
        missing."""
        try:
            chunk = _decode_open(data)
        except (ValueError, RecursionError):
            try:
                chunk = msgspec.convert(read_json(data), _Open)
            except (ValueError, RecursionError):
                return event
        usage, tokens, field = event.usage, event.tokens, ""
        counts: list[Any] = []
        for choice in chunk.choices if isinstance(chunk.choices, list) else ():
            if not isinstance(choice, dict):
                continue
            if (value := choice.get("usage")) is not None:
                counts.append(value)
            payload = self.payload(choice)
            if payload and not self.known.issuperset(payload) and (name := unknown_text_field(payload, self.known)):
                index = choice.get("index") or 0
                if isinstance(index, int) and all(token.choice != index for token in event.tokens):
                    tokens, field = (*tokens, TokenOf(index, visible=False, reasoning=True)), field or name
        if usage is None and (counts or chunk.x_groq or chunk.timings or chunk.metrics):
            usage = usage_in_other_places(chunk, counts)
        if not field and usage is event.usage:
            return event
        if field and usage is None and not event.finish and tokens == REASONING.tokens:
            return reasoning_of_field(field)
        return msgspec.structs.replace(event, tokens=tokens, usage=usage, field=field)


def whole(event: Meaning, body: bytes, what: str) -> Meaning:
    """The meaning of a whole answer, given the meaning that its body has as a chunk of a stream. `what` is the name of
    a valid answer, for the text of an invalid one."""
    invalid = event.unknown or event.done or event.foreign
    return unreadable_answer(f"the answer is not a {what}", body) if invalid else event


def first_choice_in(data: bytes, draft: Draft) -> Iterator[dict[str, Any]]:
    """What a chunk or a whole answer says of choice 0, usually one object. Its finish reason is noted in `draft`."""
    for chunk in objects_in(data):
        for choice in dicts_in(chunk.get("choices")):
            if not choice.get("index"):
                yield choice
                draft.finish(choice.get("finish_reason"))


def add_unknown_reasoning(draft: Draft, payload: dict[str, Any], known: frozenset[str]) -> None:
    """Add the text of the field that counts as reasoning although its module doesn't know it, if there is one."""
    if not known.issuperset(payload) and (name := unknown_text_field(payload, known)):
        outer, _, inner = name.partition(".")
        draft.add_reasoning(payload[name] if name in payload else (payload.get(outer) or {}).get(inner))
