"""The interface between the screen and a live or recorded run."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import Command, Frame


class SourceLost(Exception):
    """The run can't be followed any more; the text tells the user why."""


class Source(Protocol):
    """A run that can be followed."""

    @property
    def controls(self) -> bool:
        """Whether `send` reaches the run: the run is live, and this viewer may steer it."""

    @property
    def playback(self) -> "Playback | None":
        """The controls of a recorded run; None: a live run."""

    def frames(self) -> AsyncIterator[Frame]:
        """A keyframe (`RunView`) and the frames after it. Each later keyframe replaces everything before it.

        Ends only with a `SourceLost`; after a run's `Ended` no more frames come.
        """

    async def send(self, command: Command) -> None:
        """Send a command to the run; its effect becomes visible in `frames`."""


class ZoomDetail(msgspec.Struct, frozen=True):
    """The timeline of a part of a run, in shorter steps than that of the whole run."""

    begin_s: float
    """Its start, in seconds after T0; times in `aggregate` count from here."""
    aggregate: Aggregate
    """The measurements in this part."""


class Playback(Protocol):
    """The controls of a recorded run."""

    speed: float
    """1.0: original speed."""
    paused: bool
    zoom_s: float | None
    """Length of time before the position that charts show; None: everything up to the position."""

    @property
    def detail(self) -> ZoomDetail | None:
        """The timeline of that time; None: no zoom."""

    @property
    def position_s(self) -> float:
        """Current position, in seconds after T0."""

    @property
    def length_s(self) -> float:
        """Time of the last message, in seconds after T0."""

    def seek(self, position_s: float) -> None:
        """Continue from `position_s`: the next frame is a keyframe of that time."""
