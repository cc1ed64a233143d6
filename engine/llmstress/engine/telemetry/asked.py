"""Tokens that were asked for, against those that came: the rules of the verdict about them."""

from collections.abc import Iterator

from llmstress.engine.telemetry.rules import Measured, Rule, Values

MAX_DIFFERENCE = 0.02

_EXACT = "--tokenizer with the model's tokenizer.json makes exact texts, to which the template is added"


def asked_input(measured: Measured) -> Iterator[Values]:
    """Made prompts that have another length for the server."""
    counters = measured.steady.counters
    for values in _difference(counters.asked_input, counters.delivered_input):
        closer = ""
        if counters.made_words:
            ratio = counters.made_words / counters.delivered_input
            closer = f"--words-per-token {ratio:.3g} comes closer in the next run; "
        yield {**values, "advice": f"{closer}{_EXACT}"}


def asked_output(measured: Measured) -> Iterator[Values]:
    """Answers that have another length than their requests asked for."""
    counters = measured.steady.counters
    yield from _difference(counters.asked_output, counters.delivered_output)


def _difference(asked: int, delivered: int) -> Iterator[Values]:
    if asked and abs(delivered / asked - 1) > MAX_DIFFERENCE:
        yield {"asked": asked, "delivered": delivered, "difference": delivered / asked - 1}


ASKED = (
    Rule(
        id="asked-input",
        status="note",
        looks_at="tokens that the server counts in made prompts, against those asked for (`tokens.asked`)",
        limit=f"more than {MAX_DIFFERENCE:.0%} apart",
        sentence="the server counts {delivered:,} tokens in the made prompts, and {asked:,} were asked for "
        "({difference:+.1%}): its template and a system message come on top, and its tokenizer may have other words",
        advice="{advice}",
        applies=asked_input,
    ),
    Rule(
        id="asked-output",
        status="note",
        looks_at="tokens of answers, against the lengths that requests asked for one by one (`tokens.asked`)",
        limit=f"more than {MAX_DIFFERENCE:.0%} apart",
        sentence="the answers have {delivered:,} tokens, and lengths of {asked:,} were asked for ({difference:+.1%})",
        advice="if the server supports it, --ignore-eos makes answers as long as asked",
        applies=asked_output,
    ),
)
