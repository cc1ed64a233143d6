"""OpenAI's older Completions: a prompt, as text or as token ids, is continued."""

from typing import Any, Generic, TypeVar

import msgspec

from llmstress.engine.api.base import Api, Classify, encode_body
from llmstress.engine.api.event import NOTHING, TOKEN, UNKNOWN, Event, TokenOf
from llmstress.engine.api.lenient import error_event, read_odd
from llmstress.engine.api.openai_usage import usage_in

_Text = TypeVar("_Text")


class _Choice(msgspec.Struct, Generic[_Text], gc=False):
    text: _Text | None = None
    finish_reason: str | None = None
    index: int | None = 0
    error: Any = None


class _Chunk(msgspec.Struct, Generic[_Text], gc=False):
    choices: tuple[_Choice[_Text], ...] | None = None
    usage: Any = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk[str]).decode

_COMMON = {event.tokens: event for event in (TOKEN, NOTHING)}


def classify(data: bytes, name: bytes = b"") -> Event:
    """What one streamed event means; `name` is its `event:` field. Never raises."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return _classify_odd(data, name)
    if chunk.error is None and chunk.usage is None and chunk.choices is not None and len(chunk.choices) == 1:
        choice = chunk.choices[0]
        if choice.text and choice.finish_reason is None and not choice.index and choice.error is None:
            return TOKEN
    if chunk.choices is None or chunk.error or name == b"error":
        return _classify_odd(data, name)
    return _meaning(chunk.choices, chunk.usage)


def read_answer(body: bytes, content_type: str = "") -> Event:
    """What the body of an answer that is not streamed means. Never raises."""
    event = classify(body)
    return Event(malformed="the answer is no completion") if event.unknown or event.done else event


def _classify_odd(data: bytes, name: bytes) -> Event:
    value = read_odd(data, name)
    if isinstance(value, Event):
        return value
    try:
        chunk = msgspec.convert(value, _Chunk[Any])
    except msgspec.ValidationError:
        return UNKNOWN
    if chunk.choices is not None:
        return _meaning(chunk.choices, chunk.usage)
    usage = usage_in(chunk.usage)
    return UNKNOWN if usage is None else Event(usage=usage)


def _meaning(choices: tuple[_Choice[Any], ...], usage_value: Any) -> Event:
    usage = usage_in(usage_value)
    finishes: dict[int, str] = {}
    for choice in choices:
        if choice.error or choice.finish_reason in ("error", "abort"):
            return error_event(choice.error or f"finish_reason is {choice.finish_reason}")
        if choice.finish_reason:
            finishes[choice.index or 0] = choice.finish_reason
    said = tuple(TokenOf(choice.index or 0, visible=True, reasoning=False) for choice in choices if choice.text)
    if finishes:
        reasons = tuple(finishes.values())
        return Event(said, reasons[0], "content_filter" in reasons, usage, finished=tuple(finishes))
    return Event(said, usage=usage) if usage is not None else _COMMON.get(said) or Event(said)


class OpenAICompletions(Api):
    """`POST /v1/completions`. `echo` is never asked for: the prompt would pass for the first token."""

    PATH = "/completions"
    TAKES = frozenset({"prompt_ids", "max_tokens", "min_tokens", "ignore_eos", "usage", "auth"})

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """See `Api`; the path of chat completions ends so, too."""
        return path.endswith(cls.PATH) and not path.endswith("/chat/completions")

    def body(self) -> bytes:
        """See `Api`."""
        ask = self.ask
        return encode_body(
            {
                "model": ask.model,
                "prompt": ask.prompt_ids or ask.prompt,
                "max_tokens": ask.limit,
                "min_tokens": ask.min_tokens,
                "ignore_eos": ask.ignore_eos or None,
                "stream": self.streamed,
                "stream_options": {"include_usage": True} if self.streamed and ask.usage else None,
            },
            ask.extra,
        )
