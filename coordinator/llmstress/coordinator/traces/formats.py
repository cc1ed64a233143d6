"""The formats of traces: which columns they have, and what the values mean. Pure functions."""

import re
from array import array
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from llmstress.engine.trace import UNKNOWN, Arrival

MOST_TOKENS = 10**9
"""The highest length of a prompt or an answer."""

_TOKENS = f"a number of tokens from 0 to {MOST_TOKENS:,}"

LATEST_NS = 9_000_000_000 * 1_000_000_000
"""The latest stamp. Stamps since the epoch are below it until the year 2255; as ns it fits into 64 bits."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A format of traces. Columns are named in lower case."""

    name: str
    stamp: str = "timestamp"
    """Column of the arrival."""
    unit_ns: int
    """Length of the stamp's unit; 0: the stamp is a date with a time."""
    input: str
    """Column of the prompt's length."""
    output: str
    """Column of the answer's length."""
    hash_ids: str = "hash_ids"
    """Column of the hash ids."""
    mark: str = ""
    """A column that distinguishes the format from a later one in `FORMATS`; empty: none is needed."""
    block: int = 512
    """Tokens of the block that a hash id stands for."""

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """The columns that are read: stamp, length of the prompt, length of the answer, hash ids."""
        return self.stamp, self.input, self.output, self.hash_ids

    @property
    def stamps(self) -> str:
        """What the stamps are."""
        return _UNITS[self.unit_ns]


_DATE, _MS, _S = 0, 1_000_000, 1_000_000_000
_UNITS = {_DATE: "dates", _MS: "ms", _S: "s"}

FORMATS = (
    Format(name="BurstGPT", unit_ns=_S, input="request tokens", output="response tokens"),
    Format(name="Azure", unit_ns=_DATE, input="contexttokens", output="generatedtokens"),
    Format(name="Bailian", unit_ns=_S, input="input_length", output="output_length", mark="chat_id", block=16),
    Format(name="Mooncake", unit_ns=_MS, input="input_length", output="output_length"),
)
"""The formats that are understood, in the order in which they are tried."""


def plain_name(column: str) -> str:
    """The name of a column as `Format` has it: files differ in upper and lower case, and in blanks around names."""
    return column.strip(" ").lower()


def format_of(columns: Collection[str]) -> Format:
    """The format of a trace with these columns, as named in the file. A column of lengths may be missing.

    Raises:
        ValueError: no format has them, or two columns have the same name.
    """
    names = [plain_name(column) for column in columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two columns are named {shown(twice[0])}")
    for each in FORMATS:
        if each.stamp in names and (each.input in names or each.output in names) and each.mark in {"", *names}:
            return each
    understood = "; ".join(
        f"{each.name}: {each.stamp}, {each.input}, {each.output}" for each in FORMATS if not each.mark
    )
    raise ValueError(f"no known trace has the columns {_list(columns)}. Understood are {understood}")


def _list(columns: Collection[str]) -> str:
    text = ", ".join(shown(column) for column in list(columns)[:8])
    return text + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")


def arrival_of(trace_format: Format, stamp: Any, prompt: Any = None, answer: Any = None, ids: Any = None) -> Arrival:
    """The arrival of a row with these values: texts of a CSV file, or values of a JSON object. None: not given.

    Raises:
        ValueError: a value is not what the format has there; the text names the column.
    """
    unit = trace_format.unit_ns
    at_ns = stamp_ns(stamp, unit) if unit else date_ns(stamp)
    if at_ns is None:
        expected = f"a number of {trace_format.stamps} from 0 on" if unit else "a date like 2023-11-16 18:17:03.97996"
        raise ValueError(_not(trace_format.stamp, stamp, expected))
    inputs, outputs = tokens(prompt), tokens(answer)
    if inputs is None:
        raise ValueError(_not(trace_format.input, prompt, _TOKENS))
    if outputs is None:
        raise ValueError(_not(trace_format.output, answer, _TOKENS))
    return Arrival(at_ns, inputs, outputs, () if ids is None else _hash_ids(trace_format.hash_ids, ids))


def _hash_ids(column: str, ids: Any) -> tuple[int, ...]:
    try:
        if isinstance(ids, list):
            return tuple(array("Q", ids))
    except (TypeError, OverflowError):
        pass
    raise ValueError(_not(column, ids, "a list of numbers from 0 to 2^64-1"))


def stamp_ns(value: Any, unit_ns: int) -> int | None:
    """The ns of a stamp that counts units of `unit_ns`; None: it is no number from 0 to `LATEST_NS`."""
    number = _number(value)
    return None if number is None or not 0 <= number * unit_ns <= LATEST_NS else round(number * unit_ns)


_DATE_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?[ ]?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE
)
_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)


def date_ns(value: Any) -> int | None:
    """The ns since the epoch of a date with a time (`2023-11-16 18:17:03.9799600`), exactly; without a zone in UTC.

    None: it is no such date, or lies before the epoch.
    """
    match = _DATE_FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    try:
        whole = (datetime.fromisoformat(f"{day}T{time}{zone or 'Z'}") - _EPOCH) // _SECOND
    except ValueError:  # a month 13
        return None
    found = whole * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return found if 0 <= found <= LATEST_NS else None


def tokens(value: Any) -> int | None:
    """The number of tokens that a value stands for; `UNKNOWN` for None and an empty text; None: it stands for none.

    `512.0` is a number of tokens, too: some programs write it for whole numbers in a column with gaps.
    """
    if value.__class__ is str and len(value) < 10 and value.isdecimal():  # nearly every one: twice as fast
        return int(value)
    if value is None or value == "":
        return UNKNOWN
    number = _number(value)
    return None if number is None or not 0 <= number <= MOST_TOKENS or number % 1 else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _not(column: str, value: Any, expected: str) -> str:
    given = "missing" if value is None or value == "" else shown(value)
    return f"{column} is {given}, and must be {expected}"


def shown(value: Any) -> str:
    """A value of a file for a message: in quotes, without control characters, shortened."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:38]}…{text[-1]}"
