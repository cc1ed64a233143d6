"""The load as text: a line for the open model, and a table with a line for each window. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.output.judging_schema import Goodput
from llmstress.coordinator.output.latencies import Latency
from llmstress.coordinator.output.load_schema import Load
from llmstress.coordinator.output.schema import Asked, WindowRow, WordsPerToken
from llmstress.engine.telemetry.formatting import count, latency, rate, share, share_range
from llmstress.engine.telemetry.load_profile import RATES

MOST_ROWS = 40
"""Lines of the table; the summary has all windows."""


def load_line(load: Load) -> str:
    """Rates of the open model, and how many requests were dropped or late; empty in the closed model."""
    if load.model == "closed":
        return ""
    asked = "asked for the trace" if load.asked_per_s is None else f"asked {rate(load.asked_per_s)}{_unit(load)}"
    parts = [asked]
    if load.due_per_s is not None and load.achieved_per_s is not None:
        of_due = "" if load.achieved_share is None else f" ({_percent(load.achieved_share)})"
        what = "requests " if load.unit == "sessions" else ""  # of which a session has several
        parts.append(f"{what}due {rate(load.due_per_s)}/s, achieved {rate(load.achieved_per_s)}/s{of_due}")
    parts.append(f"{count(load.dropped or 0)} dropped")
    if load.slip_p99_ms is not None:
        parts.append(f"queue p99 {latency(1000 * load.slip_p99_ms)}")
    if load.waiting_max:
        parts.append(f"{count(load.waiting_max)} waited at most")
    return f"load      {', '.join(parts)}"


def _unit(load: Load) -> str:
    return " sessions/s" if load.unit == "sessions" else "/s"


def windows_table(rows: Sequence[WindowRow], *, whole_answers: bool) -> list[str]:
    """The lines of the table, of at most 80 columns; none for a single window."""
    if len(rows) < 2:
        return []
    arrivals = any(row.due is not None for row in rows)
    metric = "e2e" if whole_answers else "ttft"
    title = metric.upper()
    begins, pace = "started/s" if arrivals else "req/s", "" if whole_answers else f"{'TPOT p50':>10}"
    last = "good" if any(isinstance(row.goodput, Goodput) for row in rows) else "failed"
    head = f"{'window':<14}{'asked':>9}{begins:>10}{'tok/s':>8}{f'{title} p50':>10}{'p99':>9}{pace}{last:>8}"
    shown = rows[:MOST_ROWS]
    lines = [head, *(_line(row, metric, arrivals=arrivals, pace=not whole_answers) for row in shown)]
    if len(rows) > len(shown):
        lines.append(f"… and {len(rows) - len(shown):,} more windows in the summary")
    return lines


def _line(row: WindowRow, metric: str, *, arrivals: bool, pace: bool) -> str:
    begins = row.started_per_s if arrivals else row.requests_per_s
    finished = row.ok + row.failed + row.filtered + row.lost
    asked = f"{rate(row.asked)}/s" if row.unit in RATES else f"{row.asked:,.4g}"
    tpot = f"{value_of(row.latency_ms.get('tpot'), 'p50'):>10}" if pace else ""
    last = share(row.failed, finished)
    if isinstance(row.goodput, Goodput):
        last = share_range(row.goodput.share, row.goodput.share_max)
    return (
        f"{short(row.label, 13):<14}{asked:>9}{rate_or_dash(begins):>10}{rate_or_dash(row.output_per_s):>8}"
        f"{value_of(row.latency_ms.get(metric), 'p50'):>10}{value_of(row.latency_ms.get(metric), 'p99'):>9}"
        f"{tpot}{last:>8}"
    )


def short(label: str, most: int) -> str:
    """A label of at most this many characters."""
    return label if len(label) <= most else f"{label[: most - 1]}…"


def rate_or_dash(value: float | None) -> str:
    """A rate, or a dash."""
    return "–" if value is None else rate(value)


def value_of(found: Latency | None, name: str) -> str:
    """A percentile, with ~ before it if it has few samples; a dash without samples."""
    value = None if found is None else getattr(found, name)
    thin = "~" if found is not None and value is not None and name in found.low_sample else ""
    return thin + latency(None if value is None else 1000 * value)


def _percent(part: float) -> str:
    """A share near 1: `100 %` only if nothing is missing."""
    percent = 100 * part
    return f"{percent:.0f} %" if percent == 100 or percent >= 100.5 else f"{min(percent, 99.99):.4g} %"


def asked_line(asked: Asked) -> str:
    """The line of the table about tokens that were asked for and delivered."""
    parts = [
        f"{count(wanted)} {name}, delivered {count(got)} ({got / wanted - 1:+.1%})"
        for name, wanted, got in (
            ("input", asked.input, asked.input_delivered),
            ("output", asked.output, asked.output_delivered),
        )
        if wanted
    ]
    return f"asked     {'; '.join(parts)}"


def words_lines(found: Sequence[WordsPerToken]) -> list[str]:
    """The lines of the table about words per token that were corrected: one for each task."""
    lines = []
    for task in dict.fromkeys(row.task for row in found if row.from_request):
        first, *corrected = [row for row in found if row.task == task]
        then = [
            f"{row.ratio:g} from request {row.from_request:,} on"
            + ("" if row.late_from_request is None else f", in one process from {row.late_from_request:,} on")
            + ("" if row.reached else " (not reached)")
            for row in corrected
        ]
        whose, repeat = f"{task}: " if task else "", f"--words-per-token {corrected[-1].ratio:g}"
        assumed = f"{whose}{first.ratio:g} per token assumed"
        lines.append(f"words     {'; '.join([assumed, *then])}; for equal prompts in each run: {repeat}")
    return lines
