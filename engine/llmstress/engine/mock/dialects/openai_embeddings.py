"""OpenAI embeddings."""

import base64
import struct
from typing import Any

import msgspec

from llmstress.engine.mock.dialects import prompts, sse
from llmstress.engine.mock.dialects.answer_spec import Asked, Said
from llmstress.engine.mock.dialects.openai import error_body, headers, rate_limit_headers
from llmstress.engine.mock.dialects.whole import WholeSpeech
from llmstress.engine.mock.http import Request

__all__ = ["error_body", "headers", "name", "rate_limit_headers", "read", "speak"]

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


def read(request: Request) -> Asked:
    """See `Dialect`; each input is a choice, and none has any output."""
    body = prompts.decode(_decoder, request.body)
    given = prompts.prompts_in(body.input)
    if len(given) > _MOST_INPUTS:
        raise ValueError(f"more than {_MOST_INPUTS} inputs")
    if body.encoding_format not in (None, "float", "base64"):
        raise ValueError("encoding_format is float or base64")
    dimensions = _DIMENSIONS if body.dimensions is None else body.dimensions
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"dimensions have to be from 1 to {_MOST_DIMENSIONS}")
    return Asked(
        model=body.model,
        limit=0,
        text_only=True,
        tells="usage",
        prompt_tokens=sum(map(prompts.tokens_in, given)),
        choices=len(given),
        dimensions=dimensions,
        base64=body.encoding_format == "base64",
    )


def speak(said: Said, asked: Asked) -> WholeSpeech:
    """See `Dialect`."""
    return WholeSpeech(lambda: _body(said, asked))


def vector(dimensions: int) -> list[float]:
    """Of length 1 up to rounding, and the same for every input."""
    size = dimensions**-0.5
    return [-size if i % 2 else size for i in range(dimensions)]


def _body(said: Said, asked: Asked) -> bytes:
    numbers = vector(asked.dimensions)
    told: Any = numbers
    if asked.base64:
        told = base64.b64encode(struct.pack(f"<{asked.dimensions}f", *numbers)).decode()
    embedding = msgspec.Raw(sse.encode(told))
    return sse.encode(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": embedding} for i in range(said.choices)],
            "model": said.model,
            "usage": {"prompt_tokens": said.prompt_tokens, "total_tokens": said.prompt_tokens},
        }
    )
