"""The workers pane: one row per process, its problems, and its last minute."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting, snapshot
from llmstress.engine.telemetry.aggregate import WorkerState
from llmstress.engine.telemetry.reasons import MAX_CPU_SHARE, lag_limit_us
from llmstress.engine.telemetry.snapshot import WorkerFigures
from llmstress.tui.charts import catalog
from llmstress.tui.charts.catalog import WorkerSample
from llmstress.tui.charts.chart import Chart
from llmstress.tui.format.picture import WINDOW_S, Picture
from llmstress.tui.format.words import window_words
from llmstress.tui.panes.pane import RedrawnPane
from llmstress.tui.widgets.table import Cell, RowTable, TableColumn
from llmstress.tui.widgets.text import TextBlock

COLUMNS = (
    TableColumn("#", 4, left=True),
    TableColumn("pid", 7),
    TableColumn("state", 10, left=True),
    TableColumn("open", 11),
    TableColumn("ev/s", 5),
    TableColumn("cpu", 5),
    TableColumn("mem", 6),
    TableColumn("lag p99", 7),
    TableColumn("merged", 6),
)

SPARKS = (TableColumn("cpu, last minute", 24, left=True), TableColumn("lag, last minute", 24, left=True))
"""Columns shown only on wide screens."""

_SPARKS_FROM_WIDTH = 132
"""Width of the screen from which on `SPARKS` are shown."""

_BLOCKS = "▁▂▃▄▅▆▇█"

STATES = {"starting": "○", "ready": "◔", "running": "●", "done": "✔", "lost": "✖"}
"""State of a worker -> its sign."""


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker as shown in the table."""

    state: WorkerState
    figures: WorkerFigures
    problems: list[str]
    """Descriptions of its problems; empty: none."""


def worker_rows(picture: Picture) -> list[WorkerRow]:
    """All workers by number, with figures of the chosen period."""
    aggregate, steady_s = picture.view.aggregate, picture.view.steady_s
    itl_p50 = picture.figures.percentile("itl", "p50")
    rows: list[WorkerRow] = []
    for worker in aggregate.workers:
        if picture.whole:
            found = snapshot.worker_steady(aggregate, worker.worker, steady_s)
        elif worker.state == "lost":
            found = WorkerFigures(None, None, None)
        else:
            found = snapshot.worker_recent(aggregate, worker.worker, WINDOW_S)
        rows.append(WorkerRow(worker, found, problems_of(worker, found, itl_p50)))
    return rows


def problems_of(worker: WorkerState, found: WorkerFigures, itl_p50: int | None) -> list[str]:
    """The problems of a worker, by the limits of the verdict."""
    if worker.state == "lost":
        return [f"lost: {worker.reason}"]
    problems: list[str] = []
    if found.cpu_share is not None and found.cpu_share > MAX_CPU_SHARE:
        problems.append(
            f"uses {found.cpu_share:.0%} of its core (limit {MAX_CPU_SHARE:.0%}): its timestamps may be late; use "
            "more --procs"
        )
    limit = lag_limit_us(itl_p50)
    if found.loop_lag_p99 is not None and found.loop_lag_p99 > limit:
        problems.append(
            f"its event loop is {formatting.latency(found.loop_lag_p99)} late "
            f"(p99; limit {formatting.latency(limit)}), so its latencies may be too high"
        )
    if worker.gaps:
        problems.append(f"{formatting.count(worker.gaps)} of its reports were lost: counts are too low")
    return problems


def sparkline(values: Sequence[float | None], full: float, width: int) -> str:
    """The last `width` values as block characters; the tallest block means `full` or more, a space means no value."""
    top = len(_BLOCKS) - 1
    return "".join(
        " " if value is None else _BLOCKS[min(top, max(0, int(value / full * top + 0.5)))] for value in values[-width:]
    )


def spark_cells(row: WorkerRow, samples: Sequence[WorkerSample], limit_us: float) -> list[Cell]:
    """Sparklines of the last minute: CPU (tallest block: a whole core) and lag (tallest block: twice the limit)."""
    tone = "text-warning" if row.problems else ""
    cpu = sparkline([each.cpu for each in samples], 1.0, SPARKS[0].width)
    lag = sparkline([each.lag for each in samples], 2 * limit_us, SPARKS[1].width)
    return [Cell(cpu, "", tone), Cell(lag, "", tone)]


def worker_cells(row: WorkerRow) -> list[Cell]:
    """The row of one worker."""
    worker, found = row.state, row.figures
    tone = "text-error" if worker.state == "lost" else "text-warning" if row.problems else ""
    style = "bold" if row.problems else ""
    cpu = "–" if found.cpu_share is None else f"{100 * found.cpu_share:.0f} %"
    merged = formatting.count(worker.merged) + (f"-{worker.gaps}" if worker.gaps else "")
    texts = (
        f"{worker.worker} !" if row.problems else str(worker.worker),
        str(worker.pid or "–"),
        f"{STATES.get(worker.state, '?')} {worker.state}",
        f"{formatting.count(worker.open)}/{formatting.count(worker.streams)}",
        "–" if found.events_per_s is None else formatting.rate(found.events_per_s),
        cpu,
        memory(0 if worker.state == "lost" else worker.rss),
        formatting.latency(found.loop_lag_p99),
        merged,
    )
    return [Cell(text, style, tone) for text in texts]


