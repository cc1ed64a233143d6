"""Text in fields that an API module doesn't know. It counts as reasoning, for which servers invent new field names."""

import functools
import re
from typing import Any

from llmstress.engine.api.meaning import REASONING, Meaning

MAX_NAME = 40
"""Characters of a field's name that are reported, and that are examined."""

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")

_NO_TEXT_LAST = frozenset(
    (
        *("role", "id", "ids", "name", "type", "kind", "object", "index", "reason", "stop", "model", "provider"),
        *("status", "state", "phase", "channel", "recipient", "event", "version", "fingerprint", "hash", "format"),
        *("effort", "language", "lang", "locale", "url", "uri", "data", "obfuscation", "padding", "pad", "p", "tier"),
        *("created", "time", "timestamp", "at", "region", "engine", "source", "level", "token", "usage", "error"),
    )
)
"""Last words of the names of fields whose values are not generated text."""

_NO_TEXT_ANYWHERE = frozenset(("signature", "encrypted", "redacted", "opaque", "citation", "citations", "annotation"))
"""Words anywhere in the names of such fields."""
_THINKING = frozenset(("think", "thinking", "thought", "thoughts", "reasoning"))
"""Words in the names of fields whose values may be objects or lists with text."""

_DEEPEST = 3
"""Levels of nesting that are searched for text."""

_TEXTS = ("text", "content", "summary", "thinking", "value")
"""Members of objects that contain text."""


def unknown_text_field(fields: object, known: frozenset[str]) -> str:
    """The name of the first field of `fields` that has text and is not in `known`; empty: there is no such field.

    A text is a non-empty string. In a field whose name means thinking, the text may be nested in objects and lists.
    Such a field may itself be a member of an object of another name.
    """
    if not isinstance(fields, dict):
        return ""
    name: str
    for name, value in fields.items():
        if not value or name in known:
            continue
        if isinstance(value, str):
            if _may_be_text(name):
                return name[:MAX_NAME]
        elif isinstance(value, dict | list) and _is_thinking(name):
            if _holds_text(value):
                return name[:MAX_NAME]
        elif isinstance(value, dict):
            for inner, each in value.items():
                if _is_thinking(inner) and (_is_text(each) or _holds_text(each)):
                    return f"{name}.{inner}"[:MAX_NAME]
    return ""


@functools.lru_cache(maxsize=64)
def reasoning_of_field(name: str) -> Meaning:
    """The meaning of an event with text in the field `name`, of choice 0 and with nothing else. There is one object for
    each name, so that the fast path can compare by identity."""
    return Meaning(tokens=REASONING.tokens, field=name)


@functools.lru_cache(maxsize=256)
def _words_in(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name))


def _may_be_text(name: str) -> bool:
    words = _words_in(name[:MAX_NAME])
    return bool(words) and words[-1] not in _NO_TEXT_LAST and not _NO_TEXT_ANYWHERE.intersection(words)


def _is_thinking(name: str) -> bool:
    return _may_be_text(name) and not _THINKING.isdisjoint(_words_in(name[:MAX_NAME]))


def _holds_text(value: Any, depth: int = 0) -> bool:
    """Whether an object, or an object in a list, has text in one of the members `_TEXTS`. Instead of a text there may
    be another such object or list."""
    parts = value if isinstance(value, list) else [value]
    texts = [part.get(name) for part in parts if isinstance(part, dict) for name in _TEXTS]
    return any(_is_text(text) or (depth < _DEEPEST and bool(text) and _holds_text(text, depth + 1)) for text in texts)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
