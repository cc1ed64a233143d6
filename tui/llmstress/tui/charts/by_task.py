"""Charts that compare the tasks of a mix: pure functions that decide what is drawn."""

from collections.abc import Callable, Sequence

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.by_task import TaskFigures
from llmstress.engine.telemetry.metrics import METRICS, TASKS_CHARTED
from llmstress.tui.charts.bar_chart import BarDrawing, NamedBar


def drawings_of(tasks: Sequence[TaskFigures], metrics: set[str], chosen: str) -> list[BarDrawing]:
    """All charts: latencies (p50 and p99) and rates by task.

    Args:
        tasks: in the order of the mix.
        metrics: latencies of which the run has had a sample.
        chosen: name of the selected task.
    """
    made = [_latencies(metric, tasks, chosen) for metric in TASKS_CHARTED if metric in metrics]
    made.insert(1, _rates("requests/s", tasks, chosen, lambda each: each.requests_per_s))
    if any(has_tokens(each) for each in tasks):
        made.append(_rates("tokens/s", tasks, chosen, lambda each: each.tokens_per_s if has_tokens(each) else None))
    return made


def has_tokens(task: TaskFigures) -> bool:
    """Whether its answers have tokens, as far as they are known."""
    return bool(task.whole.counters.events or task.whole.counters.output)


def latency_text(task: TaskFigures, metric: str, name: str) -> str:
    """A percentile: `203 ms`; `~203 ms` if there are few samples for it; `–` if there are too few, or none."""
    us, found = task.percentile(metric, name), task.latency.get(metric)
    if us is None or found is None:
        return "–"
    return f"{'~' if name in found.low_sample() else ''}{formatting.latency(us)}"


def _latencies(metric: str, tasks: Sequence[TaskFigures], chosen: str) -> BarDrawing:
    bars = (
        NamedBar(
            each.facts.name,
            each.percentile(metric, "p50"),
            f"{latency_text(each, metric, 'p50')} · {latency_text(each, metric, 'p99')}",
            each.percentile(metric, "p99"),
        )
        for each in tasks
        if metric in each.latency
    )
    return BarDrawing(f"{METRICS[metric].label} by task: p50 █ p99 ░", tuple(bars), chosen)


def _rates(
    title: str, tasks: Sequence[TaskFigures], chosen: str, rate: Callable[[TaskFigures], float | None]
) -> BarDrawing:
    bars = (
        NamedBar(each.facts.name, found, formatting.rate(found)) for each in tasks if (found := rate(each)) is not None
    )
    return BarDrawing(f"{title} by task", tuple(bars), chosen)
