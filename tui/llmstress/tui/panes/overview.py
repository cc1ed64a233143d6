"""The overview pane: progress, main figures, whether they are reliable, and their course over time."""

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget

from llmstress.tui.charts import catalog, lines
from llmstress.tui.charts.chart import Chart
from llmstress.tui.charts.heatmap import Heatmap
from llmstress.tui.charts.lines import Drawing, TimelineCache
from llmstress.tui.format import headline
from llmstress.tui.format.cost_line import cost_line
from llmstress.tui.format.headline import StyledText
from llmstress.tui.format.judged_lines import goodput_line, threshold_block
from llmstress.tui.format.load_line import bystander_line, load_line
from llmstress.tui.format.picture import Picture
from llmstress.tui.panes.pane import RedrawnPane
from llmstress.tui.panes.tiles import TileView, tiles_of

_TILES = ("streams", "tokens", "requests", "ttft-p50", "ttft-p99", "itl-p50", "itl-p99", "failed")


_MOST_THRESHOLDS, _MOST_ON_SHORT, _LEAST_THRESHOLDS = 6, 3, 2
"""Lines for thresholds, on short screens, and on those with fewer than 24 rows."""

_CROWDED = 3
"""With so many lines more than other runs have, a short screen has no room for the heatmap."""


class StyledLines(Widget):
    """Lines of styled text, as high as there are lines; without lines it takes no room."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[list[StyledText]] = []
        self.display = False

    def show(self, lines: list[list[StyledText]]) -> None:
        """Show these lines."""
        if lines != self._lines:
            if len(lines) != len(self._lines):
                self.styles.height = len(lines)
                self.display = bool(lines)
            self._lines = lines
            self.refresh()

    def render(self) -> Content:
        """The lines, one below the other."""
        return Content("\n").join(Content.assemble(*line) for line in self._lines)


class StyledLine(Widget):
    """One line of styled text."""

    def __init__(self, id: str, *, optional: bool = False) -> None:
        """`optional`: without text it takes no room."""
        super().__init__(id=id)
        self._pieces: list[StyledText] = []
        self._optional = optional
        self.display = not optional

    def show(self, pieces: list[StyledText]) -> None:
        """Show these texts."""
        if pieces != self._pieces:
            self._pieces = pieces
            if self._optional and self.display != bool(pieces):
                self.display = bool(pieces)
            self.refresh()

    def render(self) -> Content:
        """The texts, joined."""
        return Content.assemble(*self._pieces)


class Overview(RedrawnPane):
    """The whole run at a glance. The style sheet shows or hides parts depending on the classes `-narrow`, `-short` and
    `-wide` of the screen."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._timeline, self._zoomed = TimelineCache(), TimelineCache()
        self._target = StyledLine("overview-target")
        self._progress = StyledLine("overview-progress")
        self._load = StyledLine("overview-load", optional=True)
        self._bystander = StyledLine("overview-bystander", optional=True)
        self._goodput = StyledLine("overview-goodput", optional=True)
        self._cost = StyledLine("overview-cost", optional=True)
        self._measurement = StyledLine("overview-measurement")
        self._outcome = StyledLine("overview-outcome")
        self._thresholds = StyledLines("overview-thresholds")
        self._stretch = StyledLine("overview-stretch")
        self._tiles = [TileView(f"tile-{name}") for name in _TILES]
        self._charts = {"left": Chart("chart-left"), "right": Chart("chart-right")}
        for side, key in (("left", "c"), ("right", "C")):
            self._charts[side].border_subtitle = f"{key}: next"
        self._curves = {"left": "", "right": ""}
        self._heatmap = Heatmap("heatmap-ttft")

    def compose(self) -> ComposeResult:
        """Lines, tiles, charts and heatmap."""
        yield self._target
        yield self._progress
        yield self._load
        yield self._bystander
        yield self._measurement
        yield self._outcome
        yield self._goodput
        yield self._cost
        yield self._thresholds
        yield self._stretch
        with Horizontal(id="overview-tiles"):
            yield from self._tiles
        with Horizontal(id="overview-charts"):
            yield from self._charts.values()
        yield self._heatmap

    def show(self, picture: Picture) -> None:
        """Update lines and tiles."""
        self._picture = picture
        width = self.size.width
        if not width:
            return
        self._target.show(headline.target_line(picture.view, self._target.size.width))
        self._progress.show(headline.progress_line(picture, self._progress.size.width))
        self._load.show(load_line(picture, width))
        self._bystander.show(bystander_line(picture, width))
        self._goodput.show(goodput_line(picture, width))
        self._cost.show(cost_line(picture, width))
        self._measurement.show(headline.measurement_line(picture, self._measurement.size.width))
        self._outcome.show(headline.outcome_line(picture, self._outcome.size.width))
        short = _MOST_ON_SHORT if self.screen.size.height >= 24 else _LEAST_THRESHOLDS
        room = short if self.screen.has_class("-short") else _MOST_THRESHOLDS
        self._thresholds.show(judged := threshold_block(picture.view.judgements, room, width))
        more = len(judged) + sum(line.display for line in (self._load, self._bystander, self._goodput, self._cost))
        self.set_class(more >= _CROWDED, "-crowded")
        tiles = tiles_of(picture)
        thin = any(tile.thin for tile in tiles)
        self._stretch.show(headline.stretch_line(picture, self._stretch.size.width, thin=thin))
        for view, tile in zip(self._tiles, tiles, strict=True):
            view.show(tile)

    def draw(self, picture: Picture) -> None:
        """Update charts and heatmap."""
        self._picture = picture
        aggregate = picture.view.aggregate
        for side, chart in self._charts.items():
            if chart.size.width:
                curve = self._curve(side, picture)
                chart.show(self._drawing(curve, picture, chart.most_points))
        if self._heatmap.size.width:
            step = lines.step_for(len(aggregate.rows), self._heatmap.places)
            metric = "E2E" if aggregate.whole_answers else "TTFT"
            self._heatmap.show(self._timeline.columns("heatmap", aggregate, step), metric)

    def _drawing(self, curve: str, picture: Picture, most_points: int) -> Drawing:
        """The drawing of a curve over the whole run, or over the time to which a replay is zoomed."""
        view, detail = picture.view, picture.detail
        if detail is None or picture.zoom_s is None:
            return catalog.drawing_of(curve, view, self._timeline, most_points)
        stretch = msgspec.structs.replace(view, aggregate=detail.aggregate)
        drawing = catalog.drawing_of(curve, stretch, self._zoomed, most_points)
        return lines.zoomed(drawing, detail.begin_s, picture.zoom_s, lines.marks_of(view))

    def next_curve(self, side: str) -> None:
        """Show the next chart on the `left` or the `right` side."""
        if self._picture is not None:
            self._curves[side] = catalog.next_curve(self._curve(side, self._picture), self._picture.view)
            self.draw(self._picture)

    def on_click(self, event: events.Click) -> None:
        """Show the next chart in place of the clicked one."""
        for side, chart in self._charts.items():
            if event.widget is chart:
                self.next_curve(side)

    def _curve(self, side: str, picture: Picture) -> str:
        """The chosen curve, if this run has it, else the default for that side."""
        names = catalog.curves_of(picture.view)
        if self._curves[side] in names:
            return self._curves[side]
        if side == "left":
            return names[0]
        return next(name for name in ("load", "tokens", "requests") if name in names)

    def _draw_again(self) -> None:
        if self._picture is not None:
            self.show(self._picture)
            self.draw(self._picture)
