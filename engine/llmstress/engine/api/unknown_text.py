"""Text in fields that an API module doesn't know: servers stream their models' thinking under ever new names."""

import functools
import re
from typing import Any

from llmstress.engine.api.meaning import REASONING, Meaning

MAX_NAME = 40
"""Characters of the name of a field that are kept."""

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")

_NO_TEXT_LAST = frozenset(
    (
        *("role", "id", "ids", "name", "type", "kind", "object", "index", "reason", "stop", "model", "provider"),
        *("status", "state", "phase", "channel", "recipient", "event", "version", "fingerprint", "hash", "format"),
        *("effort", "language", "lang", "locale", "url", "uri", "data", "obfuscation", "padding", "pad", "p", "tier"),
        *("created", "time", "timestamp", "at", "region", "engine", "source", "level", "token", "usage", "error"),
    )
)
"""How the names of fields end that hold something other than text."""

_NO_TEXT = frozenset(("signature", "encrypted", "redacted", "opaque", "citation", "citations", "annotation"))
_THINKING = frozenset(("think", "thinking", "thought", "thoughts", "reasoning"))

_DEEPEST = 3

_TEXTS = ("text", "content", "summary", "thinking", "value")
"""The members in which objects hold text."""


def unknown_text_field(fields: object, known: frozenset[str]) -> str:
    """The name of the field in which there is text, although it is none of the `known` ones; empty: there is none.

    Text is a string that isn't empty; in a field named for thinking it may lie deeper, and such a field may itself lie
    in an object of another name.
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
            if _says(value):
                return name[:MAX_NAME]
        elif isinstance(value, dict):
            for inner, each in value.items():
                if _is_thinking(inner) and (_is_text(each) or _says(each)):
                    return f"{name}.{inner}"[:MAX_NAME]
    return ""


@functools.lru_cache(maxsize=64)
def reasoning_of_field(name: str) -> Meaning:
    """What the text of a field of that name means, for choice 0 and without anything else: one object for each name,
    which the fast path can compare by identity."""
    return Meaning(tokens=REASONING.tokens, field=name)


@functools.lru_cache(maxsize=256)
def _words_of(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name))


def _may_be_text(name: str) -> bool:
    words = _words_of(name[:MAX_NAME])
    return bool(words) and words[-1] not in _NO_TEXT_LAST and not _NO_TEXT.intersection(words)


def _is_thinking(name: str) -> bool:
    return _may_be_text(name) and not _THINKING.isdisjoint(_words_of(name[:MAX_NAME]))


def _says(value: Any, depth: int = 0) -> bool:
    """Whether an object, or one of a list, has text in one of the usual members; the text may be an object, too."""
    parts = value if isinstance(value, list) else [value]
    texts = [part.get(name) for part in parts if isinstance(part, dict) for name in _TEXTS]
    return any(_is_text(text) or (depth < _DEEPEST and bool(text) and _says(text, depth + 1)) for text in texts)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
