"""OpenAI Chat Completions, as OpenAI, vLLM, SGLang, TGI, llama.cpp, Mistral and most gateways speak it."""

import json
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

import msgspec

from llmstress.engine.api.base import Api, Classify, encode_body
from llmstress.engine.api.event import (
    DONE,
    NOTHING,
    REASONING,
    TOKEN,
    UNKNOWN,
    Event,
    TokenOf,
    Usage,
    error_text,
)

# `Any` where only truth counts, or where dialects differ: a field of an odd type must not make an event unreadable.

_Content = TypeVar("_Content")


class _Payload(msgspec.Struct, Generic[_Content], gc=False):
    content: _Content | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, Generic[_Content], gc=False):
    delta: _Payload[_Content] | None = None
    message: _Payload[_Content] | None = None
    finish_reason: str | None = None
    index: int | None = 0
    error: Any = None


class _Chunk(msgspec.Struct, Generic[_Content], gc=False):
    choices: tuple[_Choice[_Content], ...] | None = None
    usage: Any = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk[str]).decode
_decode_any = msgspec.json.Decoder().decode

_MOST_TOKENS = 1 << 40
"""A token count above this is none: sums of them must fit into 64 bits."""

_BARE: dict[str | None, Event] = {reason: Event(finish=reason) for reason in ("stop", "length", "tool_calls")}
_BARE[None] = NOTHING
"""What a choice without any payload means, by its finish reason: the first and the last event of most answers."""

_COMMON = {event.tokens: event for event in (TOKEN, REASONING, NOTHING)}


