"""Decides what is answered to a request: pure, whatever the API."""

from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.speech.said import Asked, Said


def answer_to(asked: Asked, options: MockOptions, *, id: str, created: int) -> Said:
    """What the server says; `id` and `created` as in `Said`."""
    limit = options.tokens if asked.limit is None else asked.limit
    cut = limit < options.tokens
    return Said(
        id=id,
        created=created,
        model=asked.model or options.model,
        prompt_tokens=asked.prompt_tokens,
        tokens=min(limit, options.tokens),
        tool_call=asked.must_call,
        ending="length" if cut else "tool_call" if asked.must_call else "stop",
        usage=asked.usage,
        choices=asked.choices,
    )
