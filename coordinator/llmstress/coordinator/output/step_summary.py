"""The result of a run in Markdown, for the summary page of a job of GitHub Actions."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmstress.coordinator.output.judging_schema import ThresholdRow
from llmstress.coordinator.output.schema import Summary
from llmstress.engine.telemetry.formatting import count, latency, rate
from llmstress.engine.telemetry.metrics import METRICS, TABLE
from llmstress.engine.telemetry.sanitize import sanitize_text
from llmstress.engine.telemetry.thresholds import STATES

VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file that GitHub Actions shows."""

_PERCENTILES = ("p50", "p90", "p99")


def step_summary_file(environ: Mapping[str, str]) -> Path | None:
    """The file to append to; None: this is no job of GitHub Actions."""
    name = environ.get(VARIABLE, "")
    return Path(name) if name else None


def append_step_summary(path: Path, text: str) -> None:
    """Append `text` to the file.

    Raises:
        OSError: it cannot be written.
    """
    # without waiting: a pipe without a reader is an error and does not block
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666), "wb") as file:
        file.write(text.encode("utf-8", "replace"))


def step_summary(summary: Summary, result: str) -> str:
    """The page; `result`: one sentence about the exit code."""
    requests, tokens = summary.requests, summary.tokens
    figures = [
        ("requests", f"{count(requests.ok)} ok, {count(requests.failed)} failed{_per_s(requests.per_s)}"),
        *([("output tokens", f"{count(tokens.output)}{_per_s(tokens.output_per_s)}")] if tokens.output else []),
        ("streams", count(summary.streams.target)),
    ]
    verdict = summary.verdict
    parts = [
        f"## llmstress: {_plain(' '.join(filter(None, (summary.run.model, summary.run.url))))}",
        _plain(result),
        f"**outcome:** {_plain(summary.outcome.text)}  \n**measurement:** {verdict.status}",
        "\n".join(f"- {_plain(text)}" for text in (*verdict.reasons, *verdict.notes)),
        _thresholds(summary.thresholds),
        _table(("", ""), figures),
        _latencies(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n\n"


def _thresholds(rows: list[ThresholdRow]) -> str:
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda row: STATES.index(row.state))
    cells = [(row.state, _code(row.text), _plain(row.says)) for row in ordered]
    return _table(("threshold", "fails if", "measured"), cells)


def _latencies(summary: Summary) -> str:
    streamed = summary.latency_ms["ttft"].count > 0
    rows = []
    for name in TABLE.of(whole_answers=not streamed):
        found = summary.latency_ms[name]
        if METRICS[name].without_waits is None and found.count:
            values = (getattr(found, percentile) for percentile in _PERCENTILES)
            rows.append((name, *(latency(None if ms is None else ms * 1000) for ms in values), count(found.count)))
    return _table(("latency", *_PERCENTILES, "samples"), rows) if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _per_s(per_second: float | None) -> str:
    return "" if per_second is None else f", {rate(per_second)}/s"


def _code(text: str) -> str:
    """A text of one line as code in a table."""
    shown = sanitize_text(text).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _plain(text: str) -> str:
    """A text of one line without effect on the Markdown around it."""
    shown = sanitize_text(text)
    for mark in "\\`*_[]<>|#":
        shown = shown.replace(mark, f"\\{mark}")
    return shown
