"""How long to wait before a request is sent again: the time that the server asks for, in all formats that providers
use, and a back-off of the client's own.

Pure functions. HTTP dates refer to the wall clock, whose time is an argument.
"""

import datetime
import email.utils
import re
from collections.abc import Mapping

from llmstress.engine.http.ratelimits import limits_in

BACKOFF_S, MOST_BACKOFF_S = 0.5, 8.0
"""The longest back-off after the first attempt, in seconds, and the limit up to which it doubles with each further
attempt."""

MAX_REQUESTED_WAIT_S = 120.0
"""The longest wait that a server is granted, in seconds. If it asks for more, the request is sent again after this."""

MAX_QUOTED = 300
"""Characters of the headers that are quoted in a sample, in all and of each value."""

_NUMBER = re.compile(r"\s*([-+]?\d{1,15}(?:\.\d{1,15})?)\s*(?:,|$)", re.ASCII)
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "Âµs": 1e-6, "ns": 1e-9}
"""Units of Go's durations. Headers are decoded as Latin-1, which turns the UTF-8 of `µ` into two characters."""
_PART = re.compile(
    rf"(\d{{1,15}}(?:\.\d{{0,15}})?|\.\d{{1,15}})({'|'.join(sorted(_UNITS_S, key=len, reverse=True))})", re.ASCII
)
_RETRY_DELAY = re.compile(r'retryDelay\\*"\s*:\s*\\*"(-?\d{1,15}(?:\.\d{1,15})?)s', re.ASCII)
"""`retryDelay` of Google's RetryInfo. Its quotes may be escaped: some gateways quote the error within a string."""


def backoff_s(attempt: int, uniform: float) -> float:
    """Random back-off in seconds after attempt `attempt` (0: the first): between 0 and `BACKOFF_S` · 2^attempt, limited
    to `MOST_BACKOFF_S`. `uniform` in [0, 1) is the random number. The back-off starts at 0 (full jitter), so that
    requests that failed together are not sent again together."""
    return uniform * min(MOST_BACKOFF_S, BACKOFF_S * 2.0 ** min(attempt, 32))


def requested_wait_s(headers: Mapping[str, str], body: str, wall_s: float, *, throttled: bool) -> float | None:
    """Seconds that an answer asks the client to wait, from 0 to `MAX_REQUESTED_WAIT_S`; None: it doesn't ask.

    The first of these that is present: `retry-after-ms`, `retry-after`, `retryDelay` in the body, and the reset times
    of the rate limits. Reset times are used only if `throttled` (the request was refused because of a rate limit),
    because many servers send them with every answer. wall_s: Unix time.
    """
    asked = _number(headers.get("retry-after-ms", ""))
    if asked is not None:
        asked /= 1000
    else:
        asked = seconds_until(headers.get("retry-after", ""), wall_s)
    if asked is None and (match := _RETRY_DELAY.search(body)):
        asked = float(match[1])
    if asked is None and throttled:
        asked = _reset_s(headers, wall_s)
    return None if asked is None else min(max(asked, 0.0), MAX_REQUESTED_WAIT_S)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Whether the server wants the request to be sent again (`x-should-retry`); None: the header is missing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def seconds_until(text: str, wall_s: float) -> float | None:
    """Seconds from `wall_s` (Unix time) until the time in `text`; negative if it is in the past; None: unknown format.

    The formats: seconds (`2`, `2.5`), a Go duration (`6m0s`), an HTTP date, RFC 3339 (`2026-01-31T09:14:07Z`).
    """
    if not text.strip():
        return None
    seconds = _number(text)
    if seconds is None:
        seconds = _go_duration(text.strip())
    if seconds is None and (moment := _moment(text.strip())) is not None:
        seconds = moment - wall_s
    return seconds


def retry_headers(headers: Mapping[str, str]) -> str:
    """The headers about retries and rate limits as `name: value; name: value`, at most `MAX_QUOTED` characters. Those
    about retries come first."""
    found = [
        f"{name}: {headers[name][:MAX_QUOTED]}"
        for name in sorted(headers, key=lambda name: not name.startswith(("retry-after", "x-should-retry")))
        if name.startswith(("retry-after", "x-should-retry")) or "ratelimit" in name
    ]
    return "; ".join(found)[:MAX_QUOTED]


def _reset_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """Seconds until all used-up limits are reset. If no limit has 0 remaining, it is unknown which one refused the
    request; the earliest reset is then the least wait that can help."""
    resets = [(limit.remaining, seconds_until(limit.reset, wall_s)) for limit in limits_in(headers)]
    known = [(remaining, seconds) for remaining, seconds in resets if seconds is not None]
    used_up = [seconds for remaining, seconds in known if remaining == 0]
    return max(used_up) if used_up else min((seconds for _, seconds in known), default=None)


def _number(text: str) -> float | None:
    match = _NUMBER.match(text)
    return float(match[1]) if match else None


def _go_duration(text: str) -> float | None:
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.removeprefix("-").removeprefix("+")
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sign * sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def _moment(text: str) -> float | None:
    """Unix time of an RFC 3339 or HTTP date, in UTC if it names no zone; None: it is neither."""
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    try:
        return date.timestamp()
    except (OverflowError, ValueError):
        return None
