"""OpenAI Chat Completions."""

from typing import Any

import msgspec

from llmstress.engine.mock.dialects import prompts, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind
from llmstress.engine.mock.dialects.openai import error_body, headers, overflow_message, rate_limit_headers
from llmstress.engine.mock.dialects.openai_chunks import FINISH_REASONS, ChunksEncoder, usage
from llmstress.engine.mock.http import Request

__all__ = [
    "ChatEncoder",
    "encoder",
    "error_body",
    "headers",
    "name",
    "overflow_message",
    "rate_limit_headers",
    "read",
    "tokens",
]

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
    """An option of vLLM."""


_decoder = msgspec.json.Decoder(_Body, strict=False)


def read(request: Request) -> RequestParams:
    body = prompts.decode(_decoder, request.body)
    stream = body.stream is True
    options = body.stream_options or prompts.StreamOptions()
    tool, must_call = prompts.tool_to_call(body.tools, body.tool_choice)
    form = prompts.format_of(body.response_format)
    hidden = body.include_reasoning is False
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return RequestParams(
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


def tokens(request: Request) -> list[list[prompts.Token]]:
    return [prompts.conversation_tokens(prompts.decode(_decoder, request.body).messages)]


def encoder(answer: AnswerSpec, params: RequestParams) -> "ChatEncoder":
    return ChatEncoder(answer, params)


class ChatEncoder(ChunksEncoder):
    """Implements `AnswerEncoder`; one chunk per choice and event."""

    __slots__ = ()

    def __init__(self, answer: AnswerSpec, params: RequestParams, more: bytes = b"") -> None:
        """`more`: additional members of every choice with content, each after a comma."""
        fields = {
            "id": f"chatcmpl-{answer.id}",
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.model,
            "system_fingerprint": "fp_mock",
        }
        super().__init__(answer, params, fields, b"delta", more)

    def opening(self) -> list[bytes]:
        content = b"null" if self._answer.tool_call else b'""'
        return self._each(b'{"role":"assistant","content":%b}' % content)

    def part_start(self, kind: TokenKind) -> list[bytes]:
        if kind != "tool":
            return []
        name = sse.to_json(self._params.tool)
        return [
            self._chunk(
                choice,
                b'{"tool_calls":[{"index":0,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
                % (sse.to_json(self._call_id(choice)), name),
            )
            for choice in range(self._answer.choices)
        ]

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        written = sse.to_json(text)
        if kind == "text":
            delta = b'{"content":%b}' % written
        elif kind == "reasoning":
            delta = b'{"reasoning_content":%b}' % written
        else:
            delta = b'{"tool_calls":[{"index":0,"function":{"arguments":%b}}]}' % written
        # one choice is the usual case, and ten of these are made for each answer
        return self._chunk(0, delta) if self._answer.choices == 1 else b"".join(self._each(delta))

    def closing(self) -> list[bytes]:
        return self._last(b"{}", FINISH_REASONS[self._answer.finish_reason])

    def body(self) -> bytes:
        answer = self._answer
        finish = FINISH_REASONS[answer.finish_reason]
        return sse.to_json(
            {
                "id": f"chatcmpl-{answer.id}",
                "object": "chat.completion",
                "created": answer.created,
                "model": answer.model,
                "choices": [
                    {"index": choice, "message": self._message(choice), "logprobs": None, "finish_reason": finish}
                    for choice in range(answer.choices)
                ],
                "usage": usage(answer),
                "system_fingerprint": "fp_mock",
            }
        )

    def _message(self, choice: int) -> dict[str, Any]:
        answer = self._answer
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        if answer.reasoning_tokens:
            message["reasoning_content"] = answer.text("reasoning")
        if answer.tool_call:
            call = {"name": self._params.tool, "arguments": answer.text("tool")}
            message["tool_calls"] = [{"id": self._call_id(choice), "type": "function", "function": call}]
        else:
            message["content"] = answer.text("text")
        return message

    def _call_id(self, choice: int) -> str:
        return f"call_{self._answer.id}{choice}"
