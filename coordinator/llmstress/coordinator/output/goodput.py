"""What the summary says about SLOs, deadlines and reading, if they were given. Pure functions."""

from llmstress.coordinator.output.judging_schema import Fluidity, FluidityIndex, Goodput, SmoothGoodput
from llmstress.coordinator.output.latencies import describe
from llmstress.engine.telemetry import goodput
from llmstress.engine.telemetry.intervals import Interval
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.slo import Objectives


def goodput_of(found: goodput.Goodput, objectives: Objectives) -> Goodput | None:
    """The good requests of a stretch of time; None without SLOs."""
    if not (objectives.slos or objectives.others):
        return None
    return Goodput(
        slos=[slo.text for slo in objectives.slos],
        finished=found.finished,
        met=found.met,
        unknown=found.unknown,
        missed={slo.text: found.missed.get(slo.text, 0) for slo in objectives.slos},
        share=_share(found.share),
        share_max=_share(found.share_max),
        share_interval=_shares(found.share_interval),
        per_s=_rate(found.per_s),
        tokens_per_s=_rate(found.tokens_per_s),
    )


def fluidity_of(steady: Part, objectives: Objectives) -> Fluidity | None:
    """Fluidity of the answers of the steady windows; None without deadlines."""
    deadlines = objectives.deadlines
    if deadlines is None:
        return None
    found = goodput.fluidity(steady)
    index = {name: _share(value) for name, value in found.index.items()}
    return Fluidity(
        first_ms=deadlines.first_us / 1000,
        token_ms=deadlines.token_us / 1000,
        answers=found.answers,
        without=steady.ended.get("ok", 0) - found.answers,
        deadlines=found.deadlines,
        missed=found.missed,
        deadlines_met=_share(1 - found.missed / found.deadlines) if found.deadlines else None,
        fluid_share=_share(found.fluid / found.answers) if found.answers else None,
        index=FluidityIndex(
            **index,
            low_sample=found.low_sample,
            intervals={name: _shares(interval) for name, interval in found.intervals.items()},
        ),
    )


def smooth_goodput_of(steady: Part, objectives: Objectives, seconds: float) -> SmoothGoodput | None:
    """Smooth goodput of the steady windows, which are `seconds` long; None without a reading speed."""
    if not objectives.reading_speed:
        return None
    found = goodput.smooth_goodput(steady, seconds)
    return SmoothGoodput(
        reading_speed=objectives.reading_speed,
        answers=found.answers,
        without=steady.ended.get("ok", 0) - found.answers,
        tokens_per_s=_rate(found.per_s),
        idle_ms=describe(found.idle),
    )


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _shares(interval: Interval) -> tuple[float | None, float | None]:
    low, high = interval
    return _share(low), _share(high)


def _rate(per_second: float | None) -> float | None:
    return None if per_second is None else round(per_second, 3)
