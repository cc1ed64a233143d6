"""OpenAI chat completions."""

from typing import Any

import msgspec

from llmstress.engine.mock.dialects import prompts, sse
from llmstress.engine.mock.dialects.answer_spec import Asked, Kind, Said
from llmstress.engine.mock.dialects.openai import error_body, headers, rate_limit_headers
from llmstress.engine.mock.dialects.openai_chunks import FINISH_REASONS, ChunksSpeech, usage
from llmstress.engine.mock.http import Request

__all__ = ["ChatSpeech", "error_body", "headers", "name", "rate_limit_headers", "read", "speak"]

name = "openai-chat"


class _Body(msgspec.Struct):
    messages: list[prompts.Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: prompts.StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    response_format: Any = None
    reasoning_effort: str | None = None
    include_reasoning: bool | None = None
    """vLLM's."""


_decoder = msgspec.json.Decoder(_Body, strict=False)


def read(request: Request) -> Asked:
    """See `Dialect`."""
    body = prompts.decode(_decoder, request.body)
    stream = body.stream is True
    options = body.stream_options or prompts.StreamOptions()
    tool, must_call = prompts.tool_to_call(body.tools, body.tool_choice)
    form = prompts.format_of(body.response_format)
    hidden = body.include_reasoning is False
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return Asked(
        model=body.model,
        stream=stream,
        usage=options.include_usage is True if stream else None,
        running_usage=options.continuous_usage_stats is True,
        limit=prompts.at_least(1, limit),
        prompt_tokens=prompts.tokens_of(body.messages),
        choices=prompts.choices(body.n),
        reasoning="none" if body.reasoning_effort == "none" else "hidden" if hidden else "shown",
        tool=tool,
        must_call=must_call,
        tool_document=prompts.arguments_of(body.tools, tool),
        json=form.json,
        document=form.document,
    )


def speak(said: Said, asked: Asked) -> "ChatSpeech":
    """See `Dialect`."""
    return ChatSpeech(said, asked)


class ChatSpeech(ChunksSpeech):
    """Implements `Speech`."""

    __slots__ = ()

    def __init__(self, said: Said, asked: Asked, more: bytes = b"") -> None:
        """`more` are further members of every choice with content, each behind a comma."""
        fields = {
            "id": f"chatcmpl-{said.id}",
            "object": "chat.completion.chunk",
            "created": said.created,
            "model": said.model,
            "system_fingerprint": "fp_mock",
        }
        super().__init__(said, asked, fields, b"delta", more)

    def opening(self) -> list[bytes]:
        """See `Speech`."""
        content = b"null" if self._said.tool_call else b'""'
        return self._each(b'{"role":"assistant","content":%b}' % content)

    def start(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        if kind != "tool":
            return []
        name = sse.encode(self._asked.tool)
        return [
            self._chunk(
                choice,
                b'{"tool_calls":[{"index":0,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
                % (sse.encode(self._call_id(choice)), name),
            )
            for choice in range(self._said.choices)
        ]

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        written = sse.encode(text)
        if kind == "text":
            delta = b'{"content":%b}' % written
        elif kind == "reasoning":
            delta = b'{"reasoning_content":%b}' % written
        else:
            delta = b'{"tool_calls":[{"index":0,"function":{"arguments":%b}}]}' % written
        # most have one, and ten of these are made for each answer
        return self._chunk(0, delta) if self._said.choices == 1 else b"".join(self._each(delta))

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        return self._last(b"{}", FINISH_REASONS[self._said.ending])

    def whole(self) -> bytes:
        """See `Speech`."""
        said = self._said
        finish = FINISH_REASONS[said.ending]
        return sse.encode(
            {
                "id": f"chatcmpl-{said.id}",
                "object": "chat.completion",
                "created": said.created,
                "model": said.model,
                "choices": [
                    {"index": choice, "message": self._message(choice), "logprobs": None, "finish_reason": finish}
                    for choice in range(said.choices)
                ],
                "usage": usage(said),
                "system_fingerprint": "fp_mock",
            }
        )

    def _message(self, choice: int) -> dict[str, Any]:
        said = self._said
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        if said.reasoning_tokens:
            message["reasoning_content"] = said.text("reasoning")
        if said.tool_call:
            call = {"name": self._asked.tool, "arguments": said.text("tool")}
            message["tool_calls"] = [{"id": self._call_id(choice), "type": "function", "function": call}]
        else:
            message["content"] = said.text("text")
        return message

    def _call_id(self, choice: int) -> str:
        return f"call_{self._said.id}{choice}"
