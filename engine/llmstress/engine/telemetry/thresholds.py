"""Thresholds of `--fail-if` and `--abort-if`: what must not happen, and how a measured value is judged by it.

A threshold has three answers. If the value has a confidence interval, the interval decides: the threshold has failed
if the whole interval lies on the failing side of the limit, passed if the whole interval lies on the other side, and
is undecided if the interval contains the limit or if there are too few samples for the percentile. A value without an
interval decides by itself.

Values and limits are in the unit of the subject: microseconds, shares from 0 to 1, or numbers.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

State = Literal["failed", "undecided", "pending", "passed"]
"""pending: there is no value yet, or one that says nothing before the end. No threshold is pending once the run is
over."""

STATES: tuple[State, ...] = ("failed", "undecided", "pending", "passed")
"""The worst one first."""

Unit = Literal["latency", "share", "number", "money", "status"]

Comparison = Literal[">", ">=", "<", "<=", "="]

_CROSSES: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

STATUSES = ("valid", "degraded", "invalid")
"""Statuses of the verdict, the best one first."""


class Threshold(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What must not happen: a comparison that is true is a failure."""

    text: str
    """As given."""
    subject: str
    """Name in `subjects.SUBJECTS`."""
    argument: str = ""
    """What the subject needs besides: a statistic (`p99`), or a class of endings (`http_503`)."""
    unit: Unit
    comparison: Comparison
    limit: float = 0.0
    status: str = ""
    """Instead of `limit`: a status of the verdict."""
    task: str = ""
    """Name of the task that is judged, or of a step of it, such as `rag/search`; empty: all together."""
    window: str = ""
    """Label of the window that is judged; empty: the steady windows, or for counts the whole run."""
    over_s: float = 0.0
    """Every full stretch of this length is judged; 0: everything together."""
    after_s: float = 0.0
    """This much of the beginning is left out."""
    abort: bool = False
    """The run ends as soon as it has failed."""

    def crossed_by(self, value: float) -> bool:
        """Whether `value` lies on the failing side of the limit."""
        return _CROSSES[self.comparison](value, self.limit)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a subject, as far as it is known."""

    value: float | None
    """None: there is none."""
    value_max: float | None = None
    """The value if everything that is unknown counted; None: nothing is unknown."""
    low: float | None = None
    high: float | None = None
    """Limits of the confidence interval; None: unbounded."""
    interval: bool = False
    """The value is an estimate, and its interval decides. For money the interval has the least and the most that is
    possible; for anything else it is a confidence interval."""
    status: str = ""
    """Instead of a value: the status of the verdict."""
    why: str = ""
    """Why there are too few samples, in words; empty: there are enough."""
    rises: bool = False
    """It only grows while the run goes on."""
    falls: bool = False
    """It only becomes smaller."""
    early: bool = False
    """It covers too little to decide anything before the end of the run."""


class Judgement(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A threshold, and what was found."""

    threshold: Threshold
    state: State
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval: bool = False
    """`low` and `high` are the limits of an interval; None: unbounded."""
    status: str = ""
    why: str = ""
    """Why it is undecided or pending."""
    at_s: float | None = None
    """Begin of the judged stretch, the worst one, in seconds after T0; only with `over_s`."""

    @property
    def distance(self) -> float | None:
        """How far the value is from the limit: negative if it lies beyond it."""
        if self.value is None or self.threshold.unit == "status":
            return None
        gap = self.threshold.limit - self.value
        return gap if self.threshold.comparison in (">", ">=") else -gap


def judge(threshold: Threshold, reading: Reading, *, over: bool) -> Judgement:
    """What `reading` says about `threshold`; `over`: the value can't change any more."""
    state, why = _state(threshold, reading, over=over)
    if over and state == "pending":
        state = "undecided"
    return Judgement(
        threshold=threshold,
        state=state,
        value=reading.value,
        low=reading.low,
        high=reading.high,
        interval=reading.interval,
        status=reading.status,
        why=why,
    )


def _state(threshold: Threshold, reading: Reading, *, over: bool) -> tuple[State, str]:
    if threshold.unit == "status":
        bad = STATUSES.index(reading.status) >= STATUSES.index(threshold.status) if reading.status else False
        return ("failed" if bad else "passed"), ""
    if reading.value is None:
        return "pending", reading.why or "no data"
    if not over and reading.early:
        return "pending", "too little data yet"
    crossed = threshold.crossed_by(reading.value)
    above = threshold.comparison in (">", ">=")
    if threshold.unit == "share" and threshold.limit in (0.0, 1.0):
        # `>0%` and `<100%` ask for a single case, which is a fact; `>=100%` and `<=0%` ask for all cases
        all_of_them = threshold.comparison in (">=", "<=")
        if reading.value_max is not None and threshold.crossed_by(reading.value_max) != crossed:
            return "undecided", "some requests could not be judged"
        return ("pending", "decided at the end") if all_of_them and crossed and not over else _plain(crossed)
    may_change = (reading.rises and not above) or (reading.falls and above)
    if may_change and crossed and not over:
        return "pending", "decided at the end"
    if not reading.interval:
        return _plain(crossed)
    if reading.why:
        return "undecided", reading.why
    near, far = (reading.low, reading.high) if above else (reading.high, reading.low)
    if near is not None and threshold.crossed_by(near):
        return "failed", ""
    if far is not None and not threshold.crossed_by(far):
        return "passed", ""
    return (
        "undecided",
        "the limit lies between the bounds" if threshold.unit == "money" else "the interval contains the limit",
    )


def _plain(crossed: bool) -> tuple[State, str]:
    return ("failed" if crossed else "passed"), ""


def worst(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The same, the worst state first, and within a state those nearest to their limits, in relation to the limit."""
    return sorted(judgements, key=_rank)


def _rank(judgement: Judgement) -> tuple[int, float]:
    distance, limit = judgement.distance, abs(judgement.threshold.limit)
    nearness = float("inf") if distance is None else distance / limit if limit else distance
    return STATES.index(judgement.state), nearness
