"""OpenAI's older Completions. They have neither reasoning nor tools: all tokens are text."""

from typing import Any

import msgspec

from llmstress.engine.mock.dialects import prompts, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind
from llmstress.engine.mock.dialects.openai import error_body, headers, overflow_message, rate_limit_headers
from llmstress.engine.mock.dialects.openai_chunks import FINISH_REASONS, ChunksEncoder, usage
from llmstress.engine.mock.http import Request

__all__ = [
    "CompletionsEncoder",
    "encoder",
    "error_body",
    "headers",
    "name",
    "overflow_message",
    "rate_limit_headers",
    "read",
    "tokens",
]

name = "openai-completions"


class _Body(msgspec.Struct):
    prompt: str | list[Any]
    model: str | None = None
    stream: bool | None = None
    stream_options: prompts.StreamOptions | None = None
    max_tokens: int | None = None
    n: int | None = None
    echo: bool | None = None


_decoder = msgspec.json.Decoder(_Body, strict=False)


def read(request: Request) -> RequestParams:
    """Parse a request. Without a limit the answer has the configured length, not 16 tokens as at OpenAI."""
    body = prompts.decode(_decoder, request.body)
    stream = body.stream is True
    options = body.stream_options or prompts.StreamOptions()
    given = prompts.prompts_in(body.prompt)
    choices = prompts.choices(body.n, len(given))
    lengths = [prompts.tokens_in(prompt) for prompt in given]
    return RequestParams(
        model=body.model,
        stream=stream,
        usage=options.include_usage is True if stream else None,
        text_only=True,
        running_usage=options.continuous_usage_stats is True,
        limit=prompts.at_least(1, body.max_tokens),
        prompt_tokens=sum(lengths),
        longest_prompt=max(lengths),
        choices=choices,
        echoes=tuple([text for text in map(_text, given) for _ in range(choices // len(given))]) if body.echo else (),
    )


def tokens(request: Request) -> list[list[prompts.Token]]:
    given = prompts.prompts_in(prompts.decode(_decoder, request.body).prompt)
    return [prompts.prompt_tokens(prompt) for prompt in given]


def encoder(answer: AnswerSpec, params: RequestParams) -> "CompletionsEncoder":
    return CompletionsEncoder(answer, params)


def _text(prompt: str | list[int]) -> str:
    """The text of a prompt; token ids can't be decoded here and are written as numbers."""
    return prompt if isinstance(prompt, str) else "".join(f" {token}" for token in prompt)


class CompletionsEncoder(ChunksEncoder):
    """Implements `AnswerEncoder`; one chunk per choice and event."""

    __slots__ = ()

    def __init__(self, answer: AnswerSpec, params: RequestParams, more: bytes = b"") -> None:
        """`more`: additional members of every choice with content, each after a comma."""
        fields = {
            "id": f"cmpl-{answer.id}",
            "object": "text_completion",
            "created": answer.created,
            "model": answer.model,
        }
        super().__init__(answer, params, fields, b"text", more)

    def opening(self) -> list[bytes]:
        return [self._chunk(choice, sse.to_json(echo)) for choice, echo in enumerate(self._params.echoes)]

    def part_start(self, kind: TokenKind) -> list[bytes]:
        return []

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        return b"".join(self._each(sse.to_json(text)))

    def closing(self) -> list[bytes]:
        return self._last(b'""', self._finish_reason)

    def body(self) -> bytes:
        answer = self._answer
        text = "".join([answer.text(part.kind) for part in answer.parts])
        echoes = self._params.echoes or ("",) * answer.choices
        return sse.to_json(
            {
                "id": f"cmpl-{answer.id}",
                "object": "text_completion",
                "created": answer.created,
                "model": answer.model,
                "choices": [
                    {"index": i, "text": echo + text, "logprobs": None, "finish_reason": self._finish_reason}
                    for i, echo in enumerate(echoes)
                ],
                "usage": usage(answer),
            }
        )

    @property
    def _finish_reason(self) -> str:
        finish_reason = self._answer.finish_reason
        return FINISH_REASONS["stop" if finish_reason == "tool_call" else finish_reason]
