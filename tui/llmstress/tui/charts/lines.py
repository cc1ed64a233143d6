"""Line charts over time: pure functions decide what is drawn, plotext draws it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import msgspec
from rich.text import Text
from textual.content import Content
from textual_plotext import PlotextPlot

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.timeline import Row
from llmstress.tui.charts.axes import ceiling_of, decade_below, log_ticks, nice_ceiling, ticks, time_ticks
from llmstress.tui.format.headline import shortened

_UPPER = (("p99", 100), ("p90", 10))
"""Percentiles for the upper latency line, and the samples that each of its points needs: n >= 1 / (1 - p)."""

_FEW_POINTS = 12
"""With fewer points than these, a lower percentile is drawn."""

_LOG_ABOVE = 30.0
"""From this ratio of the largest to the smallest value on, latencies are drawn on a logarithmic axis."""

_MAX_MARKS = 8

_UPPER_AXIS = 2
"""plotext's number of the upper x axis."""

_LABELS_FROM_ROWS = 8
"""Least rows of a chart that shows the names of the marks."""

_MARKS = ("⠒", "•", "×", "o")
"""Signs that identify a line without colours: the first line is drawn in dots, the others have a sign at intervals."""

MOST_LINES = len(_MARKS)

_MARK_EVERY = 8
"""Columns from one sign of a line to the next."""

_LONGEST_NAME = 14
"""Columns of the name at the end of a line; a longer one is cut."""


class Column:
    """Neighbouring rows of the timeline merged into one: a point of a line, a column of a heatmap."""

    def __init__(
        self, rows: Sequence[Row], begin_s: float, seconds: float, fingerprint: tuple[float, ...], metric: str = ""
    ) -> None:
        """`fingerprint`: by `fingerprint_of`; `metric`: that of the samples, as for `samples_of`."""
        self.begin_s = begin_s
        self.seconds = seconds
        self.fingerprint = fingerprint
        self.events = sum(row.events for row in rows)
        self.requests = sum(row.requests for row in rows)
        self._rows = rows
        self._metric = metric

    @cached_property
    def latency(self) -> Histogram:
        """The samples of the rows, merged on first use; not to be changed."""
        if len(self._rows) == 1:
            return samples_of(self._rows[0], self._metric)
        merged = Histogram()
        for row in self._rows:
            merged.merge(samples_of(row, self._metric))
        return merged

    @cached_property
    def percentiles(self) -> dict[str, int | None]:
        """In µs: p50, p90, p99 and max; None where there are too few samples."""
        p50, p90, p99 = self.latency.percentiles((5_000, 9_000, 9_900))
        return {"p50": p50, "p90": p90, "p99": p99, "max": self.latency.max if self.latency.count else None}

    def failed(self, outcome: str) -> int:
        """Requests that ended with this class of failure."""
        return sum(row.failed_by.get(outcome, 0) for row in self._rows)


def samples_of(row: Row, metric: str) -> Histogram:
    """The samples of one of `CHARTED`; of the row's own latency if `metric` is empty. Not to be changed."""
    return row.more.get(metric, _NOTHING) if metric else row.latency


_NOTHING = Histogram()


def fingerprint_of(rows: Sequence[Row], row_s: float, metric: str = "") -> tuple[float, ...]:
    """A fingerprint of `rows`: it changes whenever they do. While it is the same, results made from them can be
    reused."""
    count = total = events = requests = 0
    for row in rows:
        samples = samples_of(row, metric)
        count += samples.count
        total += samples.sum
        events += row.events
        requests += row.requests
    return row_s, len(rows), count, total, events, requests


def downsample(
    rows: Sequence[Row], row_s: float, step: int, known: Sequence[Column] = (), metric: str = ""
) -> list[Column]:
    """Every `step` rows merged into a column, since percentiles can't be averaged; `known`: an earlier result for the
    same `metric`, whose unchanged columns are reused."""
    columns: list[Column] = []
    for number, first in enumerate(range(0, len(rows), step)):
        part = rows[first : first + step]
        fingerprint = fingerprint_of(part, row_s, metric)
        if number < len(known) and known[number].fingerprint == fingerprint:
            columns.append(known[number])
        else:
            columns.append(Column(part, first * row_s, len(part) * row_s, fingerprint, metric))
    return columns


