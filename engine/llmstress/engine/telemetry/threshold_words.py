"""What a judged threshold says, in words: for console, screen, log and the reports of CI. Pure functions."""

from collections.abc import Iterable

from llmstress.engine.telemetry.formatting import duration, latency
from llmstress.engine.telemetry.intervals import CONFIDENCE
from llmstress.engine.telemetry.thresholds import STATES, Judgement, Unit


def value_words(value: float, unit: Unit) -> str:
    """A value with its unit: `812 ms`, `1.25 %`, `5,012.3`. It has enough digits to compare it with a limit."""
    if unit == "latency":
        return latency(value)
    if unit == "share":
        return f"{100 * value:.4g} %"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 10_000 else f"{value:,.4g}"


def judgement_words(judgement: Judgement) -> str:
    """The value, its interval, and its distance from the limit."""
    name = "bounds" if judgement.threshold.unit == "money" else f"{100 * CONFIDENCE:.0f} % interval"
    interval = f" ({name}: {_limits(judgement)})" if judgement.interval else ""
    why = f"; {judgement.why}" if judgement.why else ""
    return _words(judgement, interval, " the limit", why)


def short_words(judgement: Judgement) -> str:
    """The same without explanations."""
    interval = f" ({_limits(judgement)})" if judgement.interval else ""
    return _words(judgement, interval, "", "")


def _words(judgement: Judgement, interval: str, of_what: str, why: str) -> str:
    unit = judgement.threshold.unit
    if unit == "status":
        return f"the measurement is {judgement.status}"
    if judgement.value is None:
        return f"{judgement.why}{_where(judgement)}"
    return f"{value_words(judgement.value, unit)}{_where(judgement)}{interval}, {_distance(judgement, of_what)}{why}"


def _where(judgement: Judgement) -> str:
    if judgement.at_s is None:
        return ""
    return f" in the {duration(judgement.threshold.over_s)} from {duration(round(judgement.at_s, 1))} on"


def _limits(judgement: Judgement) -> str:
    """Those of the interval."""
    unit = judgement.threshold.unit
    low, high = (None if each is None else value_words(each, unit) for each in (judgement.low, judgement.high))
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is None and high is None:
        return "unlimited"
    return f"at least {low}" if high is None else f"at most {high}"


def _distance(judgement: Judgement, of_what: str) -> str:
    threshold, distance = judgement.threshold, judgement.distance
    assert distance is not None, "there is a value"
    if not distance:
        return "exactly the limit"
    above = (distance < 0) == (threshold.comparison in (">", ">="))
    gap = value_words(abs(distance), threshold.unit)
    points = " points" if threshold.unit == "share" else ""
    return f"{gap}{points} {'above' if above else 'below'}{of_what}"


def states_words(judgements: Iterable[Judgement]) -> str:
    """How many thresholds are in each state, the worst first: `1 failed, 2 passed`."""
    states = [each.state for each in judgements]
    return ", ".join(f"{n} {state}" for state in STATES if (n := states.count(state)))
