"""The tasks pane: what each task of a mix has achieved, as a table and as charts that compare the tasks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.by_task import TaskFigures, task_figures
from llmstress.engine.telemetry.metrics import TASKS_CHARTED
from llmstress.engine.telemetry.outcomes import describe_outcome
from llmstress.tui.charts.bar_chart import BarChart
from llmstress.tui.charts.by_task import drawings_of, has_tokens, latency_text
from llmstress.tui.format.load import measured_name
from llmstress.tui.format.picture import Picture
from llmstress.tui.panes.pane import RedrawnPane
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
    """Whether the run is a mix of tasks."""
    return view is not None and bool(view.facts.tasks)


class TaskColumn(NamedTuple):
    """A column of the table. Those with a high `rank` are left out first where there is no room."""

    column: TableColumn
    cell: Callable[[TaskFigures], Cell]
    rank: int = 0


def name_column(tasks: Sequence[TaskFigures], width: int) -> TableColumn:
    """The first column, on a screen of `width` columns."""
    longest = max((len(each.facts.name) for each in tasks), default=0)
    return TableColumn("task", max(len("task"), min(longest, max(_LEAST_NAME, width // 5))), left=True)


def columns_of(tasks: Sequence[TaskFigures], picture: Picture, width: int) -> list[TaskColumn]:
    """The columns of this run that fit into `width` columns of the screen, besides the first one."""
    failed_rank = 0 if any(each.whole_failed_by for each in tasks) else 3
    # whole answers have no other latency
    e2e_rank = 4 if any("e2e" in each.latency and "ttft" not in each.latency for each in tasks) else 6
    found = [
        TaskColumn(TableColumn("asked", 6), lambda each: Cell(share_text(each.asked_share)), 8),
        TaskColumn(TableColumn("share", 6), _share, 1),
        TaskColumn(TableColumn("req/s", 5), lambda each: _rate(each.requests_per_s), 2),
    ]
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
    return _fitting(found, width - name_column(tasks, width).width - _PADDING - _SCROLLBAR)


def _fitting(columns: list[TaskColumn], width: int) -> list[TaskColumn]:
    kept: list[TaskColumn] = []
    for each in sorted(columns, key=lambda each: each.rank):
        needed = each.column.width + _PADDING
        if needed <= width or not each.rank:
            kept.append(each)
            width -= needed
    return [each for each in columns if each in kept]


def share_text(share: float) -> str:
    """A share with one decimal: `33.3 %`, `100 %`, `<0.1 %`."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def _share(task: TaskFigures) -> Cell:
    return Cell("–", "dim") if task.started_share is None else Cell(share_text(task.started_share))


def _rate(per_second: float | None) -> Cell:
    return Cell("–", "dim") if per_second is None else Cell(formatting.rate(per_second))


def _tokens_per_s(task: TaskFigures) -> Cell:
    return _rate(task.tokens_per_s if has_tokens(task) else None)


def _inputs_per_s(task: TaskFigures) -> Cell:
    return _rate(task.inputs_per_s if task.whole.counters.inputs else None)


def _latency(task: TaskFigures, metric: str, name: str) -> Cell:
    text = latency_text(task, metric, name)
    return Cell(text, "dim" if text[0] in "–~" else "")


def _failed(task: TaskFigures) -> Cell:
    ended = task.whole.ended
    failed = sum(task.whole_failed_by.values())
    text = formatting.share(failed, sum(ended.values()) - ended.get("cancelled", 0))
    return Cell(text, "bold", "text-error") if failed else Cell(text)


def _good(task: TaskFigures) -> Cell:
    share = task.goodput.share
    if share is None:
        return Cell("–", "dim")
    return Cell(f"{'≥' if task.goodput.unknown else ''}{formatting.share_range(share, share)}")


def _input_mean(task: TaskFigures) -> Cell:
    # only usage has them, and some answers may be without it
    return _mean(task.counters.input, task.ok, "≥" if 0 < task.counters.usage_seen < task.ok else "")


