"""The course of a search for the capacity: doubles the load, then bisects. Pure functions.

The capacity is the highest load at which at least a given share of the requests meet every SLO. A probe is decided when
the interval of this share lies on one side of the goal. While the interval contains the goal, the probe goes on for
some time; then the search follows the estimate. It returns to the two loads next to the answer, which must both be
decided. A load that fails is tried a second time at once: it may have met a cold server, or a mood of the machine.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from llmstress.coordinator.run.courses.course import Done, State, Step
from llmstress.coordinator.run.courses.estimates import requests_to_show, wilson_between
from llmstress.coordinator.run.courses.point import Point
from llmstress.coordinator.run.courses.settling import QUIET_S

CLOSE = 0.05
"""The search ends when the lowest failed load is at most this much higher than the highest one that passed."""

ANSWERED_WITHIN = 0.1
"""A capacity is known if the load that failed is at most this much higher than the one that passed."""

CHANCE = 0.05
"""At a rate a probe passes only if chance moves the number of its arrivals by at most this share (one standard
deviation): 400 requests of a Poisson process. In one test 6.5 s at 22.5 requests/s passed where 20/s was the limit,
because 14 requests fewer than the rate had arrived."""

TURNS = 2.0
"""A probe lasts at least so many times the p90 of `e2e`, one that fails that of the lightest load: requests that run at
the same time are alike, so those of one such time say less than their number."""

LEAST_S, LEAST_COUNTED = 2.0, 20
"""Least length of a probe, and number of requests. A probe that passes lasts at least `--point`: servers have moods
that last seconds, and at a rate that is a little too high a queue takes its time to grow."""

LONGER, LONGEST = 4.0, 12.0
"""A probe between two loads, and one that is tried again, goes on for at most so many times `--point`."""

LOOK = 1.25
"""And for so many times the least length of one that passes: the share is compared with the goal each time the probe
is 20 % longer. Without this a probe of 6,979 good requests ended undecided, between two comparisons."""

AMPLE = 2.0
"""But one that is tried again for at least so many times the time in which enough requests end to show the goal, if all
of them are good."""

GROWTH_SIGMAS, LEAST_GROWTH = 3.0, 0.05
"""A queue grows if it has grown by more than so many standard deviations of the number of arrivals, and by more than
this share of them."""

CONFIRMED = 2
"""Probes that must fail at a load."""


class SearchCourse(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched, and how long a probe lasts."""

    rate: bool
    lowest: float
    highest: float
    attain: float
    point_s: float
    budget_s: float
    spread: float = 1.0
    """Standard deviation of the number of arrivals, divided by the square root of their mean number."""

    @property
    def first(self) -> float:
        """The lowest load."""
        return self.lowest

    def step(self, done: Sequence[Done], point: Point, elapsed_s: float) -> Step | None:
        """The next load, when the probe is decided or has lasted long enough; the end when the capacity is known, or
        the budget is used up."""
        found = standings(done, self.attain)
        least_s = self._least_s(done, point)
        state, why = self._decided(found.get(point.level), point, _lightest_s(done), least_s)
        if not state and point.seconds >= self._patience_s(found, point, least_s):
            state, why = "open", "undecided for too long"
        if elapsed_s >= self.budget_s and not state:
            state, why = "open", "the budget is used up"
        if not state:
            return None
        add(found, point, state, self.attain)
        level, ended = next_load(found, self)
        if level is not None and elapsed_s >= self.budget_s:
            level, ended = None, "the budget is used up"
        return Step(state, why, level, ended)

    def _decided(
        self, before: "Standing | None", point: Point, lightest_s: float, least_s: float
    ) -> tuple[State | Literal[""], str]:
        """How the probe is decided, and why; empty: it is not.

        `lightest_s`: how long a request takes at the load at which it was shortest. `least_s`: least length of a probe
        that passes.
        """
        if point.quiet_s >= QUIET_S:
            return "failed", f"no answer and no token came for {QUIET_S:g} s"
        # in an overload requests become longer as fast as the probe does
        if point.seconds < max(LEAST_S, TURNS * min(point.e2e_s, lightest_s)):
            return "", ""
        if self.rate and grows(point):
            return "failed", f"{point.grown:,} more requests arrived than ended"
        evidence = evidence_of(point, before)
        if not point.to_judge or evidence.counted < LEAST_COUNTED:
            return "", ""
        low, high = evidence.interval
        # half of the growth that a rate of `ANSWERED_WITHIN` too much makes
        may_grow = self.rate and point.grown > LEAST_GROWTH * point.due
        if low >= self.attain and point.seconds >= max(least_s, TURNS * point.e2e_s) and not may_grow:
            return "passed", ""
        return ("failed", "") if high < self.attain else ("", "")

    def _least_s(self, done: Sequence[Done], point: Point) -> float:
        """Least length of a probe that passes.

        At a rate that exceeds the capacity by a share of s, a queue makes requests later by s seconds a second, and
        only when the slack of the lightest load is used up do they miss an SLO. So many must miss it that the goal is
        missed. The arrivals must be so many that chance does not make the rate another one.
        """
        if not self.rate:
            return self.point_s
        slack_s = max(point.slack_s, *(each.point.slack_s for each in done), 0.0)
        overdue_s = slack_s / (ANSWERED_WITHIN * self.attain)
        return max(self.point_s, overdue_s, (self.spread / CHANCE) ** 2 / point.level)

    def _patience_s(self, found: Mapping[float, "Standing"], point: Point, least_s: float) -> float:
        """How long an undecided probe goes on. `least_s`: least length of one that passes."""
        before = found.get(point.level)
        if before is not None and before.is_open:
            per_s = point.counted / point.seconds if point.seconds else 0.0
            needed_s = requests_to_show(self.attain) / per_s if per_s else 0.0
            return max(LONGEST * self.point_s, AMPLE * needed_s, LOOK * least_s)
        climbs = not any(each.state in ("failed", "down") for level, each in found.items() if level != point.level)
        if climbs and point.share >= self.attain and point.seconds >= TURNS * point.e2e_s:
            return self.point_s
        return max(LONGER * self.point_s, LOOK * least_s)


