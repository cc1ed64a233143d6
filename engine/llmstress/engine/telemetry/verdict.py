"""Whether the figures of a run can be trusted: the verdict, made by the rules of `reasons` and `notes`."""

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.expectations import NOTES as EXPECTATIONS
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.notes import NOTES
from llmstress.engine.telemetry.reasons import REASONS
from llmstress.engine.telemetry.rules import Finding, Measured, Rule, findings, measured_of

RULES: tuple[Rule, ...] = (*REASONS, *NOTES, *EXPECTATIONS)
"""All of them, in the order in which they are printed; docs/metrics.md lists them."""


class Verdict(msgspec.Struct, frozen=True):
    """`status` is valid, degraded or invalid; `reasons` say why; `notes` leave the status as it is; `rules` has both
    again, each with the id of its rule."""

    status: str
    reasons: list[str]
    notes: list[str]
    rules: list[Finding] = []


def judge(aggregate: Aggregate, steady_s: float) -> Verdict:
    """The verdict on a run whose steady window was `steady_s` long."""
    found = findings(RULES, measured_of(aggregate, steady_s))
    reasons = [each for each in found if each.status != "note"]
    status = min((each.status for each in reasons), key=("invalid", "degraded").index, default="valid")
    return Verdict(
        status, [each.text for each in reasons], [each.text for each in found if each.status == "note"], found
    )


def notes_on_one_answer(part: Part, fields: list[str]) -> list[str]:
    """What the rules note about the single answer of a probe. `fields`: those that the API module does not know."""
    rules = [rule for rule in NOTES if rule.of_one_answer]
    return [each.text for each in findings(rules, Measured(whole=part, fields=fields))]
