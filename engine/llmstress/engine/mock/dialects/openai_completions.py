"""OpenAI's older completions. They know neither reasoning nor tools: whatever is said is text."""

from typing import Any

import msgspec

from llmstress.engine.mock.dialects import prompts, sse
from llmstress.engine.mock.dialects.answer_spec import Asked, Kind, Said
from llmstress.engine.mock.dialects.openai import error_body, headers, rate_limit_headers
from llmstress.engine.mock.dialects.openai_chunks import FINISH_REASONS, ChunksSpeech, usage
from llmstress.engine.mock.http import Request

__all__ = ["CompletionsSpeech", "error_body", "headers", "name", "rate_limit_headers", "read", "speak"]

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


def read(request: Request) -> Asked:
    """See `Dialect`. Without a limit the answer is as long as the server likes, not 16 tokens as at OpenAI."""
    body = prompts.decode(_decoder, request.body)
    stream = body.stream is True
    options = body.stream_options or prompts.StreamOptions()
    given = prompts.prompts_in(body.prompt)
    choices = prompts.choices(body.n, len(given))
    return Asked(
        model=body.model,
        stream=stream,
        usage=options.include_usage is True if stream else None,
        text_only=True,
        running_usage=options.continuous_usage_stats is True,
        limit=prompts.at_least(1, body.max_tokens),
        prompt_tokens=sum(map(prompts.tokens_in, given)),
        choices=choices,
        echoes=tuple([text for text in map(_text, given) for _ in range(choices // len(given))]) if body.echo else (),
    )


def speak(said: Said, asked: Asked) -> "CompletionsSpeech":
    """See `Dialect`."""
    return CompletionsSpeech(said, asked)


def _text(prompt: str | list[int]) -> str:
    """Nobody here knows which words token ids stand for."""
    return prompt if isinstance(prompt, str) else "".join(f" {token}" for token in prompt)


class CompletionsSpeech(ChunksSpeech):
    """Implements `Speech`."""

    __slots__ = ()

    def __init__(self, said: Said, asked: Asked, more: bytes = b"") -> None:
        """`more` are further members of every choice with content, each behind a comma."""
        fields = {
            "id": f"cmpl-{said.id}",
            "object": "text_completion",
            "created": said.created,
            "model": said.model,
        }
        super().__init__(said, asked, fields, b"text", more)

    def opening(self) -> list[bytes]:
        """See `Speech`."""
        return [self._chunk(choice, sse.encode(echo)) for choice, echo in enumerate(self._asked.echoes)]

    def start(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        return b"".join(self._each(sse.encode(text)))

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        return self._last(b'""', self._finish_reason)

    def whole(self) -> bytes:
        """See `Speech`."""
        said = self._said
        text = "".join([said.text(part.kind) for part in said.parts])
        echoes = self._asked.echoes or ("",) * said.choices
        return sse.encode(
            {
                "id": f"cmpl-{said.id}",
                "object": "text_completion",
                "created": said.created,
                "model": said.model,
                "choices": [
                    {"index": i, "text": echo + text, "logprobs": None, "finish_reason": self._finish_reason}
                    for i, echo in enumerate(echoes)
                ],
                "usage": usage(said),
            }
        )

    @property
    def _finish_reason(self) -> str:
        ending = self._said.ending
        return FINISH_REASONS["stop" if ending == "tool_call" else ending]