def _output_mean(task: TaskFigures) -> Cell:
    return _mean(task.counters.output, task.ok)


def _mean(total: int, requests: int, sign: str = "") -> Cell:
    return Cell(f"{sign}{formatting.rate(total / requests)}") if total and requests else Cell("–", "dim")


def about(task: TaskFigures, view: RunView) -> Content:
    """What else is known of a task: target, requests of the whole run, SLOs, tokens."""
    facts, whole = task.facts, task.whole
    target = " · ".join(each for each in (facts.api, facts.model, facts.url) if each)
    started = "no request started yet"
    if task.started_share is not None:
        n = whole.counters.started
        requests = "1 request" if n == 1 else f"{formatting.count(n)} requests"
        shares = f"share {share_text(task.started_share)}, asked for {share_text(task.asked_share)}"
        started = f"{requests} started ({shares})"
    lines = [
        Content.assemble((facts.name, "bold"), f"  {target}"),
        Content(f"{started}; {describe_outcome(whole)}"),
    ]
    if more := [*_slo_words(task, view), *_token_words(task)]:
        lines.append(Content("; ".join(more)))
    return Content("\n").join(lines)


def _slo_words(task: TaskFigures, view: RunView) -> list[str]:
    slos, good = task.facts.slos, task.goodput
    if not slos or not task.ok:
        return list(slos)
    of = formatting.count(task.ok)
    missed = [f"{slo} missed by {formatting.count(good.missed.get(slo, 0))} of {of}" for slo in slos]
    unknown = [f"{formatting.count(good.unknown)} can't be judged"] if good.unknown else []
    return [f"{measured_name(view)}: {', '.join([*missed, *unknown])}"]


def _token_words(task: TaskFigures) -> list[str]:
    counters, words = task.whole.counters, list[str]()
    if counters.cached_input:
        share = formatting.share(counters.cached_input, counters.input)
        words.append(f"{share} of its input came from the server's cache")
    by_events = task.whole.ended.get("ok", 0) - counters.usage_seen - counters.tokens_unknown
    if counters.events and by_events > 0:
        words.append(f"without usage: {formatting.count(by_events)} answers, whose events are counted as tokens")
    return words


def title_of(picture: Picture) -> Content:
    """How many tasks there are, and which time the figures cover."""
    view = picture.view
    name, tasks = measured_name(view), len(view.facts.tasks)
    since = f"{name} {formatting.duration(round(view.steady_s))}" if view.steady_s > 0 else f"{name} (not begun)"
    counts = "" if view.facts.whole_run else " · share, failed: whole run"
    return Content.assemble(("tasks", "bold"), f" · {tasks} · {since}{counts}")


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
        self._figures: dict[str, TaskFigures] = {}

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
        tasks = task_figures(picture.view, TASKS_CHARTED)
        self._figures = {each.facts.name: each for each in tasks}
        first, columns = name_column(tasks, self.size.width), columns_of(tasks, picture, self.size.width)
        self._table.set_columns((first, *(each.column for each in columns)))
        self._table.show(
            {name: [Cell(name, "bold"), *(each.cell(task) for each in columns)] for name, task in self._figures.items()}
        )
        self._title.set_text(title_of(picture))
        self._grid.set_class(2 * (len(tasks) + _BORDER) > self._grid.size.height, "-one-row")
        self._show_selected()

    def next_chart(self) -> None:
        """Show the next chart first."""
        self._first += 1
        self._show_selected()

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_selected()

    def _show_selected(self) -> None:
        """The selected task in words, and the charts, which emphasise it."""
        task = self._figures.get(self._table.selected or "")
        if task is None or self._picture is None:
            return
        self._about.set_text(about(task, self._picture.view))
        metrics = self._picture.view.aggregate.metrics
        drawings = drawings_of(list(self._figures.values()), metrics, task.facts.name)
        for number, chart in enumerate(self._charts):
            chart.set_class(number >= len(drawings), "-missing")
            if number < len(drawings):
                chart.show(drawings[(self._first + number) % len(drawings)])
