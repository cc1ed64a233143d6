"""Token counts as OpenAI's APIs but Responses report them, and those who speak like them."""

from typing import Any

from llmstress.engine.api.event import Usage
from llmstress.engine.api.lenient import count_in


def usage_in(value: Any) -> Usage | None:
    """The counts of a `usage` object; None: it has none."""
    if not isinstance(value, dict):
        return None
    given, taken = count_in(value, "prompt_tokens"), count_in(value, "completion_tokens")
    if given is None and taken is None:
        return None
    reasoning = count_in(value.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(
        input=given,
        output=taken,
        cached_input=count_in(value.get("prompt_tokens_details"), "cached_tokens"),
        reasoning=reasoning or count_in(value, "reasoning_tokens"),  # SGLang has it at the top
    )
