"""Judged thresholds as rows of the summary. Pure functions."""

from collections.abc import Iterable

from llmstress.coordinator.output.judging_schema import ThresholdRow
from llmstress.engine.telemetry.formatting import duration
from llmstress.engine.telemetry.subjects import SUBJECTS
from llmstress.engine.telemetry.threshold_words import judgement_words
from llmstress.engine.telemetry.thresholds import Judgement, Threshold, Unit

_UNITS: dict[Unit, str] = {"latency": "ms", "share": "share", "number": "number", "money": "money", "status": "status"}
"""Unit of a subject -> its name in the summary."""


def threshold_rows(judgements: Iterable[Judgement]) -> list[ThresholdRow]:
    """The rows, in the order in which the thresholds were given."""
    return [_row(each) for each in judgements]


def _row(judgement: Judgement) -> ThresholdRow:
    threshold = judgement.threshold
    is_value = threshold.unit != "status"

    def shown(value: float | None) -> float | None:
        return None if value is None or not is_value else _in_summary(value, threshold.unit)

    return ThresholdRow(
        text=threshold.text,
        state=judgement.state,
        says=judgement_words(judgement),
        subject=threshold.subject.replace("CLASS", threshold.argument)
        if "CLASS" in threshold.subject
        else ".".join(filter(None, (threshold.subject, threshold.argument))),
        scope=scope_of(threshold),
        unit=_UNITS[threshold.unit],
        value=shown(judgement.value),
        low=shown(judgement.low),
        high=shown(judgement.high),
        limit=shown(threshold.limit),
        distance=shown(judgement.distance),
        why=judgement.why,
        at_s=judgement.at_s,
        abort=threshold.abort,
    )


def _in_summary(value: float, unit: Unit) -> float:
    if unit == "money":
        return float(f"{value:.10g}")  # a request may cost a millionth
    return round(value / 1000, 3) if unit == "latency" else round(value, 6)


def scope_of(threshold: Threshold) -> str:
    """What a threshold judges: `steady windows, each 30s`."""
    if threshold.window:
        whole = threshold.window
    elif threshold.over_s or threshold.after_s or SUBJECTS[threshold.subject].covers == "steady":
        whole = "steady windows"
    else:
        whole = "whole run"
    after = f", without the first {duration(threshold.after_s)}" if threshold.after_s else ""
    over = f", each {duration(threshold.over_s)}" if threshold.over_s else ""
    task = f"{threshold.task}: " if threshold.task else ""
    return f"{task}{whole}{after}{over}"
