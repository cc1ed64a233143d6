"""Rate limits in the headers of answers, as OpenAI, Azure and Anthropic name them. Pure functions."""

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
"""Kind -> the names of its three headers (limit, remaining, reset) in each dialect."""

_MOST_DIGITS = 15
"""A number with more digits means that there is no limit."""


class LimitReport(msgspec.Struct, frozen=True):
    """One rate limit as the headers of one answer report it. None or empty: the header is missing or not a number."""

    kind: str
    """`requests`, `tokens`, `input-tokens` or `output-tokens`."""
    limit: int | None
    remaining: int | None
    reset: str
    """When the full limit is available again, in the server's format (see `retry_after.seconds_until`)."""


def limits_in(headers: Mapping[str, str]) -> list[LimitReport]:
    """The limits in these headers, at most one of each kind. A negative number is read as None."""
    found: list[LimitReport] = []
    for kind, dialects in _NAMES.items():
        for limit, remaining, reset in dialects:
            if remaining in headers or reset in headers:
                get = headers.get
                found.append(LimitReport(kind, _number(get(limit)), _number(get(remaining)), get(reset, "")))
                break
    return found


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if "," in text:  # the header was sent twice: the first value is used
        text = text.partition(",")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
