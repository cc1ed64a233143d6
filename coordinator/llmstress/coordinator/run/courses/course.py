"""What a course is: it decides after each reading whether the point goes on, and which load comes next."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from llmstress.coordinator.run.courses.point import Point

State = Literal["measured", "hopeless", "passed", "failed", "open", "stopped"]
"""How a point ended. Sweep: `measured`, or `hopeless`: more load is pointless. Search: `passed` and `failed` were
decided, `open` was not. `stopped`: the run ended before."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A point that is over."""

    point: Point
    state: State
    why: str
    """Why it ended there, in words."""
    window: int
    """Index of its window."""
    settle_s: float
    """How long the load took to settle before it."""
    settled: bool
    """Else it was measured although it had not settled."""


class Step(msgspec.Struct, frozen=True):
    """The point ends."""

    state: State
    why: str
    level: float | None
    """The next load; None: the course is over."""
    ended: str = ""
    """Why it is over, in words."""


class Course(Protocol):
    """Decides the loads of a run. It keeps no state: what has been measured is an argument."""

    @property
    def rate(self) -> bool:
        """The levels are requests per second; else streams."""

    @property
    def first(self) -> float:
        """The first load."""

    def step(self, done: Sequence[Done], point: Point, elapsed_s: float) -> Step | None:
        """What comes now; None: the point goes on.

        Args:
            done: the points that are over, in the order of time.
            point: the one that lasts.
            elapsed_s: seconds since T0.
        """
