"""OpenAI Embeddings."""

import base64
import struct
from typing import Any

import msgspec

from llmstress.engine.mock.dialects import prompts, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams
from llmstress.engine.mock.dialects.openai import error_body, headers, overflow_message, rate_limit_headers
from llmstress.engine.mock.dialects.whole import BodyEncoder
from llmstress.engine.mock.http import Request

__all__ = [
    "encoder",
    "error_body",
    "headers",
    "name",
    "overflow_message",
    "rate_limit_headers",
    "read",
    "tokens",
]

name = "openai-embeddings"

_MOST_INPUTS = 2_048
_DIMENSIONS = 1_536
_MOST_DIMENSIONS = 4_096


class _Body(msgspec.Struct):
    input: str | list[Any]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


_decoder = msgspec.json.Decoder(_Body, strict=False)


def read(request: Request) -> RequestParams:
    """Parse a request. Each input is a choice without output tokens."""
    body = prompts.decode(_decoder, request.body)
    given = prompts.prompts_in(body.input)
    if len(given) > _MOST_INPUTS:
        raise ValueError(f"more than {_MOST_INPUTS} inputs")
    if body.encoding_format not in (None, "float", "base64"):
        raise ValueError("encoding_format is float or base64")
    dimensions = _DIMENSIONS if body.dimensions is None else body.dimensions
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"dimensions have to be from 1 to {_MOST_DIMENSIONS}")
    lengths = [prompts.tokens_in(text) for text in given]
    return RequestParams(
        model=body.model,
        limit=0,
        text_only=True,
        reports="usage",
        prompt_tokens=sum(lengths),
        longest_prompt=max(lengths),
        choices=len(given),
        dimensions=dimensions,
        base64=body.encoding_format == "base64",
    )


def tokens(request: Request) -> list[list[prompts.Token]]:
    return [prompts.prompt_tokens(text) for text in prompts.prompts_in(prompts.decode(_decoder, request.body).input)]


def encoder(answer: AnswerSpec, params: RequestParams) -> BodyEncoder:
    return BodyEncoder(lambda: _body(answer, params))


def vector(dimensions: int) -> list[float]:
    """A vector of length 1, up to rounding; it is the same for every input."""
    size = dimensions**-0.5
    return [-size if i % 2 else size for i in range(dimensions)]


def _body(answer: AnswerSpec, params: RequestParams) -> bytes:
    numbers = vector(params.dimensions)
    written: Any = numbers
    if params.base64:
        written = base64.b64encode(struct.pack(f"<{params.dimensions}f", *numbers)).decode()
    embedding = msgspec.Raw(sse.to_json(written))
    return sse.to_json(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": embedding} for i in range(answer.choices)],
            "model": answer.model,
            "usage": {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens},
        }
    )
