"""The file of `--config`: TOML whose keys are the names of flags. Pure functions.

`tomllib` reads the file. It tells the place of a syntax error, but not the lines of keys, which `lines_of_names` finds.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.settings import Entry, Given, Setting, checked, gather, nearest

LARGEST = 1 << 20
"""Most bytes of a file: prompts that are longer have files of their own, which `prompt = "@FILE"` names."""

_ONLY_ELSEWHERE = ("config",)
"""Flags that a file can't set: a file doesn't name another one."""

_PIECE = re.compile(
    r'''(?sx) """ (?:\\.|[^\\])*? "{3,5} | \'\'\'.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*' | \#[^\n]*
    | [\[\]{}\n] | [^"'\#\[\]{}\n]+'''
)
"""The pieces of a TOML document that matter for its lines: strings, comments, brackets, line ends, anything else."""

_PLACE = re.compile(r"\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")
"""The place in a message of `tomllib`."""

_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def read_config(text: str, name: str, keys: Mapping[str, Setting]) -> dict[str, Given]:
    """Field -> value of the settings in a file.

    Args:
        text: the content of the file; a byte order mark and CRLF are accepted.
        name: name of the file, for messages.
        keys: every known key.

    Raises:
        UsageError: the file is not TOML, a key is unknown or is given twice, or a value has the wrong kind.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    document = _parsed(text, name)
    lines = lines_of_names(text)
    usable = {key: setting for key, setting in keys.items() if key not in _ONLY_ELSEWHERE}

    def entries() -> Iterator[Entry]:
        for written, value in document.items():
            key, origin = written.replace("_", "-"), f"{name}, line {lines[written]}"
            if key in _ONLY_ELSEWHERE:
                raise UsageError(f"{origin}: {key} can't be set in a file: use --{key}")
            if key not in usable:
                raise UsageError(f"{origin}: {_unknown(written, value, [*usable])}")
            yield checked(usable[key], Entry(key, value, origin))

    return gather(entries(), usable)


def _unknown(written: str, value: Any, known: list[str]) -> str:
    is_table = isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict))
    what = "table" if is_table else "key"
    shown = written if len(written) <= 60 else f"{written[:60]}…"
    advice = nearest(written.lower().replace("_", "-"), known)
    if not advice:
        advice = "; a file has only keys" if is_table else "; `llmstress config --all` prints all keys"
    return f"unknown {what} {shown!r}{advice}"


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UsageError(f"{name}: its arrays or tables are nested too deeply") from error
    except ValueError as error:  # also the one for an integer of more digits than Python reads
        raise UsageError(_syntax_error(text, name, str(error))) from error


def _syntax_error(text: str, name: str, message: str) -> str:
    """The message for a file that is not TOML. The line itself is not shown: it may hold a secret."""
    place = _PLACE.search(message)
    if place is None:
        return f"{name}: not valid TOML: {message}"
    what = _PLACE.sub("", message).strip()
    lines = text.rstrip("\n").split("\n")
    line = int(place["line"] or len(lines))
    where = f"{name}, line {line}" + (f", column {place['column']}" if place["line"] else "")
    key = _KEY.match(lines[min(line, len(lines)) - 1])
    if key is not None and what == "Cannot overwrite a value":
        return f"{where}: {key[1]} is set twice"
    return f"{where}: {f'{key[1]}: ' if key else ''}not valid TOML: {what}; strings and durations need quotes"


def lines_of_names(text: str) -> dict[str, int]:
    """Name at the top level of a valid TOML document (a key, or the first part of a table's name) -> its first line."""
    lines: dict[str, int] = {}
    in_table = False
    for line, statement in _statements(text):
        header = statement.lstrip().startswith("[")
        in_table = in_table or header
        if header or not in_table:
            for name in tomllib.loads(statement):
                lines.setdefault(name, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """First line and text of each statement of a valid TOML document; blank lines and comments are empty statements."""
    line = first = 1
    start = depth = 0
    for match in _PIECE.finditer(text):
        piece = match[0]
        line += piece.count("\n")
        if piece in ("[", "{"):
            depth += 1
        elif piece in ("]", "}"):
            depth -= 1
        elif piece == "\n" and not depth:
            yield first, text[start : match.start()]
            start, first = match.end(), line
    yield first, text[start:]


Path = tuple[str, ...]
"""Names of tables and of a key in them, from the top of a document."""


def read_toml(text: str, name: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The TOML document in `text`, and the first line of every table and key.

    Args:
        text: a byte order mark and CRLF are accepted.
        name: name of the file, for messages.

    Raises:
        UsageError: it is not TOML; the message names the line.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    document = _parsed(text, name)
    lines: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        found = tomllib.loads(statement)
        if not found:
            continue
        if statement.lstrip().startswith("["):
            table = max(_paths_in(found), key=len)
            paths = [table]
        else:
            paths = [table + path for path in _paths_in(found)]
        for path in paths:
            for length in range(1, len(path) + 1):
                lines.setdefault(path[:length], line)
    return document, lines


def _paths_in(table: dict[str, Any]) -> list[Path]:
    """The paths of all keys of a table, and of the tables in it. Tables in arrays are left out."""
    found: list[Path] = []
    for key, value in table.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, *path) for path in _paths_in(value)]
    return found
