"""Reads a file of prompts once before a run: checks its rows, and keeps where they stand, for the workers."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart, UsageError
from llmstress.coordinator.config.load_text import MOST_TURNS
from llmstress.coordinator.prompts.cache import bound, index_directory
from llmstress.coordinator.prompts.detect import CSV, START, kind_of
from llmstress.coordinator.prompts.places import Place, Places, of_array, of_csv, of_lines
from llmstress.coordinator.prompts.source import PromptSource
from llmstress.coordinator.traces.read import BadRows, lines_of, open_nonblocking
from llmstress.coordinator.traces.rows import BadRow
from llmstress.engine.prompts.file import PromptFile, write_places
from llmstress.engine.prompts.formats import LINES, RANDOM_POOL, Reading, format_of, json_object, reader
from llmstress.engine.prompts.row import Row, Turn
from llmstress.engine.prompts.words import BYTES_PER_TOKEN
from llmstress.engine.trace import UNKNOWN

INDEX_VERSION = 3
"""Raised with every change to what an index holds, or to which rows are good."""

LARGE = 20_000_000
"""Bytes of a file from which on a line says that it is being read."""

BODY_KEYS = ("messages", "prompt", "input")
"""Members of a whole body that may hold what a request asks."""


class FileFacts(msgspec.Struct):
    """What is known about a file of prompts; kept beside its index."""

    reading: Reading
    rows: int = 0
    left_out: int = 0
    """Rows without a prompt, where that is usual."""
    bad: int = 0
    """Rows that can't be used."""
    bad_rows: tuple[BadRow, ...] = ()
    """The first of them."""
    texts: int = 0
    """Rows all of whose turns are texts, or made by their lengths: they may be conversations."""
    turns: dict[int, int] = {}
    """Number of turns -> rows that have so many. Rows with `MOST_TURNS` or more count as one number."""
    with_ids: int = 0
    """Rows whose prompt is a list of token ids."""
    made: int = 0
    """Rows whose prompt is made by its length."""
    bodies: dict[str, int] = {}
    """Member of a body that holds what is asked -> rows with such a body."""
    with_output: int = 0
    """Rows that say how long the answer may be."""
    input_tokens: float = 0.0
    """Tokens of all prompts together, by their bytes."""
    output_tokens: int = 0
    """Sum of the lengths of answers that rows say."""


class PromptFacts(msgspec.Struct, frozen=True):
    """What is known about the prompts of a run before it begins."""

    source: PromptSource
    files: tuple[PromptFile, ...]
    facts: tuple[FileFacts, ...]
    """Of each file."""

    @property
    def rows(self) -> int:
        """Rows of the first file."""
        return self.files[0].rows

    @property
    def pools(self) -> bool:
        """Whether the prompts are drawn at random unless the user says otherwise."""
        return self.facts[0].reading.format == RANDOM_POOL

    @property
    def mean_input(self) -> float:
        """Mean tokens of a prompt, by its bytes."""
        return sum(each.input_tokens / each.rows for each in self.facts)

    @property
    def mean_output(self) -> float | None:
        """Mean length of the answers of the rows that say it; None: none does."""
        said = [each.output_tokens / each.with_output for each in self.facts if each.with_output]
        return said[0] if said else None


def read_prompts(
    source: PromptSource, environ: Mapping[str, str], otherwise: Path, say: Callable[[str], None] = lambda _: None
) -> PromptFacts:
    """Check a file of prompts, and have an index of its rows: the one that is kept from an earlier run, if the file has
    not changed, or a new one.

    Args:
        source: the file.
        environ: says where indexes are kept.
        otherwise: a directory for the index if it can't be kept.
        say: is told that a large file is being read.

    Raises:
        UsageError: the file can't be read, is of no known format, or has a bad row; the text names file and line.
        CouldNotStart: the index can't be written.
    """
    path, found = source.path, []
    try:
        directory = index_directory(environ, otherwise)
        for path in _paths(source):
            found.append(_indexed(path, source, directory, say))
    except ValueError as error:
        raise UsageError(f"--prompts {path}: {error}") from None
    except OSError as error:
        raise CouldNotStart(
            f"--prompts {source.path}: its index can't be written ({error.strerror}); set XDG_CACHE_HOME to another "
            "place"
        ) from None
    return PromptFacts(source, tuple(file for file, _ in found), tuple(facts for _, facts in found))


def _paths(source: PromptSource) -> list[str]:
    """The file, or those of a directory.

    Raises:
        ValueError: there is none.
    """
    if not os.path.isdir(source.path):
        return [source.path]
    try:
        names = sorted(each for each in os.listdir(source.path) if not each.startswith("."))
    except OSError as error:
        raise ValueError(f"it can't be read ({error.strerror})") from None
    if not names:
        raise ValueError("the directory is empty: each file in it is a pool, of which each request has a row")
    if source.format not in (None, RANDOM_POOL):
        raise ValueError(f"a directory has pools of prompts, so its format is {RANDOM_POOL} and not {source.format}")
    return [os.path.join(source.path, each) for each in names]


def _indexed(
    path: str, source: PromptSource, directory: Path, say: Callable[[str], None]
) -> tuple[PromptFile, FileFacts]:
    with _opened(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("this is no regular file, so its rows can't be read one by one: save it to a file first")
        real = os.path.realpath(path)
        key = [INDEX_VERSION, real, status.st_size, status.st_mtime_ns, msgspec.structs.replace(source, path="")]
        name = hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:32]
        places, about = directory / f"{name}.places", directory / f"{name}.json"
        facts = _kept(places, about)
        if facts is None:
            if status.st_size >= LARGE:
                say(f"reading {path}, once: where its prompts stand is kept in {directory}")
            facts = _read(file, path, source, places)
            _replace(about, lambda temporary: temporary.write_bytes(msgspec.json.encode(facts)))
            bound(directory, places)
    known = PromptFile(
        path=real,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        index=str(places),
        rows=facts.rows,
        reading=facts.reading,
    )
    return known, facts


