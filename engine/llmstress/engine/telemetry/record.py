"""A run in a file: everything that was published about it, thinned with age so that hours fit into 100 MB.

The file is an SQLite database. The table `said` contains every message that is not a delta. The deltas are in `step`,
in levels: level 0 contains them as they came, level 1 merged over a step of the timeline (a second), and each further
level merged over four steps of the level below. All levels are written during the run. When a level has used up its
share of the file, its oldest steps are deleted; the level above contains them in a coarser form. Nothing is read again
or rewritten, so a file whose writer was killed lacks only what had not been committed: one second, or five if workers
report seldom.

Deltas are numbered: a step contains those from `begin` to `end - 1`, and a message was published `before` the delta of
that number. A step of one level consists of whole steps of the level below, and no step goes beyond the end of a
worker.
"""

import bisect
import contextlib
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmstress.engine.telemetry.broadcast import Message, RunView, WorkerChange, decode, encode
from llmstress.engine.telemetry.messages import Delta
from llmstress.engine.telemetry.thinning import Merger, Stand, Step, stand_of
from llmstress.engine.telemetry.timeline import RECENT_S

FORMAT = 5
"""Version of the file format, raised with every change that an older reader would misread. A reader refuses all
others."""

_FACTOR_BITS = 2
"""Binary logarithm of the number of steps that make one of the level above."""

LEVELS = 9
"""Number of levels. The highest one, with steps of four and a half hours, is never thinned."""

RAW_BYTES, LEVEL_BYTES = 20_000_000, 10_000_000
"""Shares of level 0 and of each level above it. Eight hours fill three levels and half of the fourth."""

MOST_STEPS = 600
"""Most steps that a reader merges to reach any moment of a record, besides a last stretch of finer ones."""

_WHOLE_NS, _FINE_NS = 11_000_000_000, (RECENT_S + 1) * 1_000_000_000
"""How long before the wanted moment deltas are read as they came, and how long before it in steps of level 1 at most:
the live figures look back that far."""

_DETAIL_STEPS = 300
"""Most points in the chart of a stretch."""

PENDING_COMMITS = 60
"""Number of commits that may be put off because a reader has locked the file."""

LAST_WAIT_MS = 2000
"""How long the last commit waits for readers of the file."""

_APPLICATION = 0x6C6C6D73
_SQLITE, _BEFORE_SQLITE = b"SQLite format 3\0", b"llmstress.record/"
_MAX_DATA = 256 * 1024 * 1024
"""Most bytes of an unpacked step or message: an untrusted file must not fill the memory."""

_SCHEMA = f"""
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = OFF;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {FORMAT};
CREATE TABLE said (id INTEGER PRIMARY KEY, before INTEGER, t INTEGER, data BLOB);
CREATE TABLE step (id INTEGER PRIMARY KEY, level INTEGER, begin INTEGER, "end" INTEGER, t INTEGER, data BLOB);
CREATE UNIQUE INDEX place ON step (level, begin, "end", t);
"""

_encoder = msgspec.msgpack.Encoder()
_steps = msgspec.msgpack.Decoder(Step)


class NoRecord(ValueError):
    """The file is not a recorded run, or is damaged; the text says which."""


class Moment(msgspec.Struct, frozen=True):
    """An entry of a record, `t` nanoseconds after T0; `at` deltas have come by then, those of `frame` included.

    A `Step` is a merged stretch. A `Stand` follows the deltas of a stretch that has not been merged.
    """

    t: int
    at: int
    frame: Message | Step | Stand


class _Open(msgspec.Struct):
    """The incomplete last step of a level."""

    index: int = 0
    """Number of the step, counted from T0."""
    begin: int = 0
    end: int = 0
    t: int = 0
    raw: list[tuple[int, msgspec.Raw]] = msgspec.field(default_factory=list)
    changed: set[int] = msgspec.field(default_factory=set)
    """Keys of the parts that its deltas have changed."""
    merger: Merger = msgspec.field(default_factory=Merger)


