"""A rate in tokens as a rate of requests. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.config.load_text import Rate
from llmstress.coordinator.prompts.read import PromptFacts
from llmstress.engine.api.ask import Ask
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.words import BYTES_PER_TOKEN
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.formatting import count, rate

LEAST_ANSWERS = 20
"""Answers from which their mean number of tokens replaces the expected one."""

LEAST_CHANGE = 0.005
"""A mean that differs by less from the one in use changes nothing."""

WORTH_A_LINE = 0.05
"""A mean that differs by more is a line of the log."""


def expected_tokens(ask: Ask, prompts: Lengths | None = None, file: PromptFacts | None = None) -> float:
    """Tokens of a request before any answer: input by the length of the prompt, output by its limit. `prompts`: lengths
    of prompts that are made, instead of that of `ask`. `file`: the prompts come from it."""
    output: float = ask.limit
    if file is not None and ask.max_tokens is None and file.mean_output is not None:
        output = file.mean_output
    return max(1.0, expected_input(ask, prompts, file) + output)


def expected_input(ask: Ask, prompts: Lengths | None = None, file: PromptFacts | None = None) -> float:
    """The part of `expected_tokens` that is input."""
    if file is not None:
        return file.mean_input * ask.batch
    prompt = len(ask.prompt.encode()) / BYTES_PER_TOKEN if prompts is None else prompts.mean
    texts = len((ask.system or "").encode()) / BYTES_PER_TOKEN + prompt
    return (len(ask.prompt_ids) or texts) * ask.batch


def expected_in_mix(tasks: Sequence[tuple[int, Ask, Lengths | None, PromptFacts | None]]) -> float:
    """The mean of `expected_tokens` over tasks, given as weight, content, lengths of made prompts, and file."""
    total = sum(weight for weight, *_ in tasks)
    return sum(weight * expected_tokens(ask, prompts, file) for weight, ask, prompts, file in tasks) / total


def measured_tokens(aggregate: Aggregate, in_use: float) -> float:
    """Mean tokens of a request, input and output, of the ok answers so far; `in_use` if there are too few, or if the
    mean hardly differs from it. Input counts as far as the server reports it."""
    counters, ok = aggregate.counters(), aggregate.ended().get("ok", 0)
    if ok < LEAST_ANSWERS or not counters.usage_seen:
        return in_use
    mean = (counters.input + counters.output) / ok
    return mean if mean > 0 and abs(mean / in_use - 1) > LEAST_CHANGE else in_use


def note_of(asked: Rate, before: float, now: float) -> str:
    """The line of the log for another mean number of tokens of a request; empty: it is not worth one."""
    if abs(now / before - 1) <= WORTH_A_LINE:
        return ""
    tokens = f"a request has {count(round(now))} tokens on average, not {count(round(before))}"
    return f"{tokens}: {asked} are {rate(asked.per_s / now)} requests/s from now on"
