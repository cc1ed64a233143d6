"""The file of `--config`: TOML whose keys are the names of flags. Pure functions.

`tomllib` reads the file. It tells the place of a syntax error, but not the lines of keys, which `lines_of_names` finds.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.settings import Entry, Given, Setting, checked, gather, nearest
from llmstress.coordinator.config.tasks import OF_A_STEP, OF_A_TASK, check_name, check_weight

LARGEST = 1 << 20
"""Most bytes of a file: prompts that are longer have files of their own, which `prompt = "@FILE"` names."""

TASK = "task"
"""Name of the tables that are tasks: `[[task]]`."""

STEP = "step"
"""Name of the tables in a task that are the steps of a flow: `[[task.step]]`."""

_OF_TASKS = ("name", "weight")
"""Keys that only tasks have; steps have the first one, too."""

_OF_STEPS = ("setup", "extract")
"""Keys that only steps have."""

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


class StepTable(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a flow as a file has it."""

    name: str
    setup: bool = False
    extract: tuple[str, ...] = ()
    given: Mapping[str, Given]
    """Field -> value of the settings that it has for itself. `think` is the wait before it."""
    origin: str
    extract_origin: str = ""


class TaskTable(msgspec.Struct, frozen=True, kw_only=True):
    """A task as a file has it."""

    name: str
    weight: int
    given: Mapping[str, Given]
    """Field -> value of the settings that it has for itself."""
    origin: str
    steps: tuple[StepTable, ...] = ()
    """Its requests are the steps of a flow; empty: each one stands for itself."""


class ConfigFile(msgspec.Struct, frozen=True):
    """The content of a file."""

    given: Mapping[str, Given]
    """Field -> value of the settings of the run."""
    tasks: tuple[TaskTable, ...] = ()


