"""A recorded run as a source: its messages come at the pace they came at, faster or slower, from any moment on."""

import asyncio
import bisect
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.aggregate import RECENT_S
from llmstress.engine.telemetry.broadcast import Command, Frame, RunView
from llmstress.engine.telemetry.record import Moment, NoRecord, Place
from llmstress.tui.source import SourceLost

POLL_S = 0.05
"""How often it is looked what is due: messages come four times a second."""

SLICE_S = 0.01
"""How long messages may be worked on before others have a turn."""

_NS = 1_000_000_000


class Replay:
    """Plays the record in a file. `tui.source` says what the methods mean, as `Source` and as `Player`."""

    controls = False

    def __init__(self, path: Path, *, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            OSError: it can't be read.
            NoRecord: it is no record, or holds not one whole message.
        """
        self._path = path
        self._clock = clock
        if next(record.read(path), None) is None:
            raise NoRecord(f"{path} was cut off before its first message ended")
        self._keyframes: list[Place] = []
        end = begin = next(record.scan(path)).t
        for place in record.scan(path):
            end = max(end, place.t)
            if place.keyframe:
                # a keyframe carries the time of what it holds, which may be before that of the message ahead of it
                self._keyframes.append(Place(end, place.offset, True))
        self._begin_s, self._length_s = begin / _NS, end / _NS
        self._speed = speed
        self._paused = False
        self._shown_s = self._begin_s
        """All that came before is out."""
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
    def position_s(self) -> float:
        """Seconds after T0. Never ahead of what `frames` has given: at high speed it may not keep up."""
        return min(self._due_s(), max(self._shown_s, self._from_s), self._length_s)

    @property
    def length_s(self) -> float:
        """When the last message came, seconds after T0."""
        return self._length_s

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
        moments = record.read(self._path, self._keyframe_before(wanted_s - RECENT_S).offset, keyframes=False)
        first = next(moments).frame
        assert isinstance(first, RunView), "read() begins with a keyframe"
        worked_since = time.monotonic()
        ahead: Moment | None = None
        for ahead in moments:
            if ahead.t > wanted_s * _NS:
                break
            if not isinstance(ahead.frame, RunView):
                first.apply(ahead.frame)
            if time.monotonic() - worked_since > SLICE_S:
                await asyncio.sleep(0)
                worked_since = time.monotonic()
            if self._sought is not None:
                return
        else:
            ahead = None
        self._go_from(wanted_s)
        self._is_next(ahead)
        yield first
        while self._sought is None:
            if ahead is None or ahead.t > self._due_s() * _NS:
                await asyncio.sleep(POLL_S)
                worked_since = time.monotonic()
                continue
            frame, ahead = ahead.frame, next(moments, None)
            self._is_next(ahead)
            yield frame
            if time.monotonic() - worked_since > SLICE_S:
                await asyncio.sleep(0)
                worked_since = time.monotonic()

    def _is_next(self, ahead: Moment | None) -> None:
        self._shown_s = self._length_s if ahead is None else ahead.t / _NS

    def _keyframe_before(self, position_s: float) -> Place:
        after = bisect.bisect_right(self._keyframes, position_s * _NS, key=lambda place: place.t)
        return self._keyframes[max(0, after - 1)]

    def _due_s(self) -> float:
        """Where the clock says that the replay should be."""
        return self._from_s if self._paused else self._from_s + (self._clock() - self._from_clock) * self._speed

    def _go_from(self, position_s: float) -> None:
        self._from_s, self._from_clock = position_s, self._clock()
