"""The arrivals of a trace as columns on disk: the coordinator writes them once, and every worker maps them.

Each column is a file of fixed-size integers in the byte order of the machine. A row costs 16 bytes (32 if the trace has
hash ids, and 8 for each id), and a worker keeps none of it in memory of its own.
"""

import mmap
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from operator import gt
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

UNKNOWN = -1
"""Stands in a column of lengths for a length that the trace does not give."""


class Arrival(NamedTuple):
    """One row of a trace."""

    at_ns: int
    """The row's stamp, in ns from any origin."""
    input_tokens: int = UNKNOWN
    """Length of the prompt; `UNKNOWN`: not given."""
    output_tokens: int = UNKNOWN
    """Length of the answer; `UNKNOWN`: not given."""
    hash_ids: tuple[int, ...] = ()
    """Ids of the prompt's blocks, from its begin on. Equal ids mean equal blocks of text. From 0 to 2^64-1."""


class Columns(msgspec.Struct, frozen=True):
    """What was written."""

    rows: int
    span_ns: int
    """From the first to the last arrival."""
    unsorted: int
    """Rows whose stamp is before that of the row above them. If there are any, the rows were sorted."""
    without_input: int
    """Rows that do not give the length of the prompt."""
    without_output: int
    """Rows that do not give the length of the answer."""
    empty_output: int
    """Rows whose answer has 0 tokens."""
    hash_ids: int
    """Number of hash ids in all rows together."""


_AT, _INPUT, _OUTPUT, _IDS, _ID_BEGINS, _ID_ENDS = "at", "input", "output", "hash_ids", "id_begins", "id_ends"
"""Names of the files."""


def write_columns(arrivals: Iterable[Arrival], directory: Path) -> Columns:
    """Write `arrivals` into `directory`, which is created, in the order of their stamps; equal stamps keep their order.

    The columns are in memory until all rows have been read, because they may have to be sorted. Hash ids are not.

    Raises:
        OSError: a file cannot be written.
    """
    directory.mkdir()
    at, inputs, outputs, id_begins, id_ends = array("q"), array("i"), array("i"), array("q"), array("q")
    ids = 0
    with (directory / _IDS).open("wb") as file:
        for arrival in arrivals:
            at.append(arrival.at_ns)
            inputs.append(arrival.input_tokens)
            outputs.append(arrival.output_tokens)
            if arrival.hash_ids and not ids:
                id_begins.extend([0] * (len(at) - 1))
                id_ends.extend([0] * (len(at) - 1))
            if arrival.hash_ids or ids:
                id_begins.append(ids)
                ids += len(arrival.hash_ids)
                id_ends.append(ids)
                file.write(array("Q", arrival.hash_ids).tobytes())
    unsorted = sum(map(gt, at, islice(at, 1, None)))
    columns = {_AT: at, _INPUT: inputs, _OUTPUT: outputs, _ID_BEGINS: id_begins, _ID_ENDS: id_ends}
    if unsorted:
        order = sorted(range(len(at)), key=at.__getitem__)
        columns = {
            name: array(column.typecode, map(column.__getitem__, order)) if column else column
            for name, column in columns.items()
        }
    for name, column in columns.items():
        with (directory / name).open("wb") as file:
            column.tofile(file)
    return Columns(
        rows=len(at),
        span_ns=columns[_AT][-1] - columns[_AT][0] if at else 0,
        unsorted=unsorted,
        without_input=inputs.count(UNKNOWN),
        without_output=outputs.count(UNKNOWN),
        empty_output=outputs.count(0),
        hash_ids=ids,
    )


class Trace:
    """The arrivals of a trace, in the order of their stamps. Row numbers count from 0."""

    __slots__ = ("_at", "_first", "_id_begins", "_id_ends", "_ids", "_inputs", "_outputs")

    def __init__(self, directory: Path) -> None:
        """Map what `write_columns` wrote into `directory`.

        Raises:
            OSError: a file cannot be mapped.
        """
        self._at = _mapped(directory / _AT, "q")
        self._first = self._at[0] if self._at else 0
        self._inputs = _mapped(directory / _INPUT, "i")
        self._outputs = _mapped(directory / _OUTPUT, "i")
        self._ids = _mapped(directory / _IDS, "Q")
        self._id_begins = _mapped(directory / _ID_BEGINS, "q")
        self._id_ends = _mapped(directory / _ID_ENDS, "q")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._at)

    def at(self, row: int) -> int:
        """The arrival of a row, in ns after that of the first row."""
        return self._at[row] - self._first

    def before(self, at_ns: int) -> int:
        """How many rows arrive less than `at_ns` ns after the first row."""
        return bisect_left(self._at, self._first + at_ns)

    def shape(self, row: int) -> tuple[int, int]:
        """Tokens of the prompt and of the answer of a row; `UNKNOWN`: not given."""
        return self._inputs[row], self._outputs[row]

    def hash_ids(self, row: int) -> tuple[int, ...]:
        """The hash ids of a row; empty if the trace gives none."""
        if not self._ids:
            return ()
        return tuple(self._ids[self._id_begins[row] : self._id_ends[row]])


def _mapped(path: Path, typecode: Literal["q", "i", "Q"]) -> "memoryview[int]":
    with path.open("rb") as file:
        if not path.stat().st_size:  # an empty file cannot be mapped
            return memoryview(b"").cast(typecode)
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).cast(typecode)
