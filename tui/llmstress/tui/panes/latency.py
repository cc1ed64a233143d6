"""The latency pane: percentiles of all latencies, and chart and distribution of the selected one."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram
from llmstress.engine.telemetry.metrics import LATENCIES
from llmstress.tui.charts import catalog
from llmstress.tui.charts.chart import Chart
from llmstress.tui.charts.distribution import Distribution
from llmstress.tui.charts.lines import TimelineCache
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import widest_words, window_words
from llmstress.tui.panes.pane import RedrawnPane
from llmstress.tui.widgets.table import Cell, RowTable, TableColumn
from llmstress.tui.widgets.text import TextBlock

COLUMNS = (
    TableColumn("metric", 8, left=True),
    *(TableColumn(name.replace("_", "."), 8) for name in PERCENTILES),
    TableColumn("max", 8),
    TableColumn("count", 7),
)
FIRST, FIRST_OF_WHOLE = "ttft", "e2e"
"""The latency selected at first; the second one for whole answers, which have no first token."""


def latency_cells(metric: str, histogram: Histogram | None) -> list[Cell]:
    """The row of one latency. Values with a low sample count are dim and have a `~`."""
    found = histogram if histogram is not None else Histogram()
    thin = found.low_sample()
    cells = [Cell(metric, "bold")]
    for name, us in zip(PERCENTILES, found.percentiles(PERCENTILES.values()), strict=True):
        if us is None:
            cells.append(Cell("–", "dim"))
        elif name in thin:
            cells.append(Cell(f"~{formatting.latency(us)}", "dim"))
        else:
            cells.append(Cell(formatting.latency(us)))
    cells.append(Cell(formatting.latency(found.max)) if found.count else Cell("–", "dim"))
    cells.append(Cell(formatting.count(found.count), "" if found.count else "dim"))
    return cells


class LatencyPane(RedrawnPane):
    """A table of latencies, and chart and distribution of the selected one."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = TextBlock(classes="title")
        self._table = RowTable(COLUMNS)
        self._about = TextBlock(classes="about", grows=True)
        self._chart = Chart("chart-latency")
        self._timeline = TimelineCache()
        self._distribution = Distribution(id="distribution")

    def compose(self) -> ComposeResult:
        """Table and chart; the distribution is beside them on wide screens, else below."""
        yield self._title
        with Container(classes="halves"):
            with Vertical(classes="half"):
                yield self._table
                yield self._about
                yield self._chart
            yield self._distribution

    def show(self, picture: Picture) -> None:
        """Update the table."""
        first = self._picture is None
        self._picture = picture
        window = window_words(picture) + widest_words(picture)
        self._title.set_text(
            Content.assemble(("latency", "bold"), f" · {window} · ", ("~ low sample count", "$text-muted"))
        )
        latency = picture.figures.latency
        means = {metric: histogram.mean for metric, histogram in latency.items()}
        shown = [metric for metric in LATENCIES if formatting.worth_a_line(metric, means)]
        self._table.show({metric: latency_cells(metric, latency.get(metric)) for metric in shown})
        if first:
            chosen = FIRST_OF_WHOLE if picture.view.aggregate.whole_answers else FIRST
            self._table.move_cursor(row=shown.index(chosen))

    def draw(self, picture: Picture) -> None:
        """Update chart and distribution of the selected latency."""
        metric = self._table.selected or FIRST
        self._distribution.show(f"{metric} · {window_words(picture, metric)}", picture.figures.latency.get(metric))
        if self._chart.size.width:
            drawing = catalog.latency_drawing_of(metric, picture.view, self._timeline, self._chart.most_points)
            self._chart.show(drawing)

    def _undetermined(self, metric: str) -> str:
        """For tpot, the number of answers that are left out because their tpot is undetermined; else empty."""
        if metric != "tpot" or self._picture is None:
            return ""
        missing = sum(self._picture.view.aggregate.whole.undetermined.values())
        return (
            f"; undetermined for {formatting.count(missing)} answers, which are not included (v: details)"
            if missing
            else ""
        )

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        metric = event.row_key.value or ""
        if metric in LATENCIES:
            about = f"  {LATENCIES[metric].meaning}{self._undetermined(metric)}"
            self._about.set_text(Content.assemble((metric, "bold"), about))
        if self._picture is not None:
            self.draw(self._picture)
