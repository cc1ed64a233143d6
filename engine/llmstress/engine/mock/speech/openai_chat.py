"""OpenAI chat completions."""

from typing import Any

import msgspec

from llmstress.engine.mock.http import Request
from llmstress.engine.mock.speech import openai
from llmstress.engine.mock.speech.openai import error_body, headers, rate_limit_headers
from llmstress.engine.mock.speech.prompts import positive, words_in
from llmstress.engine.mock.speech.said import Asked, Ending, Kind, Said

__all__ = ["error_body", "headers", "name", "rate_limit_headers", "read", "speak"]

name = "openai_chat"

TOKENS_PER_MESSAGE = 4
"""Added to a message's words, as the role and the separators count in real templates."""

_FINISH_REASONS: dict[Ending, str] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Message(msgspec.Struct):
    content: Any = None


class _Body(msgspec.Struct):
    model: str | None = None
    messages: list[_Message] = []
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_decoder = msgspec.json.Decoder(_Body, strict=False)


def read(request: Request) -> Asked:
    """See `Dialect`."""
    body = _decoder.decode(request.body)
    stream = body.stream is True
    options = body.stream_options
    return Asked(
        model=body.model,
        stream=stream,
        usage=not stream or (options is not None and options.include_usage is True),
        limit=positive(body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens),
        prompt_tokens=sum(TOKENS_PER_MESSAGE + words_in(message.content) for message in body.messages),
    )


def speak(said: Said, asked: Asked) -> "ChatSpeech":
    """See `Dialect`."""
    return ChatSpeech(said)


class ChatSpeech:
    """Implements `Speech`."""

    __slots__ = ("_head", "_said", "_tail")

    content_type = openai.CONTENT_TYPE
    last_word = openai.DONE
    stamped = False

    def __init__(self, said: Said) -> None:
        self._said = said
        # put together by hand: encoding a dictionary per event would cost ten times as much
        self._head = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,'
            b'"system_fingerprint":"fp_mock","choices":['
        ) % (openai.encode(f"chatcmpl-{said.id}"), said.created, openai.encode(said.model))
        self._tail = b'],"usage":null}\n\n' if said.usage else b"]}\n\n"

    def opening(self) -> list[bytes]:
        """See `Speech`."""
        return [self._choice(b'{"role":"assistant","content":""}')]

    def start(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        return self._choice(b'{"content":%b}' % openai.encode(text))

    def end(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        events = [self._choice(b"{}", b'"%b"' % _FINISH_REASONS[self._said.ending].encode())]
        if self._said.usage:
            events.append(self._head + b'],"usage":' + openai.encode(openai.usage(self._said)) + b"}\n\n")
        return [*events, openai.DONE]

    def ping(self) -> bytes:
        """See `Speech`."""
        return openai.PING

    def error_event(self, message: str, code: str) -> list[bytes]:
        """See `Speech`."""
        return openai.error_event(message, code)

    def stamp(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `Speech`."""
        return event

    def whole(self) -> bytes:
        """See `Speech`."""
        said = self._said
        message = {"role": "assistant", "content": said.text("text"), "refusal": None}
        finish = _FINISH_REASONS[said.ending]
        body: dict[str, Any] = {
            "id": f"chatcmpl-{said.id}",
            "object": "chat.completion",
            "created": said.created,
            "model": said.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "system_fingerprint": "fp_mock",
        }
        if said.usage:
            body["usage"] = openai.usage(said)
        return openai.encode(body)

    def _choice(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        return b'%b{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}%b' % (
            self._head,
            delta,
            finish_reason,
            self._tail,
        )