def read_config(text: str, name: str, keys: Mapping[str, Setting]) -> ConfigFile:
    """The settings in a file, and its tasks.

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
    tables = document.pop(TASK, [])

    def entries() -> Iterator[Entry]:
        for written, value in document.items():
            key, origin = written.replace("_", "-"), f"{name}, line {lines[written]}"
            if key in _ONLY_ELSEWHERE:
                raise UsageError(f"{origin}: {key} can't be set in a file: use --{key}")
            if key in (*_OF_TASKS, *_OF_STEPS):
                raise UsageError(
                    f"{origin}: {key} belongs to a task or a step: write it below [[task]] or [[task.step]]"
                )
            if key == STEP:
                raise UsageError(f"{origin}: a step belongs to a task: write [[task.step]], below its [[task]]")
            if key not in usable:
                raise UsageError(f"{origin}: {_unknown(written, value, [*usable, TASK])}")
            yield checked(usable[key], Entry(key, value, origin))

    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise UsageError(f"{name}, line {lines[TASK]}: a task is a table of its own: begin it with [[task]]")
    if tables == [] and TASK in lines:
        raise UsageError(f"{name}, line {lines[TASK]}: task is empty: begin each task with [[task]], or drop it")
    lines_of_tables = _lines_of_tasks(text)
    if len(lines_of_tables) != len(tables):
        raise UsageError(f"{name}, line {lines[TASK]}: write each task as a table of its own: begin it with [[task]]")
    tasks = [_task(table, name, places, usable) for table, places in zip(tables, lines_of_tables, strict=True)]
    return ConfigFile(gather(entries(), usable), tuple(tasks))


class _Lines(msgspec.Struct):
    """Where a `[[task]]` has its keys."""

    keys: dict[str, int]
    """Name -> its first line; the empty name: that of the header."""
    steps: list[dict[str, int]]
    """The same of its steps."""


def _task(table: Mapping[str, Any], name: str, lines: _Lines, keys: Mapping[str, Setting]) -> TaskTable:
    own: dict[str, Any] = {"name": None, "weight": 1}
    rows = {key: value for key, value in table.items() if key != STEP}
    origin = f"{name}, line {lines.keys['']}"
    known = [key for key, setting in keys.items() if setting.field in OF_A_TASK]
    checks = {"name": check_name, "weight": check_weight}
    given = _settings(rows, name, lines.keys, keys, own, checks, known)
    if own["name"] is None:
        raise UsageError(f'{origin}: the task has no name: write name = "chat" or the like')
    steps = table.get(STEP, [])
    if steps == [] and STEP in table:
        raise UsageError(
            f"{name}, line {lines.keys[STEP]}: step is empty: begin each step with [[task.step]], or drop it"
        )
    if len(lines.steps) != (len(steps) if isinstance(steps, list) else -1):
        at = lines.keys.get(STEP, lines.keys[""])
        raise UsageError(f"{name}, line {at}: write each step as a table of its own: begin it with [[task.step]]")
    return TaskTable(
        name=own["name"],
        weight=own["weight"],
        given=given,
        origin=origin,
        steps=tuple(_step(step, name, places, keys) for step, places in zip(steps, lines.steps, strict=True)),
    )


def _step(table: Mapping[str, Any], name: str, lines: Mapping[str, int], keys: Mapping[str, Setting]) -> StepTable:
    own: dict[str, Any] = {"name": None, "setup": False, "extract": ()}
    known = [key for key, setting in keys.items() if setting.field in OF_A_STEP or setting.field == "think"]
    checks = {"name": check_name, "setup": _check_switch, "extract": _check_texts}
    given = _settings(table, name, lines, keys, own, checks, known)
    origin = f"{name}, line {lines['']}"
    if own["name"] is None:
        raise UsageError(f'{origin}: the step has no name: write name = "login" or the like')
    at = f"{name}, line {lines['extract']}" if own["extract"] else ""
    return StepTable(**own, given=given, origin=origin, extract_origin=at)


def _settings(
    table: Mapping[str, Any],
    name: str,
    lines: Mapping[str, int],
    keys: Mapping[str, Setting],
    own: dict[str, Any],
    checks: Mapping[str, Callable[[Any], Any]],
    known: list[str],
) -> dict[str, Given]:
    """Field -> value of the settings in a table.

    Args:
        table: has them.
        name: of the file.
        lines: name -> its line.
        keys: every key.
        own: the keys that only such a table has; their values are replaced by those of the table.
        checks: check these values.
        known: keys of the settings that such a table may have.
    """

    def entries() -> Iterator[Entry]:
        for written, value in table.items():
            key, origin = written.replace("_", "-"), f"{name}, line {lines[written]}"
            if key in own:
                try:
                    own[key] = checks[key](value)
                except ValueError as error:
                    raise UsageError(f"{origin}: {key}: {error}") from error
            elif key in known:
                yield checked(keys[key], Entry(key, value, origin))
            elif key in keys and keys[key].field in ("turns", "answers") and "setup" in own:
                raise UsageError(f"{origin}: {key} is for conversations, and a flow has steps instead: drop it")
            elif key in keys and keys[key].field in OF_A_TASK:
                raise UsageError(f"{origin}: {key} belongs to the task and not to a step: write it below [[task]]")
            elif key in keys:
                raise UsageError(
                    f"{origin}: {key} belongs to the run and not to a task: write it above the first [[task]]"
                )
            elif key in _OF_TASKS:
                raise UsageError(f"{origin}: {key} belongs to the task and not to a step: write it below [[task]]")
            elif key in _OF_STEPS:
                raise UsageError(f"{origin}: {key} belongs to a step of a flow: write it below [[task.step]]")
            else:
                raise UsageError(f"{origin}: {_unknown(written, value, [*own, *known])}")

    return gather(entries(), keys)


def _check_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _check_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('expected an array of strings, like extract = ["token = json:token"]')
    return tuple(value)


def _lines_of_tasks(text: str) -> list[_Lines]:
    """The lines of each `[[task]]` of a valid document."""
    found: list[_Lines] = []
    inside: dict[str, int] | None = None
    for line, statement in _statements(text):
        if not statement.strip() or statement.lstrip().startswith("#"):
            continue
        header = statement.lstrip().startswith("[")
        names = tomllib.loads(statement)
        table = names.get(TASK)
        if not header:
            named, places = names, inside
        elif isinstance(table, list):
            found.append(_Lines({"": line}, []))
            named, places, inside = {}, None, found[-1].keys
        elif isinstance(table, dict) and found:  # a table within a task
            step, inside = table.get(STEP), None
            named, places = table, found[-1].keys
            if isinstance(step, list):
                found[-1].steps.append({"": line})
                named, inside = {}, found[-1].steps[-1]
            elif isinstance(step, dict) and found[-1].steps:
                named, places = step, found[-1].steps[-1]
        else:  # a table beside it
            named, places, inside = {}, None, None
        if places is not None:
            for each in named:
                places.setdefault(each, line)
    return found


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
