"""OpenAI Chat Completions, as OpenAI, vLLM, SGLang, TGI, llama.cpp, Mistral and most gateways speak it."""

import functools
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Classify
from llmstress.engine.api.meaning import NOTHING, TOKEN, Meaning, TokenOf
from llmstress.engine.api.openai_choices import Chunk, Dialect, whole

# `Any` where only truth counts, or where dialects differ: a field of an odd type must not make an event unreadable.

_Content = TypeVar("_Content")


class _Payload(msgspec.Struct, Generic[_Content], gc=False):
    content: _Content | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
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

    def token(self) -> TokenOf | None:
        """See `Choice`."""
        payload = self.delta or self.message
        return _token_in(payload, self.index or 0) if payload is not None else None


_decode_chunk = msgspec.json.Decoder(Chunk[_Choice[str]]).decode
_DIALECT = Dialect(
    Chunk[_Choice[Any]],
    payload=lambda choice: choice.get("delta") or choice.get("message"),
    known=frozenset((*_Payload.__struct_fields__, "role")),
)

_BARE: dict[str | None, Meaning] = {reason: Meaning(finish=reason) for reason in ("stop", "length", "tool_calls")}
_BARE[None] = NOTHING
_SHORT = 1024
"""Bytes of an event below which its meaning may be remembered."""
"""What a choice without any payload means, by its finish reason: the first and the last event of most answers."""


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """What one streamed event means; `name` is its `event:` field. Never raises."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return _DIALECT.classify_odd(data, name)
    if chunk.error is None and chunk.usage is None and chunk.choices is not None and len(chunk.choices) == 1:
        choice = chunk.choices[0]
        delta = choice.delta
        if (
            delta is not None
            and not choice.index
            and delta.reasoning_content is None
            and delta.reasoning is None
            and delta.reasoning_details is None
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
                return _meaning_of_bare(data, choice.finish_reason, bare)
    if chunk.choices is None or chunk.error or name == b"error":
        return _DIALECT.classify_odd(data, name)
    return _DIALECT.meaning(chunk.choices, chunk.usage, data)


def _meaning_of_bare(data: bytes, reason: str | None, bare: Meaning) -> Meaning:
    """What an event means in which nothing known was found but a finish reason, or not even that. A second look is
    needed. It is remembered for what follows the name "choices", which is the same in every answer of most servers: the
    second look takes 1.3 µs, the memory 0.3. Nothing before that name matters if it holds no object."""
    begin = data.find(b'"choices"')
    if 0 < begin < data.find(b"{", 1) and len(data) < _SHORT:
        return _look_again(data[begin:], reason)
    return _DIALECT.look_again(data, bare)


@functools.lru_cache(maxsize=256)
def _look_again(rest: bytes, reason: str | None) -> Meaning:
    return _DIALECT.look_again(b"{" + rest, _BARE[reason])


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """What the body of an answer that is not streamed means. Never raises."""
    return whole(classify(body), body, "chat completion")


def _token_in(payload: _Payload[Any], choice: int) -> TokenOf | None:
    content: Any = payload.content
    thought: Any = None
    if isinstance(content, list):  # Mistral's way
        parts = [part for part in content if isinstance(part, dict)]
        content = any(part.get("text") for part in parts)
        thought = any(_says(part.get("thinking")) for part in parts)
    visible = bool(
        content or payload.refusal or _has_call(payload.tool_calls, payload.function_call) or _has_audio(payload)
    )
    reasoning = bool(payload.reasoning_content or payload.reasoning or thought or _says(payload.reasoning_details))
    return TokenOf(choice, visible, reasoning) if visible or reasoning else None


def _says(thinking: Any) -> bool:
    """Whether the `thinking` of a part, or the details of reasoning, bear text: a string, or a list of parts again."""
    if isinstance(thinking, list):
        return any(isinstance(part, dict) and (part.get("text") or part.get("summary")) for part in thinking)
    return bool(thinking)


def _has_call(calls: Any, old_style: Any) -> bool:
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(old_style)
    return any(isinstance(f, dict) and (f.get("name") or f.get("arguments")) for f in functions)


def _has_audio(payload: _Payload[Any]) -> bool:
    audio = payload.audio
    return isinstance(audio, dict) and bool(audio.get("data") or audio.get("transcript"))


class OpenAIChat(Api):
    """`POST /v1/chat/completions`."""

    PATH = "/chat/completions"
    TAKES = frozenset({"system", "max_tokens", "min_tokens", "ignore_eos", "limit_field", "usage", "auth"})
    LIMIT_FIELD: ClassVar[str] = "max_tokens"
    """Every server knows this name but OpenAI's own reasoning models."""

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, as the API's reference names them."""
        system = [{"role": "system", "content": ask.system}] if ask.system is not None else []
        return {
            "model": ask.model or None,
            "messages": [*system, {"role": "user", "content": ask.prompt}],
            ask.limit_field or self.LIMIT_FIELD: ask.limit,
            "min_tokens": ask.min_tokens,
            "ignore_eos": ask.ignore_eos or None,
            "stream": self.streamed,
            "stream_options": {"include_usage": True} if self.streamed and ask.usage else None,
        }
