"""Rate-limit headers in the format of each provider."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from math import ceil

from llmstress.engine.mock.dialects.dialect import RateLimitState
from llmstress.engine.mock.http import Headers


def openai_headers(limit: RateLimitState) -> Headers:
    """OpenAI's headers; durations have the format of Go."""
    return _x_ratelimit(limit, go_duration)


def azure_headers(limit: RateLimitState) -> Headers:
    """Azure's headers: OpenAI's with durations in whole seconds."""
    return _x_ratelimit(limit, lambda seconds: str(ceil(seconds)))


def _x_ratelimit(limit: RateLimitState, written: Callable[[float], str]) -> Headers:
    headers: list[tuple[str, str]] = []
    for name, allowance in (("requests", limit.requests), ("tokens", limit.tokens)):
        if allowance is not None:
            headers += [
                (f"x-ratelimit-limit-{name}", str(allowance.limit)),
                (f"x-ratelimit-remaining-{name}", str(allowance.remaining)),
                (f"x-ratelimit-reset-{name}", written(allowance.reset_us / 1e6)),
            ]
    return (*headers, *retry_after(limit))


def anthropic_headers(limit: RateLimitState) -> Headers:
    """Anthropic's headers; times are in RFC 3339. The limits of input and of output repeat the limit of both."""
    headers: list[tuple[str, str]] = []
    for name, allowance in (
        ("requests", limit.requests),
        ("tokens", limit.tokens),
        ("input-tokens", limit.tokens),
        ("output-tokens", limit.tokens),
    ):
        if allowance is not None:
            moment = datetime.fromtimestamp(ceil(limit.now_s + allowance.reset_us / 1e6), UTC)
            headers += [
                (f"anthropic-ratelimit-{name}-limit", str(allowance.limit)),
                (f"anthropic-ratelimit-{name}-remaining", str(allowance.remaining)),
                (f"anthropic-ratelimit-{name}-reset", moment.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ]
    return (*headers, *retry_after(limit))


def retry_after(limit: RateLimitState) -> Headers:
    """The `retry-after` headers in the configured style; none if there is no time to wait."""
    wait_s = limit.retry_after_s
    if wait_s is None or limit.retry_after == "none":
        return ()
    if limit.retry_after == "date":
        return (("retry-after", formatdate(ceil(limit.now_s + wait_s), usegmt=True)),)
    seconds = ("retry-after", str(ceil(wait_s)))
    return (seconds, ("retry-after-ms", str(ceil(wait_s * 1e3)))) if limit.retry_after == "ms" else (seconds,)


def go_duration(seconds: float) -> str:
    """A duration in Go's format, rounded to milliseconds: `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    ms = round(seconds * 1e3)
    if ms < 1_000:
        return f"{ms}ms" if ms else "0s"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else "") + f"{ms / 1e3:g}s"
