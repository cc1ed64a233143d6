"""OpenAI Chat Completions, as OpenAI, vLLM, SGLang, TGI, llama.cpp, Mistral and most gateways speak it."""

from typing import Any

import msgspec

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

PATH = "/chat/completions"


def build_body(
    *, model: str, prompt: str, system: str | None, max_tokens: int, stream: bool, usage: bool, extra: dict[str, Any]
) -> bytes:
    """The JSON body of a request. `extra` is merged in last; a null in it removes the key."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [*messages, {"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "stream": stream,
    }
    if stream and usage:
        body["stream_options"] = {"include_usage": True}
    body.update(extra)
    return msgspec.json.encode({key: value for key, value in body.items() if value is not None})


# `Any` where only truth counts, or where dialects differ: a field of an odd type must not make an event unreadable.


class _Payload(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Payload | None = None
    message: _Payload | None = None
    finish_reason: str | None = None
    index: int | None = 0
    error: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: tuple[_Choice, ...] | None = None
    usage: Any = None
    error: Any = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    reasoning_tokens: int | None = None  # SGLang puts it here


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_any = msgspec.json.Decoder().decode


def classify(data: bytes, name: bytes = b"") -> Event:
    """What one streamed event means; `name` is its `event:` field. Never raises."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return _classify_odd(data)
    if chunk.error is None and chunk.usage is None and chunk.choices is not None and len(chunk.choices) == 1:
        choice = chunk.choices[0]
        delta = choice.delta
        if (
            delta is not None
            and delta.content
            and choice.finish_reason is None
            and not choice.index
            and delta.reasoning_content is None
            and delta.reasoning is None
            and choice.error is None
        ):
            return TOKEN
    if name == b"error" and not chunk.error:
        return Event(error=error_text(_decode_any(data)))
    return _meaning(chunk, data)


def read_answer(body: bytes) -> Event:
    """What the body of an answer that is not streamed means. Never raises."""
    event = classify(body)
    return Event(malformed="the answer is JSON, but no chat completion") if event.unknown else event


def _classify_odd(data: bytes) -> Event:
    """What isn't JSON, or isn't JSON of this API's shape."""
    if data.startswith(b"[DONE]"):
        return DONE
    if not data.strip():
        return NOTHING
    try:
        value = _decode_any(data)
    except (ValueError, RecursionError) as error:
        return Event(malformed=f"not JSON ({error}): {data[:120]!r}")
    if isinstance(value, dict) and value.get("error"):
        return Event(error=error_text(value["error"]))
    return UNKNOWN


def _meaning(chunk: _Chunk, data: bytes) -> Event:
    if chunk.error:
        return Event(error=error_text(chunk.error))
    usage = _usage_in(chunk.usage)
    if chunk.choices is None:
        if usage is not None:
            return Event(usage=usage)
        value = _decode_any(data)
        return Event(error=error_text(value)) if value.get("object") == "error" else UNKNOWN
    tokens: list[TokenOf] = []
    finish = ""
    for choice in chunk.choices:
        if choice.error or choice.finish_reason == "error":
            return Event(error=error_text(choice.error or "finish_reason is error"))
        payload = choice.delta or choice.message
        if payload is not None and (token := _token_in(payload, choice.index or 0)) is not None:
            tokens.append(token)
        finish = choice.finish_reason or finish
    if finish or usage is not None:
        return Event(tuple(tokens), finish, finish == "content_filter", usage)
    if not tokens:
        return NOTHING
    return REASONING if tokens == list(REASONING.tokens) else Event(tuple(tokens))


def _token_in(payload: _Payload, choice: int) -> TokenOf | None:
    """The token that a `delta` or a `message` bears, if any: a non-empty payload; whitespace counts."""
    visible = bool(
        payload.content
        or payload.refusal
        or _has_call(payload.tool_calls, payload.function_call)
        or _has_audio(payload)
    )
    reasoning = bool(payload.reasoning_content or payload.reasoning)
    return TokenOf(choice, visible, reasoning) if visible or reasoning else None


def _has_call(calls: Any, old_style: Any) -> bool:
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(old_style)
    return any(isinstance(f, dict) and (f.get("name") or f.get("arguments")) for f in functions)


def _has_audio(payload: _Payload) -> bool:
    audio = payload.audio
    return isinstance(audio, dict) and bool(audio.get("data") or audio.get("transcript"))


def _usage_in(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    try:
        usage = msgspec.convert(value, _Usage)
    except msgspec.ValidationError:
        return None
    details_in, details_out = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input=usage.prompt_tokens or 0,
        output=usage.completion_tokens or 0,
        cached_input=(details_in and details_in.cached_tokens) or 0,
        reasoning=(details_out and details_out.reasoning_tokens) or usage.reasoning_tokens or 0,
    )
