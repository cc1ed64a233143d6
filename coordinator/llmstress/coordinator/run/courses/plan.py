"""Options -> the course of a run, and its windows and load, which grow with each point. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.sweep_text import level_text
from llmstress.coordinator.run.courses.course import Course
from llmstress.coordinator.run.courses.search import SearchCourse
from llmstress.coordinator.run.courses.sweep import SweepCourse
from llmstress.engine.arrivals import spread
from llmstress.engine.telemetry.load_profile import Profile, constant
from llmstress.engine.telemetry.messages import Phase, Window, consecutive


def course_of(options: Options) -> Course | None:
    """The course of a run; None: its load is planned."""
    if options.sweep is not None:
        return SweepCourse(options.sweep.rate, options.sweep.levels, options.point_s)
    if options.search is None:
        return None
    search = options.search
    return SearchCourse(
        rate=search.rate,
        lowest=search.lowest,
        highest=search.highest,
        attain=search.attain,
        point_s=options.point_s,
        budget_s=search.budget_s,
        spread=spread(options.arrival_name, options.burstiness or 1.0),
    )


def first_windows(course: Course) -> tuple[Window, ...]:
    """The windows at the begin: the load settles, the first point, the drain. When they begin is decided later."""
    label = level_text(course.first, rate=course.rate)
    return consecutive([(Phase.WARMUP, f"→ {label}", 0), (Phase.STEADY, label, None), (Phase.DRAIN, "drain", None)])


def windows_to_come(options: Options, windows: Sequence[Window]) -> Sequence[Window]:
    """The windows that a run will have, as far as they are known: a sweep will have one for each load. `windows`: those
    at the begin."""
    if options.sweep is None:
        return windows
    labels = [level_text(level, rate=options.sweep.rate) for level in options.sweep.levels]
    points = [part for label in labels for part in ((Phase.WARMUP, f"→ {label}", None), (Phase.STEADY, label, None))]
    return consecutive([*points, (Phase.DRAIN, "drain", None)])


def first_profile(course: Course) -> Profile:
    """The load at the begin."""
    return constant("requests" if course.rate else "streams", course.first)


def with_next_point(windows: Sequence[Window], at: int, label: str) -> tuple[Window, ...]:
    """`windows` with a further point: the load changes `at` ns after T0, then the point begins when it has settled."""
    kept = [(window.kind, window.label, window.begin) for window in windows[:-1]]
    return consecutive(
        [*kept, (Phase.WARMUP, f"→ {label}", at), (Phase.STEADY, label, None), (Phase.DRAIN, "drain", None)]
    )


def with_begin(windows: Sequence[Window], index: int, at: int) -> tuple[Window, ...]:
    """`windows` of which the one at `index` begins `at` ns after T0."""
    return consecutive([(each.kind, each.label, at if each.index == index else each.begin) for each in windows])
