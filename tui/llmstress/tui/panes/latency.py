"""The latency pane: every latency by percentile, and the chosen one over time and by its distribution."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram
from llmstress.engine.telemetry.metrics import LATENCIES
from llmstress.tui.charts import catalog
from llmstress.tui.charts.distribution import Distribution
from llmstress.tui.charts.lines import Chart, Timeline
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import widest_words, window_words
from llmstress.tui.widgets.rows import Cell, Column, Rows
from llmstress.tui.widgets.text import Said

COLUMNS = (
    Column("metric", 8, left=True),
    *(Column(name.replace("_", "."), 8) for name in PERCENTILES),
    Column("max", 8),
    Column("count", 7),
)
FIRST, FIRST_OF_WHOLE = "ttft", "e2e"
"""The row that is selected at first; the second one if no answer is streamed, because there is no first token then."""


def latency_cells(metric: str, histogram: Histogram | None) -> list[Cell]:
    """The row of one latency. A value with too few samples is dim and has a `~`."""
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


class LatencyPane(Vertical):
    """A table, and the distribution of the row with the cursor."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = Said(classes="title")
        self._table = Rows(COLUMNS)
        self._about = Said(classes="about", grows=True)
        self._chart = Chart("chart-latency")
        self._timeline = Timeline()
        self._distribution = Distribution(id="distribution")
        self._picture: Picture | None = None

    def compose(self) -> ComposeResult:
        """The distribution is beside the table if there is room, else below it."""
        yield self._title
        with Container(classes="halves"):
            with Vertical(classes="half"):
                yield self._table
                yield self._about
                yield self._chart
            yield self._distribution

    def show(self, picture: Picture) -> None:
        """The figures."""
        first = self._picture is None
        self._picture = picture
        window = window_words(picture) + widest_words(picture)
        self._title.say(Content.assemble(("latency", "bold"), f" · {window} · ", ("~ low sample count", "$text-muted")))
        latency = picture.figures.latency
        means = {metric: histogram.mean for metric, histogram in latency.items()}
        shown = [metric for metric in LATENCIES if formatting.worth_a_line(metric, means)]
        self._table.show({metric: latency_cells(metric, latency.get(metric)) for metric in shown})
        if first:
            chosen = FIRST_OF_WHOLE if picture.view.aggregate.whole_answers else FIRST
            self._table.move_cursor(row=shown.index(chosen))

    def draw(self, picture: Picture) -> None:
        """Chart and distribution of the chosen latency."""
        metric = self._table.selected or FIRST
        self._distribution.show(f"{metric} · {window_words(picture, metric)}", picture.figures.latency.get(metric))
        if self._chart.size.width:
            drawing = catalog.latency_drawing_of(metric, picture.view, self._timeline, self._chart.most_points)
            self._chart.show(drawing)

    def _undetermined(self, metric: str) -> str:
        """How many answers are missing from `tpot` because theirs is undetermined."""
        if metric != "tpot" or self._picture is None:
            return ""
        parts = self._picture.view.aggregate.parts.values()
        missing = sum(n for part in parts for n in part.undetermined.values())
        return (
            f"; undetermined for {formatting.count(missing)} answers, which are not included (v: details)"
            if missing
            else ""
        )

    def on_resize(self) -> None:
        """The chart may have room now that it did not have before."""
        self.call_after_refresh(self._draw_again)

    def on_show(self) -> None:
        """The pane had no size when the last picture was shown."""
        self.call_after_refresh(self._draw_again)

    def _draw_again(self) -> None:
        if self._picture is not None:
            self.draw(self._picture)

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        metric = event.row_key.value or ""
        if metric in LATENCIES:
            about = f"  {LATENCIES[metric].meaning}{self._undetermined(metric)}"
            self._about.say(Content.assemble((metric, "bold"), about))
        if self._picture is not None:
            self.draw(self._picture)
