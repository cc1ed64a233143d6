"""A recorded run as a source: gives its messages at their original pace, or faster or slower, from any position on.

The merged part of a record is given as keyframes: always the same `RunView`, updated. From the time on at which the
record contains the original deltas, these and all other messages are given as frames of their own.
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
from llmstress.tui.sources.source import SourceLost, ZoomDetail

POLL_S = 0.05
"""Interval at which due messages are looked for; a run sends messages four times a second."""

SLICE_S = 0.01
"""Maximum time of processing before the event loop gets a turn."""

KEYFRAME_S = 0.25
"""Maximum time between keyframes while many merged steps are due one after the other."""

CHECKPOINTS = 10
"""Number of parts into which checkpoints divide a record. A seek begins at a checkpoint once there is one."""

_NS = 1_000_000_000


class _Checkpoint(msgspec.Struct, frozen=True):
    """The encoded view at one time of the record."""

    t: int
    at: int
    view: bytes


class Replay:
    """Plays the record in a file; implements `Source` and `Playback`."""

    controls = False

    def __init__(self, path: Path, *, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            OSError: the file can't be read.
            NoRecord: the file is not a record, or contains no complete message.
        """
        self._record = Reader(path)
        self._clock = clock
        self._checkpoints: list[_Checkpoint] = []
        self._begin_s, self._length_s = self._record.begin / _NS, self._record.end / _NS
        self._speed = speed
        self._paused = False
        self._shown_s = self._begin_s
        """All messages before this time (s after T0) have been given."""
        self._zoom_s: float | None = None
        self._detail: ZoomDetail | None = None
        self._seeking = True
        self._slice_began = time.monotonic()
        self._seek_target: float | None = self._begin_s
        self._restart_clock(self._begin_s)

    @property
    def playback(self) -> "Replay":
        """This object."""
        return self

    @property
    def speed(self) -> float:
        """1.0: original speed."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._restart_clock(self.position_s)
        self._speed = speed

    @property
    def paused(self) -> bool:
        """Whether the replay is paused."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._restart_clock(self.position_s)
        self._paused = paused

    @property
    def zoom_s(self) -> float | None:
        """Length of time before the position that `detail` covers; None: no zoom."""
        return self._zoom_s

    @zoom_s.setter
    def zoom_s(self, zoom_s: float | None) -> None:
        self._zoom_s = zoom_s
        self.seek(self.position_s)

    @property
    def detail(self) -> ZoomDetail | None:
        """The timeline of at least the last `zoom_s` seconds; None: no zoom."""
        return self._detail

    @property
    def position_s(self) -> float:
        """Seconds after T0. Never ahead of what `frames` has given, which may fall behind at high speed."""
        return min(self._due_s(), max(self._shown_s, self._from_s), self._length_s)

    @property
    def length_s(self) -> float:
        """Time of the last message, in seconds after T0."""
        return self._length_s

    @property
    def behind(self) -> bool:
        """Whether due frames have not been given yet, because of a seek or a high speed."""
        return self._seeking or self._seek_target is not None or self.position_s < min(self._due_s(), self._length_s)

    def seek(self, position_s: float) -> None:
        """Continue from `position_s`: the next frame is a keyframe of that time."""
        self._seek_target = min(max(position_s, self._begin_s), self._length_s)
        self._restart_clock(self._seek_target)

    async def send(self, command: Command) -> None:
        """Does nothing: a recorded run takes no commands."""

    async def frames(self) -> AsyncIterator[Frame]:
        """A keyframe and the frames after it; after each seek another keyframe."""
        try:
            while True:
                async for frame in self._play():
                    yield frame
        except (OSError, NoRecord) as error:
            raise SourceLost(str(error)) from error

    async def _play(self) -> AsyncIterator[Frame]:
        """The frames from the target of the last seek until the next seek."""
        target_s, self._seek_target = self._seek_target if self._seek_target is not None else self._begin_s, None
        self._seeking = True
        target = round(target_s * _NS)
        since = target if self._zoom_s is None else round((target_s - self._zoom_s) * _NS)
        level, step, since = self._record.detail_of(since, target)
        view, at = self._view_before(min(since, target - (RECENT_S + 1) * _NS))
        detail = None if self._zoom_s is None else _empty_detail(view, since, step)
        moments = self._record.moments(at, target, None if detail is None else (since, level))
        ahead: Moment | None = None
        for ahead in moments:
            if ahead.t > target:
                break
            take_in(view, ahead.frame)
            _add_to_detail(detail, ahead.frame)
            self._keep_checkpoint(view, ahead)
            await self._yield_control()
            if self._seek_target is not None:
                return
        else:
            ahead = None
        self._restart_clock(target_s)
        self._set_next(ahead)
        self._detail, self._seeking = detail, False
        yield view
        changed, shown_at = False, time.monotonic()
        while self._seek_target is None:
            due = ahead is not None and ahead.t <= self._due_s() * _NS
            if changed and (not due or time.monotonic() - shown_at > KEYFRAME_S):
                yield view
                changed, shown_at = False, time.monotonic()
            if ahead is None and target < self._record.end and self._record.level > 1:
                # a timeline with longer steps than the run's makes some maxima too large; the record has them exactly
                self._seek_target = self._length_s
            elif ahead is None or not due:
                await asyncio.sleep(POLL_S)
            else:
                now, ahead = ahead, next(moments, None)
                self._set_next(ahead)
                _add_to_detail(detail, now.frame)
                if now.at >= self._record.whole_from and not isinstance(now.frame, Step | Stand):
                    if changed:
                        yield view
                        changed = False
                    yield now.frame
                elif not isinstance(now.frame, Stand):  # a Stand here belongs to deltas that were already given
                    take_in(view, now.frame)
                    changed = True
                await self._yield_control()

    async def _yield_control(self) -> None:
        """Let the event loop run other tasks if processing has taken longer than `SLICE_S`."""
        if time.monotonic() - self._slice_began > SLICE_S:
            await asyncio.sleep(0)
            self._slice_began = time.monotonic()

    def _set_next(self, ahead: Moment | None) -> None:
        self._shown_s = self._length_s if ahead is None else ahead.t / _NS

    def _view_before(self, t: int) -> tuple[RunView, int]:
        """A view before `t`, from a checkpoint or the beginning, and the number of deltas in it."""
        known = bisect.bisect_right(self._checkpoints, t, key=lambda checkpoint: checkpoint.t)
        if not known:
            return self._record.opening(), 0
        checkpoint = self._checkpoints[known - 1]
        view = decode(checkpoint.view)
        assert isinstance(view, RunView), "it was encoded here"
        return view, checkpoint.at

    def _keep_checkpoint(self, view: RunView, moment: Moment) -> None:
        """Keep a checkpoint of `view`, which includes `moment`, unless there is one of about that time."""
        if not isinstance(moment.frame, Step):
            return
        after = bisect.bisect_right(self._checkpoints, moment.t, key=lambda checkpoint: checkpoint.t)
        since = self._checkpoints[after - 1].t if after else self._record.begin
        if moment.t - since >= (self._record.end - self._record.begin) // CHECKPOINTS:
            self._checkpoints.insert(after, _Checkpoint(moment.t, moment.at, encode(view)))

    def _due_s(self) -> float:
        """The position (s after T0) at which the replay should be by the clock."""
        return self._from_s if self._paused else self._from_s + (self._clock() - self._from_clock) * self._speed

    def _restart_clock(self, position_s: float) -> None:
        self._from_s, self._from_clock = position_s, self._clock()


def _empty_detail(view: RunView, begin: int, step: int) -> ZoomDetail:
    """An empty timeline that begins at `begin` (ns after T0) and has steps of `step` ns."""
    return ZoomDetail(begin / _NS, Aggregate.over([worker.streams for worker in view.aggregate.workers], step))


def _add_to_detail(detail: ZoomDetail | None, frame: Message | Step | Stand) -> None:
    """Add the measurements of a frame that lie within the time of `detail`."""
    if detail is None:
        return
    begin = round(detail.begin_s * _NS)
    deltas = [delta for _, delta in frame.moments] if isinstance(frame, Step) else [frame]
    for delta in deltas:
        if isinstance(delta, Delta) and (delta.t_from + delta.t_to) // 2 >= begin:
            t_from, t_to = delta.t_from - begin, delta.t_to - begin
            detail.aggregate.merge(msgspec.structs.replace(delta, t_from=t_from, t_to=t_to))