def classify(data: bytes, name: bytes = b"") -> Event:
    """What one streamed event means; `name` is its `event:` field. Never raises."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return _classify_odd(data, name)
    if chunk.error is None and chunk.usage is None and chunk.choices is not None and len(chunk.choices) == 1:
        choice = chunk.choices[0]
        delta = choice.delta
        if (
            delta is not None
            and not choice.index
            and delta.reasoning_content is None
            and delta.reasoning is None
            and choice.error is None
        ):
            if delta.content:
                if choice.finish_reason is None:
                    return TOKEN
            elif (
                delta.refusal is None
                and delta.tool_calls is None
                and delta.function_call is None
                and delta.audio is None
                and name != b"error"
                and (bare := _BARE.get(choice.finish_reason)) is not None
            ):
                return bare
    if chunk.choices is None or chunk.error or name == b"error":
        return _classify_odd(data, name)
    return _meaning(chunk.choices, chunk.usage)


def read_answer(body: bytes, content_type: str = "") -> Event:
    """What the body of an answer that is not streamed means. Never raises."""
    event = classify(body)
    if event.unknown or event.done:
        return Event(malformed="the answer is no chat completion")
    return event


def _classify_odd(data: bytes, name: bytes) -> Event:
    """What is no chunk with choices: errors, the last word, usage alone, other dialects, no JSON."""
    if data.startswith(b"[DONE]"):
        return DONE
    try:
        value = _read(data)
    except (ValueError, RecursionError) as error:
        if name == b"error":
            return _error(data.decode("utf-8", "replace"))
        return Event(malformed=f"not JSON ({error}): {data[:800]!r}") if data.strip() else NOTHING
    if name == b"error":
        return _error((value.get("error") if isinstance(value, dict) else None) or value)
    if not isinstance(value, dict):
        return UNKNOWN
    if value.get("error"):
        return _error(value["error"])
    if value.get("object") == "error":
        return _error(value)
    try:
        chunk = msgspec.convert(value, _Chunk[Any])
    except msgspec.ValidationError:
        return UNKNOWN
    if chunk.choices is not None:
        return _meaning(chunk.choices, chunk.usage)
    usage = _usage_in(chunk.usage)
    return UNKNOWN if usage is None else Event(usage=usage)


def _read(data: bytes) -> Any:
    """The value of any JSON text.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    try:
        return _decode_any(data)
    except ValueError:
        # The grammar allows what msgspec refuses, and servers send it: half a surrogate pair where an emoji was cut in
        # two, numbers that no machine has. Bytes that are no UTF-8 are U+FFFD to a reader of event streams.
        text = data.decode("utf-8", "replace")
        value = json.loads(text, parse_int=_in_range, parse_float=_in_range, parse_constant=_refuse)
        return _decode_any(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _in_range(digits: str) -> float:
    return int(digits) if len(digits) < 16 and digits.lstrip("-").isdigit() else max(-1e300, min(float(digits), 1e300))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _error(value: Any) -> Event:
    try:
        text = error_text(value)
    except (ValueError, RecursionError):
        text = ""
    return Event(error=text or "an error without words")


def _meaning(choices: tuple[_Choice[Any], ...], usage_value: Any) -> Event:
    usage = _usage_in(usage_value)
    tokens: list[TokenOf] = []
    finish = ""
    for choice in choices:
        if choice.error or choice.finish_reason in ("error", "abort"):
            return _error(choice.error or f"finish_reason is {choice.finish_reason}")
        payload = choice.delta or choice.message
        if payload is not None and (token := _token_in(payload, choice.index or 0)) is not None:
            tokens.append(token)
        finish = choice.finish_reason or finish
    if finish or usage is not None:
        return Event(tuple(tokens), finish, finish == "content_filter", usage)
    said = tuple(tokens)
    return _COMMON.get(said) or Event(said)


def _token_in(payload: _Payload[Any], choice: int) -> TokenOf | None:
    """The token that a `delta` or a `message` bears, if any: a non-empty payload; whitespace counts."""
    content: Any = payload.content
    thought: Any = None
    if isinstance(content, list):  # Mistral's way
        parts = [part for part in content if isinstance(part, dict)]
        content = any(part.get("text") for part in parts)
        thought = any(_says(part.get("thinking")) for part in parts)
    visible = bool(
        content or payload.refusal or _has_call(payload.tool_calls, payload.function_call) or _has_audio(payload)
    )
    reasoning = bool(payload.reasoning_content or payload.reasoning or thought)
    return TokenOf(choice, visible, reasoning) if visible or reasoning else None


def _says(thinking: Any) -> bool:
    """Whether the `thinking` of a part bears text: a string, or a list of parts again."""
    if isinstance(thinking, list):
        return any(isinstance(part, dict) and part.get("text") for part in thinking)
    return bool(thinking)


def _has_call(calls: Any, old_style: Any) -> bool:
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(old_style)
    return any(isinstance(f, dict) and (f.get("name") or f.get("arguments")) for f in functions)


def _has_audio(payload: _Payload[Any]) -> bool:
    audio = payload.audio
    return isinstance(audio, dict) and bool(audio.get("data") or audio.get("transcript"))


def _usage_in(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    given, taken = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    if given is None and taken is None:
        return None
    reasoning = _count(value.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(
        input=given,
        output=taken,
        cached_input=_count(value.get("prompt_tokens_details"), "cached_tokens"),
        reasoning=reasoning or _count(value, "reasoning_tokens"),  # SGLang has it at the top
    )


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS else None


class OpenAIChat(Api):
    """`POST /v1/chat/completions`."""

    PATH = "/chat/completions"
    TAKES = frozenset({"system", "max_tokens", "min_tokens", "ignore_eos", "limit_field", "usage", "auth"})
    LIMIT_FIELD: ClassVar[str] = "max_tokens"
    """Every server knows this name but OpenAI's own reasoning models."""

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)

    def body(self) -> bytes:
        """See `Api`."""
        ask = self.ask
        system = [{"role": "system", "content": ask.system}] if ask.system is not None else []
        return encode_body(
            {
                "model": ask.model,
                "messages": [*system, {"role": "user", "content": ask.prompt}],
                ask.limit_field or self.LIMIT_FIELD: ask.limit,
                "min_tokens": ask.min_tokens,
                "ignore_eos": ask.ignore_eos or None,
                "stream": self.streamed,
                "stream_options": {"include_usage": True} if self.streamed and ask.usage else None,
            },
            ask.extra,
        )
