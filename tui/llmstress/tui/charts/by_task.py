"""Charts that compare the tasks of a mix, or the steps of one: pure functions that decide what is drawn."""

from collections.abc import Callable, Sequence

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.by_task import NamedFigures
from llmstress.engine.telemetry.histogram import Distribution
from llmstress.engine.telemetry.metrics import METRICS, TASKS_CHARTED
from llmstress.tui.charts.bar_chart import BarDrawing, NamedBar


def drawings_of(
    figures: Sequence[NamedFigures], metrics: set[str], chosen: str, by: str = "by task"
) -> list[BarDrawing]:
    """All charts: latencies (p50 and p99) and rates.

    Args:
        figures: of the tasks, or of the steps of one, in their order.
        metrics: latencies of which the run has had a sample.
        chosen: name of the selected one.
        by: what is compared, for the titles.
    """
    made = [_latencies(metric, figures, chosen, by) for metric in TASKS_CHARTED if metric in metrics]
    made.insert(1, _rates(f"requests/s {by}", figures, chosen, lambda each: each.requests_per_s))
    if any(has_tokens(each) for each in figures):
        tokens = f"tokens/s {by}"
        made.append(_rates(tokens, figures, chosen, lambda each: each.tokens_per_s if has_tokens(each) else None))
    return made


def has_tokens(figures: NamedFigures) -> bool:
    """Whether the answers have tokens, as far as they are known."""
    return bool(figures.whole.counters.events or figures.whole.counters.output)


def latency_text(figures: NamedFigures, metric: str, name: str) -> str:
    """A percentile: `203 ms`; `~203 ms` if there are few samples for it; `–` if there are too few, or none."""
    return percentile_text(figures.latency.get(metric), name)


def percentile_text(found: Distribution | None, name: str) -> str:
    """The same of any distribution of times; None: there is none."""
    if found is None or (us := found.percentile(name)) is None:
        return "–"
    return f"{'~' if name in found.low_sample() else ''}{formatting.latency(us)}"


def _latencies(metric: str, figures: Sequence[NamedFigures], chosen: str, by: str) -> BarDrawing:
    bars = (
        NamedBar(
            each.name,
            each.percentile(metric, "p50"),
            f"{latency_text(each, metric, 'p50')} · {latency_text(each, metric, 'p99')}",
            each.percentile(metric, "p99"),
        )
        for each in figures
        if metric in each.latency
    )
    return BarDrawing(f"{METRICS[metric].label} {by}: p50 █ p99 ░", tuple(bars), chosen)


def _rates(
    title: str, figures: Sequence[NamedFigures], chosen: str, rate: Callable[[NamedFigures], float | None]
) -> BarDrawing:
    bars = (NamedBar(each.name, found, formatting.rate(found)) for each in figures if (found := rate(each)) is not None)
    return BarDrawing(title, tuple(bars), chosen)
