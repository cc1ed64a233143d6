"""The tasks pane: what each task of a mix has achieved, and each step of its flows or turn of its conversations, as a
table and as charts that compare them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.by_task import (
    NamedFigures,
    StepFigures,
    TaskFigures,
    step_figures,
    task_figures,
)
from llmstress.engine.telemetry.metrics import TASKS_CHARTED
from llmstress.tui.charts.bar_chart import BarChart
from llmstress.tui.charts.by_task import drawings_of, has_tokens, latency_text
from llmstress.tui.format.picture import Picture
from llmstress.tui.panes.pane import RedrawnPane
from llmstress.tui.panes.task_rows import TaskRow, compared, has_more, rows_of
from llmstress.tui.panes.task_words import about, share_text, title_of
from llmstress.tui.widgets.table import Cell, RowTable, TableColumn
from llmstress.tui.widgets.text import TextBlock

_PADDING = 2
"""Columns beside each column of the table."""

_SCROLLBAR = 2

_CHARTS = 5

_BORDER = 2
"""Rows around a chart."""

_LEAST_NAME = 12
"""Names of tasks have at least this many columns, or a fifth of the screen, if they are that long."""


def has_tasks(view: RunView | None) -> bool:
    """Whether the run is a mix of tasks, or has steps."""
    return view is not None and bool(view.facts.tasks or view.facts.steps)


class TaskColumn(NamedTuple):
    """A column of the table. Those with a high `rank` are left out first where there is no room."""

    column: TableColumn
    cell: Callable[[NamedFigures], Cell]
    rank: int = 0


def name_column(rows: Sequence[TaskRow], width: int) -> TableColumn:
    """The first column, on a screen of `width` columns."""
    longest = max((len(row.label) for row in rows), default=0)
    return TableColumn("task", max(len("task"), min(longest, max(_LEAST_NAME, width // 5))), left=True)


def columns_of(rows: Sequence[TaskRow], picture: Picture, width: int) -> list[TaskColumn]:
    """The columns of this run that fit into `width` columns of the screen, besides the first one."""
    tasks = [row.figures for row in rows]
    failed_rank = 0 if any(each.whole_failed_by for each in tasks) else 3
    # whole answers have no other latency
    e2e_rank = 4 if any("e2e" in each.latency and "ttft" not in each.latency for each in tasks) else 6
    found = []
    if picture.view.facts.tasks:
        found += [TaskColumn(TableColumn("asked", 6), _asked, 8), TaskColumn(TableColumn("share", 6), _share, 1)]
    found.append(TaskColumn(TableColumn("req/s", 5), lambda each: _rate(each.requests_per_s), 2))
    if any(has_tokens(each) for each in tasks):
        found.append(TaskColumn(TableColumn("tok/s", 5), _tokens_per_s, 3))
    if any(each.whole.counters.inputs for each in tasks):
        found.append(TaskColumn(TableColumn("inputs/s", 8), _inputs_per_s, 9))
    if not picture.snapshot.whole_answers:
        found.append(TaskColumn(TableColumn("TTFT p50", 8), lambda each: _latency(each, "ttft", "p50"), 5))
        found.append(TaskColumn(TableColumn("TTFT p99", 8), lambda each: _latency(each, "ttft", "p99")))
        found.append(TaskColumn(TableColumn("TPOT p50", 8), lambda each: _latency(each, "tpot", "p50"), 7))
    found.append(TaskColumn(TableColumn("E2E p50", 7), lambda each: _latency(each, "e2e", "p50"), e2e_rank))
    found.append(TaskColumn(TableColumn("failed", 6), _failed, failed_rank))
    if picture.view.facts.objectives.slos:
        found.append(TaskColumn(TableColumn("good", 7), _good))
    if any(each.whole.counters.input for each in tasks):
        found.append(TaskColumn(TableColumn("in/req", 6), _input_mean, 10))
    if any(each.whole.counters.output for each in tasks):
        found.append(TaskColumn(TableColumn("out/req", 7), _output_mean, 11))
    return _fitting(found, width - name_column(rows, width).width - _PADDING - _SCROLLBAR)


def _fitting(columns: list[TaskColumn], width: int) -> list[TaskColumn]:
    kept: list[TaskColumn] = []
    for each in sorted(columns, key=lambda each: each.rank):
        needed = each.column.width + _PADDING
        if needed <= width or not each.rank:
            kept.append(each)
            width -= needed
    return [each for each in columns if each in kept]


def _asked(figures: NamedFigures) -> Cell:
    return Cell(share_text(figures.asked_share)) if isinstance(figures, TaskFigures) else Cell("")


def _share(figures: NamedFigures) -> Cell:
    if not isinstance(figures, TaskFigures):
        return Cell("")  # the weights share out whole sessions
    return Cell("–", "dim") if figures.started_share is None else Cell(share_text(figures.started_share))


def _rate(per_second: float | None) -> Cell:
    return Cell("–", "dim") if per_second is None else Cell(formatting.rate(per_second))


def _tokens_per_s(task: NamedFigures) -> Cell:
    return _rate(task.tokens_per_s if has_tokens(task) else None)


def _inputs_per_s(task: NamedFigures) -> Cell:
    return _rate(task.inputs_per_s if task.whole.counters.inputs else None)


def _latency(task: NamedFigures, metric: str, name: str) -> Cell:
    text = latency_text(task, metric, name)
    return Cell(text, "dim" if text[0] in "–~" else "")


def _failed(task: NamedFigures) -> Cell:
    ended = task.whole.ended
    failed = sum(task.whole_failed_by.values())
    text = formatting.share(failed, sum(ended.values()) - ended.get("cancelled", 0))
    return Cell(text, "bold", "text-error") if failed else Cell(text)


def _good(task: NamedFigures) -> Cell:
    share = task.goodput.share
    if share is None:
        return Cell("–", "dim")
    return Cell(f"{'≥' if task.goodput.unknown else ''}{formatting.share_range(share, share)}")


def _input_mean(task: NamedFigures) -> Cell:
    # only usage has them, and some answers may be without it
    return _mean(task.counters.input, task.ok, "≥" if 0 < task.counters.usage_seen < task.ok else "")


def _output_mean(task: NamedFigures) -> Cell:
    return _mean(task.counters.output, task.ok)


def _mean(total: int, requests: int, sign: str = "") -> Cell:
    return Cell(f"{sign}{formatting.rate(total / requests)}") if total and requests else Cell("–", "dim")


class TasksPane(RedrawnPane):
    """A table of the tasks, and charts. How many charts are seen depends on the width of the screen."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = TextBlock(classes="title")
        self._table = RowTable((name_column((), 0),))
        self._about = TextBlock(classes="about", grows=True)
        self._charts = [BarChart(f"chart-tasks-{number}") for number in range(_CHARTS)]
        self._charts[0].border_subtitle = "c: next"
        self._grid = Container(*self._charts, id="task-charts")
        self._first = 0
        """Number of the drawing that the first chart shows."""
        self._tasks: list[TaskFigures] = []
        self._steps: list[StepFigures] = []
        self._rows: dict[str, TaskRow] = {}
        self._opened: set[str] = set()
        """Tasks of which all turns are shown."""

    def compose(self) -> ComposeResult:
        """Title, table, the selected row in words, and charts."""
        yield self._title
        yield self._table
        yield self._about
        yield self._grid

    def show(self, picture: Picture) -> None:
        """Does nothing: figures since the begin of the window change slowly, and wait for the next `draw`."""

    def draw(self, picture: Picture) -> None:
        """Update table and charts."""
        self._picture = picture
        if not self.size.width:
            return
        self._tasks = task_figures(picture.view, TASKS_CHARTED)
        self._steps = step_figures(picture.view, TASKS_CHARTED)
        self._show_rows(picture)

    def _show_rows(self, picture: Picture) -> None:
        rows, width = rows_of(self._tasks, self._steps, self._opened), self.size.width
        self._rows = {row.key: row for row in rows}
        first, columns = name_column(rows, width), columns_of(rows, picture, width)
        self._table.set_columns((first, *(each.column for each in columns)))
        self._table.show(
            {
                row.key: [
                    Cell(row.label, "bold" if isinstance(row.figures, TaskFigures) else ""),
                    *(each.cell(row.figures) for each in columns),
                ]
                for row in rows
            }
        )
        self._title.set_text(title_of(picture))
        self._fit_charts()
        self._show_selected()

    def next_chart(self) -> None:
        """Show the next chart first."""
        self._first += 1
        self._show_selected()

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_selected()

    def _fit_charts(self) -> None:
        """Show one row of charts where there is no room for two."""
        row = self._rows.get(self._table.selected or "")
        bars = 0 if row is None else len(compared(row, self._tasks, self._steps)[0])
        self._grid.set_class(2 * (bars + _BORDER) > self._grid.size.height, "-one-row")

    @on(DataTable.RowSelected)
    def _open(self, event: DataTable.RowSelected) -> None:
        """Show all turns of the task, or only some again."""
        event.stop()
        row = self._rows.get(event.row_key.value or "")
        if row is not None and self._picture is not None and has_more(row.task, self._steps):
            self._opened ^= {row.task}
            self._show_rows(self._picture)

    def _show_selected(self) -> None:
        """The selected row in words, and the charts, which emphasise it."""
        row = self._rows.get(self._table.selected or "")
        if row is None or self._picture is None:
            return
        hint = "enter: fewer turns" if row.task in self._opened else "enter: all turns"
        self._about.set_text(about(row, self._picture.view, hint if has_more(row.task, self._steps) else ""))
        figures, by = compared(row, self._tasks, self._steps)
        drawings = drawings_of(figures, self._picture.view.aggregate.metrics, row.figures.name, by)
        for number, chart in enumerate(self._charts):
            chart.set_class(number >= len(drawings), "-missing")
            if number < len(drawings):
                chart.show(drawings[(self._first + number) % len(drawings)])
