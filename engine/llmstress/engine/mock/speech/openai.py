"""What all of OpenAI's APIs have in common: errors, headers, usage."""

from typing import Any

from llmstress.engine.mock.http import Headers
from llmstress.engine.mock.speech import limits, sse
from llmstress.engine.mock.speech.said import Ending, Said

rate_limit_headers = limits.openai_headers

_QUOTA = "insufficient_quota"
_TYPES = {429: "requests", 503: "service_unavailable_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 500: "server_error", 503: "server_is_overloaded"}

FINISH_REASONS: dict[Ending, str] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}


def error_object(status: int, message: str, code: str = "") -> dict[str, Any]:
    """The error object; without a `code` the usual one of that status."""
    usual = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "message": message,
        "type": code if code == _QUOTA else _TYPES.get(status, usual),
        "param": None,
        "code": code or _CODES.get(status),
    }


def error_body(status: int, message: str, code: str = "", id: str = "") -> bytes:
    """See `Dialect`."""
    return sse.encode({"error": error_object(status, message, code)})


def error_event(message: str, code: str) -> list[bytes]:
    """See `Speech`."""
    return [sse.data(error_body(500, message, code))]


def headers(id: str) -> Headers:
    """See `Dialect`."""
    return (("x-request-id", f"req_{id}"), ("openai-processing-ms", "1"))


def usage(said: Said) -> dict[str, Any]:
    """The usage object of chat and completions: the prompt includes what was cached, the output the reasoning."""
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.prompt_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": said.all_reasoning_tokens},
    }


NO_USAGE = b'"usage":null}\n\n'
"""How a chunk ends whose usage is still to come; these line ends can't stand inside of JSON."""


def usage_so_far(chunks: bytes, said: Said, tokens: int) -> bytes:
    """Give the chunks the usage as it is when `tokens` of each choice are shown: vLLM's `continuous_usage_stats`."""
    output = said.choices * (said.hidden_reasoning_tokens + tokens)
    return chunks.replace(
        NO_USAGE,
        b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}\n\n'
        % (said.prompt_tokens, output, said.prompt_tokens + output),
    )
