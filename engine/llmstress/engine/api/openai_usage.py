"""Token counts of OpenAI's APIs and of servers with similar APIs, which use other names and other places."""

from collections.abc import Iterable
from typing import Any

import msgspec

from llmstress.engine.api.lenient import count_in
from llmstress.engine.api.meaning import Usage

BEDROCK = "amazon-bedrock-invocationMetrics"
"""Member that Bedrock adds to the last event of a stream, with its own counts."""

_OTHER_NAMES = (
    ("input_tokens", "output_tokens"),
    ("inputTokens", "outputTokens"),
    ("inputTokenCount", "outputTokenCount"),
    ("promptTokens", "completionTokens"),
)
"""Other names of prompt_tokens and completion_tokens."""

_DETAILS_OF_INPUT = ("prompt_tokens_details", "input_tokens_details")
_DETAILS_OF_OUTPUT = ("completion_tokens_details", "output_tokens_details")


class OtherUsage(msgspec.Struct, gc=False):
    """The members other than `usage` in which servers report usage."""

    x_groq: Any = None
    """Groq: an object with a member `usage`."""
    timings: Any = None
    """llama.cpp: an object with counts of its own."""
    metrics: Any = msgspec.field(default=None, name=BEDROCK)


def usage_in(value: Any) -> Usage | None:
    """The counts in a `usage` object; None: there are none. If both input and output are 0, there is no usage."""
    if not isinstance(value, dict):
        return None
    input_count, output_count = count_in(value, "prompt_tokens"), count_in(value, "completion_tokens")
    if not (input_count or output_count):
        for names in _OTHER_NAMES:
            input_count, output_count = count_in(value, names[0]), count_in(value, names[1])
            if input_count or output_count:
                break
        else:
            return None
    reasoning = _first_count(value, _DETAILS_OF_OUTPUT, "reasoning_tokens")
    if not reasoning and "reasoning_tokens" in value:  # SGLang's place
        reasoning = count_in(value, "reasoning_tokens")
    cached = _first_count(value, _DETAILS_OF_INPUT, "cached_tokens")
    if reasoning:
        total = count_in(value, "total_tokens" if "total_tokens" in value else "totalTokens")
        output_count = with_reasoning(input_count, output_count, reasoning, total)
    return Usage(input_count or None, output_count, cached, reasoning)


def usage_in_other_places(places: OtherUsage, of_choices: Iterable[Any] = ()) -> Usage | None:
    """The usage in other places: in each of the choices (Moonshot), or in other members of the event. None: there is
    none.

    `of_choices` are the values of `usage` of the choices. Their outputs are summed; the other counts are those of
    the first one.
    """
    found = [usage for value in of_choices if (usage := usage_in(value)) is not None]
    if found:
        outputs = [usage.output for usage in found if usage.output is not None]
        return msgspec.structs.replace(found[0], output=sum(outputs) if outputs else None)
    nested = places.x_groq.get("usage") if isinstance(places.x_groq, dict) else None
    return usage_in(nested) or usage_in(places.metrics) or _usage_of_timings(places.timings)


def _usage_of_timings(timings: Any) -> Usage | None:
    """The usage in llama.cpp's `timings`. `prompt_n` does not contain the cached tokens."""
    fresh, output_count, cached = (count_in(timings, name) for name in ("prompt_n", "predicted_n", "cache_n"))
    if not (fresh or output_count):
        return None
    return Usage((fresh or 0) + (cached or 0) or None, output_count, cached)


def _first_count(value: dict[str, Any], places: tuple[str, ...], name: str) -> int | None:
    for place in places:
        if (details := value.get(place)) is not None and (count := count_in(details, name)) is not None:
            return count
    return None


def with_reasoning(
    input_count: int | None, output_count: int | None, reasoning: int | None, total: int | None = None
) -> int | None:
    """The output count with reasoning included.

    Some providers count reasoning beside the output and not within it. The total shows which of the two they do. If the
    total is missing or fits neither, reasoning was counted beside the output if it exceeds the output, of which it
    could not be a part.
    """
    if not reasoning or output_count is None:
        return output_count
    within, beside = (input_count or 0) + output_count, (input_count or 0) + output_count + reasoning
    if total == beside or (total != within and reasoning > output_count):
        return output_count + reasoning
    return output_count