def _kept(places: Path, about: Path) -> FileFacts | None:
    """What an earlier run has kept about a file; None: nothing, or not all of it."""
    try:
        facts = msgspec.json.decode(about.read_bytes(), type=FileFacts)
        if places.stat().st_size != facts.rows * 16:
            return None
        os.utime(places)
    except (OSError, ValueError):
        return None
    return facts


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file that replaces the one at `path`."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb", opener=open_nonblocking))
        except OSError as error:
            raise ValueError(f"it can't be read ({error.strerror})") from None
        yield file


def _read(file: BinaryIO, path: str, source: PromptSource, places: Path) -> FileFacts:
    """Check the rows of a file and write their places.

    Raises:
        ValueError: see `read_prompts`.
    """
    reading, found = _rows_of(file, path, source)
    facts = FileFacts(reading)
    bad = BadRows(f"--prompts {path}", source.skip_bad_rows)
    good = bad.left_out(_checked(found, reader(reading), facts))
    _replace(places, lambda temporary: write_places(((each.begin, each.end) for each in good), temporary))
    facts.bad, facts.bad_rows = bad.number, tuple(bad.first)
    if not facts.rows:
        places.unlink()
        first = "".join(f"; line {each.line}: {each.why}" for each in bad.first[:1])
        if facts.left_out:
            first += "; none has a question (from human or user) that the next entry answers"
        raise ValueError(f"it has no row with a prompt ({reading.format} format){first}")
    return facts


def _rows_of(file: BinaryIO, path: str, source: PromptSource) -> tuple[Reading, Places]:
    """How the rows of a file are read, and where they stand."""
    try:
        start = file.read(START)
        file.seek(0)
    except OSError as error:
        raise ValueError(f"it can't be read ({error.strerror})") from None
    kind = kind_of(start, path, source.format, source.column)
    if kind == "lines":
        return Reading(LINES), of_lines(lines_of(file, "a file of prompts"))
    named = source.format if source.format != CSV else "prompts"
    if os.path.isdir(source.path):
        named = RANDOM_POOL
    if source.column:
        named = "prompts"
    if kind == "csv":
        columns, found = of_csv(lines_of(file, "a file of prompts"))
        if (source.column or "prompt") not in columns:
            kind_of(start, ".csv", None, source.column)  # says which columns there are
        return Reading("prompts", source.column or "", tuple(columns)), found
    found = of_array(file) if kind == "array" else of_lines(lines_of(file, "a file of prompts"))
    if named is None:
        named, found = _named(found)
    return Reading(named, source.column or ""), found


def _named(found: Places) -> tuple[str, Places]:
    """The format of the first row that is a JSON object, and all rows.

    Raises:
        ValueError: there is none, or no format has its keys.
    """
    before: list[Place | BadRow] = []
    for each in found:
        before.append(each)
        if isinstance(each, Place):
            try:
                row = json_object(each.data)
            except ValueError:
                continue
            try:
                name = format_of(row).name
            except ValueError as error:
                raise ValueError(f"line {each.line}: {error}") from None
            return name, _chained(before, found)
    first = before[0] if before else None
    why = ""
    if isinstance(first, Place):
        try:
            json_object(first.data)
        except ValueError as error:
            why = f"; line {first.line}: {error}"
    raise ValueError(f"no row is a JSON object{why}; for a text with a prompt on each line, use --prompts-format lines")


def _chained(before: Iterable[Place | BadRow], rest: Places) -> Places:
    yield from before
    yield from rest


def _checked(found: Places, read: Callable[[bytes], Row | None], facts: FileFacts) -> Places:
    """The rows that have prompts, and the bad ones. What they have is counted in `facts`."""
    for each in found:
        if isinstance(each, BadRow):
            yield each
            continue
        try:
            row = read(each.data)
        except ValueError as error:
            yield BadRow(each.line, str(error))
            continue
        if row is None:
            facts.left_out += 1
            continue
        facts.texts += all(bool(turn.text) or turn.input != UNKNOWN for turn in row.turns)
        turns = min(len(row.turns), MOST_TURNS)
        facts.turns[turns] = facts.turns.get(turns, 0) + 1
        _count(row.turns[0], facts)
        yield each


def _count(turn: Turn, facts: FileFacts) -> None:
    facts.rows += 1
    if turn.output != UNKNOWN:
        facts.with_output += 1
        facts.output_tokens += turn.output
    if turn.text:
        facts.input_tokens += len(turn.text.encode()) / BYTES_PER_TOKEN
        return
    if turn.ids:
        facts.with_ids += 1
        facts.input_tokens += len(turn.ids)
    elif turn.input != UNKNOWN:
        facts.made += 1
        facts.input_tokens += turn.input
    elif turn.messages:
        facts.input_tokens += len(msgspec.json.encode(turn.messages)) / BYTES_PER_TOKEN
    else:
        facts.input_tokens += len(msgspec.json.encode(turn.body)) / BYTES_PER_TOKEN
        for key in BODY_KEYS:
            if key in turn.body:
                facts.bodies[key] = facts.bodies.get(key, 0) + 1
