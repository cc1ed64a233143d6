"""The widget that draws line charts with plotext."""

from typing import ClassVar

from rich.text import Text
from textual.content import Content
from textual_plotext import PlotextPlot

from llmstress.tui.charts.lines import (
    MARKERS,
    MOST_LINES,
    POINT_MARKERS,
    Drawing,
    across_of,
    connected_points,
    end_labels,
    mark_labels,
    marker_positions,
    scale_of,
    x_labels,
    y_labels,
)
from llmstress.tui.format.headline import shortened

_UPPER_AXIS = 2
"""Plotext's number of the upper x axis."""

_LABELS_FROM_ROWS = 8
"""Minimum height of a chart with names above its marks."""

_MARKER_EVERY = 8
"""Columns between two markers of a line."""

_LONGEST_NAME = 14
"""Maximum length of the name at the end of a line; a longer one is cut off."""

_STYLES = ("chart--first", "chart--second", "chart--third", "chart--fourth")


class Chart(PlotextPlot):
    """Shows a drawing; plotext paints it only when it has changed."""

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
        """Maximum number of points that can be distinguished."""
        return max(1, self.size.width)

    def show(self, drawing: Drawing) -> None:
        """Show `drawing` from now on."""
        if drawing != self._drawing:
            self._drawing, self._painted = drawing, None
            self.border_title = Content(drawing.title)
            self.refresh()

    def notify_style_update(self) -> None:
        """Paint again with the colours of the new theme."""
        super().notify_style_update()
        self._painted = None

    def render(self) -> Text:
        """The drawing, in the size of the widget."""
        size = self.size.width, self.size.height
        if self._painted is None or self._painted[0] != size:
            self._painted = size, self._paint(*size)
        return self._painted[1]

    def _paint(self, width: int, height: int) -> Text:
        drawing = self._drawing
        if drawing is None or not any(value is not None for line in drawing.lines for _, value in line.points):
            text = "no samples yet" if drawing is None else drawing.empty
            return Text(text, style=self.get_component_rich_style("chart--axis", partial=True))
        markers = POINT_MARKERS if drawing.dots else MARKERS
        names = [
            f" {mark} {shortened(line.name, _LONGEST_NAME)}" for mark, line in zip(markers, drawing.lines, strict=False)
        ]
        margin = max(len(name) for name in names) if len(names) > 1 else 0
        named = height >= _LABELS_FROM_ROWS and bool(drawing.marks)
        rows = max(1, height - named - 2)
        labels = y_labels(drawing, rows)
        left = 1 + max(len(label) for _, label in labels)
        canvas = max(2, width - left - margin)
        lines = list(Text.from_ansi(self._build(drawing, labels, canvas, left, rows), no_wrap=True).split("\n"))
        if margin:
            for row, index in end_labels(drawing, rows).items():
                style = self.get_component_rich_style(_STYLES[index], partial=True)
                lines[rows - 1 - row].append(names[index], style)
        if named:
            style = self.get_component_rich_style("chart--mark", partial=True)
            lines.insert(0, Text(" " * left + mark_labels(drawing, canvas + margin, canvas), style))
        return Text("\n").join(lines)

    def _build(self, drawing: Drawing, labels: list[tuple[float, str]], canvas: int, left: int, rows: int) -> str:
        plot, scale, across = self.plt, scale_of(drawing), across_of(drawing)
        width, height = canvas + left, rows + 2
        plot.clear_figure()
        plot.plotsize(width, height)
        plot._set_size(width, height)  # as PlotextPlot does; plotsize alone is not enough after a change of size
        plot.canvas_color("default")
        plot.axes_color("default")
        plot.ticks_color(self._colour("chart--axis"))
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        begin, end = across(drawing.begin), across(drawing.end)
        plot.xlim(begin, end)
        plot.ylim(scale(drawing.low), scale(drawing.high))
        plot.yticks([scale(value) for value, _ in labels], [label for _, label in labels])
        places = x_labels(drawing, canvas)
        plot.xticks([across(place) for place, _ in places], [label for _, label in places])
        # marks use the upper axis; its labels are drawn separately because plotext omits labels of an unused axis
        plot.xlim(begin, end, xside=_UPPER_AXIS)
        plot.xticks([], [], xside=_UPPER_AXIS)
        for at, _ in drawing.marks:
            plot.vertical_line(across(at), color=self._colour("chart--mark"), xside="upper")
        drawn = [
            (index, [across(x) for x in xs], [scale(max(drawing.low, y)) for y in ys])
            for index, line in enumerate(drawing.lines)
            for xs, ys in connected_points(line.points)
        ]
        for index, xs, heights in drawn:
            plot.plot(xs, heights, marker="braille", color=self._colour(_STYLES[index]))
        step = _MARKER_EVERY * (end - begin) / max(1, canvas - 1)
        for index, xs, heights in drawn:
            colour = self._colour(_STYLES[index])
            if drawing.dots:
                plot.scatter(xs, heights, marker=POINT_MARKERS[index], color=colour)
            elif index:
                # each line has another offset, so that markers of two lines seldom overlap
                spots = marker_positions(xs, heights, step, begin + step * index / MOST_LINES)
                plot.scatter(*spots, marker=MARKERS[index], color=colour)
        return str(plot.build())

    def _colour(self, component: str) -> tuple[int, int, int]:
        colour = self.get_component_rich_style(component).color
        red, green, blue = colour.get_truecolor() if colour is not None else (128, 128, 128)
        return red, green, blue
