"""Conversations in the summary and on the console: how they ended, and the figures of each turn. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.output.conversation_schema import Conversations, TurnRow
from llmstress.coordinator.output.latencies import describe
from llmstress.coordinator.output.load_text import short, value_of
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import StepFacts
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.formatting import count, rate
from llmstress.engine.telemetry.messages import Counters, Phase
from llmstress.engine.telemetry.metrics import COMPARED


def conversations_of(aggregate: Aggregate, steps: Sequence[StepFacts], seconds: float) -> Conversations | None:
    """The conversations of a run; None: there are none.

    Args:
        aggregate: what was measured.
        steps: what the task numbers of the run stand for.
        seconds: length of the steady windows.
    """
    turns = [(number, step) for number, step in enumerate(steps) if step.conversation]
    if not turns:
        return None
    whole, steady = Counters(), Counters()
    for number, _ in turns:
        whole.add(aggregate.of_task(number).counters)
        steady.add(aggregate.of_task(number, Phase.STEADY).counters)
    over = whole.sessions_completed + whole.sessions_failed + whole.sessions_overflowed
    return Conversations(
        started=whole.sessions,
        completed=whole.sessions_completed,
        failed=whole.sessions_failed,
        overflowed=whole.sessions_overflowed,
        cut_off=whole.sessions - over,
        sessions_per_s=round(steady.sessions_completed / seconds, 3) if seconds > 0 else None,
        started_per_s=round(steady.sessions / seconds, 3) if seconds > 0 else None,
        turns=[_row(aggregate, number, step) for number, step in turns],
    )


def _row(aggregate: Aggregate, number: int, step: StepFacts) -> TurnRow:
    whole, steady = aggregate.of_task(number), aggregate.of_task(number, Phase.STEADY)
    counters, ok = whole.counters, whole.ended.get("ok", 0)
    known = ok - counters.tokens_unknown
    return TurnRow(
        task=step.task,
        turn=step.step,
        started=counters.started,
        ok=ok,
        failed=sum(n for outcome, n in whole.ended.items() if outcome not in NOT_FAILED),
        input_mean=round(counters.input / counters.usage_seen, 1) if counters.usage_seen and counters.input else None,
        output_mean=round(counters.output / known, 1) if known else None,
        latency_ms={metric: describe(steady.latency[metric]) for metric in COMPARED if metric in steady.latency},
    )


def conversation_lines(found: Conversations) -> list[str]:
    """A line about the conversations, and a table of at most 80 columns with a line for each turn."""
    ends = [f"{count(found.completed)} completed"]
    others = (("failed", found.failed), ("overflowed", found.overflowed), ("cut off", found.cut_off))
    ends += [f"{count(n)} {name}" for name, n in others if n]
    per_s = "" if found.sessions_per_s is None else f"   {rate(found.sessions_per_s)} completed/s"
    streamed = any("ttft" in row.latency_ms for row in found.turns)
    metric = "ttft" if streamed else "e2e"
    tpot = f"{'TPOT p50':>10}" if streamed else ""
    return [
        f"conversations  {count(found.started)} started: {', '.join(ends)}{per_s}",
        "",
        f"{'':<20}{'ok':>8}{'failed':>7}{f'{metric.upper()} p50':>10}{'p99':>9}{tpot}{'input':>8}{'output':>8}",
        *(_line(row, metric, streamed=streamed) for row in found.turns),
    ]


def _line(row: TurnRow, metric: str, *, streamed: bool) -> str:
    tpot = f"{value_of(row.latency_ms.get('tpot'), 'p50'):>10}" if streamed else ""
    p50, p99 = (value_of(row.latency_ms.get(metric), name) for name in ("p50", "p99"))
    means = "".join(f"{'–' if mean is None else count(round(mean)):>8}" for mean in (row.input_mean, row.output_mean))
    return (
        f"{f'{short(row.task, 10)} {row.turn}'.strip():<20}{count(row.ok):>8}{count(row.failed):>7}"
        f"{p50:>10}{p99:>9}{tpot}{means}"
    )
