"""The kinds of checks, and one check as the user writes it."""

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of check. To add one, add a row, and a function to `judge.py`."""

    form: str
    """How it is written."""
    passes: str
    """When an answer passes."""
    reads: bool = True
    """It needs what the answer says; else only how it ended and how long it is."""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "not-empty": Kind(form="not-empty", passes="its text has more than white space, or it calls a tool"),
        "contains": Kind(form="contains:TEXT", passes="its text has TEXT in it"),
        "not-contains": Kind(form="not-contains:TEXT", passes="its text does not have TEXT in it"),
        "regex": Kind(form="regex:PATTERN", passes="PATTERN (Python's `re`) matches somewhere in its text"),
        "json": Kind(form="json", passes="its text is JSON"),
        "json-schema": Kind(form="json-schema:FILE", passes="its text is JSON that the JSON Schema in FILE allows"),
        "min-tokens": Kind(
            form="min-tokens:N",
            passes="it has at least N output tokens, by the server's usage, else by its token events",
            reads=False,
        ),
        "finish": Kind(form="finish:REASON,...", passes="its finish reason is one of these", reads=False),
        "tool": Kind(form="tool:NAME", passes="it calls the tool NAME; `tool:*`: any tool"),
    }
)
"""Name -> kind."""

FORMS = ", ".join(kind.form for kind in KINDS.values())

_MOST_TOKENS = 10**9


class Check(msgspec.Struct, array_like=True, frozen=True):
    """One check."""

    kind: str
    """Its name in `KINDS`."""
    value: str
    """What comes after the colon; of `json-schema` the text of the schema instead of the name of its file."""
    text: str
    """As the user wrote it."""

    def __str__(self) -> str:
        """As it is given on the command line."""
        return self.text


def split_check(text: str) -> Check:
    """The check that is written as `text`. Its value is what was written, also that of `json-schema`.

    Raises:
        ValueError: the text is not a check, or its value is not of the form that its kind has.
    """
    kind, colon, value = text.strip().partition(":")
    if kind not in KINDS or (bool(colon) != (":" in KINDS[kind].form)):
        wanted = KINDS[kind].form if kind in KINDS else f"one of {FORMS}"
        raise ValueError(f"{text[:80]!r} is not a check; write {wanted}")
    if colon and not value.strip():
        raise ValueError(f"{text[:80]!r} has nothing after the colon; write {KINDS[kind].form}")
    if kind == "min-tokens":
        value = value.strip()
        if not (value.isascii() and value.isdigit() and 1 <= int(value[:12]) <= _MOST_TOKENS):
            raise ValueError(
                f"{value[:80]!r} is not a number of tokens from 1 to {_MOST_TOKENS:,}, as in min-tokens:16"
            )
    if kind == "finish":
        reasons = [reason.strip() for reason in value.split(",")]
        if not all(reasons):
            raise ValueError(f"{text[:80]!r} has an empty finish reason; write it like finish:stop,length")
        value = ",".join(reasons)
    if kind == "regex":
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{value[:80]!r} is not a regular expression: {error}") from error
    if kind == "tool":
        value = value.strip()
    return Check(kind, value, text.strip())
