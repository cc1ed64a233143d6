"""What a search for the capacity has found. Pure functions."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from llmstress.coordinator.config.sweep_text import level_words
from llmstress.coordinator.run.courses.course import Done
from llmstress.coordinator.run.courses.estimates import CONFIDENCE, requests_to_show
from llmstress.coordinator.run.courses.search import SearchCourse, bracket_of, grows, is_answer, standings
from llmstress.coordinator.run.courses.settling import QUIET_S

CLIENT, HIGHEST, QUEUE, SILENCE = "client", "highest load", "queue", "silence"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity, and how it is known."""

    state: Literal["found", "at least", "undecided", "none"]
    """`at least`: the capacity may be higher. `none`: even the lowest load failed."""
    capacity: float | None
    """The highest load that passed; None: none did."""
    limit: float | None
    """The lowest load above it that failed; None: none did."""
    bound_by: str
    """What limits the capacity: the SLO that most requests missed at `limit`, `errors`, `dropped`, `queue`: it
    grows, `silence`: nothing came any more, `client`, `highest load`: none that was asked for failed. Empty: nothing is
    known to."""
    surprises: tuple[str, ...]
    """What does not fit: loads that failed once although they are within the capacity."""
    text: str
    """One sentence."""


def answer_of(course: SearchCourse, done: Sequence[Done]) -> Answer:
    """What the probes have shown."""
    found = standings(done, course.attain)
    bracket = bracket_of({level: each for level, each in found.items() if each.state in ("passed", "failed")})
    low, high = bracket.low, bracket.high
    bound = _bound(course, done, high)
    if low is None:
        state: Literal["found", "at least", "undecided", "none"] = "undecided"
        if high == course.lowest:
            state = "undecided" if bound == CLIENT else "none"
    elif high is None:
        state = "at least" if low == course.highest else "undecided"
        bound = HIGHEST if state == "at least" else ""
    elif is_answer(low, high, rate=course.rate):
        state = "at least" if bound == CLIENT else "found"
    else:
        state = "undecided"
    return Answer(
        state=state,
        capacity=low,
        limit=high,
        bound_by=bound,
        surprises=_surprises(course, done, low),
        text=_text(course, state, low, high, bound, done),
    )


def _bound(course: SearchCourse, done: Sequence[Done], high: float | None) -> str:
    """What most of the requests missed at the load `high`, or that the client was the limit there."""
    probes = [each for each in done if each.point.level == high and each.state == "failed"]
    if not probes:
        return ""
    if all(each.point.client for each in probes):
        return CLIENT
    point = probes[-1].point
    if point.quiet_s >= QUIET_S:
        return SILENCE
    if course.rate and grows(point):
        return QUEUE
    return max(point.missed, key=lambda what: point.missed[what])


def _surprises(course: SearchCourse, done: Sequence[Done], capacity: float | None) -> tuple[str, ...]:
    """The failures at loads that were found to be within the capacity."""
    said: list[str] = []
    passed = {each.point.level for each in done if each.state == "passed"}
    for each in done:
        level = each.point.level
        if each.state == "failed" and capacity is not None and level <= capacity:
            later = "passed when tried again" if level in passed else "a higher load passed"
            load = level_words(level, rate=course.rate)
            said.append(f"{load} failed once ({each.point.share:.1%} of the requests met the SLOs), but {later}")
    return tuple(said)


def _text(
    course: SearchCourse, state: str, low: float | None, high: float | None, bound: str, done: Sequence[Done]
) -> str:
    goal = f"{100 * course.attain:.4g} %"
    passed = "" if low is None else level_words(low, rate=course.rate)
    failed = "" if high is None else level_words(high, rate=course.rate)
    with_goal = f"with at least {goal} of the requests within the SLOs (confidence {CONFIDENCE:.0%})"
    if state == "found":
        return f"capacity: {passed} {with_goal}; {failed} failed ({bound})"
    if state == "at least":
        if bound == HIGHEST:
            return f"capacity: at least {passed} {with_goal}: the highest load that was asked for"
        why = [each.point.client for each in done if each.point.level == high and each.point.client][-1]
        return f"capacity: at least {passed} {with_goal}: {failed} failed, but this client was the limit: {why}"
    if state == "none":
        return f"capacity: none: even {failed} failed ({bound})"
    between = " and ".join(
        text for text in (f"{passed} passed" if passed else "", f"{failed} failed" if failed else "") if text
    )
    return f"capacity: undecided: {between or 'no load was decided'}{_hint(course, done)}"


def _hint(course: SearchCourse, done: Sequence[Done]) -> str:
    """What would have been needed, if there were too few requests."""
    good = [each for each in done if each.state == "open" and each.point.share >= course.attain]
    needed = requests_to_show(course.attain)
    if not good or (most := max(each.point.counted for each in good)) >= needed:
        return ""
    return (
        f"; to show {100 * course.attain:g} %, at least {needed:,} requests are needed at a load, and there were at "
        f"most {most:,}: use a longer --budget and --point, or a lower --attain"
    )
