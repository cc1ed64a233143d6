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


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw | None = None
    function_call: msgspec.Raw | None = None
    audio: msgspec.Raw | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    reasoning_tokens: int | None = None  # SGLang puts it here

    def plain(self) -> Usage:
        return Usage(
            input=self.prompt_tokens or 0,
            output=self.completion_tokens or 0,
            cached_input=(self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0,
            reasoning=(self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens)
            or self.reasoning_tokens
            or 0,
        )


class _Chunk(msgspec.Struct, gc=False):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: msgspec.Raw | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_any = msgspec.json.Decoder().decode


def classify(data: bytes, name: bytes = b"") -> Event:
    """What one streamed event means; `name` is its `event:` field. Never raises."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return _classify_rare(data, name)
    if len(chunk.choices) == 1:
        choice = chunk.choices[0]
        delta = choice.delta
        if (
            delta is not None
            and delta.content
            and choice.finish_reason is None
            and chunk.usage is None
            and not choice.index
            and chunk.error is None
            and delta.reasoning_content is None
            and delta.reasoning is None
        ):
            return TOKEN
    return _classify_rare(data, name)


def read_answer(body: bytes) -> Event:
    """What the body of an answer that is not streamed means. Never raises."""
    event = _classify_rare(body, b"")
    if event.unknown:
        return Event(malformed="the answer is JSON, but no chat completion")
    return event


def _classify_rare(data: bytes, name: bytes) -> Event:
    """The long way, for a handful of events per request, and for every shape the typed decoder refuses."""
    if data.startswith(b"[DONE]"):
        return DONE
    try:
        value = _decode_any(data)
    except (ValueError, RecursionError) as error:
        return Event(malformed=f"not JSON ({error}): {data[:120]!r}")
    if not isinstance(value, dict):
        return UNKNOWN
    if value.get("error"):
        return Event(error=error_text(value["error"]))
    if value.get("object") == "error" or name == b"error":
        return Event(error=error_text(value))
    choices = value.get("choices")
    if not isinstance(choices, list):
        if choices is not None or not isinstance(value.get("usage"), dict):
            return UNKNOWN
        choices = []
    tokens: list[TokenOf] = []
    finish = ""
    for choice in choices:
        if not isinstance(choice, dict):
            return UNKNOWN
        if choice.get("error"):
            return Event(error=error_text(choice["error"]))
        payload = choice.get("delta") or choice.get("message")
        if isinstance(payload, dict):
            index = choice.get("index")
            token = _token_in(payload, index if isinstance(index, int) else 0)
            if token is not None:
                tokens.append(token)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            finish = reason
    if finish == "error":
        return Event(error="finish_reason is error")
    usage = _usage_in(value.get("usage"))
    if not finish and usage is None:
        if not tokens:
            return NOTHING
        if tokens == list(TOKEN.tokens):
            return TOKEN
        if tokens == list(REASONING.tokens):
            return REASONING
    return Event(tuple(tokens), finish, finish == "content_filter", usage)


def _token_in(payload: dict[str, Any], choice: int) -> TokenOf | None:
    """The token that a `delta` or a `message` bears, if any: a non-empty payload; whitespace counts."""
    visible = bool(
        payload.get("content") or payload.get("refusal") or _tool_call_in(payload) or _audio_in(payload.get("audio"))
    )
    reasoning = bool(payload.get("reasoning_content") or payload.get("reasoning"))
    return TokenOf(choice, visible, reasoning) if visible or reasoning else None


def _tool_call_in(payload: dict[str, Any]) -> bool:
    calls = payload.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(payload.get("function_call"))
    return any(isinstance(f, dict) and (f.get("name") or f.get("arguments")) for f in functions)


def _audio_in(audio: Any) -> bool:
    return isinstance(audio, dict) and bool(audio.get("data") or audio.get("transcript"))


def _usage_in(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    try:
        return msgspec.convert(value, _Usage).plain()
    except msgspec.ValidationError:
        return None
