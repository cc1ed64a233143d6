"""What all of OpenAI's APIs have in common: errors, headers, usage, the wire form of events."""

from typing import Any

import msgspec

from llmstress.engine.mock.http import Headers
from llmstress.engine.mock.speech.dialect import RateLimit
from llmstress.engine.mock.speech.said import Said

encode = msgspec.json.encode

CONTENT_TYPE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"

_TYPES = {429: "rate_limit_error", 500: "server_error", 503: "service_unavailable_error"}
_CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded", 503: "server_is_overloaded"}


def error_object(status: int, message: str, code: str) -> dict[str, Any]:
    """OpenAI's error object."""
    return {
        "message": message,
        "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": None,
        "code": code or _CODES.get(status),
    }


def error_body(status: int, message: str, code: str = "", id: str = "") -> bytes:
    """See `Dialect`."""
    return encode({"error": error_object(status, message, code)})


def error_event(message: str, code: str) -> list[bytes]:
    """See `Speech`; the form that the SDKs raise as an error."""
    return [b"data: %b\n\n" % error_body(500, message, code)]


def headers(id: str) -> Headers:
    """See `Dialect`."""
    return (("x-request-id", f"req_{id}"), ("openai-processing-ms", "1"))


def rate_limit_headers(limit: RateLimit) -> Headers:
    """See `Dialect`; durations as Go writes them."""
    lines = [
        ("x-ratelimit-limit-requests", str(limit.requests)),
        ("x-ratelimit-limit-tokens", str(limit.tokens)),
        ("x-ratelimit-remaining-requests", str(limit.requests_left)),
        ("x-ratelimit-remaining-tokens", str(limit.tokens_left)),
        ("x-ratelimit-reset-requests", go_duration(limit.requests_reset_s)),
        ("x-ratelimit-reset-tokens", go_duration(limit.tokens_reset_s)),
    ]
    return (*lines, *retry_after(limit.retry_after_s))


def retry_after(seconds: float | None) -> Headers:
    """The wait in whole seconds, as HTTP knows it, and in milliseconds."""
    if seconds is None:
        return ()
    return (("retry-after", str(-int(-seconds // 1))), ("retry-after-ms", str(round(seconds * 1e3))))


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, to the millisecond: `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    ms = round(seconds * 1e3)
    if ms < 1_000:
        return f"{ms}ms" if ms else "0s"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return text + f"{ms / 1e3:g}s"


def usage(said: Said) -> dict[str, Any]:
    """The usage object of chat and completions: the prompt includes what was cached, the output the reasoning."""
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.prompt_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": said.all_reasoning_tokens},
    }