class Writer:
    """Writes the record of one run. Call `turn` before a message is applied to the view, `append` after it."""

    def __init__(self, path: Path, view: RunView, t: int = 0) -> None:
        """
        Raises:
            OSError: the file can't be written.
        """
        self._view = view
        self._row_ns = view.aggregate.row_ns
        self._count = 0
        self._open = [_Open() for _ in range(LEVELS)]
        self._kept: list[deque[tuple[int, int]]] = [deque() for _ in range(LEVELS)]
        """End and size of the steps of each level."""
        self._sizes = [0] * LEVELS
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._put_off = 0
        path = path.resolve()
        path.open("wb").close()
        for ending in ("-journal", "-wal", "-shm"):  # left by a killed writer: SQLite would apply them to this file
            path.with_name(path.name + ending).unlink(missing_ok=True)
        try:
            self._database = sqlite3.connect(path, timeout=0.1, isolation_level=None)
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
        self._say(t, view)
        self._commit()

    def turn(self, message: Message) -> None:
        """Complete the steps that `message` does not belong to; the view does not contain it yet."""
        if isinstance(message, Delta):
            index = max(0, (message.t_from + message.t_to) // 2) // self._row_ns
            for level, open_ in enumerate(self._open):
                if index // length_of(level) <= open_.index:
                    break
                self._complete(level)
                open_.index = index // length_of(level)
        elif isinstance(message, WorkerChange) and (message.state is not None or message.deltas is not None):
            # the end of a worker depends on everything that it has sent: no merged step may go beyond it
            for level in range(LEVELS):
                self._complete(level)

    def append(self, t: int, message: Message, encoded: bytes) -> None:
        """Keep `message`, published `t` ns after T0, which the view contains; `encoded` by `broadcast.encode`.

        Raises:
            OSError: it can't be written.
        """
        if not isinstance(message, Delta):
            self._say(t, message)
            return
        lowest, next_ = self._open[:2]
        if self._pending and not lowest.raw:
            self._commit()  # a step has just been completed
        lowest.raw.append((t, msgspec.Raw(encoded)))
        next_.merger.add(message, self._view.aggregate.parts)
        self._count += 1
        for open_ in (lowest, next_):
            open_.end, open_.t = self._count, t
            open_.changed.update(message.parts)

    def flush(self) -> None:
        """Write everything so far.

        Raises:
            OSError: it can't be written.
        """
        self._complete(0)
        self._commit()

    def close(self) -> None:
        """Write the rest and close the file.

        Raises:
            OSError: the rest can't be written.
        """
        with contextlib.closing(self._database):
            self._database.execute(f"PRAGMA busy_timeout = {LAST_WAIT_MS}")
            self._put_off = PENDING_COMMITS  # this commit can't be
            self.flush()

    def _say(self, t: int, message: Message | RunView) -> None:
        self._pending.append(
            ("INSERT INTO said (before, t, data) VALUES (?, ?, ?)", (self._count, t, _packed(encode(message))))
        )

    def _complete(self, level: int) -> None:
        open_ = self._open[level]
        if open_.end == open_.begin:
            return
        stand = stand_of(self._view.aggregate, open_.changed)
        if level == 0:
            data = _encoder.encode((open_.raw, stand))
            open_.raw = []
        else:
            deltas = open_.merger.take()
            data = _encoder.encode(([(open_.t, delta) for delta in deltas], stand))
            if level + 1 < LEVELS:
                above = self._open[level + 1]
                above.changed |= open_.changed
                for delta in deltas:
                    above.merger.add(delta, self._view.aggregate.parts)
                above.end, above.t = open_.end, open_.t
        packed = _packed(data)
        self._pending.append(
            (
                'INSERT INTO step (level, begin, "end", t, data) VALUES (?, ?, ?, ?, ?)',
                (level, open_.begin, open_.end, open_.t, packed),
            )
        )
        self._kept[level].append((open_.end, len(packed)))
        self._sizes[level] += len(packed)
        open_.begin, open_.changed = open_.end, set()
        self._thin(level)

    def _thin(self, level: int) -> None:
        """Delete the oldest steps of a level beyond its share that are in the level above."""
        if level + 1 == LEVELS:
            return
        kept, share, held = self._kept[level], LEVEL_BYTES if level else RAW_BYTES, self._open[level + 1].begin
        gone = 0
        while self._sizes[level] > share and kept[0][0] <= held:
            gone, size = kept.popleft()
            self._sizes[level] -= size
        if gone:
            self._pending.append(('DELETE FROM step WHERE level = ? AND "end" <= ?', (level, gone)))

    def _commit(self) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for statement, values in self._pending:
                self._database.execute(statement, values)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            self._put_off += 1
            if busy and self._put_off < PENDING_COMMITS:
                return  # a reader has locked the file: the next commit contains all of this
            self._database.close()
            raise OSError(str(error)) from error
        self._pending, self._put_off = [], 0


class _Place(msgspec.Struct, frozen=True):
    """Position of a step."""

    level: int
    begin: int
    end: int
    t: int


class Reader:
    """Reads a record from any moment on."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            OSError: the file can't be read.
            NoRecord: the file is no record, or damaged.
        """
        self._path = path
        with path.open("rb") as file:
            head = file.read(max(len(_SQLITE), len(_BEFORE_SQLITE)))
        if head.startswith(_BEFORE_SQLITE):
            raise self._of_another_version()
        if not head.startswith(_SQLITE):
            raise NoRecord(f"{path} is not a recorded run")
        with self._opened() as database:
            application, number = (
                database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if application != _APPLICATION:
                raise NoRecord(f"{path} is not a recorded run")
            if number != FORMAT:
                raise self._of_another_version()
            found = database.execute("SELECT t, before, data FROM said ORDER BY id").fetchall()
            said = msgspec.convert(found, list[tuple[int, int, bytes]])
            found = database.execute('SELECT level, begin, "end", t FROM step').fetchall()
            places = [_Place(*row) for row in msgspec.convert(found, list[tuple[int, int, int, int]])]
            if not said:
                raise NoRecord(f"{path} was cut off before its first message ended")
            if any(place.begin >= place.end for place in places):
                raise NoRecord(f"{path} is damaged: a step is empty")
            if not all(0 <= place.level < LEVELS for place in places):
                raise NoRecord(f"{path} is damaged: there is no such level")
            opening = decode(_unpacked(said[0][2]))
            self._said = [
                Moment(t, before, message)
                for t, before, data in said[1:]
                if not isinstance(message := decode(_unpacked(data)), RunView)
            ]
        if not isinstance(opening, RunView):
            raise NoRecord(f"{path} does not begin with a complete state of its run")
        self._opening = said[0][2]
        self._row_ns = opening.aggregate.row_ns
        self._from: dict[int, list[_Place]] = {}
        """Number of a delta -> the steps that begin with it, finest first."""
        for place in sorted(places, key=lambda place: place.level):
            self._from.setdefault(place.begin, []).append(place)
        self._count = max((place.end for place in places), default=0)
        self.whole_from = min((place.begin for place in places if place.level == 0), default=0)
        """Deltas from this number on are as they came; earlier ones have been merged."""
        self.begin = said[0][0]
        """When the first message came, in ns after T0."""
        self.end = max([self.begin, *(place.t for place in places), *(each.t for each in self._said)])
        """When the last message came."""
        self.level = self._coarse_enough()
        """The level at which long stretches are read: one of its steps is a row of the timeline."""
        self._since = self._kept_since()
        """Level -> time (ns after T0) from which on the record has steps of this level or finer ones."""

    def opening(self) -> RunView:
        """The run before its first message; its timeline has steps as long as those of `level`."""
        view = decode(_unpacked(self._opening))
        assert isinstance(view, RunView), "the constructor has seen that it is one"
        view.aggregate.row_ns = self._row_ns * length_of(self.level)
        return view

    def detail_of(self, begin: int, end: int) -> tuple[int, int, int]:
        """How finely to read a stretch (ns after T0) for a chart of it.

        Returns the level whose steps give enough points, if it goes back that far; the length of its steps (ns); and
        the begin of the step that contains `begin`.
        """
        level, highest = 1, self.level
        while level < highest and end - begin > _DETAIL_STEPS * self._row_ns * length_of(level):
            level += 1
        while level < highest and begin < self._since[level]:
            level += 1
        step = self._row_ns * length_of(level)
        return level, step, max(0, begin // step * step, self._since[level])

    def moments(self, at: int = 0, goal: int | None = None, detail: tuple[int, int] | None = None) -> Iterator[Moment]:
        """The entries of the record from the delta of number `at` on, in order.

        Args:
            at: 0, or the `at` of a `Step` or `Stand` from an earlier call.
            goal: Time before this one (ns after T0) is read in large steps, of at most `level`, except for the last
                minute. None: everything is read in the smallest steps that the record has.
            detail: A time and a level: from that time on no step is of a higher level.

        Raises:
            NoRecord: the record is damaged.
        """
        index = bisect.bisect_left(self._said, at, key=lambda moment: moment.at)
        with self._opened() as database:
            while at < self._count:
                place = self._next(at, goal, detail or (self.end, self.level))
                step = self._read(database, place)
                # messages that were published during a merged step come before it
                for number in range(at, place.end) if place.level == 0 else (place.end - 1,):
                    while index < len(self._said) and self._said[index].at <= number:
                        yield self._said[index]
                        index += 1
                    if place.level == 0:
                        t, delta = step.moments[number - at]
                        yield Moment(t, number + 1, delta)
                yield Moment(place.t, place.end, step.stand if place.level == 0 else step)
                at = place.end
        yield from self._said[index:]

    def _next(self, at: int, goal: int | None, detail: tuple[int, int]) -> _Place:
        places = self._from.get(at)
        if not places:
            raise NoRecord(f"{self._path} is damaged: a step is missing")
        if goal is None:
            return places[0]
        limits = (goal, goal - _WHOLE_NS, goal - _FINE_NS)
        fitting = [
            place
            for place in places
            if place.level <= (self.level if place.t <= detail[0] else detail[1])
            and place.t <= limits[min(place.level, 2)]
        ]
        return fitting[-1] if fitting else places[0]

    def _read(self, database: sqlite3.Connection, place: _Place) -> Step:
        found = database.execute(
            'SELECT data FROM step WHERE level = ? AND begin = ? AND "end" = ?', (place.level, place.begin, place.end)
        ).fetchone()
        if found is None:
            raise NoRecord(f"{self._path} is still being recorded and was thinned in the meantime; open it again")
        step = _steps.decode(_unpacked(found[0]))
        if place.level == 0 and len(step.moments) != place.end - place.begin:
            raise NoRecord(f"{self._path} is damaged: a step has unexpected contents")
        return step

    def _coarse_enough(self) -> int:
        level = max(1, self._from[0][0].level) if 0 in self._from else 1
        while level + 1 < LEVELS and self.end > MOST_STEPS * self._row_ns * length_of(level):
            level += 1
        return level

    def _kept_since(self) -> list[int]:
        since, at = [self.begin] * LEVELS, 0
        while at in self._from:
            place = self._from[at][0]
            since[: place.level] = [place.t] * place.level
            at = place.end
        return since

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The database; errors in its bytes become a `NoRecord`."""
        try:
            # not read-only: SQLite has to roll back what a killed writer had begun
            database = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=rw", uri=True, timeout=5)
            with contextlib.closing(database):
                yield database
        except NoRecord:
            raise
        except (sqlite3.Error, zlib.error, ValueError, TypeError, RecursionError) as error:
            raise NoRecord(f"{self._path} is damaged: {error}") from error

    def _of_another_version(self) -> NoRecord:
        return NoRecord(f"{self._path} was recorded by another version of llmstress and cannot be read by this one")


def length_of(level: int) -> int:
    """Length of a step of this level, in initial steps of the timeline."""
    return 1 << (_FACTOR_BITS * max(0, level - 1))


def _packed(data: bytes) -> bytes:
    return zlib.compress(data, 1)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, _MAX_DATA)
    if not unpacker.eof:
        raise ValueError("it is cut off or too large")
    return unpacked
