"""The course of a sweep: one point for each load, from the lowest to the highest. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.sweep_text import level_words
from llmstress.coordinator.run.courses.course import Done, Step
from llmstress.coordinator.run.courses.estimates import wilson
from llmstress.coordinator.run.courses.point import Point
from llmstress.coordinator.run.courses.settling import QUIET_S

NARROW = 0.02
"""A point ends early if the interval of its throughput reaches at most this share to either side."""

LEAST_FINISHED = 100
"""Requests of a point that ends early: fewer have no p99."""

TURNS = 2.0
"""A point lasts at least so many times the p90 of `e2e`."""

MOST_LONGER = 4.0
"""But not longer than so many times `--point`."""

HOPELESS_FAILED, LEAST_FAILED = 0.9, 20
"""A point is hopeless if certainly more than this share of its requests fail, after so many requests."""


class SweepCourse(msgspec.Struct, frozen=True):
    """A point for each level."""

    rate: bool
    levels: tuple[float, ...]
    point_s: float

    @property
    def first(self) -> float:
        """The lowest load."""
        return self.levels[0]

    def step(self, done: Sequence[Done], point: Point, elapsed_s: float) -> Step | None:
        """The next load, when the point is long or exact enough; the end after the last one, or after a hopeless
        one."""
        if why := hopeless(point):
            return Step("hopeless", why, None, f"{level_words(point.level, rate=self.rate)}: {why}")
        why = self._enough(point)
        if not why:
            return None
        if len(done) + 1 == len(self.levels):
            return Step("measured", why, None, "all points were measured")
        return Step("measured", why, self.levels[len(done) + 1])

    def _enough(self, point: Point) -> str:
        """Why the point has been measured for long enough; empty: it has not."""
        long_enough = point.seconds >= TURNS * point.e2e_s
        exact = point.half_width is not None and point.half_width <= NARROW
        if exact and long_enough and point.finished >= LEAST_FINISHED:
            return "exact enough"
        if point.seconds >= self.point_s and (long_enough or point.seconds >= MOST_LONGER * self.point_s):
            return "time"
        return ""


def hopeless(point: Point) -> str:
    """Why more load than at this point is pointless; empty: it is not."""
    if point.quiet_s >= QUIET_S:
        return f"no answer and no token came for {QUIET_S:g} s"
    if point.finished >= LEAST_FAILED and wilson(point.failed, point.finished)[0] > HOPELESS_FAILED:
        return f"{point.failed:,} of {point.finished:,} requests failed"
    return ""
