"""What chat and completions have in common: an event is a list of choices, each of which may say something and end."""

from typing import Any, Generic, Protocol, TypeVar

import msgspec

from llmstress.engine.api.event import NOTHING, REASONING, TOKEN, UNKNOWN, Event, TokenOf
from llmstress.engine.api.lenient import error_event, fitted, read_odd
from llmstress.engine.api.openai_usage import usage_in


class Choice(Protocol):
    """What a module declares of a choice."""

    finish_reason: str | None
    index: int | None
    error: Any

    def token(self) -> TokenOf | None:
        """The token that it bears, if any: a non-empty payload; whitespace counts."""


ChoiceT = TypeVar("ChoiceT", bound=Choice)


class Chunk(msgspec.Struct, Generic[ChoiceT], gc=False):
    """An event of a stream, or a whole answer."""

    choices: tuple[ChoiceT, ...] | None = None
    usage: Any = None
    error: Any = None


_COMMON = {event.tokens: event for event in (TOKEN, REASONING, NOTHING)}


def classify_odd(data: bytes, name: bytes, kind: type[Chunk[ChoiceT]]) -> Event:
    """What is no chunk with choices: errors, the last word, usage alone, other dialects, no JSON."""
    chunk = fitted(read_odd(data, name), kind)
    if isinstance(chunk, Event):
        return chunk
    if chunk.choices is not None:
        return meaning(chunk.choices, chunk.usage)
    usage = usage_in(chunk.usage)
    return UNKNOWN if usage is None else Event(usage=usage)


def meaning(choices: tuple[ChoiceT, ...], usage_value: Any) -> Event:
    """What is said by choices, and by the usage beside them."""
    usage = usage_in(usage_value)
    tokens: list[TokenOf] = []
    finishes: dict[int, str] = {}
    for choice in choices:
        if choice.error or choice.finish_reason in ("error", "abort"):
            return error_event(choice.error or f"finish_reason is {choice.finish_reason}")
        if (token := choice.token()) is not None:
            tokens.append(token)
        if choice.finish_reason:
            finishes[choice.index or 0] = choice.finish_reason
    said = tuple(tokens)
    if finishes:
        reasons = tuple(finishes.values())
        return Event(said, reasons[0], "content_filter" in reasons, usage, finished=tuple(finishes))
    return Event(said, usage=usage) if usage is not None else _COMMON.get(said) or Event(said)