def _lightest_s(done: Sequence[Done]) -> float:
    """The shortest p90 of `e2e` of a probe, in seconds; infinite: none is known."""
    return min((each.point.e2e_s for each in done if each.point.e2e_s), default=math.inf)


class Evidence(msgspec.Struct, frozen=True):
    """The requests of one or more probes at a load."""

    met: int = 0
    unknown: int = 0
    counted: int = 0

    @property
    def share(self) -> float:
        """The share of those that met every SLO."""
        return self.met / self.counted if self.counted else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the share. Those that are unknown count as missed for the lower limit, as met for the upper
        one."""
        return wilson_between(self.met, self.met + self.unknown, self.counted)


class Standing(msgspec.Struct, frozen=True):
    """What is known of a load. `up` and `down`: undecided, and the estimate passes or fails. `unclear`: undecided even
    when it was tried again."""

    state: Literal["passed", "failed", "up", "down", "unclear"]
    evidence: Evidence
    failures: int = 0
    """Probes that failed."""

    @property
    def is_open(self) -> bool:
        """Whether it is undecided."""
        return self.state in ("up", "down", "unclear")


def evidence_of(point: Point, before: Standing | None) -> Evidence:
    """That of a probe, with that of undecided probes at the same load before."""
    earlier = before.evidence if before is not None and before.is_open else Evidence()
    return Evidence(earlier.met + point.met, earlier.unknown + point.unknown, earlier.counted + point.counted)


def standings(done: Sequence[Done], attain: float) -> dict[float, Standing]:
    """Load -> what is known of it."""
    found: dict[float, Standing] = {}
    for each in done:
        add(found, each.point, each.state, attain)
    return found


def add(found: dict[float, Standing], point: Point, state: State, attain: float) -> None:
    """Add a probe to what is known of its load. The last decision counts."""
    before = found.get(point.level)
    evidence = evidence_of(point, before)
    failures = (before.failures if before is not None else 0) + (state == "failed")
    if state in ("passed", "failed"):
        found[point.level] = Standing(state, evidence, failures)
    elif before is not None and before.is_open:
        found[point.level] = Standing("unclear", evidence, failures)
    else:
        found[point.level] = Standing("up" if evidence.share >= attain else "down", evidence, failures)


class Bracket(msgspec.Struct, frozen=True):
    """The loads next to the answer; None: there is none."""

    low: float | None
    """The highest load that passed, or seems to, below `high`."""
    high: float | None
    """The lowest load that failed, or seems to; those below a load that passed don't count."""


