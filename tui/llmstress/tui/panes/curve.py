"""The curve pane: what was achieved at each stage or point of the load, as a table and as charts against the load."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.engine.telemetry.windows import WindowFigures, steady_windows
from llmstress.tui.charts.against_load import drawings_of, work_of
from llmstress.tui.charts.chart import Chart
from llmstress.tui.format.load import level_number, level_words, rate_number
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import clock_time
from llmstress.tui.panes.pane import RedrawnPane
from llmstress.tui.steering import has_points
from llmstress.tui.widgets.table import Cell, RowTable, TableColumn
from llmstress.tui.widgets.text import TextBlock

_LABEL = TableColumn("load", 11, left=True)

_PADDING = 2
"""Columns beside each column of the table."""

_SCROLLBAR = 2

_CHARTS = 3


def has_curve(view: RunView | None) -> bool:
    """Whether the run has several stages or points."""
    return view is not None and (
        has_points(view) or sum(each.kind is Phase.STEADY for each in view.aggregate.windows) > 1
    )


class CurveColumn(NamedTuple):
    """A column of the table. Those with a high `rank` are left out first where there is no room."""

    column: TableColumn
    cell: Callable[[WindowFigures], Cell]
    rank: int = 0


def columns_of(points: Sequence[WindowFigures], picture: Picture, width: int) -> list[CurveColumn]:
    """The columns of this run that fit into `width` columns of the screen, besides the first one."""
    view, counted_in = picture.view, picture.snapshot.counted_in
    open_model = view.profile is not None and view.profile.unit != "streams"
    latency = "e2e" if picture.snapshot.whole_answers else "ttft"
    label, work = METRICS[latency].label, work_of(counted_in)
    found = [CurveColumn(TableColumn("asked", 6), lambda each: Cell(level_number(each.asked, each.unit)))]
    if open_model:
        found.append(CurveColumn(TableColumn("achieved", 8), lambda each: _rate(each.achieved_per_s, rate_number), 1))
    found.append(CurveColumn(TableColumn("req/s", 5), lambda each: _rate(each.requests_per_s), 6))
    if counted_in != "requests":
        column = {"tokens": TableColumn("tok/s", 6), "inputs": TableColumn("inputs/s", 8)}[counted_in]
        found.append(CurveColumn(column, lambda each: _rate(work(each)), 2))
    found.append(CurveColumn(TableColumn(f"{label} p50", 8), lambda each: _latency(each, latency, "p50"), 4))
    found.append(CurveColumn(TableColumn(f"{label} p99", 8), lambda each: _latency(each, latency, "p99")))
    if not picture.snapshot.whole_answers:
        found.append(CurveColumn(TableColumn("TPOT p50", 8), lambda each: _latency(each, "tpot", "p50"), 5))
    if view.facts.objectives.slos:
        found.append(CurveColumn(TableColumn("good", 7), _good))
    found.append(CurveColumn(TableColumn("failed", 6), _failed, 0 if any(each.failed for each in points) else 3))
    if open_model:
        rank = 0 if any(each.dropped for each in points) else 5
        found.append(CurveColumn(TableColumn("dropped", 7), _dropped, rank))
    return _fitting(found, width - _LABEL.width - _PADDING - _SCROLLBAR)


def _fitting(columns: list[CurveColumn], width: int) -> list[CurveColumn]:
    kept: list[CurveColumn] = []
    for each in sorted(columns, key=lambda each: each.rank):
        width -= each.column.width + _PADDING
        if width >= 0 or not each.rank:
            kept.append(each)
        else:
            width += each.column.width + _PADDING
    return [each for each in columns if each in kept]


def _rate(per_second: float | None, words: Callable[[float], str] = formatting.rate) -> Cell:
    return Cell("–", "dim") if per_second is None else Cell(words(per_second))


def _latency(point: WindowFigures, metric: str, name: str) -> Cell:
    us, found = point.percentile(metric, name), point.latency.get(metric)
    if us is None or found is None:
        return Cell("–", "dim")
    return Cell(f"~{formatting.latency(us)}", "dim") if name in found.low_sample() else Cell(formatting.latency(us))


def _failed(point: WindowFigures) -> Cell:
    text = formatting.share(point.failed, point.finished)
    return Cell(text, "bold", "text-error") if point.failed else Cell(text)


def _dropped(point: WindowFigures) -> Cell:
    text = formatting.count(point.dropped)
    return Cell(text, "bold", "text-error") if point.dropped else Cell(text)


def _good(point: WindowFigures) -> Cell:
    if not point.finished:
        return Cell("–", "dim")
    met, unknown = point.counters.slo_met, point.counters.slo_unknown
    return Cell(f"{'≥' if unknown else ''}{formatting.share_range(met / point.finished, met / point.finished)}")


def about(point: WindowFigures) -> Content:
    """What else is known of a stage or point."""
    until = point.begin_s + point.seconds
    parts = [
        f"from {clock_time(point.begin_s)} to {clock_time(until)}",
        level_words(point.asked, point.unit),
        f"{formatting.count(point.ok)} requests ok, {formatting.count(point.failed)} failed",
        f"queue p99 {formatting.latency(point.percentile('queue', 'p99'))}",
        f"E2E p50 {formatting.latency(point.percentile('e2e', 'p50'))}",
    ]
    top = max(point.failed_by, key=lambda outcome: point.failed_by[outcome], default="")
    return Content.assemble((point.label, "bold"), f"  {', '.join(parts)}{f'; mostly {top}' if top else ''}")


def title_of(points: Sequence[WindowFigures], picture: Picture) -> Content:
    """How many stages or points are over, and which of them had the highest throughput."""
    what = "points" if has_points(picture.view) else "stages"
    counted_in = picture.snapshot.counted_in
    work = work_of(counted_in)
    if not points:
        return Content.assemble(("curve", "bold"), f" · {what}: none is over yet")
    best = max(points, key=lambda each: work(each) or 0.0)
    highest = f"no {counted_in} yet"
    if work(best):
        highest = f"most {counted_in}/s: {formatting.rate(work(best) or 0.0)} at {level_words(best.asked, best.unit)}"
    return Content.assemble(
        ("curve", "bold"), f" · {len(points)} {what if len(points) > 1 else what[:-1]} over · {highest}"
    )


class CurvePane(RedrawnPane):
    """A table of the stages or points, and charts. How many charts are seen depends on the width of the screen."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = TextBlock(classes="title")
        self._table = RowTable((_LABEL,))
        self._about = TextBlock(classes="about", grows=True)
        self._charts = [Chart(f"chart-curve-{number}") for number in range(_CHARTS)]
        self._charts[0].border_subtitle = "c: next"
        self._first = 0
        """Number of the drawing that the first chart shows."""
        self._points: dict[str, WindowFigures] = {}

    def compose(self) -> ComposeResult:
        """Title, table, the selected row in words, and charts."""
        yield self._title
        yield self._table
        yield self._about
        with Horizontal(id="curve-charts"):
            yield from self._charts

    def show(self, picture: Picture) -> None:
        """Does nothing: the figures of a whole stage change slowly, and wait for the next `draw`."""

    def draw(self, picture: Picture) -> None:
        """Update table and charts."""
        self._picture = picture
        if not self.size.width:
            return
        points = steady_windows(picture.view)
        labels = unique_labels(points)
        self._points = dict(zip(labels, points, strict=True))
        columns = columns_of(points, picture, self.size.width)
        self._table.set_columns((_LABEL, *(each.column for each in columns)))
        self._table.show(
            {
                label: [Cell(label, "bold"), *(each.cell(point) for each in columns)]
                for label, point in self._points.items()
            }
        )
        over = [each for each in points if each.index < picture.view.aggregate.window or picture.view.ended is not None]
        self._title.set_text(title_of(over, picture))
        self._show_selected()
        drawings = drawings_of(over, picture.snapshot.counted_in, whole_answers=picture.snapshot.whole_answers)
        for number, chart in enumerate(self._charts):
            chart.set_class(number >= len(drawings), "-missing")
            if chart.size.width and number < len(drawings):
                chart.show(drawings[(self._first + number) % len(drawings)])

    def next_chart(self) -> None:
        """Show the next chart first."""
        self._first += 1
        if self._picture is not None:
            self.draw(self._picture)

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_selected()

    def _show_selected(self) -> None:
        point = self._points.get(self._table.selected or "")
        if point is not None:
            self._about.set_text(about(point))


def unique_labels(points: Sequence[WindowFigures]) -> list[str]:
    """The labels, with the index of the window where an earlier one is the same."""
    seen: set[str] = set()
    made: list[str] = []
    for point in points:
        made.append(f"{point.label} #{point.index}" if point.label in seen else point.label)
        seen.add(point.label)
    return made
