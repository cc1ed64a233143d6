"""A recorded run as a source: its messages come at the pace they came at, faster or slower, from any moment on.

What the record holds in merged form comes as keyframes: always the same `RunView`, brought up to date. From where on
the record holds the deltas as they came, they and all other messages come as frames of their own.
"""

import asyncio
import bisect
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import Command, Frame, Message, RunView, decode, encode
from llmstress.engine.telemetry.messages import Delta
from llmstress.engine.telemetry.record import Moment, NoRecord, Reader
from llmstress.engine.telemetry.thinning import Stand, Step, take_in
from llmstress.engine.telemetry.timeline import RECENT_S
from llmstress.tui.sources.source import Detail, SourceLost

POLL_S = 0.05
"""How often it is looked what is due: messages come four times a second."""

SLICE_S = 0.01
"""How long messages may be worked on before others have a turn."""

SHOWN_S = 0.25
"""How often a keyframe is given at least, while merged steps are due one after the other."""

MARKS = 10
"""Into so many parts a record is divided by views that are kept once they are known, to begin a seek with."""

_NS = 1_000_000_000


class _Mark(msgspec.Struct, frozen=True):
    """The view at a moment of the record, encoded."""

    t: int
    at: int
    view: bytes


class Replay:
    """Plays the record in a file. `tui.source` says what the methods mean, as `Source` and as `Player`."""

    controls = False

    def __init__(self, path: Path, *, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            OSError: it can't be read.
            NoRecord: it is no record, or holds not one whole message.
        """
        self._record = Reader(path)
        self._clock = clock
        self._marks: list[_Mark] = []
        self._begin_s, self._length_s = self._record.begin / _NS, self._record.end / _NS
        self._speed = speed
        self._paused = False
        self._shown_s = self._begin_s
        """All that came before is out."""
        self._zoom_s: float | None = None
        self._detail: Detail | None = None
        self._seeking = True
        self._worked_since = time.monotonic()
        self._sought: float | None = self._begin_s
        self._go_from(self._begin_s)

    @property
    def player(self) -> "Replay":
        """Itself."""
        return self

    @property
    def speed(self) -> float:
        """1.0: as it was."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._go_from(self.position_s)
        self._speed = speed

    @property
    def paused(self) -> bool:
        """Time stands still."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._go_from(self.position_s)
        self._paused = paused

    @property
    def zoom_s(self) -> float | None:
        """How long a stretch before the position `detail` holds; None: there is no zoom."""
        return self._zoom_s

    @zoom_s.setter
    def zoom_s(self, zoom_s: float | None) -> None:
        self._zoom_s = zoom_s
        self.seek(self.position_s)

    @property
    def detail(self) -> Detail | None:
        """What was measured within the last `zoom_s` seconds, at least; None while there is no zoom."""
        return self._detail

    @property
    def position_s(self) -> float:
        """Seconds after T0. Never ahead of what `frames` has given: at high speed it may not keep up."""
        return min(self._due_s(), max(self._shown_s, self._from_s), self._length_s)

    @property
    def length_s(self) -> float:
        """When the last message came, seconds after T0."""
        return self._length_s

    @property
    def behind(self) -> bool:
        """`frames` has yet to give something that is due: a seek takes its time, and so does a high speed."""
        return self._seeking or self._sought is not None or self.position_s < min(self._due_s(), self._length_s)

    def seek(self, position_s: float) -> None:
        """Go on from there: `frames` gives a keyframe of that moment next."""
        self._sought = min(max(position_s, self._begin_s), self._length_s)
        self._go_from(self._sought)

    async def send(self, command: Command) -> None:
        """There is nobody to ask."""

    async def frames(self) -> AsyncIterator[Frame]:
        """A keyframe, then what follows, until the next seek; then again."""
        try:
            while True:
                async for frame in self._play():
                    yield frame
        except (OSError, NoRecord) as error:
            raise SourceLost(str(error)) from error

    async def _play(self) -> AsyncIterator[Frame]:
        """From the moment that was sought to the next seek."""
        wanted_s, self._sought = self._sought if self._sought is not None else self._begin_s, None
        self._seeking = True
        wanted = round(wanted_s * _NS)
        since = wanted if self._zoom_s is None else round((wanted_s - self._zoom_s) * _NS)
        level, step, since = self._record.detail_of(since, wanted)
        view, at = self._view_before(min(since, wanted - (RECENT_S + 1) * _NS))
        detail = None if self._zoom_s is None else _empty_detail(view, since, step)
        moments = self._record.moments(at, wanted, None if detail is None else (since, level))
        ahead: Moment | None = None
        for ahead in moments:
            if ahead.t > wanted:
                break
            take_in(view, ahead.frame)
            _add(detail, ahead.frame)
            self._mark(view, ahead)
            await self._give_way()
            if self._sought is not None:
                return
        else:
            ahead = None
        self._go_from(wanted_s)
        self._is_next(ahead)
        self._detail, self._seeking = detail, False
        yield view
        changed, shown_at = False, time.monotonic()
        while self._sought is None:
            due = ahead is not None and ahead.t <= self._due_s() * _NS
            if changed and (not due or time.monotonic() - shown_at > SHOWN_S):
                yield view
                changed, shown_at = False, time.monotonic()
            if ahead is None and wanted < self._record.end and self._record.level > 1:
                # with a timeline in longer steps than the run's own, some maxima came out larger; the record has them
                self._sought = self._length_s
            elif ahead is None or not due:
                await asyncio.sleep(POLL_S)
            else:
                now, ahead = ahead, next(moments, None)
                self._is_next(ahead)
                _add(detail, now.frame)
                if now.at >= self._record.whole_from and not isinstance(now.frame, Step | Stand):
                    if changed:
                        yield view
                        changed = False
                    yield now.frame
                elif not isinstance(now.frame, Stand):  # that of deltas which are out, whose view is not this one
                    take_in(view, now.frame)
                    changed = True
                await self._give_way()

    async def _give_way(self) -> None:
        """Let others have a turn, if they have waited for long enough."""
        if time.monotonic() - self._worked_since > SLICE_S:
            await asyncio.sleep(0)
            self._worked_since = time.monotonic()

    def _is_next(self, ahead: Moment | None) -> None:
        self._shown_s = self._length_s if ahead is None else ahead.t / _NS

    def _view_before(self, t: int) -> tuple[RunView, int]:
        """A view of a moment before `t`, and how many deltas it holds: one that is known, or the first."""
        known = bisect.bisect_right(self._marks, t, key=lambda mark: mark.t)
        if not known:
            return self._record.opening(), 0
        mark = self._marks[known - 1]
        view = decode(mark.view)
        assert isinstance(view, RunView), "it was encoded here"
        return view, mark.at

    def _mark(self, view: RunView, moment: Moment) -> None:
        """Keep `view`, which has just taken in `moment`, if none is kept of about that time."""
        if not isinstance(moment.frame, Step):
            return
        after = bisect.bisect_right(self._marks, moment.t, key=lambda mark: mark.t)
        since = self._marks[after - 1].t if after else self._record.begin
        if moment.t - since >= (self._record.end - self._record.begin) // MARKS:
            self._marks.insert(after, _Mark(moment.t, moment.at, encode(view)))

    def _due_s(self) -> float:
        """Where the clock says that the replay should be."""
        return self._from_s if self._paused else self._from_s + (self._clock() - self._from_clock) * self._speed

    def _go_from(self, position_s: float) -> None:
        self._from_s, self._from_clock = position_s, self._clock()


def _empty_detail(view: RunView, begin: int, step: int) -> Detail:
    """The timeline of a stretch that begins at `begin` (ns after T0), with steps of `step` ns."""
    return Detail(begin / _NS, Aggregate.over([worker.streams for worker in view.aggregate.workers], step))


def _add(detail: Detail | None, frame: Message | Step | Stand) -> None:
    """Add what was measured within the stretch of `detail`."""
    if detail is None:
        return
    begin = round(detail.begin_s * _NS)
    deltas = [delta for _, delta in frame.moments] if isinstance(frame, Step) else [frame]
    for delta in deltas:
        if isinstance(delta, Delta) and (delta.t_from + delta.t_to) // 2 >= begin:
            t_from, t_to = delta.t_from - begin, delta.t_to - begin
            detail.aggregate.merge(msgspec.structs.replace(delta, t_from=t_from, t_to=t_to))
