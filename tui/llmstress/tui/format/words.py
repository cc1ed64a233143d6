"""Names, signs and explanations of what the screen shows."""

from collections.abc import Iterable

from llmstress.engine.telemetry.formatting import duration
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.tui.format.load import measured_name
from llmstress.tui.format.picture import Picture

VERDICTS = {
    "none yet": ("·", "$foreground 65%"),
    "valid": ("✔", "$text-success"),
    "degraded": ("▲", "$text-warning"),
    "invalid": ("✖", "$text-error"),
}
"""Status of the verdict -> its sign and colour."""

OUTCOMES = {
    "none": ("·", "$foreground 65%"),
    "good": ("✔", "$text-success"),
    "mixed": ("▲", "$text-warning"),
    "bad": ("✖", "$text-error"),
}
"""`Picture.outcome` -> its sign and colour."""

THRESHOLDS = {
    "failed": ("✖", "$text-error"),
    "undecided": ("?", "$text-warning"),
    "pending": ("·", "$foreground 65%"),
    "passed": ("✔", "$text-success"),
}
"""State of a threshold -> its sign and colour."""

ENDS = {
    "duration": "the time was up",
    "requests": "all requests are done",
    "signal": "ended by you",
    "abort": "ended at once by you",
    "lost": "all workers were lost",
    "quota": "the quota, --max-total-tokens or --max-cost was used up",
    "errors": "ended by failed requests",
    "points": "the sweep or the search is over",
    "threshold": "a threshold of --abort-if was crossed",
}
"""`Ended.by` -> why the run has ended."""


def clock_time(seconds: float) -> str:
    """A time of a run: `0:07`, `12:34`, `1:02:03`."""
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{sign}{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{sign}{minutes}:{whole % 60:02d}"


def window_words(picture: Picture, metric: str = "") -> str:
    """The period that the figures of `picture`, or those of one latency, cover."""
    seconds = picture.figures.seconds
    if not picture.whole:
        return f"last {duration(max(1, round(picture.figures.spans.get(metric, seconds))))}"
    name = measured_name(picture.view)
    return f"{name} {duration(round(seconds))}" if seconds > 0 else f"{name} (not begun)"


def spans_words(picture: Picture, metrics: Iterable[str]) -> str:
    """The latencies among `metrics` that cover a longer period than the other figures: `TTFT, E2E 30 s`."""
    by_span: dict[int, list[str]] = {}
    for metric in metrics:
        if not picture.whole and metric in picture.figures.spans:
            by_span.setdefault(round(picture.figures.spans[metric]), []).append(METRICS[metric].label)
    return "; ".join(f"{', '.join(names)} {span} s" for span, names in by_span.items())


def widest_words(picture: Picture) -> str:
    """The longest period that a latency covers, if it is longer than that of the other figures."""
    if picture.whole or not picture.figures.spans:
        return ""
    return f", up to {duration(round(max(picture.figures.spans.values())))} where a p99 needs it"
