"""What a rule of the verdict is: a row of a table, with the function that decides whether it applies.

The rules that make a verdict invalid or degraded are in `reasons`, those that only add a note in `notes`. To add a
rule, write its function, add a row to `REASONS` or `NOTES` and a case to `tests/engine/test_rules.py`, then update the
page: `UPDATE_DOCS=1 pytest tests/test_metrics_page.py`. Ids are part of the summary: once published, they stay.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate, WorkerState
from llmstress.engine.telemetry.collecting import Collected, collected
from llmstress.engine.telemetry.messages import Part, Phase

Status = Literal["invalid", "degraded", "note"]

Values = Mapping[str, object]
"""What fills the placeholders of a rule's sentence and advice."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at. The default of everything but `whole` is that of a single request."""

    whole: Part
    """The whole run, without latencies."""
    steady: Part = msgspec.field(default_factory=Part)
    """The steady windows together."""
    steady_s: float = 0.0
    """Their length."""
    workers: list[WorkerState] = []
    has_tpot: bool = False
    """Some answer of the run has a `tpot`."""
    blocks: Collected | None = None
    """What the reads of steady windows and drain show of answers that came in blocks."""
    fields: list[str] = []
    """Fields that the API module does not know and whose text was counted as reasoning."""
    load_changes: int = 0
    """How often the load was changed by hand."""
    waiting_max: int = 0
    """Most requests that waited for a stream at once (open model)."""

    @property
    def ok(self) -> int:
        """Requests that ended ok."""
        return self.whole.ended.get("ok", 0)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    id: str
    status: Status
    """What the rule makes of the verdict; a note leaves it as it is."""
    looks_at: str
    limit: str
    """When it applies."""
    sentence: str
    """What it says, with placeholders."""
    advice: str = ""
    """What to do, with placeholders; empty: there is nothing to do."""
    of_one_answer: bool = False
    """`probe` applies it to its single answer, too."""
    applies: Callable[[Measured], Iterable[Values]]
    """Values for each time that the rule applies: once for each worker, or once in all."""


class Finding(msgspec.Struct, frozen=True):
    """A rule that applies: `id` and `status` as in docs/metrics.md, and what it says of this run."""

    id: str
    status: Status
    text: str


def findings(rules: Iterable[Rule], measured: Measured) -> list[Finding]:
    """What these rules say, in their order."""
    return [Finding(rule.id, rule.status, _text(rule, values)) for rule in rules for values in rule.applies(measured)]


def _text(rule: Rule, values: Values) -> str:
    text = f"{rule.sentence}: {rule.advice}" if rule.advice else rule.sentence
    return text.format_map(values)


def measured_of(aggregate: Aggregate, steady_s: float) -> Measured:
    """What the rules look at in a run whose steady windows were `steady_s` long."""
    return Measured(
        whole=aggregate.whole,
        steady=aggregate.steady,
        steady_s=steady_s,
        workers=aggregate.workers,
        has_tpot="tpot" in aggregate.metrics,
        # in the steady windows, where the lateness of the client is known, and in what ended after them
        blocks=collected(aggregate.counters(Phase.STEADY, Phase.DRAIN), aggregate.signs),
        fields=aggregate.fields,
        load_changes=sum(notice.kind == "load" for notice in aggregate.notices),
        waiting_max=aggregate.waiting_max,
    )
