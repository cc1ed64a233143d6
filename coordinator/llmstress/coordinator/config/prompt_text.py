"""The parsers of `--prompt-tokens`, `--output-tokens` and `--words-per-token`. Pure functions."""

import re

from llmstress.coordinator.config.prompt_options import AUTO, FEWEST_WORDS, MOST_WORDS
from llmstress.engine.prompts.lengths import MOST_TOKENS, Lengths

FORMS = "512, 512±64, uniform:100..2000 or lognormal:512±300"

_NUMBER = r"(\d+)"
_FIXED = re.compile(_NUMBER, re.ASCII)
_SPREAD = re.compile(rf"(normal:|lognormal:)?{_NUMBER}(?:±|\+-|\+/-){_NUMBER}", re.ASCII)
_UNIFORM = re.compile(rf"(?:uniform:)?{_NUMBER}\.\.{_NUMBER}", re.ASCII)


def parse_lengths(text: str) -> Lengths:
    """A number of tokens, or a distribution of it.

    Raises:
        ValueError: it is neither, or a number is out of range.
    """
    given = text.strip().replace(" ", "")
    if match := _FIXED.fullmatch(given):
        return _checked(Lengths("fixed", float(match[1])), text)
    if match := _UNIFORM.fullmatch(given):
        low, high = float(match[1]), float(match[2])
        if low > high:
            raise ValueError(f"{text!r}: the first number is higher than the second one")
        return _checked(Lengths("uniform", low, high), text)
    if match := _SPREAD.fullmatch(given):
        shape = "lognormal" if match[1] == "lognormal:" else "normal"
        return _checked(Lengths(shape, float(match[2]), float(match[3])), text)  # type: ignore[arg-type]
    raise ValueError(f"{text!r} is not a number of tokens, nor a distribution of it: write {FORMS}")


def parse_words_per_token(text: str) -> float:
    """The words per token of `0.87`, or `AUTO` for `auto`.

    Raises:
        ValueError: it is neither, or the number is out of range.
    """
    given = text.strip()
    if given == "auto":
        return AUTO
    number = float(given) if re.fullmatch(r"\d{1,3}(\.\d{1,9})?", given, re.ASCII) else 0.0
    if not FEWEST_WORDS <= number <= MOST_WORDS:
        raise ValueError(f"{text!r} is neither auto nor a number from {FEWEST_WORDS:g} to {MOST_WORDS:g}, like 0.87")
    return number


def _checked(lengths: Lengths, text: str) -> Lengths:
    if lengths.first < 1:
        raise ValueError(f"{text!r}: a length is at least 1 token")
    if max(lengths.first, lengths.second) > MOST_TOKENS:
        raise ValueError(f"{text!r}: a length is at most {MOST_TOKENS:,} tokens")
    return lengths
