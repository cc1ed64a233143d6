"""Token counts as OpenAI's APIs report them, and those who speak like them: under other names, in other places."""

from collections.abc import Iterable
from typing import Any

import msgspec

from llmstress.engine.api.lenient import count_in
from llmstress.engine.api.meaning import Usage

BEDROCK = "amazon-bedrock-invocationMetrics"
"""What Bedrock adds to the last event of a stream."""

_OTHER_NAMES = (
    ("input_tokens", "output_tokens"),
    ("inputTokens", "outputTokens"),
    ("inputTokenCount", "outputTokenCount"),
    ("promptTokens", "completionTokens"),
)
"""Names of the two counts, where they aren't prompt_tokens and completion_tokens."""

_DETAILS_OF_INPUT = ("prompt_tokens_details", "input_tokens_details")
_DETAILS_OF_OUTPUT = ("completion_tokens_details", "output_tokens_details")


class OtherUsage(msgspec.Struct, gc=False):
    """The places beside `usage` in which servers report it."""

    x_groq: Any = None
    """Groq's: an object with a member `usage`."""
    timings: Any = None
    """llama.cpp's."""
    metrics: Any = msgspec.field(default=None, name=BEDROCK)


def usage_in(value: Any) -> Usage | None:
    """The counts of a `usage` object; None: it has none. Counts of 0 for both input and output are none."""
    if not isinstance(value, dict):
        return None
    given, taken = count_in(value, "prompt_tokens"), count_in(value, "completion_tokens")
    if not (given or taken):
        for names in _OTHER_NAMES:
            given, taken = count_in(value, names[0]), count_in(value, names[1])
            if given or taken:
                break
        else:
            return None
    reasoning = _first_count(value, _DETAILS_OF_OUTPUT, "reasoning_tokens")
    if not reasoning and "reasoning_tokens" in value:  # SGLang's place
        reasoning = count_in(value, "reasoning_tokens")
    cached = _first_count(value, _DETAILS_OF_INPUT, "cached_tokens")
    if reasoning:
        total = count_in(value, "total_tokens" if "total_tokens" in value else "totalTokens")
        taken = with_reasoning(given, taken, reasoning, total)
    return Usage(given or None, taken, cached, reasoning)


def usage_in_other_places(places: OtherUsage, of_choices: Iterable[Any] = ()) -> Usage | None:
    """The usage in places other than `usage`: beside it, or in each of the choices (Moonshot); None: there is none."""
    found = [usage for value in of_choices if (usage := usage_in(value)) is not None]
    if found:
        outputs = [usage.output for usage in found if usage.output is not None]
        return msgspec.structs.replace(found[0], output=sum(outputs) if outputs else None)
    nested = places.x_groq.get("usage") if isinstance(places.x_groq, dict) else None
    return usage_in(nested) or usage_in(places.metrics) or _usage_of_timings(places.timings)


def _usage_of_timings(timings: Any) -> Usage | None:
    """llama.cpp's: its `prompt_n` leaves out what was cached."""
    fresh, taken, cached = (count_in(timings, name) for name in ("prompt_n", "predicted_n", "cache_n"))
    if not (fresh or taken):
        return None
    return Usage((fresh or 0) + (cached or 0) or None, taken, cached)


def _first_count(value: dict[str, Any], places: tuple[str, ...], name: str) -> int | None:
    for place in places:
        if (details := value.get(place)) is not None and (count := count_in(details, name)) is not None:
            return count
    return None


def with_reasoning(given: int | None, taken: int | None, reasoning: int | None, total: int | None = None) -> int | None:
    """The output with reasoning in it. Some providers count that beside the completion, not within it; the total says
    which they do, and without one the reasoning does, if it is more than what it would be a part of."""
    if not reasoning or taken is None:
        return taken
    within, beside = (given or 0) + taken, (given or 0) + taken + reasoning
    if total == beside or (total != within and reasoning > taken):
        return taken + reasoning
    return taken
