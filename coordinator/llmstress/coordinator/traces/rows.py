"""The rows of a trace file, CSV or JSON lines, from its lines. No I/O of its own."""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from llmstress.coordinator.traces.formats import Format, arrival_of, format_of, plain_name, shown
from llmstress.engine.trace import Arrival


class BadRow(msgspec.Struct, frozen=True):
    """A row that can't be used."""

    line: int
    """Its last line, from 1."""
    why: str


Rows = Iterator[Arrival | BadRow]


def rows_of(lines: Iterator[bytes]) -> tuple[Format, Rows]:
    """The format of a trace file, and its rows. Blank lines are no rows.

    A file whose first line begins with `{` consists of JSON objects, one on a line. Any other file is CSV whose first
    line names the columns.

    Raises:
        ValueError: the file has no rows, or its format is not understood. The iterator raises it, too, where the rest
            of the file can't be read as rows.
    """
    start = next(lines, b"").removeprefix(b"\xef\xbb\xbf")
    all_lines = itertools.chain([start], lines)
    numbered = ((number, line) for number, line in enumerate(all_lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise ValueError("the file is empty")
    number, line = first
    if b"\0" in line or line.startswith(b"PAR1"):
        raise ValueError("this is no text; understood are CSV and JSON lines")
    if line.lstrip().startswith(b"["):
        raise ValueError("this is a JSON array; write one JSON object on each line instead")
    again = itertools.chain([(number, line)], numbered)
    return _json_rows(again) if line.lstrip().startswith(b"{") else _csv_rows(again)


def _json_rows(lines: Iterator[tuple[int, bytes]]) -> tuple[Format, Rows]:
    """See `rows_of`. The first line that is a JSON object decides the format."""
    bad: list[BadRow] = []
    for number, line in lines:
        try:
            keys: Mapping[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        except (ValueError, RecursionError) as error:
            bad.append(BadRow(number, _no_json(error)))
            continue
        found = format_of(keys)
        decode = _decoder(found, keys)
        rest = itertools.chain([(number, line)], lines)
        return found, itertools.chain(bad, (_json_row(found, decode, *each) for each in rest))
    raise ValueError(f"no line is a JSON object; line {bad[0].line}: {bad[0].why}")


def _json_row(found: Format, decode: Callable[[bytes], Any], number: int, line: bytes) -> Arrival | BadRow:
    try:
        row = decode(line)
    except (ValueError, RecursionError) as error:
        return BadRow(number, _no_json(error))
    try:
        return arrival_of(found, row.stamp, row.prompt, row.answer, row.ids)
    except ValueError as error:
        return BadRow(number, str(error))


_FIELDS = "stamp", "prompt", "answer", "ids"
"""The fields of a decoded row, in the order of `Format.columns`."""


def _decoder(found: Format, keys: Iterable[str]) -> Callable[[bytes], Any]:
    """Decodes the members of a row that the format has, and skips the others. A member that is not there is None.

    keys: those of the first row, which decide between upper and lower case.
    """
    spelled = {plain_name(key): key for key in keys}
    names = dict(zip(_FIELDS, found.columns, strict=True))
    row = msgspec.defstruct(
        "Row",
        [(field, object, None) for field in _FIELDS],
        rename={field: spelled.get(name, name) for field, name in names.items()},
    )
    return msgspec.json.Decoder(row).decode


def _no_json(error: Exception) -> str:
    return f"this is not a JSON object ({error})"


def _csv_rows(lines: Iterator[tuple[int, bytes]]) -> tuple[Format, Rows]:
    """See `rows_of`. The first line names the columns."""
    line_of = _Numbers()
    reader = csv.reader(line_of.texts(lines), strict=True)
    try:
        header = next(reader)
    except csv.Error as error:
        raise ValueError(f"line {line_of.last} does not name columns, separated by commas ({error})") from None
    found = format_of(header)
    return found, _csv_values(found, [plain_name(name) for name in header], reader, line_of)


class _Numbers:
    """The number of the line that a reader took last."""

    def __init__(self) -> None:
        self.last = 0

    def texts(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[str]:
        """The lines as text. Bytes that are not UTF-8 make no number of tokens and no stamp, and elsewhere no harm."""
        for number, line in lines:
            self.last = number
            yield line.decode("utf-8", "replace")


def _csv_values(found: Format, header: list[str], reader: Iterator[list[str]], line_of: _Numbers) -> Rows:
    width = len(header)
    stamp, prompt, answer, ids = (header.index(name) if name in header else width for name in found.columns)
    while True:
        begin = line_of.last
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if line_of.last > begin + 1:  # what the quotes contain may be many rows: none can be counted
                raise ValueError(f"a quote that line {begin + 1} opens is not closed properly ({error})") from None
            yield BadRow(line_of.last, f"not a row of CSV ({error})")
            continue
        if len(row) != width:
            yield BadRow(line_of.last, f"it has {len(row)} values, and the first line names {width} columns")
            continue
        row.append("")  # the value of a column that the file does not have
        try:
            yield arrival_of(found, row[stamp], row[prompt], row[answer], _ids(row[ids]))
        except ValueError as error:
            yield BadRow(line_of.last, str(error))


def _ids(text: str) -> list[int] | None:
    """The hash ids of a CSV value like `[1, 2, 3]`; empty: None."""
    try:
        return msgspec.json.decode(text, type=list[int]) if text.strip() else None
    except msgspec.DecodeError:
        raise ValueError(f"hash_ids is {shown(text)}, and must be a list of numbers from 0 to 2^64-1") from None
