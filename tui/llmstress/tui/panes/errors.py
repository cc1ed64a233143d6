"""The errors pane: failure classes with their counts, and samples of the server's messages."""

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.classes import NOT_ERRORS, NOT_FAILED
from llmstress.engine.telemetry.error_samples import samples_of
from llmstress.engine.telemetry.messages import ErrorSample
from llmstress.tui.charts import catalog
from llmstress.tui.charts.chart import Chart
from llmstress.tui.charts.lines import TimelineCache
from llmstress.tui.format.picture import Picture
from llmstress.tui.panes.pane import RedrawnPane
from llmstress.tui.widgets.table import Cell, RowTable, TableColumn
from llmstress.tui.widgets.text import TextBlock

COLUMNS = (
    *(TableColumn("class", 24, left=True), TableColumn("count", 9), TableColumn("share", 7)),
    *(TableColumn("retried", 9), TableColumn("last seen", 12)),
)


def error_rows(aggregate: Aggregate) -> dict[str, list[Cell]]:
    """Class -> its row, the most frequent first. Shares refer to all finished requests. Retried attempts are not
    included and have a column of their own."""
    finished, ended, retried = aggregate.finished(), aggregate.ended(), aggregate.retried()
    found = {name: ended.get(name, 0) for name in ended.keys() | retried.keys() if name not in NOT_ERRORS}
    rows: dict[str, list[Cell]] = {}
    for name, n in sorted(found.items(), key=lambda item: (-item[1], -retried.get(item[0], 0), item[0])):
        again = retried.get(name, 0)
        if not n and not again:
            continue
        seen = aggregate.last_seen.get(name)
        ago = (
            "–" if seen is None else f"{formatting.duration(max(0, aggregate.elapsed_ns - seen) // 1_000_000_000)} ago"
        )
        tone = "text-error" if n and name not in NOT_FAILED else ""
        rows[name] = [
            Cell(name, "bold", tone),
            Cell(formatting.count(n)),
            Cell(formatting.share(n, finished)),
            Cell(formatting.count(again) if again else "–", "" if again else "dim"),
            Cell(ago),
        ]
    return rows


def samples_text(name: str, samples: list[tuple[str, ErrorSample]]) -> Content:
    """Samples of one class, in the server's words, each with the name of its task (empty: it has none)."""
    if not samples:
        return Content.assemble((name, "bold"), "  no sample was kept")
    lines = [Content.assemble((name, "bold"), "  samples:")]
    for task, sample in samples:
        about = f"{task}: " if task else ""
        about += f"status {sample.status}" if sample.status else "no status"
        if sample.request_id:
            about += f", request {sample.request_id}"
        if sample.headers:
            about += f", {sample.headers}"
        lines.append(Content.assemble("\n• ", (about, "$text-muted"), "\n  ", sample.text))
    return Content("").join(lines)


class ErrorsPane(RedrawnPane):
    """A table of failure classes, and the samples of the selected class."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = TextBlock(classes="title")
        self._table = RowTable(COLUMNS)
        self._samples = TextBlock(grows=True)
        self._scroll = VerticalScroll(self._samples, classes="samples")
        self._chart = Chart("chart-errors")
        self._timeline = TimelineCache()
        self._aggregate: Aggregate | None = None

    def compose(self) -> ComposeResult:
        """Title, table, samples, and a chart of failures on tall screens."""
        yield self._title
        yield self._table
        yield self._scroll
        yield self._chart

    def show(self, picture: Picture) -> None:
        """Update the table and the samples."""
        self._aggregate = aggregate = picture.view.aggregate
        rows = error_rows(aggregate)
        finished = formatting.count(aggregate.finished())
        if rows:
            failed = f"{formatting.count(aggregate.failed())} of {finished} finished requests failed"
            self._title.set_text(Content.assemble(("errors", "bold"), f" · whole run · {failed}"))
        else:
            none = ("✔ no errors", "$text-success")
            self._title.set_text(Content.assemble(("errors", "bold"), " · whole run · ", none))
        for part in (self._table, self._scroll, self._chart):
            part.set_class(not rows, "-nothing")
        self._table.show(rows)
        self._show_selected()

    def draw(self, picture: Picture) -> None:
        """Update the chart of failures per second."""
        self._picture = picture
        if self._chart.size.width:
            self._chart.show(catalog.drawing_of("failed", picture.view, self._timeline, self._chart.most_points))

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_selected()

    def _show_selected(self) -> None:
        name = self._table.selected
        if name is None or self._aggregate is None:
            return
        self._samples.set_text(samples_text(name, samples_of(self._aggregate.samples, name)))
