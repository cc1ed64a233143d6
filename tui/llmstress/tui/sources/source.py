"""Where a screen gets its run from: a live one, or one that was recorded. The screen knows nothing of sockets."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import Command, Frame


class SourceLost(Exception):
    """The run can't be followed any more; the text says why, in words for the user."""


class Source(Protocol):
    """A run that can be followed."""

    @property
    def controls(self) -> bool:
        """Whether `send` reaches the run: it is live, and this viewer may steer it."""

    @property
    def player(self) -> "Player | None":
        """How the time of a recorded run is steered; None for a live one."""

    def frames(self) -> AsyncIterator[Frame]:
        """A keyframe (`RunView`), then what follows. Whenever another keyframe comes it replaces everything before.

        Ends only with a `SourceLost`; a run that has ended just stays silent after its `Ended`.
        """

    async def send(self, command: Command) -> None:
        """Ask the run for something; what comes of it is seen in `frames`."""


class Detail(msgspec.Struct, frozen=True):
    """The timeline of a stretch of a run, in shorter steps than that of the whole run."""

    begin_s: float
    """Where its times begin, in seconds after T0."""
    aggregate: Aggregate
    """Of what was measured within it."""


class Player(Protocol):
    """Steers the time of a recorded run."""

    speed: float
    """1.0: as it was."""
    paused: bool
    zoom_s: float | None
    """How long a stretch before the position charts are to show; None: all up to there."""

    @property
    def detail(self) -> Detail | None:
        """That stretch; None if there is no zoom."""

    @property
    def position_s(self) -> float:
        """Seconds after T0."""

    @property
    def length_s(self) -> float:
        """When the last message came, seconds after T0."""

    def seek(self, position_s: float) -> None:
        """Go on from there: `frames` gives a keyframe of that moment next."""
