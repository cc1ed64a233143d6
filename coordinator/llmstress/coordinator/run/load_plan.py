"""Options -> the load over time and the windows of the run. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.load_text import Stage
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.run.courses.plan import course_of, first_profile, first_windows
from llmstress.engine import schedule
from llmstress.engine.telemetry.load_profile import Piece, Profile, Unit, constant, sine
from llmstress.engine.telemetry.messages import Phase, Window, consecutive


def windows_of(options: Options) -> tuple[Window, ...]:
    """The windows of the run, as planned: one for each stage, or those of the first point, or ramp, warm-up, steady
    window and drain."""
    if (course := course_of(options)) is not None:
        return first_windows(course)
    if options.stages:
        return stage_windows(options.stages)
    return schedule.windows(
        ramp_ns=int(options.ramp_up_s * 1e9),
        warmup_ns=None if options.warmup_requests is not None else int(options.warmup_s * 1e9),
        steady_ns=None if options.steady_s is None else int(options.steady_s * 1e9),
        whole_run=options.whole_run,
    )


def stage_windows(stages: Sequence[Stage]) -> tuple[Window, ...]:
    """A window for each stage, and the drain."""
    ends = _ends(stages)
    begins = [(Phase.STEADY, f"stage {number}", begin) for number, begin in enumerate([0, *ends[:-1]], 1)]
    return consecutive([*begins, (Phase.DRAIN, "drain", ends[-1])])


def profile_of(options: Options, tokens_per_request: float = 1.0) -> Profile | None:
    """The load over time; None: a number of streams that start along the ramp and stay.

    `tokens_per_request`: the mean number of tokens of a request, for a rate in tokens.
    """
    profile = _profile(options, tokens_per_request)
    if profile is not None and profile.unit == "requests" and options.has_sessions:
        return msgspec.structs.replace(profile, unit="sessions")
    return profile


def _profile(options: Options, tokens_per_request: float) -> Profile | None:
    if (course := course_of(options)) is not None:
        return first_profile(course)
    if options.stages:
        return stage_profile(options.stages)
    if options.trace is not None:
        return constant("trace", options.speed)
    if options.rate is None:
        return None
    rate = options.rate.per_s / (tokens_per_request if options.rate.tokens else 1.0)
    ramp_ns = int(options.ramp_up_s * 1e9)
    ramp = (Piece(0, ramp_ns, 0.0, rate),) if ramp_ns else ()
    return Profile("requests", (*ramp, Piece(ramp_ns, None, rate, rate)))


def stage_profile(stages: Sequence[Stage]) -> Profile:
    """The load over time of stages, which begin at a level of 0."""
    unit: Unit = "requests" if any(stage.rate for stage in stages) else "streams"
    pieces: list[Piece] = []
    begin, level = 0, 0.0
    for stage, end in zip(stages, _ends(stages), strict=True):
        match stage.shape:
            case "linear":
                pieces.append(Piece(begin, end, level, stage.target))
                level = stage.target
            case "sine":
                pieces += sine(begin, end, level, stage.target, round(stage.period_s * 1e9))
            case shape:
                pieces.append(Piece(begin, end, stage.target, stage.target))
                level = stage.target if shape == "step" else level
        begin = end
    return Profile(unit, tuple(pieces))


def _ends(stages: Sequence[Stage]) -> list[int]:
    """When each stage ends, in ns after T0."""
    ends: list[int] = []
    for stage in stages:
        ends.append((ends[-1] if ends else 0) + round(stage.seconds * 1e9))
    return ends
