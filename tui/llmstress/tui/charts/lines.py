"""Line charts: pure functions that decide what is drawn over time. `chart.Chart` draws it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal

import msgspec

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import LABELS, Phase
from llmstress.engine.telemetry.timeline import Row
from llmstress.tui.charts.axes import ceiling_of, decade_below, log_ticks, nice_ceiling, ticks, time_ticks

_UPPER = (("p99", 100), ("p90", 10))
"""Percentiles for the upper latency line, and the samples that each point needs: n >= 1 / (1 - p)."""

_FEW_POINTS = 12
"""If a percentile would have fewer points than this, a lower one is used."""

LOG_ABOVE = 30.0
"""Above this ratio of the largest to the smallest value, latencies have a logarithmic axis."""

_MAX_MARKS = 8

_MAX_WINDOW_MARKS = 12

MARKERS = ("⠒", "•", "×", "o")
"""Markers that distinguish lines without colours. The first line has only dots; the others have additional markers."""

POINT_MARKERS = ("o", "•", "×", "+")
"""The same where each point has its marker."""

MOST_LINES = len(MARKERS)

_LABEL_COLUMNS = 9
"""Columns for a label of a horizontal axis of numbers, with the space beside it."""


class TimeColumn:
    """Adjacent rows of the timeline, merged: a point of a line, or a column of a heatmap."""

    def __init__(
        self, rows: Sequence[Row], begin_s: float, seconds: float, fingerprint: tuple[float, ...], metric: str = ""
    ) -> None:
        """`fingerprint`: the result of `fingerprint_of`; `metric`: as for `samples_of`."""
        self.begin_s = begin_s
        self.seconds = seconds
        self.fingerprint = fingerprint
        self.events = sum(row.events for row in rows)
        self.requests = sum(row.requests for row in rows)
        self.started = sum(row.started for row in rows)
        self.due = sum(row.due for row in rows)
        self.open = max((row.open for row in rows), default=0)
        self._rows = rows
        self._metric = metric

    @cached_property
    def latency(self) -> Histogram:
        """The merged samples of the rows; must not be changed. Merged only on access."""
        if len(self._rows) == 1:
            return samples_of(self._rows[0], self._metric)
        merged = Histogram()
        for row in self._rows:
            merged.merge(samples_of(row, self._metric))
        return merged

    @cached_property
    def percentiles(self) -> dict[str, int | None]:
        """p50, p90, p99 and max in µs; None: too few samples."""
        p50, p90, p99 = self.latency.percentiles((5_000, 9_000, 9_900))
        return {"p50": p50, "p90": p90, "p99": p99, "max": self.latency.max if self.latency.count else None}

    def failed(self, outcome: str) -> int:
        """Number of requests that ended with this class of failure."""
        return sum(row.failed_by.get(outcome, 0) for row in self._rows)


def samples_of(row: Row, metric: str) -> Histogram:
    """The samples of one of `CHARTED`, or, for an empty `metric`, of the row's main latency; must not be changed."""
    return row.more.get(metric, _NOTHING) if metric else row.latency


_NOTHING = Histogram()


def fingerprint_of(rows: Sequence[Row], row_s: float, metric: str = "") -> tuple[float, ...]:
    """A value that changes whenever `rows` change, so that results made from them can be cached."""
    count = total = events = requests = begun = 0
    for row in rows:
        samples = samples_of(row, metric)
        count += samples.count
        total += samples.sum
        events += row.events
        requests += row.requests
        begun += row.started + row.due + row.open
    return row_s, len(rows), count, total, events, requests, begun


def downsample(
    rows: Sequence[Row], row_s: float, step: int, known: Sequence[TimeColumn] = (), metric: str = ""
) -> list[TimeColumn]:
    """Columns of `step` merged rows each; percentiles can be computed only from merged samples.

    `known`: an earlier result for the same `metric`; its unchanged columns are reused.
    """
    columns: list[TimeColumn] = []
    for number, first in enumerate(range(0, len(rows), step)):
        part = rows[first : first + step]
        fingerprint = fingerprint_of(part, row_s, metric)
        if number < len(known) and known[number].fingerprint == fingerprint:
            columns.append(known[number])
        else:
            columns.append(TimeColumn(part, first * row_s, len(part) * row_s, fingerprint, metric))
    return columns


class TimelineCache:
    """Caches downsampled rows between draws."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, list[TimeColumn]]] = {}

    def columns(self, use: str, aggregate: Aggregate, step: int, metric: str = "") -> list[TimeColumn]:
        """The timeline of `aggregate` in columns of `step` rows; `use`: the key of the cache."""
        before, known = self._known.get((use, metric), (step, []))
        columns = downsample(aggregate.rows, aggregate.row_ns / 1e9, step, known if before == step else (), metric)
        self._known[use, metric] = step, columns
        return columns


class Line(msgspec.Struct, frozen=True):
    """One line: points as places on the horizontal axis and values; a value of None is a gap."""

    name: str
    points: tuple[tuple[float, float | None], ...]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a chart shows."""

    title: str
    lines: tuple[Line, ...]
    end: float
    """End of the horizontal axis."""
    low: float
    high: float
    logarithmic: bool = False
    marks: tuple[tuple[float, str], ...] = ()
    """Places with a vertical line, and their names."""
    unit: Literal["us", "rate", "share"] = "us"
    """Unit of the values: latencies in µs, rates, or shares of 1."""
    begin: float = 0.0
    """Start of the horizontal axis."""
    across: Literal["time", "number"] = "time"
    """What the horizontal axis shows: seconds after T0, or numbers."""
    logarithmic_across: bool = False
    """The horizontal axis is logarithmic."""
    dots: bool = False
    """Each point has a marker: the points are single measurements."""
    empty: str = "no samples yet"
    """Text shown if there are no points."""