class Timeline:
    """Downsampled rows, cached from draw to draw."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, list[Column]]] = {}

    def columns(self, use: str, aggregate: Aggregate, step: int, metric: str = "") -> list[Column]:
        """The timeline of `aggregate` in columns of `step` rows; `use`: name of the chart that they are cached for."""
        before, known = self._known.get((use, metric), (step, []))
        columns = downsample(aggregate.rows, aggregate.row_ns / 1e9, step, known if before == step else (), metric)
        self._known[use, metric] = step, columns
        return columns


class Line(msgspec.Struct, frozen=True):
    """One line: points as seconds after T0 and values; a value of None is a gap."""

    name: str
    points: tuple[tuple[float, float | None], ...]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a chart shows."""

    title: str
    lines: tuple[Line, ...]
    seconds: float
    """End of the time axis, in seconds after T0."""
    low: float
    high: float
    logarithmic: bool = False
    marks: tuple[tuple[float, str], ...] = ()
    """Times of vertical lines, and their names."""
    unit: Literal["us", "rate", "share"] = "us"
    """Unit of the values: latencies in µs, rates, or shares of 1."""
    begin: float = 0.0
    """Begin of the time axis, in seconds after T0."""
    empty: str = "no samples yet"
    """Text for a chart without points."""


def zoomed(drawing: Drawing, begin_s: float, zoom_s: float, marks: tuple[tuple[float, str], ...]) -> Drawing:
    """The last `zoom_s` seconds of a drawing whose times count from `begin_s`; `marks`: those of the whole run."""
    end = drawing.seconds + begin_s
    begin = max(0.0, end - zoom_s)
    lines = tuple(
        Line(line.name, tuple((x + begin_s, y) for x, y in line.points if x + begin_s >= begin))
        for line in drawing.lines
    )
    seen = tuple((at, name) for at, name in marks if begin <= at <= end)
    return msgspec.structs.replace(drawing, lines=lines, begin=begin, seconds=end, marks=seen)


