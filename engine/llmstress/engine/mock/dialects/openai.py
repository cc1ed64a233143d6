"""Errors and headers that OpenAI's APIs have in common."""

from typing import Any

from llmstress.engine.mock.dialects import limits, sse
from llmstress.engine.mock.dialects.dialect import Overflow
from llmstress.engine.mock.http import Headers

rate_limit_headers = limits.openai_headers

_QUOTA = "insufficient_quota"
_TYPES = {429: "requests", 503: "service_unavailable_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 500: "server_error", 503: "server_is_overloaded"}


def error_object(status: int, message: str, code: str = "") -> dict[str, Any]:
    """The error object; without a `code` the usual code of the status is used."""
    usual = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "message": message,
        "type": code if code == _QUOTA else _TYPES.get(status, usual),
        "param": None,
        "code": code or _CODES.get(status),
    }


def error_body(status: int, message: str, code: str = "", id: str = "") -> bytes:
    return sse.to_json({"error": error_object(status, message, code)})


def overflow_message(overflow: Overflow) -> str:
    """What OpenAI's Chat Completions, Completions and Embeddings, and vLLM say."""
    start = f"This model's maximum context length is {overflow.context} tokens. However, "
    if overflow.limit is None:
        return f"{start}your messages resulted in {overflow.prompt} tokens. Please reduce the length of the messages."
    return (
        f"{start}you requested {overflow.prompt + overflow.limit} tokens ({overflow.prompt} in the messages, "
        f"{overflow.limit} in the completion). Please reduce the length of the messages or completion."
    )


def headers(id: str) -> Headers:
    return (("x-request-id", f"req_{id}"), ("openai-processing-ms", "1"))
