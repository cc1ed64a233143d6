"""The tasks of a mix in the summary and in the table at the end. Pure functions."""

from collections.abc import Mapping, Sequence

import msgspec

from llmstress.coordinator.output.goodput import goodput_of
from llmstress.coordinator.output.judging_schema import Goodput
from llmstress.coordinator.output.latencies import describe
from llmstress.coordinator.output.load_text import rate_or_dash, short, value_of
from llmstress.coordinator.output.task_schema import TaskRow
from llmstress.engine.telemetry.broadcast import TaskFacts
from llmstress.engine.telemetry.by_task import TaskFigures
from llmstress.engine.telemetry.formatting import share, share_range
from llmstress.engine.telemetry.metrics import LATENCIES
from llmstress.engine.telemetry.slo import Objectives


def task_lines(tasks: Sequence[TaskFacts]) -> list[str]:
    """A line for each task before the run: name, share, target, API, model."""
    total, width = sum(task.weight for task in tasks), max((len(task.name) for task in tasks), default=0)
    return [
        f"{task.name:<{width}}  {share(task.weight, total):>6}  {task.url}   {task.api}"
        f"{f'   model {task.model}' if task.model else ''}"
        for task in tasks
    ]


def task_rows(tasks: Sequence[TaskFigures], objectives: Objectives) -> list[TaskRow]:
    """The rows of the summary; `objectives`: those of the run."""
    return [_row(task, objectives) for task in tasks]


def _row(task: TaskFigures, objectives: Objectives) -> TaskRow:
    facts, ended, whole = task.facts, task.whole.ended, task.whole.counters
    of_task = tuple(slo for slo in objectives.slos if slo.text in facts.slos)
    own = Objectives(of_task, others=bool(objectives.slos))
    return TaskRow(
        name=facts.name,
        weight=facts.weight,
        api=facts.api,
        url=facts.url,
        model=facts.model,
        unit=task.unit,
        begun=task.begun,
        share=round(task.asked_share, 6),
        started_share=None if task.started_share is None else round(task.started_share, 6),
        started=whole.started,
        ok=ended.get("ok", 0),
        failed=sum(task.whole_failed_by.values()),
        filtered=ended.get("filtered", 0),
        cancelled=ended.get("cancelled", 0),
        lost=ended.get("lost", 0),
        failed_by=task.whole_failed_by,
        requests_per_s=_rounded(task.requests_per_s),
        output_per_s=_rounded(task.tokens_per_s),
        speed=_rounded(task.speed),
        output=whole.output,
        input=whole.input,
        cached_input=whole.cached_input,
        latency_ms={name: describe(task.steady.latency[name]) for name in LATENCIES if name in task.steady.latency},
        goodput=goodput_of(task.goodput, own) or msgspec.UNSET,
    )


def tasks_table(rows: Sequence[TaskRow], *, whole_answers: bool) -> list[str]:
    """The lines of the table, of at most 80 columns; none without a mix. If tasks have conversations or flows, lines
    above it say what is counted: the weights share out those, and rates are of requests."""
    if not rows:
        return []
    units = [unit for unit in ("requests", "conversations", "flows") if any(row.unit == unit for row in rows)]
    said = []
    if units != ["requests"]:
        parts = " and ".join(each for unit, each in (("conversations", "turn"), ("flows", "step")) if unit in units)
        said = [
            f"share: of the {_listed(units)} that began",
            f"req/s: requests that ended ok, each {parts} included",
            "",
        ]
    first = "" if whole_answers else f"{'TTFT p50':>10}{'p99':>9}"
    last = "good" if any(isinstance(row.goodput, Goodput) for row in rows) else "failed"
    head = f"{'task':<16}{'share':>7}{'req/s':>9}{'tok/s':>8}{first}{'E2E p50':>10}"
    ends = [last, *map(_end, rows)]
    width = max(8, *(2 + len(each) for each in ends))
    lines = [head, *(_line(row, first=bool(first)) for row in rows)]
    return [*said, *(f"{line}{end:>{width}}" for line, end in zip(lines, ends, strict=True))]


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def fairness_lines(fairness: Mapping[str, float]) -> list[str]:
    """A line for each list of models."""
    means = "Jain's index of tokens/s per user"
    return [f"fairness of {group}: {index:.3f} ({means})" for group, index in fairness.items()]


def _line(row: TaskRow, *, first: bool) -> str:
    ttft, e2e = row.latency_ms.get("ttft"), row.latency_ms.get("e2e")
    shown = f"{value_of(ttft, 'p50'):>10}{value_of(ttft, 'p99'):>9}" if first else ""
    begun = "–" if row.started_share is None else f"{100 * row.started_share:.3g} %"
    return (
        f"{short(row.name, 15):<16}{begun:>7}{rate_or_dash(row.requests_per_s):>9}{rate_or_dash(row.output_per_s):>8}"
        f"{shown}{value_of(e2e, 'p50'):>10}"
    )


def _end(row: TaskRow) -> str:
    """The share of its good requests, or of its failed ones."""
    if isinstance(row.goodput, Goodput):
        return share_range(row.goodput.share, row.goodput.share_max)
    return share(row.failed, row.ok + row.failed + row.filtered + row.lost)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
