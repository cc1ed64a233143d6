"""What a course has found, for the summary. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.output.points import (
    FindRow,
    KneeRow,
    LoadUnit,
    PeakRow,
    PointRow,
    ProbeRow,
    SweepRow,
)
from llmstress.coordinator.run.courses.answer import answer_of
from llmstress.coordinator.run.courses.course import Done
from llmstress.coordinator.run.courses.curve import Measured, knee_of, peak_of
from llmstress.coordinator.run.courses.estimates import CONFIDENCE
from llmstress.coordinator.run.courses.search import Evidence, SearchCourse, Standing, add, evidence_of
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.slo import Slo
from llmstress.engine.telemetry.windows import WindowFigures, figures_of


def sweep_row(view: RunView, done: Sequence[Done], ended: str, *, rate: bool) -> SweepRow:
    """A sweep: its points, with peak and knee of their throughput."""
    rows = [_point_row(view, each) for each in done]
    in_tokens = not rate and all(row.tokens_per_s is not None for row in rows)
    measured = [
        Measured(row.load, (row.tokens_per_s if in_tokens else row.requests_per_s) or 0.0, row.half_width)
        for row in rows
    ]
    peak, knee = peak_of(measured), knee_of(measured, rate=rate)
    known = peak is not None and peak.at.half_width is not None
    return SweepRow(
        unit=_unit(rate=rate),
        points=rows,
        peak=None
        if peak is None
        else PeakRow(
            load=peak.at.level,
            per_s=peak.at.per_s,
            of="tokens" if in_tokens else "requests",
            low=round(peak.at.low, 3) if known else None,
            high=round(peak.at.high, 3) if known else None,
            reached_at=peak.reached,
        ),
        knee=KneeRow(load=_rounded(knee.level), low=_rounded(knee.low), high=_rounded(knee.high), why=knee.why),
        ended_because=ended,
    )


def find_row(course: SearchCourse, slos: Sequence[Slo], view: RunView, done: Sequence[Done], ended: str) -> FindRow:
    """A search: its answer, and the probes."""
    answer = answer_of(course, done)
    return FindRow(
        state=answer.state,
        capacity=answer.capacity,
        unit=_unit(rate=course.rate),
        limit=answer.limit,
        attain=course.attain,
        slos=[slo.text for slo in slos],
        confidence=CONFIDENCE,
        bound_by=answer.bound_by,
        surprises=list(answer.surprises),
        text=answer.text,
        ended_because=ended,
        probes=_probe_rows(course, view, done),
    )


def _unit(*, rate: bool) -> LoadUnit:
    return "requests/s" if rate else "streams"


def _point_row(view: RunView, done: Done) -> PointRow:
    figures = figures_of(view, view.aggregate.windows[done.window])
    assert done.state in ("measured", "hopeless", "stopped")
    return PointRow(
        load=done.point.level,
        began_s=round(figures.begin_s, 3),
        seconds=round(figures.seconds, 3),
        settle_s=round(done.settle_s, 3),
        settled=done.settled,
        ended=done.state,
        why=done.why,
        ok=figures.ok,
        failed=figures.failed,
        dropped=figures.dropped,
        requests_per_s=_rounded(figures.requests_per_s),
        tokens_per_s=_rounded(figures.tokens_per_s or None),
        half_width=None if done.point.half_width is None else round(done.point.half_width, 5),
        ttft_p50=_ms(figures, "ttft", "p50"),
        ttft_p99=_ms(figures, "ttft", "p99"),
        tpot_p50=_ms(figures, "tpot", "p50"),
        tpot_p99=_ms(figures, "tpot", "p99"),
        e2e_p50=_ms(figures, "e2e", "p50"),
        e2e_p99=_ms(figures, "e2e", "p99"),
        interactivity=_rounded(figures.interactivity),
        client=done.point.client,
    )


def _probe_rows(course: SearchCourse, view: RunView, done: Sequence[Done]) -> list[ProbeRow]:
    """The probes, each with the requests that it was decided by: with those of undecided ones before it."""
    found: dict[float, Standing] = {}
    rows: list[ProbeRow] = []
    for each in done:
        rows.append(_probe_row(view, each, evidence_of(each.point, found.get(each.point.level))))
        add(found, each.point, each.state, course.attain)
    return rows


def _probe_row(view: RunView, done: Done, evidence: Evidence) -> ProbeRow:
    figures, point = figures_of(view, view.aggregate.windows[done.window]), done.point
    low, high = evidence.interval
    assert done.state in ("passed", "failed", "open", "stopped")
    return ProbeRow(
        load=point.level,
        began_s=round(figures.begin_s, 3),
        seconds=round(point.seconds, 3),
        settle_s=round(done.settle_s, 3),
        settled=done.settled,
        state=done.state,
        why=done.why,
        met=evidence.met,
        unknown=evidence.unknown,
        counted=evidence.counted,
        late=point.late,
        share=round(evidence.share, 6) if evidence.counted else None,
        low=round(low, 6),
        high=round(high, 6),
        missed=dict(point.missed),
        requests_per_s=_rounded(figures.requests_per_s),
        ttft_p99=_ms(figures, "ttft", "p99"),
        tpot_p50=_ms(figures, "tpot", "p50"),
        e2e_p99=_ms(figures, "e2e", "p99"),
        client=point.client,
    )


def _ms(figures: WindowFigures, metric: str, percentile: str) -> float | None:
    us = figures.percentile(metric, percentile)
    return None if us is None else round(us / 1000, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
