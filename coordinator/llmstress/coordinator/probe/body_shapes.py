"""Recognises formats by the beginning of a body or of an event's data. Pure functions."""

import re

import msgspec

_APIS = (
    ("openai-chat", r'"object"\s*:\s*"chat\.completion|"choices"\s*:\s*\[\s*\{[^][]{0,80}"(delta|message)"\s*:'),
    ("openai-completions", r'"object"\s*:\s*"text_completion|"choices"\s*:\s*\[\s*\{[^][{}]{0,80}"text"\s*:'),
    ("openai-responses", r'"type"\s*:\s*"response\.[a-z]|"object"\s*:\s*"response"'),
    (
        "anthropic",
        r'"type"\s*:\s*"(message_start|message_delta|message_stop|content_block_\w+)"'
        r'|"type"\s*:\s*"message"\s*,\s*"role"|"role"\s*:\s*"assistant"\s*,\s*"(model|content)".*"stop_reason"',
    ),
    ("openai-embeddings", r'"object"\s*:\s*"embedding"'),
)
"""API -> a pattern that only its events and answers match. In the text of an answer the quotes would be escaped."""

_LIST_OF_MODELS = re.compile(r'"object"\s*:\s*"model"')
_OLLAMA = re.compile(r'"created_at"\s*:\s*".*"done"\s*:\s*(true|false)', re.DOTALL)
_FIELD = re.compile(r"\ufeff?((data|event|id|retry)\s*(:|$)|:)")


def api_of(data: str) -> str:
    """The API whose format `data` has; empty: unknown."""
    return next((api for api, pattern in _APIS if re.search(pattern, data)), "")


def is_list_of_models(data: str) -> bool:
    """Whether `data` is a list of models."""
    return bool(_LIST_OF_MODELS.search(data))


def is_of_ollama(data: str) -> bool:
    """Whether `data` is an answer of Ollama's own API."""
    return bool(_OLLAMA.search(data))


def is_page(data: str, content_type: str = "") -> bool:
    """Whether `data` is a web page."""
    return "html" in content_type or data.lstrip()[:5].lower() in ("<!doc", "<html")


def is_ndjson(data: str, content_type: str = "") -> bool:
    """Whether `data` has one JSON object per line; it may be cut off."""
    if re.search(r"ndjson|jsonl|json-?lines|stream\+json", content_type):
        return True
    first, line_end, rest = data.lstrip().partition("\n")
    return bool(line_end) and rest.lstrip().startswith("{") and _is_object(first)


def has_comments_only(data: str) -> bool:
    """Whether `data` is an event stream with comments only."""
    return all(line.startswith(":") for line in data.splitlines() if line.strip())


def has_fields_of_events(data: str) -> bool:
    """Whether `data` begins like an event stream."""
    return bool(_FIELD.match(data.lstrip()))


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (ValueError, RecursionError):
        return False
