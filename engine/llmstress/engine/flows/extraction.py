"""What a step of a flow takes from its answer, and where it finds it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmstress.engine.api.lenient import read_json

KINDS = ("json", "regex", "header")

FORM = '"token = json:access.token", "id = regex:id=(\\d+)" or "page = header:X-Page"'

LONGEST_NAME = 200
"""Characters of a part of a path. Python does not read an index of thousands of digits."""

_WRITTEN = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*([a-z]+):(.*)", re.ASCII | re.DOTALL)

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Extraction(msgspec.Struct, array_like=True, frozen=True):
    """A variable, and where its value is."""

    name: str
    kind: str
    """One of `KINDS`."""
    what: str
    """Path, pattern, or name of the header."""
    secret: bool = False
    """Its value must not be shown."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.what}"


def parse_extraction(text: str) -> Extraction:
    """The extraction of a text like `token = json:access.token`.

    Raises:
        ValueError: it is not written like that, or its path, pattern or header can't be one.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None or match[2] not in KINDS:
        raise ValueError(f"{text[:80]!r} is no variable with its place in the answer: write it like {FORM}")
    name, kind, what = match[1], match[2], match[3].strip() if match[2] != "regex" else match[3]
    if kind == "json" and not all(0 < len(part) <= LONGEST_NAME for part in what.split(".")):
        raise ValueError(f"{text[:80]!r}: {what[:80]!r} is not a path like choices.0.text")
    if kind == "header" and not _HEADER.fullmatch(what):
        raise ValueError(f"{text[:80]!r}: {what[:80]!r} is not the name of a header")
    if kind == "regex":
        try:
            groups = re.compile(what).groups
        except re.error as error:
            raise ValueError(f"{text[:80]!r}: not a regular expression: {error}") from error
        if not groups:
            raise ValueError(
                f"{text[:80]!r}: the pattern has no group: put what is wanted in brackets, like regex:id=(\\d+)"
            )
    return Extraction(name, kind, what)


def extract(
    extractions: Sequence[Extraction], text: str, headers: Mapping[str, str]
) -> tuple[dict[str, str], Extraction | None]:
    """The values of the variables, and the first extraction that found nothing; None: all found something.

    Args:
        extractions: what is looked for.
        text: what the answer says; for a plain HTTP request its body.
        headers: of the answer, with names in lower case.
    """
    values: dict[str, str] = {}
    document: Any = None
    if any(each.kind == "json" for each in extractions):
        try:
            document = read_json(text.encode())
        except (ValueError, RecursionError):
            document = None
    for each in extractions:
        match each.kind:
            case "json":
                value = _text_at(document, each.what)
            case "regex":
                found = re.search(each.what, text)
                value = None if found is None else found[1]
            case _:
                value = headers.get(each.what.lower())
        if value is None:
            return values, each
        values[each.name] = value
    return values, None


def _text_at(document: Any, path: str) -> str | None:
    """The value at a path, a string as it is and anything else as JSON; None: there is none, or it is null."""
    value = document
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
