"""What a server's headers say of its rate limits, in the dialects of OpenAI, Azure and Anthropic. Pure functions."""

from collections.abc import Mapping

import msgspec

_DIALECTS = ("x-ratelimit-{what}-{kind}", "anthropic-ratelimit-{kind}-{what}")
_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")

_NAMES = {
    kind: [
        tuple(dialect.format(kind=kind, what=what) for what in ("limit", "remaining", "reset")) for dialect in _DIALECTS
    ]
    for kind in _KINDS
}
"""Kind -> the names of its three headers in each dialect."""

_MOST_DIGITS = 15
"""A longer number means that there is no limit."""


class Said(msgspec.Struct, frozen=True):
    """What an answer says of one limit; None and empty: it doesn't."""

    kind: str
    """requests, tokens, input-tokens or output-tokens."""
    limit: int | None
    remaining: int | None
    reset: str
    """When it is whole again, in whatever form."""


def limits_in(headers: Mapping[str, str]) -> list[Said]:
    """The limits that these headers speak of. Negative numbers say nothing."""
    found: list[Said] = []
    for kind, dialects in _NAMES.items():
        for limit, remaining, reset in dialects:
            if remaining in headers or reset in headers:
                get = headers.get
                found.append(Said(kind, _number(get(limit)), _number(get(remaining)), get(reset, "")))
                break
    return found


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if "," in text:  # it came twice: the first one counts
        text = text.partition(",")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
