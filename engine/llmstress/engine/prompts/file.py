"""The rows of a file of prompts, read by their numbers: the coordinator writes once where each one stands.

A row costs 16 bytes on disk, and a worker keeps neither rows nor their places in memory: it reads both when it needs
them, from the kernel's cache of files (2 µs).
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from llmstress.engine.prompts.blocks import BlockMaker
from llmstress.engine.prompts.formats import Reading, reader
from llmstress.engine.prompts.order import Order, row_of_number
from llmstress.engine.prompts.row import Row, Turn
from llmstress.engine.prompts.synthetic import Drawn
from llmstress.engine.prompts.words import WORDS, Words, salted_number
from llmstress.engine.trace import UNKNOWN

_PLACE = struct.Struct("=QQ")
"""Begin and end of a row, in bytes from the begin of the file."""

_BUFFERED = 1 << 14

MOONCAKE_BLOCK = 512
"""Tokens of a block of `hash_ids` in a file of prompts."""


class PromptFile(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A file of prompts whose rows have been found."""

    path: str
    size: int
    modified_ns: int
    """Size and time of the last change when its rows were found."""
    index: str
    """The file with the places of its rows."""
    rows: int
    reading: Reading


class FromFiles(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The prompts of a task, which come from files."""

    files: tuple[PromptFile, ...]
    """One; or several pools, of which each request has a row each."""
    order: Order
    seed: int
    """Of order and made prompts."""
    salt: int
    """Of the run: see `Synthetic`."""
    salted: bool = False
    """Each prompt begins with words of its own."""
    limits: bool = True
    """The lengths of answers in the rows are the limits of the requests."""
    words: tuple[str, ...] = ()
    """As in `Synthetic`: for made prompts and salts."""


def write_places(places: Iterable[tuple[int, int]], path: Path) -> int:
    """Write begin and end of each row into the file at `path`; gives their number.

    Raises:
        OSError: the file cannot be written.
    """
    rows, buffer = 0, bytearray()
    with path.open("wb") as file:
        for begin, end in places:
            buffer += _PLACE.pack(begin, end)
            rows += 1
            if len(buffer) >= _BUFFERED:
                file.write(buffer)
                buffer.clear()
        file.write(buffer)
    return rows


class FileChanged(ValueError):
    """Rows of a file of prompts are not there any more: the run can't go on."""


class Rows:
    """The rows of a file, by their numbers from 0."""

    __slots__ = ("_file", "_index", "_path", "_read", "number")

    def __init__(self, of: PromptFile) -> None:
        """Open the file and its index.

        Raises:
            OSError: one of them can't be opened.
            ValueError: the file is not the one whose rows were found.
        """
        self._path = of.path
        self._file = os.open(of.path, os.O_RDONLY)
        self._index = os.open(of.index, os.O_RDONLY)
        self.number = of.rows
        found = os.fstat(self._file)
        if (found.st_size, found.st_mtime_ns) != (of.size, of.modified_ns):
            raise ValueError(f"--prompts {of.path}: the file has changed since its rows were found")
        self._read = reader(of.reading)

    def row(self, number: int) -> Row:
        """A row.

        Raises:
            FileChanged: the file or its index has changed since its rows were found.
        """
        place = os.pread(self._index, _PLACE.size, number * _PLACE.size)
        if len(place) < _PLACE.size:
            raise self._changed(f"its index lacks row {number + 1}")
        begin, end = _PLACE.unpack(place)
        data = os.pread(self._file, end - begin, begin)
        if len(data) < end - begin:
            raise self._changed(f"row {number + 1} is cut off")
        try:
            found = self._read(data)
        except ValueError as error:
            raise self._changed(f"row {number + 1}: {error}") from None
        if found is None:
            raise self._changed(f"row {number + 1} is empty")
        return found

    def _changed(self, how: str) -> FileChanged:
        return FileChanged(f"--prompts {self._path}: the file changed during the run ({how})")


class FilePrompts:
    """Gives the prompts of a worker that come from files."""

    def __init__(self, of: FromFiles) -> None:
        """
        Raises:
            OSError, ValueError: as `Rows`.
        """
        self._pools = [
            (Rows(each), row_of_number(of.order, each.rows, of.seed + at)) for at, each in enumerate(of.files)
        ]
        words = of.words or WORDS
        self._words = Words(of.seed, words)
        self._of = of
        self._blocks = BlockMaker(MOONCAKE_BLOCK, of.seed, of.salt, words)

    def row(self, number: int) -> Row:
        """The row that the request of a number asks with. Of several pools, their rows in one."""
        if len(self._pools) == 1:
            rows, place = self._pools[0]
            return rows.row(place(number))
        return _joined([rows.row(place(number)) for rows, place in self._pools])

    def make(self, number: int) -> Drawn:
        """The request of a number: the first turn of its row."""
        return self.drawn(self.row(number).turns[0], number)

    def drawn(self, turn: Turn, number: int, *, first: bool = True) -> Drawn:
        """What a turn asks. first: it begins a conversation. Only then it is salted: what follows repeats it."""
        made = turn.input != UNKNOWN
        if made:
            turn = msgspec.structs.replace(turn, text=self._blocks.make(number, turn.input, turn.hash_ids))
        elif self._of.salted and first:
            salt = self._of.salt
            turn = salted(turn, self._words.salt(number, salt), salted_number(number, salt))
        return Drawn(
            prompt=turn.text or None,
            output=None if turn.output == UNKNOWN or not self._of.limits else max(1, turn.output),
            ids=turn.ids,
            input=turn.input if made else 0,
            messages=turn.messages,
            body=turn.body,
        )


def _joined(rows: list[Row]) -> Row:
    """One row of the first turns of several."""
    turns = [each.turns[0] for each in rows]
    output = next((each.output for each in turns if each.output != UNKNOWN), UNKNOWN)
    messages = tuple(message for each in turns for message in each.messages)
    text = "\n".join(filter(None, (each.text for each in turns)))
    if messages and text:
        messages, text = (*messages, {"role": "user", "content": text}), ""
    body = {key: value for each in turns for key, value in each.body.items()}
    return Row((Turn(text=text, messages=messages, body=body, output=output),))


_SALT_ID = 1_000
"""Token ids of salts lie from here on: every vocabulary has them."""

_SALTED_MEMBERS = ("system", "instructions", "messages", "input", "prompt")
"""Members of bodies that have text, in the order in which servers put them before the model."""


def salted(turn: Turn, words: str, number: int) -> Turn:
    """A turn that begins with `words`, in a line of their own; if it has token ids, with ids that say `number`, which
    has 35 bits."""
    begin = f"{words}\n"
    if turn.ids:
        return msgspec.structs.replace(turn, ids=(*_salt_ids(number), *turn.ids))
    if turn.text:
        return msgspec.structs.replace(turn, text=begin + turn.text)
    if turn.messages:
        return msgspec.structs.replace(turn, messages=_salted_messages(turn.messages, begin))
    for key in _SALTED_MEMBERS:
        if value := turn.body.get(key):
            return msgspec.structs.replace(turn, body={**turn.body, key: _salted_member(value, begin, number)})
    return turn


def _salted_member(value: Any, begin: str, number: int) -> Any:
    match value:
        case str():
            return begin + value
        case [dict(), *_]:
            return [*_salted_messages(tuple(value), begin)]
        case [str(), *_]:
            return [begin + each if isinstance(each, str) else each for each in value]
        case [int(), *_]:
            return [*_salt_ids(number), *value]
    return value


def _salt_ids(number: int) -> list[int]:
    return [_SALT_ID + (number >> shift & 127) for shift in range(0, 35, 7)]


def _salted_messages(messages: tuple[dict[str, Any], ...], begin: str) -> tuple[dict[str, Any], ...]:
    first = messages[0]
    content: Any = first.get("content", first.get("text"))
    key = "content" if "content" in first or "text" not in first else "text"
    if isinstance(content, list):
        changed: Any = [{"type": "text", "text": begin}, *content]
    else:
        changed = begin + (content if isinstance(content, str) else "")
    return {**first, key: changed}, *messages[1:]
