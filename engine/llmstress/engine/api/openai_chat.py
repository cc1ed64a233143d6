"""OpenAI Chat Completions, as in OpenAI, vLLM, SGLang, TGI, llama.cpp, Mistral and most gateways."""

import functools
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from llmstress.engine.api.answers import Draft, dicts_in
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Classify
from llmstress.engine.api.meaning import NOTHING, TOKEN, Meaning, TokenOf
from llmstress.engine.api.openai_choices import Chunk, Dialect, add_unknown_reasoning, first_choice_in, whole

# A field is `Any` if only its truth value is used, or if dialects differ: an unexpected type must not make the typed
# decode of the whole event fail.

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
        """The token of this choice: of its delta in a stream, of its message in a whole answer."""
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
"""Finish reason -> the meaning of a choice without content: the first and the last event of most answers."""
_SHORT = 1024
"""Events below this number of bytes may have their meaning cached."""


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """The meaning of one streamed event; `name` is its `event:` field. Never raises."""
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
    """The meaning of an event in which the typed decode found at most a finish reason.

    Such an event is decoded a second time, to find text in unknown fields and usage in other places. The result is
    cached by the data from the name "choices" on, which is the same in every answer of most servers: the second decode
    takes 1.3 µs, the cache 0.3. What comes before that name (an ID, a time) can be ignored if it contains no object:
    then it can't contain usage.
    """
    begin = data.find(b'"choices"')
    if 0 < begin < data.find(b"{", 1) and len(data) < _SHORT:
        return _look_again(data[begin:], reason)
    return _DIALECT.look_again(data, bare)


@functools.lru_cache(maxsize=256)
def _look_again(rest: bytes, reason: str | None) -> Meaning:
    return _DIALECT.look_again(b"{" + rest, _BARE[reason])


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """The meaning of the body of an answer that is not streamed. Never raises."""
    return whole(classify(body), body, "chat completion")


def _token_in(payload: _Payload[Any], choice: int) -> TokenOf | None:
    content: Any = payload.content
    thinking: Any = None
    if isinstance(content, list):  # Mistral sends a list of parts
        parts = [part for part in content if isinstance(part, dict)]
        content = any(part.get("text") for part in parts)
        thinking = any(_has_text(part.get("thinking")) for part in parts)
    visible = bool(
        content or payload.refusal or _has_call(payload.tool_calls, payload.function_call) or _has_audio(payload)
    )
    reasoning = bool(payload.reasoning_content or payload.reasoning or thinking or _has_text(payload.reasoning_details))
    return TokenOf(choice, visible, reasoning) if visible or reasoning else None


def _has_text(thinking: Any) -> bool:
    """Whether the `thinking` of a part, or `reasoning_details`, has text. Both may be a string or a list of parts."""
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


def add_to(draft: Draft, data: bytes, name: bytes = b"") -> None:
    """Add what a chunk or a whole answer says to `draft`. Never raises."""
    for choice in first_choice_in(data, draft):
        payload = choice.get("delta") or choice.get("message")
        if not isinstance(payload, dict):
            continue
        content = payload.get("content")
        if isinstance(content, list):  # Mistral's list of parts
            draft.add_reasoning([part.get("thinking") for part in dicts_in(content)])
            content = [part.get("text") for part in dicts_in(content)]
        draft.add_text(content)
        draft.add_text(payload.get("refusal"))
        audio = payload.get("audio")
        draft.add_text(audio.get("transcript") if isinstance(audio, dict) else None)
        # some servers send the same reasoning in several of these
        draft.add_reasoning(
            payload.get("reasoning_content") or payload.get("reasoning") or payload.get("reasoning_details")
        )
        add_unknown_reasoning(draft, payload, _DIALECT.known)
        for position, call in enumerate(dicts_in(payload.get("tool_calls"))):
            index = call.get("index")
            _add_call(draft, position if index is None else index, call.get("function"), call.get("id"))
        _add_call(draft, "function_call", payload.get("function_call"))


def _add_call(draft: Draft, key: Any, function: Any, id: Any = "") -> None:
    if isinstance(function, dict):
        draft.add_call(key, name=function.get("name"), arguments=function.get("arguments"), id=id)


class OpenAIChat(Api):
    """`POST /v1/chat/completions`."""

    PATH = "/chat/completions"
    TAKES = frozenset({"system", "max_tokens", "min_tokens", "ignore_eos", "limit_field", "usage", "auth"})
    LIMIT_FIELD: ClassVar[str] = "max_tokens"
    """All servers know this name. Only OpenAI's own reasoning models refuse it."""

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)
    add_to = staticmethod(add_to)

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, named as in the API's reference."""
        system = [{"role": "system", "content": ask.system}] if ask.system is not None else []
        return {
            "model": ask.model or None,
            "messages": [*system, *ask.conversation],
            ask.limit_field or self.LIMIT_FIELD: ask.limit,
            "min_tokens": ask.min_tokens,
            "ignore_eos": ask.ignore_eos or None,
            "stream": self.streamed,
            "stream_options": {"include_usage": True} if self.streamed and ask.usage else None,
        }
