"""The parser of `--token-bands`. A pure function."""

import re

from llmstress.engine.telemetry.bands import Bounds

DEFAULT_BANDS = Bounds(1_000, 250)
"""Assumed: a prompt of two pages, an answer of a page. Chats are shorter, documents and reasoning longer."""

NO_BANDS = Bounds(0, 0)
"""Requests are not told apart by their tokens."""

_BANDS = re.compile(r"(\d{1,9})\s*,\s*(\d{1,9})", re.ASCII)


def parse_bands(text: str) -> Bounds:
    """Bounds of input and output in tokens, or `off`.

    Raises:
        ValueError: the text has another form, or a bound is 0.
    """
    if text.strip() == "off":
        return NO_BANDS
    match = _BANDS.fullmatch(text.strip())
    bounds = Bounds(int(match[1]), int(match[2])) if match else NO_BANDS
    if not bounds.input or not bounds.output:
        raise ValueError(f"{text!r} is neither two numbers like 1000,250 (tokens of a long prompt and answer) nor off")
    return bounds
