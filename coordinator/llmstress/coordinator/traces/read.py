"""Reads a trace file once before a run: checks its rows, and writes its arrivals for the workers."""

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart, UsageError
from llmstress.coordinator.traces.rows import BadRow, rows_of
from llmstress.engine.telemetry.durations import LONGEST_S
from llmstress.engine.trace import Arrival, Columns, write_columns

LONGEST_LINE = 16 << 20
"""Most bytes of a line. A prompt of a million tokens has 0.5 MB of hash ids."""

MOST_ROWS = 20_000_000
"""Most rows: they take 0.3 GB of memory while they are read."""

BAD_SHOWN = 5
"""Bad rows that are kept with their line and reason; the others are counted."""

_GZIP = b"\x1f\x8b"


class TraceFacts(msgspec.Struct, frozen=True):
    """What is known about a trace before the run."""

    format: str
    """Name of the format."""
    block: int
    """Tokens of the block that a hash id stands for."""
    stamps: str
    """What the stamps are: `ms`, `s` or `dates`."""
    columns: Columns
    directory: Path
    """Where they are."""
    bad: int
    """Rows that were left out."""
    bad_rows: tuple[BadRow, ...]
    """The first of them."""


def read_trace(path: str, directory: Path, *, speed: float = 1.0, skip_bad_rows: bool = False) -> TraceFacts:
    """Check the trace file at `path` and write its arrivals into `directory`, which is created, for `engine/trace.py`.

    speed: how many times as fast the trace will be replayed. skip_bad_rows: leave out and count rows that can't be
    used; otherwise the first one raises.

    Raises:
        UsageError: the file can't be read, is no trace, has a bad row, or lasts too long; the text names file and line.
        CouldNotStart: the arrivals can't be written.
    """
    bad = BadRows(f"--trace {path}", skip_bad_rows)
    try:
        with _opened(path) as file:
            found, rows = rows_of(lines_of(file, "a trace"))
            columns = write_columns(at_most(MOST_ROWS, bad.left_out(rows)), directory)
    except ValueError as error:
        raise UsageError(f"--trace {path}: {error}") from None
    except OSError as error:
        raise CouldNotStart(
            f"--trace {path}: its arrivals can't be written to {directory} ({error.strerror}); set TMPDIR to another "
            "place"
        ) from None
    if not columns.rows:
        bad_ones = "".join(f", {bad.number:,} are bad; line {each.line}: {each.why}" for each in bad.first[:1])
        raise UsageError(f"--trace {path}: it has no rows that can be used{bad_ones}")
    if columns.span_ns / speed > LONGEST_S * 1e9:
        raise UsageError(
            f"--trace {path}: at --speed {speed:g} it lasts longer than a year, from its first to its last row; its "
            f"stamps are read as {found.stamps} ({found.name} format)"
        )
    return TraceFacts(found.name, found.block, found.stamps, columns, directory, bad.number, tuple(bad.first))


Good = TypeVar("Good")


class BadRows:
    """The bad rows of a file, which are left out or end the reading."""

    def __init__(self, file: str, skip: bool) -> None:
        """file: the flag and its file. skip: leave bad rows out."""
        self.number = 0
        self.first: list[BadRow] = []
        self._file = file
        self._skip = skip

    def left_out(self, rows: Iterable[Good | BadRow]) -> Iterator[Good]:
        """The good ones of `rows`.

        Raises:
            UsageError: there is a bad one, and it may not be skipped.
        """
        for row in rows:
            if not isinstance(row, BadRow):
                yield row
                continue
            if not self._skip:
                raise UsageError(f"{self._file}, line {row.line}: {row.why}; --skip-bad-rows leaves such rows out")
            self.number += 1
            if self.number <= BAD_SHOWN:
                self.first.append(row)


def at_most(most: int, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
    """`arrivals`, if there are at most `most`.

    Raises:
        ValueError: there are more.
    """
    for number, arrival in enumerate(arrivals):
        if number == most:
            raise ValueError(f"it has more than {most:,} rows: use a part of it")
        yield arrival


def lines_of(file: BinaryIO, what: str) -> Iterator[bytes]:
    """The lines of a file, which should be `what`.

    Raises:
        ValueError: the file can't be read on, or a line is too long.
    """
    number = 0
    try:
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE:
                raise ValueError(f"line {number} is longer than {LONGEST_LINE >> 20} MiB; is this {what}?")
            yield line
    except (OSError, EOFError, zlib.error) as error:  # the last two and a subclass of the first: damaged gzip files
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"it can't be read after line {number:,} ({why})") from None


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The file, decompressed if it is a gzip file.

    Raises:
        ValueError: it can't be opened.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb", opener=open_nonblocking))
            os.set_blocking(file.fileno(), True)
            packed = file.peek(len(_GZIP)).startswith(_GZIP)
        except OSError as error:
            raise ValueError(f"it can't be read ({error.strerror})") from None
        yield io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file


def open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting: opening a pipe without a writer would block forever."""
    return os.open(path, flags | os.O_NONBLOCK)
