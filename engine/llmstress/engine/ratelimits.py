"""What a server's headers say of its rate limits, in the dialects of OpenAI, Azure and Anthropic. Pure functions."""

import re
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

_NUMBER = re.compile(r"\s*(\d{1,15})\s*(?:,|$)", re.ASCII)
"""Longer ones mean that there is no limit; of a header that came twice the first one counts."""


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
                found.append(Said(kind, _number(headers, limit), _number(headers, remaining), headers.get(reset, "")))
                break
    return found


def _number(headers: Mapping[str, str], name: str) -> int | None:
    match = _NUMBER.match(headers.get(name, ""))
    return int(match[1]) if match else None