def zoomed(drawing: Drawing, begin_s: float, zoom_s: float, marks: tuple[tuple[float, str], ...]) -> Drawing:
    """The last `zoom_s` seconds of a drawing whose times count from `begin_s`; `marks`: the marks of the whole run."""
    end = drawing.end + begin_s
    begin = max(0.0, end - zoom_s)
    lines = tuple(
        Line(line.name, tuple((x + begin_s, y) for x, y in line.points if x + begin_s >= begin))
        for line in drawing.lines
    )
    seen = tuple((at, name) for at, name in marks if begin <= at <= end)
    return msgspec.structs.replace(drawing, lines=lines, begin=begin, end=end, marks=seen)


def step_for(rows: int, most: int) -> int:
    """Number of rows per column that gives at most `most` columns."""
    return max(1, -(-rows // max(1, most)))


def upper_line(rows: Sequence[Row], most: int, metric: str = "") -> tuple[str, int]:
    """The highest percentile with enough samples (p99, p90 or max), and the rows per point that it needs."""
    counts = [count for row in rows if (count := samples_of(row, metric).count)]
    least = step_for(len(rows), most)
    if counts:
        typical = sum(counts) / len(counts)
        for name, needed in _UPPER:
            # 1.5 times as many, because not every point has the typical number; powers of two seldom change
            wanted = 1.5 * needed / typical
            step = max(least, 1 << max(0, math.ceil(math.log2(wanted))))
            if -(-len(rows) // step) >= min(_FEW_POINTS, len(rows), most):
                return name, step
    return "max", least


def latency_drawing(
    columns: Sequence[TimeColumn],
    upper: str,
    elapsed_s: float,
    marks: tuple[tuple[float, str], ...] = (),
    metric: str = "TTFT",
    begin_s: float = 0.0,
) -> Drawing:
    """The drawing of a latency over time: its median and the line `upper`."""
    points = {
        name: tuple((_middle(column, elapsed_s), _number(column.percentiles[name])) for column in columns)
        for name in ("p50", upper)
    }
    values = [value for line in points.values() for _, value in line if value]
    logarithmic = bool(values) and max(values) > LOG_ABOVE * min(values)
    low, high = (decade_below(min(values)), nice_ceiling(max(values))) if logarithmic else (0.0, ceiling_of(values))
    return Drawing(
        title=f"{metric} p50, {upper}{_every(columns)}{', log' if logarithmic else ''}",
        lines=tuple(Line(name, line) for name, line in points.items()),
        end=max(elapsed_s, 1.0),
        low=low,
        high=high,
        logarithmic=logarithmic,
        marks=marks,
        begin=begin_s,
    )


def rate_drawing(
    name: str,
    columns: Sequence[TimeColumn],
    lines: Mapping[str, Callable[[TimeColumn], float]],
    elapsed_s: float,
    *,
    ended: bool,
    marks: tuple[tuple[float, str], ...] = (),
) -> Drawing:
    """The drawing of rates per second; `lines`: name of a line -> function that returns the amount in a column.

    An incomplete column is left out because not all workers have reported yet.
    """
    passed: list[tuple[TimeColumn, float]] = []
    for column in columns:
        lasted = min(column.seconds, elapsed_s - column.begin_s)
        whole = lasted >= column.seconds - 1e-6
        if lasted > 0 and (whole or (ended and lasted >= column.seconds / 2) or len(columns) == 1):
            passed.append((column, lasted))
    made = tuple(
        Line(line, tuple((_middle(column, elapsed_s), of(column) / lasted) for column, lasted in passed))
        for line, of in lines.items()
    )
    return Drawing(
        title=f"{name}{_every(columns)}",
        lines=made,
        end=max(elapsed_s, 1.0),
        low=0.0,
        high=ceiling_of([value for line in made for _, value in line.points if value is not None]),
        marks=marks,
        unit="rate",
    )


def _every(columns: Sequence[TimeColumn]) -> str:
    return f" · every {formatting.duration(round(columns[0].seconds, 2))}" if columns else ""


def marks_of(view: RunView) -> tuple[tuple[float, str], ...]:
    """Starts of windows, except the first one, and changes of the load. The windows in which the load of a sweep
    settles have no mark; of many windows, some have none."""
    windows, began = view.aggregate.windows, view.aggregate.window_began
    found = [
        (began[window.index] / 1e9, window.label)
        for window in windows[1:]
        if began.get(window.index, 0) > 1_000_000_000
        and (window.kind in (Phase.STEADY, Phase.DRAIN) or window.label == LABELS[window.kind])
    ]
    found = found[:: -(-len(found) // _MAX_WINDOW_MARKS) or 1]
    changes = [notice for notice in view.aggregate.notices if notice.kind == "load"]
    found += [(max(0, notice.t) / 1e9, _change(notice.text)) for notice in changes[-_MAX_MARKS:]]
    return tuple(sorted(found))


def scale_of(drawing: Drawing) -> Callable[[float], float]:
    """Maps a value to its position on the axis. Plotext's own logarithms do not work with limits."""
    return math.log10 if drawing.logarithmic else float


def across_of(drawing: Drawing) -> Callable[[float], float]:
    """Maps a place to its position on the horizontal axis."""
    return math.log10 if drawing.logarithmic_across else float


def x_labels(drawing: Drawing, columns: int) -> list[tuple[float, str]]:
    """The labels of the horizontal axis of a canvas of `columns` columns."""
    if drawing.across == "time":
        return [(float(at), formatting.duration(at)) for at in time_ticks(drawing.end, columns, drawing.begin)]
    values = (log_ticks if drawing.logarithmic_across else ticks)(
        drawing.begin, drawing.end, max(2, columns // _LABEL_COLUMNS)
    )
    return [(value, formatting.axis_rate(value)) for value in values]


def y_labels(drawing: Drawing, rows: int) -> list[tuple[float, str]]:
    """The y-axis labels of a canvas of `rows` rows."""
    most = max(2, min(6, rows // 2 + 1 if rows > 4 else rows // 2))
    name = {"us": formatting.axis_latency, "rate": formatting.axis_rate, "share": formatting.axis_share}[drawing.unit]
    values = (log_ticks if drawing.logarithmic else ticks)(drawing.low, drawing.high, most)
    # on a single row plotext would draw one of several labels, and not always the same one
    return [(value, name(value)) for value in (values if rows > 1 else values[-1:])]


def mark_labels(drawing: Drawing, width: int, canvas: int) -> str:
    """The names of the marks, above their lines; a name that would touch another one is left out."""
    text = ""
    for at, label in drawing.marks:
        column = int(0.5 + (canvas - 1) * (at - drawing.begin) / (drawing.end - drawing.begin))
        # a name begins at its line, or further left if it would not fit
        begin = min(column, width - len(label))
        if begin >= len(text) + bool(text):
            text = text.ljust(begin) + label
    return text


def height_of(value: float, drawing: Drawing, rows: int) -> int:
    """The row, counted from below, of `value` on a canvas of `rows` rows."""
    scale = scale_of(drawing)
    low, high = scale(drawing.low), scale(drawing.high)
    place = scale(max(value, drawing.low))
    return min(rows - 1, max(0, round((place - low) / (high - low) * (rows - 1)))) if high > low else 0


def end_labels(drawing: Drawing, rows: int) -> dict[int, int]:
    """Row, from below -> index of the line whose name is shown there, near the line's end; each row has one name."""
    placed: dict[int, int] = {}
    for index, line in enumerate(drawing.lines):
        last = next((value for _, value in reversed(line.points) if value is not None), None)
        if last is None:
            continue
        row = height_of(last, drawing, rows)
        free = [each for each in range(rows) if each not in placed]
        if free:
            # later lines are usually the upper ones
            placed[min(free, key=lambda each: (abs(each - row), -each))] = index
    return placed


def _middle(column: TimeColumn, elapsed_s: float) -> float:
    return column.begin_s + max(0.0, min(column.seconds, elapsed_s - column.begin_s)) / 2


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


def _change(text: str) -> str:
    """`streams 1,000 → 1,200` as `→1,200`."""
    _, arrow, after = text.partition("→")
    return f"→{after.split('(')[0].strip()}" if arrow else text.split(":")[0]


def connected_points(points: Sequence[tuple[float, float | None]]) -> list[tuple[list[float], list[float]]]:
    """The sequences of points without a gap, as lists of x and y."""
    found: list[tuple[list[float], list[float]]] = []
    open_ = False
    for x, y in points:
        if y is None:
            open_ = False
            continue
        if not open_:
            found.append(([], []))
            open_ = True
        found[-1][0].append(x)
        found[-1][1].append(y)
    return found


def marker_positions(
    xs: Sequence[float], ys: Sequence[float], step: float, first: float
) -> tuple[list[float], list[float]]:
    """Positions of markers on the line through these points, as lists of x and y: at `first` plus all multiples of
    `step` within the line, and at its end."""
    found: tuple[list[float], list[float]] = ([xs[-1]], [ys[-1]])
    number = math.ceil((xs[0] - first) / step)
    for (x, y), (next_x, next_y) in pairwise(zip(xs, ys, strict=True)):
        while (at := first + number * step) <= next_x:
            found[0].append(at)
            found[1].append(y + (next_y - y) * (at - x) / (next_x - x))
            number += 1
    return found
