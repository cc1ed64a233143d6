"""How long a user waits between two tasks. Pure functions of a user's random numbers."""

import random
from typing import Literal

import msgspec

from llmstress.engine.telemetry.durations import parse_duration

Seconds = str | float
"""A duration like "1s", "500ms" or "1m30s", or a number of seconds."""


class Wait(msgspec.Struct, frozen=True):
    """A wait; lengths in seconds."""

    kind: Literal["uniform", "exponential", "pacing"]
    low: float
    """The shortest one, the mean, or the pace."""
    high: float = 0.0

    def after(self, numbers: random.Random, took: float) -> float:
        """The wait (s) after a task that took `took` seconds."""
        match self.kind:
            case "uniform":
                return numbers.uniform(self.low, self.high)
            case "exponential":
                return numbers.expovariate(1 / self.low) if self.low else 0.0
            case "pacing":
                return max(0.0, self.low - took)


def between(low: Seconds, high: Seconds) -> Wait:
    """Between `low` and `high`, all lengths alike.

    Raises:
        ValueError: one is no duration, or `high` is shorter than `low`.
    """
    shortest, longest = seconds(low), seconds(high)
    if longest < shortest:
        raise ValueError(f"between({low!r}, {high!r}): the second duration must not be shorter than the first one")
    return Wait("uniform", shortest, longest)


def constant(length: Seconds) -> Wait:
    """Always as long.

    Raises:
        ValueError: it is no duration.
    """
    return Wait("uniform", seconds(length), seconds(length))


def exponential(mean: Seconds) -> Wait:
    """Exponential, with this mean: as between the arrivals of a Poisson process.

    Raises:
        ValueError: it is no duration.
    """
    return Wait("exponential", seconds(mean))


def pacing(length: Seconds) -> Wait:
    """What is left of `length` when the task is over: the user begins a task each `length`, unless tasks take longer.

    Raises:
        ValueError: it is no duration.
    """
    return Wait("pacing", seconds(length))


NO_WAIT = Wait("uniform", 0.0, 0.0)


def seconds(length: Seconds) -> float:
    """A duration in seconds.

    Raises:
        ValueError: it is no duration, or negative.
    """
    if isinstance(length, str):
        return parse_duration(length)
    if isinstance(length, bool) or not isinstance(length, int | float) or not 0 <= length < float("inf"):
        raise ValueError(f'{length!r} is no duration; write "1s", "500ms", or a number of seconds')
    return float(length)
