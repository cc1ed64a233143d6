"""Flows in the summary and on the console: how they ended, how long they took, and the figures of each step. Pure
functions."""

from collections.abc import Sequence

from llmstress.coordinator.output.flow_schema import FlowRow, FlowStepRow
from llmstress.coordinator.output.latencies import describe
from llmstress.coordinator.output.load_text import short, value_of
from llmstress.engine.telemetry.aggregate import Aggregate, sum_of
from llmstress.engine.telemetry.broadcast import StepFacts
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.flows import DURATION
from llmstress.engine.telemetry.formatting import count, rate
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.metrics import COMPARED


def flows_of(aggregate: Aggregate, steps: Sequence[StepFacts], seconds: float) -> list[FlowRow]:
    """The flows of a run, a row for each task that has them.

    Args:
        aggregate: what was measured.
        steps: what the task numbers of the run stand for.
        seconds: length of the steady windows.
    """
    names = dict.fromkeys(step.task for step in steps if step.flow)
    return [_row(aggregate, name, steps, seconds) for name in names]


def _row(aggregate: Aggregate, name: str, steps: Sequence[StepFacts], seconds: float) -> FlowRow:
    numbers = [number for number, step in enumerate(steps) if step.task == name]
    whole = sum_of(aggregate.of_task(number) for number in numbers).counters
    part = sum_of(aggregate.of_task(number, Phase.STEADY) for number in numbers)
    steady = part.counters
    return FlowRow(
        task=name,
        started=whole.sessions,
        completed=whole.sessions_completed,
        failed=whole.sessions_failed,
        cut_off=whole.sessions - whole.sessions_completed - whole.sessions_failed,
        set_up_again=whole.set_up_again,
        flows_per_s=round(steady.sessions_completed / seconds, 3) if seconds > 0 else None,
        started_per_s=round(steady.sessions / seconds, 3) if seconds > 0 else None,
        duration_ms=describe(part.aside.get(DURATION)),
        steps=[_step(aggregate, number, steps[number].step) for number in numbers if steps[number].step],
    )


def _step(aggregate: Aggregate, number: int, name: str) -> FlowStepRow:
    whole, steady = aggregate.of_task(number), aggregate.of_task(number, Phase.STEADY)
    return FlowStepRow(
        step=name,
        started=whole.counters.started,
        ok=whole.ended.get("ok", 0),
        failed=sum(n for outcome, n in whole.ended.items() if outcome not in NOT_FAILED),
        latency_ms={metric: describe(steady.latency[metric]) for metric in COMPARED if metric in steady.latency},
    )


def flow_lines(rows: Sequence[FlowRow]) -> list[str]:
    """For each task with flows a line about them, and a table of at most 80 columns with a line for each step and one
    for the whole flow."""
    return [line for number, row in enumerate(rows) for line in ([""] if number else []) + _lines(row)]


def _lines(row: FlowRow) -> list[str]:
    ends = [f"{count(row.completed)} completed"]
    ends += [f"{count(n)} {name}" for name, n in (("failed", row.failed), ("cut off", row.cut_off)) if n]
    per_s = "" if row.flows_per_s is None else f"   {rate(row.flows_per_s)} completed/s"
    again = f"   set up again after a 401: {count(row.set_up_again)}" if row.set_up_again else ""
    head = f"{'':<26}{'ok':>8}{'failed':>8}{'E2E p50':>10}{'p99':>9}{'TTFT p50':>10}{'p99':>9}"
    if not row.started:
        return [f"requests of {row.task}", "", head, *(_line(step) for step in row.steps)]
    duration = "".join(f"{value_of(row.duration_ms, name):>{width}}" for name, width in (("p50", 10), ("p99", 9)))
    return [
        f"flows of {row.task}  {count(row.started)} started: {', '.join(ends)}{per_s}{again}",
        "",
        head,
        *(_line(step) for step in row.steps),
        f"{'whole flow':<26}{count(row.completed):>8}{count(row.failed):>8}{duration}",
    ]


def _line(step: FlowStepRow) -> str:
    values = "".join(
        f"{value_of(step.latency_ms.get(metric), name) if metric in step.latency_ms else '':>{width}}"
        for metric in ("e2e", "ttft")
        for name, width in (("p50", 10), ("p99", 9))
    )
    return f"{short(step.step, 25):<26}{count(step.ok):>8}{count(step.failed):>8}{values}".rstrip()
