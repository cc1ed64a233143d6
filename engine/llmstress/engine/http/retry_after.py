"""When to come back: what a server says of it, in all forms that providers use, and how long to wait if it doesn't.

Pure functions: the wall clock, which HTTP dates are of, is an argument.
"""

import datetime
import email.utils
import re
from collections.abc import Mapping

from llmstress.engine.http.ratelimits import limits_in

BACKOFF_S, MOST_BACKOFF_S = 0.5, 8.0
"""The longest wait before the first attempt that follows, twice as long for each further one, and its bound."""

MOST_ASKED_S = 120.0
"""A server that wants a longer wait is asked again after this."""

MAX_WORDS = 300
"""Characters of the headers that are kept in a sample, and of each value."""

_NUMBER = re.compile(r"\s*([-+]?\d{1,15}(?:\.\d{1,15})?)\s*(?:,|$)", re.ASCII)
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "Âµs": 1e-6, "ns": 1e-9}
"""Of Go's durations; headers are read as Latin-1, which makes two signs of µ."""
_PART = re.compile(
    rf"(\d{{1,15}}(?:\.\d{{0,15}})?|\.\d{{1,15}})({'|'.join(sorted(_UNITS_S, key=len, reverse=True))})", re.ASCII
)
_RETRY_DELAY = re.compile(r'retryDelay\\*"\s*:\s*\\*"(-?\d{1,15}(?:\.\d{1,15})?)s', re.ASCII)
"""Google's RetryInfo, which a gateway may have quoted within a string."""


def backoff_s(attempt: int, uniform: float) -> float:
    """Seconds to wait after attempt `attempt` (0: the first) if the server doesn't say: anything up to
    `BACKOFF_S` · 2^attempt, at most `MOST_BACKOFF_S`, by `uniform` in [0, 1), so that those who failed together don't
    come back together."""
    return uniform * min(MOST_BACKOFF_S, BACKOFF_S * 2.0 ** min(attempt, 32))


def asked_s(headers: Mapping[str, str], body: str, wall_s: float, *, throttled: bool) -> float | None:
    """Seconds that an answer asks to be left alone for, from 0 to `MOST_ASKED_S`; None: it doesn't.

    wall_s: Unix time. throttled: it was refused because of a rate limit; others repeat theirs in every answer.
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
    return None if asked is None else min(max(asked, 0.0), MOST_ASKED_S)


def advice(headers: Mapping[str, str]) -> bool | None:
    """Whether the server wants the request again; None: it doesn't say."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def seconds_until(text: str, wall_s: float) -> float | None:
    """Seconds of `2`, `2.5`, `6m0s` (a Go duration), an HTTP date, `2026-01-31T09:14:07Z` (RFC 3339); None: it is
    none of them. Negative if the moment is past. `wall_s`: Unix time."""
    if not text.strip():
        return None
    seconds = _number(text)
    if seconds is None:
        seconds = _go_duration(text.strip())
    if seconds is None and (moment := _moment(text.strip())) is not None:
        seconds = moment - wall_s
    return seconds


def words(headers: Mapping[str, str]) -> str:
    """Those of the headers that throttle or advise, `name: value` in one line of bounded length."""
    found = [
        f"{name}: {headers[name][:MAX_WORDS]}"
        for name in sorted(headers, key=lambda name: not name.startswith(("retry-after", "x-should-retry")))
        if name.startswith(("retry-after", "x-should-retry")) or "ratelimit" in name
    ]
    return "; ".join(found)[:MAX_WORDS]


def _reset_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """Until the limits that are used up are whole again; if none says that it is, which of them struck is unknown,
    and the first one's moment is the least to wait for."""
    resets = [(said.remaining, seconds_until(said.reset, wall_s)) for said in limits_in(headers)]
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
    """Unix time of a date. One without a zone is in UTC."""
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
