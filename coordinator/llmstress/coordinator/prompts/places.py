"""Where the rows of a file of prompts stand: lines, JSON objects in an array, or rows of CSV. No I/O of its own.

Everything is read in pieces, so that a file of any size needs little memory.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from llmstress.coordinator.traces.rows import BadRow

CHUNK = 1 << 20

LONGEST_ROW = 16 << 20
"""Most bytes of a row of a JSON array."""


class Place(NamedTuple):
    """A row of a file."""

    line: int
    """Its last line, from 1; in an array, its first one."""
    begin: int
    """In bytes from the begin of the file."""
    end: int
    data: bytes


Places = Iterator[Place | BadRow]


def of_lines(lines: Iterable[bytes]) -> Iterator[Place]:
    """The lines that are not blank."""
    begin = 0
    for number, line in enumerate(lines, 1):
        end = begin + len(line)
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            begin, line = begin + 3, line[3:]
        if line.strip():
            yield Place(number, begin, end, line)
        begin = end


def of_csv(lines: Iterable[bytes]) -> tuple[list[str], Places]:
    """The columns that the first line names, and the rows.

    Raises:
        ValueError: the first line names no columns. The iterator raises it, too, where a quote is not closed: what the
            quotes contain may be many rows.
    """
    taken = _Taken(lines)
    reader = csv.reader(taken, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise ValueError(f"line {taken.line} does not name columns, separated by commas ({error})") from None
    if twice := [name for name in header if header.count(name) > 1]:
        raise ValueError(f"two columns are named {twice[0]!r}")
    return header, _csv_places(reader, taken)


class _Taken:
    """Lines as text, and what a reader has taken of them since it was asked last."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.line = 0
        self.begin = self.end = 0
        self.data: list[bytes] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.line += 1
        self.end += len(line)
        self.data.append(line)
        text = line.removeprefix(b"\xef\xbb\xbf") if self.line == 1 else line
        return text.decode("utf-8", "replace")

    def take(self) -> tuple[int, int, bytes]:
        """Begin, end and bytes of what was taken."""
        found = self.begin, self.end, b"".join(self.data)
        self.begin = self.end
        self.data.clear()
        return found


def _csv_places(reader: Iterator[list[str]], taken: _Taken) -> Places:
    taken.take()
    while True:
        first = taken.line + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if taken.line > first:
                raise ValueError(f"a quote that line {first} opens is not closed properly ({error})") from None
            taken.take()
            yield BadRow(taken.line, f"this is not a row of CSV ({error})")
            continue
        place = Place(taken.line, *taken.take())
        if values and any(values):
            yield place


_BETWEEN = re.compile(r"[ \t\r\n]*")


def of_array(file: BinaryIO) -> Places:
    """The members of a JSON array. The file begins with `[`, after blanks.

    Raises:
        ValueError: this is not JSON, or a member is too long.
    """
    # Latin-1 makes a character of each byte: what JSON means by its signs is ASCII, and positions are bytes.
    decode = json.JSONDecoder(strict=False).raw_decode
    text, at, base, line, more = "", 0, 0, 1, True

    def fill() -> bool:
        nonlocal text, at, base, more
        data = file.read(max(CHUNK, len(text) - at)) if more else b""
        more = bool(data)
        base += at
        text, at = text[at:] + data.decode("latin-1"), 0
        return more

    def sign() -> str:
        """The next sign that is not blank; it is at `at` then."""
        nonlocal at, line
        while True:
            end = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            line += text.count("\n", at, end)
            at = end
            if at < len(text):
                return text[at]
            if not fill():
                raise ValueError(f"line {line}: the array is not closed; is the file cut off?")

    if text == "" and fill() and text.startswith("\xef\xbb\xbf"):
        at = 3
    sign()
    at += 1
    if sign() == "]":
        return
    while True:
        sign()
        while True:
            try:
                _, end = decode(text, at)
                break
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError):
                    raise ValueError(f"line {line}: its values are nested too deeply") from None
                if len(text) - at > LONGEST_ROW or not fill():
                    short = "" if more else ", or the file is cut off"
                    why = getattr(error, "msg", error)
                    raise ValueError(f"line {line}: this is not JSON ({why}){short}") from None
        yield Place(line, base + at, base + end, text[at:end].encode("latin-1"))
        line += text.count("\n", at, end)
        at = end
        match sign():
            case ",":
                at += 1
            case "]":
                return
            case other:
                raise ValueError(f"line {line}: expected a comma or the end of the array, not {other!r}")
