"""The distribution of a metric: a bar for each latency band, with marks at the percentiles."""

import math
from bisect import bisect_right

import msgspec
from textual.content import Content
from textual.widget import Widget

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.histogram import Histogram, bin_range
from llmstress.tui.format.headline import QUIET

_MARKS = ("p50", "p90", "p99")

_LINEAR_BELOW = 4.0
"""Up to this ratio of the largest to the smallest value the bands have equal widths; above it they are logarithmic."""

_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Bar(msgspec.Struct, frozen=True):
    """One band of latency."""

    label: str
    """Its lower edge."""
    count: int
    bar: str
    marks: tuple[str, ...]
    """Percentiles in this band, with their values."""


def bars(histogram: Histogram, rows: int, columns: int) -> list[Bar]:
    """At most `rows` bands from the lowest to the highest value; the longest bar is `columns` wide."""
    if not histogram.count or rows < 1:
        return []
    edges = edges_for(histogram.min, histogram.max, rows)
    counts = [0] * len(edges)
    for index, count in histogram.counts.items():
        counts[_band(edges, sum(bin_range(index)) / 2)] += count
    marks: list[list[str]] = [[] for _ in edges]
    thin = histogram.low_sample()
    for name in _MARKS:
        value = histogram.percentile(name)
        if value is not None:
            marks[_band(edges, value)].append(f"{name} {'~' if name in thin else ''}{formatting.latency(value)}")
    marks[_band(edges, histogram.max)].append(f"max {formatting.latency(histogram.max)}")
    most = max(counts)
    return [
        Bar(formatting.latency(edge), count, bar_of(count / most, columns), tuple(names))
        for edge, count, names in zip(edges, counts, marks, strict=True)
    ]


def edges_for(low: int, high: int, rows: int) -> list[float]:
    """Lower edges of at most `rows` bands that cover `low` to `high`."""
    low, high = max(1, low), max(1, high)
    # a bin of a histogram is up to 0.1 % wide, so narrower bands would suggest more precision than there is
    rows = max(1, min(rows, int((high - low) / max(1.0, high / 1000))))
    if high < _LINEAR_BELOW * low:
        return [low + (high - low) * row / rows for row in range(rows)]
    return [low * (high / low) ** (row / rows) for row in range(rows)]


def bar_of(share: float, columns: int) -> str:
    """A bar of length `share` of `columns`; any share above 0 is visible."""
    eighths = round(share * columns * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _band(edges: list[float], us: float) -> int:
    return max(0, bisect_right(edges, us) - 1)


class Distribution(Widget):
    """The distribution of one metric; fills the available space."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._title = ""
        self._histogram: Histogram | None = None
        self._fingerprint: tuple[object, ...] = ()

    def show(self, title: str, histogram: Histogram | None) -> None:
        """Show `histogram` under `title`; None: no samples."""
        # live histograms grow in place, so changes are detected by their sums
        fingerprint = (title, None) if histogram is None else (title, histogram.count, histogram.sum, histogram.max)
        if fingerprint != self._fingerprint:
            self._fingerprint, self._title, self._histogram = fingerprint, title, histogram
            self.refresh()

    def render(self) -> Content:
        """Title, bars and marks."""
        width, height = self.size
        histogram = self._histogram
        if histogram is None or not histogram.count:
            return Content.assemble((self._title, "bold"), ("\nno samples yet", QUIET))
        pieces: list[tuple[str, str]] = [
            (self._title, "bold"),
            (f"  {formatting.count(histogram.count)} samples", QUIET),
        ]
        # marks follow the ends of their bars, and bars never reach into the space reserved for marks
        for bar in reversed(bars(histogram, height - 1, max(4, width - _LABELS - _MARK_ROOM))):
            pieces.append((f"\n{bar.label:>8} {_percent(bar.count, histogram.count):>6} │", QUIET))
            pieces.append((bar.bar, "$text-primary"))
            if bar.marks:
                pieces.append((f" ◂ {'  '.join(bar.marks)}", "bold"))
        return Content.assemble(*pieces)


_LABELS = 17
_MARK_ROOM = 34


def _percent(count: int, total: int) -> str:
    if not count:
        return ""
    percent = 100 * count / total
    return "<0.1 %" if percent < 0.05 else formatting.share(count, total) if not math.isclose(percent, 100) else "100 %"