def memory(size: int) -> str:
    """A number of bytes: `–`, `45 MB`, `1.2 GB`."""
    if not size:
        return "–"
    return f"{size / 1e6:.0f} MB" if size < 999.5e6 else f"{size / 1e9:.1f} GB"


def sorted_rows(rows: list[WorkerRow], column: int, reverse: bool) -> list[WorkerRow]:
    """Rows sorted by one of `COLUMNS`, then by number; unknown values are always last."""

    def value(row: WorkerRow) -> float | str | None:
        worker, found = row.state, row.figures
        values: tuple[float | str | None, ...] = (
            worker.worker,
            worker.pid,
            worker.state,
            worker.open,
            found.events_per_s,
            found.cpu_share,
            worker.rss or None,
            found.loop_lag_p99,
            worker.merged,
        )
        return values[column]

    known = sorted((row for row in rows if value(row) is not None), key=value, reverse=reverse)  # type: ignore[arg-type]
    return known + [row for row in rows if value(row) is None]


class WorkersPane(RedrawnPane):
    """A table of workers, and problems and charts of the selected one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort_by_next", show=False),
        Binding("O", "reverse", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = TextBlock(classes="title")
        self._table = RowTable(COLUMNS)
        self._about = TextBlock(classes="about", grows=True)
        self._cpu, self._lag = Chart("chart-cpu"), Chart("chart-lag")
        self._states: list[str] = []
        self._rows: dict[str, WorkerRow] = {}
        self._column = 0
        self._reverse = False

    def compose(self) -> ComposeResult:
        """Title, table, and problems and charts of the selected worker."""
        yield self._title
        yield self._table
        yield self._about
        with Horizontal(id="worker-charts"):
            yield self._cpu
            yield self._lag

    def show(self, picture: Picture) -> None:
        """Update only if a worker has changed its state; everything else waits for the next `draw`. Drawing this table
        is the most expensive part of the screen, and nobody can read many figures three times a second."""
        if [worker.state for worker in picture.view.aggregate.workers] != self._states:
            self.draw(picture)

    def draw(self, picture: Picture) -> None:
        """Update the table and the charts."""
        self._picture = picture
        self._states = [worker.state for worker in picture.view.aggregate.workers]
        rows = worker_rows(picture)
        self._rows = {str(each.state.worker): each for each in rows}
        self._table.set_columns((*COLUMNS, *SPARKS) if self.app.size.width >= _SPARKS_FROM_WIDTH else COLUMNS)
        ordered = sorted_rows(rows, self._column, self._reverse)
        self._table.show({str(each.state.worker): self._cells(each, picture) for each in ordered})
        marked = sum(bool(each.problems) for each in rows)
        sorted_by = f"by {COLUMNS[self._column].label} {'▼' if self._reverse else '▲'}"
        self._title.set_text(
            Content.assemble(
                ("workers", "bold"),
                f" · {window_words(picture)} · {sorted_by} · ",
                (f"! {marked} marked", "bold $text-warning") if marked else "all well",
            )
        )
        self._show_selected()

    def action_sort_by_next(self) -> None:
        """Sort by the next column."""
        self._sort_by((self._column + 1) % len(COLUMNS))

    def _cells(self, row: WorkerRow, picture: Picture) -> list[Cell]:
        cells = worker_cells(row)
        if len(self._table.columns) == len(COLUMNS):
            return cells
        samples = catalog.worker_samples(row.state.worker, picture.view.aggregate)
        return [*cells, *spark_cells(row, samples, lag_limit_us(picture.figures.percentile("itl", "p50")))]

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._sort_by(self._column)

    @on(DataTable.HeaderSelected)
    def _header(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        if event.column_index < len(COLUMNS):
            self._sort_by(event.column_index)

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_selected()

    def _sort_by(self, column: int) -> None:
        """Sort by this column, or reverse the order if it is already sorted by it. Figures begin with the largest."""
        self._reverse = not self._reverse if column == self._column else column > 2
        self._column = column
        if self._picture is not None:
            self.draw(self._picture)

    def _show_selected(self) -> None:
        row = self._rows.get(self._table.selected or "")
        if row is None:
            return
        begin = f"worker {row.state.worker}  "
        text = "; ".join(row.problems) if row.problems else "no problems"
        self._about.set_text(Content.assemble((begin, "bold"), text))
        if self._picture is not None and self._cpu.size.width:
            number = row.state.worker
            samples = catalog.worker_samples(number, self._picture.view.aggregate)
            self._cpu.show(catalog.cpu_drawing(number, samples, MAX_CPU_SHARE))
            limit = lag_limit_us(self._picture.figures.percentile("itl", "p50"))
            self._lag.show(catalog.lag_drawing(number, samples, limit))
