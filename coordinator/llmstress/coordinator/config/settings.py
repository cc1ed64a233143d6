"""Flags as settings: their names in a file and in the environment, and what they take there. Pure functions."""

import difflib
import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError

PREFIX = "LLMSTRESS_"
"""Prefix of the variables of the environment."""

_WHOLE_BITS = 63
"""TOML's integers have 64 bits with the sign; Python reads longer ones, which it may not be able to print."""


class Kind(enum.Enum):
    """What a flag takes. The value is what a file must hold, for messages."""

    SWITCH = "true or false"
    WHOLE = "an integer"
    NUMBER = "a number"
    TEXT = "a string"
    NUMBER_OR_TEXT = "a string or a number"
    DURATION = 'a string with a unit, like "10s"'
    JSON = "a table, or a string with a JSON object"


class Setting(msgspec.Struct, frozen=True):
    """A flag that can also be set in a file or by a variable of the environment."""

    field: str
    """Name of click's parameter."""
    flag: str
    """As on the command line: `--max-tokens`, `--no-probe`."""
    kind: Kind
    repeated: bool = False
    section: str = ""
    """Section of the help page."""
    negative: bool = False
    """The flag switches something off (`--no-probe`). Its key is that of what it switches off (`probe`)."""

    @property
    def key(self) -> str:
        """Name in a file: the long name of the flag; `probe` for `--no-probe`."""
        return self.flag.removeprefix("--no-" if self.negative else "--")

    @property
    def variable(self) -> str:
        """Name of the variable."""
        return variable_of_key(self.key)

    @property
    def keys(self) -> Mapping[str, bool]:
        """Key -> whether a value under this key is inverted."""
        return {self.key: False, f"no-{self.key}": True} if self.negative else {self.key: False}


class Given(msgspec.Struct, frozen=True):
    """A value that was given for a setting."""

    value: Any
    """As click's types take it: bool for a switch, int or float for a number, else str; a list if it is repeated."""
    origin: str
    """Where it was given: `--max-tokens`, `LLMSTRESS_MAX_TOKENS`, `run.toml, line 3` or `preset chat`."""


class Entry(msgspec.Struct, frozen=True):
    """A value under one of the keys of a setting."""

    key: str
    """One of `Setting.keys`."""
    value: Any
    """As in `Given`, but not yet inverted."""
    origin: str


def variable_of_key(key: str) -> str:
    """The name of the variable for a key."""
    return PREFIX + key.upper().replace("-", "_")


def by_key(settings: Iterable[Setting]) -> dict[str, Setting]:
    """Every key of the settings -> its setting."""
    return {key: setting for setting in settings for key in setting.keys}


def gather(entries: Iterable[Entry], keys: Mapping[str, Setting]) -> dict[str, Given]:
    """Field -> value, for entries whose keys are all known.

    Raises:
        UsageError: two entries set the same field.
    """
    found: dict[str, Given] = {}
    for key, value, origin in map(msgspec.structs.astuple, entries):
        setting = keys[key]
        if setting.field in found:
            raise UsageError(f"{origin}: {key} is set twice; the other place is {found[setting.field].origin}")
        found[setting.field] = Given(not value if setting.keys[key] else value, origin)
    return found


def checked(setting: Setting, entry: Entry) -> Entry:
    """An entry of a TOML document with its value as click's types take it.

    Raises:
        UsageError: the value has the wrong kind; the message says what was expected and what was found.
    """
    value = entry.value
    try:
        if not setting.repeated:
            value = _checked_one(setting.kind, value)
        elif isinstance(value, list):
            value = [_checked_one(setting.kind, each) for each in value]
        else:
            raise ValueError(f'expected an array, like {entry.key} = ["..."], not {_kind_of(value)}')
    except ValueError as error:
        raise UsageError(f"{entry.origin}: {entry.key}: {error}") from error
    return Entry(entry.key, value, entry.origin)


def _checked_one(kind: Kind, value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and value.bit_length() > _WHOLE_BITS:
        raise ValueError("expected an integer of at most 64 bits")
    number = whole or isinstance(value, float)
    match kind:
        case Kind.SWITCH if isinstance(value, bool):
            return value
        case Kind.WHOLE if whole:
            return value
        case Kind.NUMBER if number:
            return value
        case Kind.NUMBER_OR_TEXT if number:
            return repr(value)
        case Kind.DURATION if number and not value:
            return "0"
        case Kind.JSON if isinstance(value, dict):
            return _json(value)
        case Kind.TEXT | Kind.NUMBER_OR_TEXT | Kind.DURATION | Kind.JSON if isinstance(value, str):
            return value
    raise ValueError(f"expected {kind.value}, not {_kind_of(value)}")


def _json(table: dict[str, Any]) -> str:
    try:
        return json.dumps(table, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:  # TOML also has dates, nan and inf
        raise ValueError(f"the table is not a JSON object: {error}") from error


def _kind_of(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return f"the number {value}"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean ...?` with the most similar of the known words; empty if none is similar."""
    near = difflib.get_close_matches(word[:60], known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