def step_for(rows: int, most: int) -> int:
    """Least number of rows per column for at most `most` columns."""
    return max(1, -(-rows // max(1, most)))


def upper_line(rows: Sequence[Row], most: int, metric: str = "") -> tuple[str, int]:
    """The highest line for which there are enough samples (p99, p90 or max), and its rows per point."""
    counts = [count for row in rows if (count := samples_of(row, metric).count)]
    least = step_for(len(rows), most)
    if counts:
        typical = sum(counts) / len(counts)
        for name, needed in _UPPER:
            # half as many again, since some points have fewer samples than the typical one; powers of two change seldom
            wanted = 1.5 * needed / typical
            step = max(least, 1 << max(0, math.ceil(math.log2(wanted))))
            if -(-len(rows) // step) >= min(_FEW_POINTS, len(rows), most):
                return name, step
    return "max", least


def latency_drawing(
    columns: Sequence[Column],
    upper: str,
    elapsed_s: float,
    marks: tuple[tuple[float, str], ...] = (),
    metric: str = "TTFT",
    begin_s: float = 0.0,
) -> Drawing:
    """A latency over time: the median, and the line `upper` above it."""
    points = {
        name: tuple((_middle(column, elapsed_s), _number(column.percentiles[name])) for column in columns)
        for name in ("p50", upper)
    }
    values = [value for line in points.values() for _, value in line if value]
    logarithmic = bool(values) and max(values) > _LOG_ABOVE * min(values)
    low, high = (decade_below(min(values)), nice_ceiling(max(values))) if logarithmic else (0.0, ceiling_of(values))
    return Drawing(
        title=f"{metric} p50, {upper}{_every(columns)}{', log' if logarithmic else ''}",
        lines=tuple(Line(name, line) for name, line in points.items()),
        seconds=max(elapsed_s, 1.0),
        low=low,
        high=high,
        logarithmic=logarithmic,
        marks=marks,
        begin=begin_s,
    )


def rate_drawing(
    name: str,
    columns: Sequence[Column],
    lines: Mapping[str, Callable[[Column], float]],
    elapsed_s: float,
    *,
    ended: bool,
    marks: tuple[tuple[float, str], ...] = (),
) -> Drawing:
    """A rate per second in each column; `lines`: name of a line -> function that gives its amount in a column. A column
    that has not passed yet is left out, because not all workers have reported it."""
    passed: list[tuple[Column, float]] = []
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
        seconds=max(elapsed_s, 1.0),
        low=0.0,
        high=ceiling_of([value for line in made for _, value in line.points if value is not None]),
        marks=marks,
        unit="rate",
    )


def _every(columns: Sequence[Column]) -> str:
    return f" · every {formatting.duration(round(columns[0].seconds, 2))}" if columns else ""


def marks_of(view: RunView) -> tuple[tuple[float, str], ...]:
    """Where windows began, after the first one, and where the load was changed."""
    windows, began = view.aggregate.windows, view.aggregate.window_began
    found = [
        (began[window.index] / 1e9, window.label)
        for window in windows[1:]
        if began.get(window.index, 0) > 1_000_000_000
    ]
    changes = [notice for notice in view.aggregate.notices if notice.kind == "load"]
    found += [(max(0, notice.t) / 1e9, _change(notice.text)) for notice in changes[-_MAX_MARKS:]]
    return tuple(sorted(found))


def scale_of(drawing: Drawing) -> Callable[[float], float]:
    """Function from a value to its place on the axis. Logarithms are taken here, since plotext's own ignore limits."""
    return math.log10 if drawing.logarithmic else float


def y_labels(drawing: Drawing, rows: int) -> list[tuple[float, str]]:
    """The labels at the left of a canvas of `rows` rows."""
    most = max(2, min(6, rows // 2 + 1 if rows > 4 else rows // 2))
    name = {"us": formatting.axis_latency, "rate": formatting.axis_rate, "share": formatting.axis_share}[drawing.unit]
    values = (log_ticks if drawing.logarithmic else ticks)(drawing.low, drawing.high, most)
    return [(value, name(value)) for value in values]


def mark_labels(drawing: Drawing, width: int, canvas: int) -> str:
    """The names of the marks above their lines; one that would touch another is left out."""
    text = ""
    for at, label in drawing.marks:
        column = int(0.5 + (canvas - 1) * (at - drawing.begin) / (drawing.seconds - drawing.begin))
        # a name begins at its line, or further left if it would not fit before the edge
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
    """Row from below -> index of the line whose name is written there, at the line's end, without overlaps."""
    placed: dict[int, int] = {}
    for index, line in enumerate(drawing.lines):
        last = next((value for _, value in reversed(line.points) if value is not None), None)
        if last is None:
            continue
        row = height_of(last, drawing, rows)
        free = [each for each in range(rows) if each not in placed]
        if free:
            # later lines are the upper ones
            placed[min(free, key=lambda each: (abs(each - row), -each))] = index
    return placed


def _middle(column: Column, elapsed_s: float) -> float:
    return column.begin_s + max(0.0, min(column.seconds, elapsed_s - column.begin_s)) / 2


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


def _change(text: str) -> str:
    """`streams 1,000 → 1,200` as `→1,200`."""
    _, arrow, after = text.partition("→")
    return f"→{after.split('(')[0].strip()}" if arrow else text.split(":")[0]


def stretches(points: Sequence[tuple[float, float | None]]) -> list[tuple[list[float], list[float]]]:
    """The stretches of points without gaps, each as xs and ys."""
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


def marked_places(
    xs: Sequence[float], ys: Sequence[float], step: float, first: float
) -> tuple[list[float], list[float]]:
    """Points on the line through these points, as xs and ys: at `first`, at all multiples of `step` before and after it
    within the line, and at the end of the line."""
    found: tuple[list[float], list[float]] = ([xs[-1]], [ys[-1]])
    number = math.ceil((xs[0] - first) / step)
    for (x, y), (next_x, next_y) in pairwise(zip(xs, ys, strict=True)):
        while (at := first + number * step) <= next_x:
            found[0].append(at)
            found[1].append(y + (next_y - y) * (at - x) / (next_x - x))
            number += 1
    return found


class Chart(PlotextPlot):
    """A drawing on the screen; plotext paints it only when something has changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("chart--axis", "chart--mark"),
        *("chart--first", "chart--second", "chart--third", "chart--fourth"),
    }

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._drawing: Drawing | None = None
        self._painted: tuple[tuple[int, int], Text] | None = None

    @property
    def most_points(self) -> int:
        """Most points that are visible apart from each other."""
        return max(1, self.size.width)

    def show(self, drawing: Drawing) -> None:
        """Show `drawing` from now on."""
        if drawing != self._drawing:
            self._drawing, self._painted = drawing, None
            self.border_title = Content(drawing.title)
            self.refresh()

    def notify_style_update(self) -> None:
        """The theme has changed, and the colours with it."""
        super().notify_style_update()
        self._painted = None

    def render(self) -> Text:
        """The drawing in the present size."""
        size = self.size.width, self.size.height
        if self._painted is None or self._painted[0] != size:
            self._painted = size, self._paint(*size)
        return self._painted[1]

    def _paint(self, width: int, height: int) -> Text:
        drawing = self._drawing
        if drawing is None or not any(value is not None for line in drawing.lines for _, value in line.points):
            said = "no samples yet" if drawing is None else drawing.empty
            return Text(said, style=self.get_component_rich_style("chart--axis", partial=True))
        names = [
            f" {mark} {shortened(line.name, _LONGEST_NAME)}" for mark, line in zip(_MARKS, drawing.lines, strict=False)
        ]
        margin = max(len(name) for name in names) if len(names) > 1 else 0
        named = height >= _LABELS_FROM_ROWS and bool(drawing.marks)
        rows = max(1, height - named - 2)
        marks = y_labels(drawing, rows)
        left = 1 + max(len(label) for _, label in marks)
        canvas = max(2, width - left - margin)
        lines = list(Text.from_ansi(self._build(drawing, marks, canvas, left, rows), no_wrap=True).split("\n"))
        if margin:
            for row, index in end_labels(drawing, rows).items():
                style = self.get_component_rich_style(_STYLES[index], partial=True)
                lines[rows - 1 - row].append(names[index], style)
        if named:
            style = self.get_component_rich_style("chart--mark", partial=True)
            lines.insert(0, Text(" " * left + mark_labels(drawing, canvas + margin, canvas), style))
        return Text("\n").join(lines)

    def _build(self, drawing: Drawing, marks: list[tuple[float, str]], canvas: int, left: int, rows: int) -> str:
        plot, scale = self.plt, scale_of(drawing)
        width, height = canvas + left, rows + 2
        plot.clear_figure()
        plot.plotsize(width, height)
        plot._set_size(width, height)  # as PlotextPlot does: plotsize alone does not suffice after a change of size
        plot.canvas_color("default")
        plot.axes_color("default")
        plot.ticks_color(self._colour("chart--axis"))
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        plot.xlim(drawing.begin, drawing.seconds)
        plot.ylim(scale(drawing.low), scale(drawing.high))
        plot.yticks([scale(value) for value, _ in marks], [label for _, label in marks])
        moments = time_ticks(drawing.seconds, canvas, drawing.begin)
        plot.xticks([float(each) for each in moments], [formatting.duration(each) for each in moments])
        # on the upper axis, whose labels are not plotext's: plotext omits them unless something is plotted there
        plot.xlim(drawing.begin, drawing.seconds, xside=_UPPER_AXIS)
        plot.xticks([], [], xside=_UPPER_AXIS)
        for at, _ in drawing.marks:
            plot.vertical_line(at, color=self._colour("chart--mark"), xside="upper")
        for index, line in enumerate(drawing.lines):
            colour = self._colour(_STYLES[index])
            for xs, ys in stretches(line.points):
                heights = [scale(max(drawing.low, y)) for y in ys]
                plot.plot(xs, heights, marker="braille", color=colour)
        step = _MARK_EVERY * (drawing.seconds - drawing.begin) / max(1, canvas - 1)
        for index, line in enumerate(drawing.lines[1:], 1):
            for xs, ys in stretches(line.points):
                heights = [scale(max(drawing.low, y)) for y in ys]
                # the signs of each line are shifted, so that those of two lines seldom overlap
                places = marked_places(xs, heights, step, drawing.begin + step * index / MOST_LINES)
                plot.scatter(*places, marker=_MARKS[index], color=self._colour(_STYLES[index]))
        return str(plot.build())

    def _colour(self, component: str) -> tuple[int, int, int]:
        colour = self.get_component_rich_style(component).color
        red, green, blue = colour.get_truecolor() if colour is not None else (128, 128, 128)
        return red, green, blue


_STYLES = ("chart--first", "chart--second", "chart--third", "chart--fourth")