def bracket_of(found: Mapping[float, Standing]) -> Bracket:
    """The loads next to the answer, as far as it is known."""
    passed = max((level for level, each in found.items() if each.state == "passed"), default=0.0)
    high = min(
        (level for level, each in found.items() if each.state in ("failed", "down") and level > passed), default=None
    )
    low = max(
        (level for level, each in found.items() if each.state in ("passed", "up") and (high is None or level < high)),
        default=None,
    )
    return Bracket(low, high)


def next_load(found: Mapping[float, Standing], course: SearchCourse) -> tuple[float | None, str]:
    """The next load, and an empty text; or None, and why the search is over."""
    bracket = bracket_of(found)
    low, high = bracket.low, bracket.high
    if high is None:
        return _climb(found, low, course)
    if found[high].state == "failed" and found[high].failures < CONFIRMED:
        return high, ""
    if low is None:
        return (high, "") if found[high].state == "down" else (None, "even the lowest load failed")
    if (middle := _between(found, low, high, rate=course.rate)) is not None:
        return middle, ""
    if found[low].state == "up":
        return low, ""
    if found[high].state == "down":
        return high, ""
    if is_answer(low, high, rate=course.rate):
        return None, "the capacity was found"
    return None, "the share of good requests is too close to the goal at the loads between"


def _climb(found: Mapping[float, Standing], low: float | None, course: SearchCourse) -> tuple[float | None, str]:
    """As `next_load`, as long as no load has failed."""
    if low is None:
        return (None, "the lowest load could not be decided") if found else (course.lowest, "")
    if low == course.highest:
        return (None, "the highest load passed") if found[low].state == "passed" else (low, "")
    above = [level for level in (*found, low) if level >= low]  # unclear ones included
    if max(above) == course.highest:
        return None, "the highest load could not be decided"
    return min(course.highest, rounded(2 * max(above), rate=course.rate)), ""


def _between(found: Mapping[float, Standing], low: float, high: float, *, rate: bool) -> float | None:
    """A load in the middle of the widest stretch between two loads without an unclear one in it; None: there is no
    load left."""
    edges = [low, *sorted(level for level in found if low < level < high), high]
    gaps = [(above - below, below, above) for below, above in itertools.pairwise(edges)]
    wide = [gap for gap in gaps if not is_close(gap[1], gap[2], rate=rate)]
    if not wide:
        return None
    _, below, above = max(wide)
    return rounded((below + above) / 2, rate=rate)


def is_close(low: float, high: float, *, rate: bool) -> bool:
    """Whether no load between two is worth a probe."""
    return high - low <= max(0.0 if rate else 1.0, CLOSE * low)


def is_answer(low: float, high: float, *, rate: bool) -> bool:
    """Whether a load that passed and one that failed are close enough for an answer."""
    return high - low <= max(0.0 if rate else 2.0, ANSWERED_WITHIN * low)


def rounded(level: float, *, rate: bool) -> float:
    """A whole number of streams, or a rate of four digits."""
    return float(f"{level:.4g}") if rate else float(math.floor(level))


def grows(point: Point) -> bool:
    """Whether more requests arrive than end: no SLO can hold for long then."""
    growth = max(GROWTH_SIGMAS * math.sqrt(point.due), LEAST_GROWTH * point.due)
    return point.due >= LEAST_COUNTED and point.grown > growth
