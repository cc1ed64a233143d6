"""The workers pane: one row a process, why it is marked, and its last minute."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import DataTable

from llmstress.engine.telemetry import formatting, snapshot
from llmstress.engine.telemetry.aggregate import WorkerState
from llmstress.engine.telemetry.reasons import MAX_CPU_SHARE, lag_limit_us
from llmstress.engine.telemetry.snapshot import WorkerFigures
from llmstress.tui.charts import catalog
from llmstress.tui.charts.catalog import Moment
from llmstress.tui.charts.lines import Chart
from llmstress.tui.format.picture import WINDOW_S, Picture
from llmstress.tui.format.words import window_words
from llmstress.tui.widgets.rows import Cell, Column, Rows
from llmstress.tui.widgets.text import Said

COLUMNS = (
    Column("#", 4, left=True),
    Column("pid", 7),
    Column("state", 10, left=True),
    Column("open", 11),
    Column("ev/s", 5),
    Column("cpu", 5),
    Column("mem", 6),
    Column("lag p99", 7),
    Column("merged", 6),
)

SPARKS = (Column("cpu, last minute", 24, left=True), Column("lag, last minute", 24, left=True))
"""Columns that are there where there is room for them."""

_FOR_SPARKS = 132
"""Columns of the screen that all of them take."""

_BLOCKS = "▁▂▃▄▅▆▇█"

STATES = {"starting": "○", "ready": "◔", "running": "●", "done": "✔", "lost": "✖"}
"""State of a worker -> its sign."""


class Seen(msgspec.Struct, frozen=True):
    """One worker as it is to be shown."""

    state: WorkerState
    figures: WorkerFigures
    troubles: list[str]
    """What is wrong with it, in words; empty if nothing is."""


def look_at(picture: Picture) -> list[Seen]:
    """All workers, by number, over the stretch of time that was chosen."""
    aggregate, steady_s = picture.view.aggregate, picture.view.steady_s
    itl_p50 = picture.figures.percentile("itl", "p50")
    seen: list[Seen] = []
    for worker in aggregate.workers:
        if picture.whole:
            found = snapshot.worker_steady(aggregate, worker.worker, steady_s)
        elif worker.state == "lost":
            found = WorkerFigures(None, None, None)
        else:
            found = snapshot.worker_recent(aggregate, worker.worker, WINDOW_S)
        seen.append(Seen(worker, found, troubles_of(worker, found, itl_p50)))
    return seen


def troubles_of(worker: WorkerState, found: WorkerFigures, itl_p50: int | None) -> list[str]:
    """What is wrong with a worker, by the limits of the verdict."""
    if worker.state == "lost":
        return [f"lost: {worker.reason}"]
    troubles: list[str] = []
    if found.cpu_share is not None and found.cpu_share > MAX_CPU_SHARE:
        troubles.append(
            f"uses {found.cpu_share:.0%} of its core (limit {MAX_CPU_SHARE:.0%}): its time stamps may be late; use "
            "more --procs"
        )
    limit = lag_limit_us(itl_p50)
    if found.loop_lag_p99 is not None and found.loop_lag_p99 > limit:
        troubles.append(
            f"its event loop is {formatting.latency(found.loop_lag_p99)} late "
            f"(p99; limit {formatting.latency(limit)}), so its latencies may be too high"
        )
    if worker.gaps:
        troubles.append(f"{formatting.count(worker.gaps)} of its reports were lost: counts are too low")
    return troubles


def sparkline(values: Sequence[float | None], full: float, width: int) -> str:
    """The last `width` values as blocks, of which the tallest means `full` or more; a space where there is none."""
    top = len(_BLOCKS) - 1
    return "".join(
        " " if value is None else _BLOCKS[min(top, max(0, int(value / full * top + 0.5)))] for value in values[-width:]
    )


def spark_cells(seen: Seen, moments: Sequence[Moment], limit_us: float) -> list[Cell]:
    """CPU (the tallest block: a whole core) and lag (the tallest block: twice the limit) of the last minute."""
    tone = "text-warning" if seen.troubles else ""
    cpu = sparkline([each.cpu for each in moments], 1.0, SPARKS[0].width)
    lag = sparkline([each.lag for each in moments], 2 * limit_us, SPARKS[1].width)
    return [Cell(cpu, "", tone), Cell(lag, "", tone)]


def worker_cells(seen: Seen) -> list[Cell]:
    """The row of one worker."""
    worker, found = seen.state, seen.figures
    tone = "text-error" if worker.state == "lost" else "text-warning" if seen.troubles else ""
    style = "bold" if seen.troubles else ""
    cpu = "–" if found.cpu_share is None else f"{100 * found.cpu_share:.0f} %"
    merged = formatting.count(worker.merged) + (f"-{worker.gaps}" if worker.gaps else "")
    texts = (
        f"{worker.worker} !" if seen.troubles else str(worker.worker),
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
    """Bytes as a person reads them: `–`, `45 MB`, `1.2 GB`."""
    if not size:
        return "–"
    return f"{size / 1e6:.0f} MB" if size < 999.5e6 else f"{size / 1e9:.1f} GB"


def in_order(all_seen: list[Seen], column: int, reverse: bool) -> list[Seen]:
    """By one of `COLUMNS`, those with the same value by number; what isn't known comes last either way."""

    def value(seen: Seen) -> float | str | None:
        worker, found = seen.state, seen.figures
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

    known = sorted((seen for seen in all_seen if value(seen) is not None), key=value, reverse=reverse)  # type: ignore[arg-type]
    return known + [seen for seen in all_seen if value(seen) is None]


class WorkersPane(Vertical):
    """The table, and below it what is wrong with the row with the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort_by_next", show=False),
        Binding("O", "reverse", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._title = Said(classes="title")
        self._table = Rows(COLUMNS)
        self._about = Said(classes="about", grows=True)
        self._cpu, self._lag = Chart("chart-cpu"), Chart("chart-lag")
        self._picture: Picture | None = None
        self._states: list[str] = []
        self._seen: dict[str, Seen] = {}
        self._column = 0
        self._reverse = False

    def compose(self) -> ComposeResult:
        """Title, table, and the chosen row: a line, and its last minute."""
        yield self._title
        yield self._table
        yield self._about
        with Horizontal(id="worker-charts"):
            yield self._cpu
            yield self._lag

    def show(self, picture: Picture) -> None:
        """Only what must not wait for the next `draw`: a worker in another state. To draw this table is the dearest
        part of the screen, and figures of many processes can't be read three times a second."""
        if [worker.state for worker in picture.view.aggregate.workers] != self._states:
            self.draw(picture)

    def draw(self, picture: Picture) -> None:
        """The figures, in order."""
        self._picture = picture
        self._states = [worker.state for worker in picture.view.aggregate.workers]
        seen = look_at(picture)
        self._seen = {str(each.state.worker): each for each in seen}
        self._table.set_columns((*COLUMNS, *SPARKS) if self.app.size.width >= _FOR_SPARKS else COLUMNS)
        in_turn = in_order(seen, self._column, self._reverse)
        self._table.show({str(each.state.worker): self._cells(each, picture) for each in in_turn})
        marked = sum(bool(each.troubles) for each in seen)
        sorted_by = f"by {COLUMNS[self._column].label} {'▼' if self._reverse else '▲'}"
        self._title.say(
            Content.assemble(
                ("workers", "bold"),
                f" · {window_words(picture)} · {sorted_by} · ",
                (f"! {marked} marked", "bold $text-warning") if marked else "all well",
            )
        )
        self._tell()

    def action_sort_by_next(self) -> None:
        """Sort by the next column."""
        self._sort_by((self._column + 1) % len(COLUMNS))

    def on_resize(self) -> None:
        """Other columns fit, and the charts have another size."""
        self.call_after_refresh(self._draw_again)

    def on_show(self) -> None:
        """It had no size when it was last given a picture."""
        self.call_after_refresh(self._draw_again)

    def _draw_again(self) -> None:
        if self._picture is not None:
            self.draw(self._picture)

    def _cells(self, seen: Seen, picture: Picture) -> list[Cell]:
        cells = worker_cells(seen)
        if len(self._table.columns) == len(COLUMNS):
            return cells
        moments = catalog.moments_of(seen.state.worker, picture.view.aggregate)
        return [*cells, *spark_cells(seen, moments, lag_limit_us(picture.figures.percentile("itl", "p50")))]

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort_by(self._column)

    @on(DataTable.HeaderSelected)
    def _header(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        if event.column_index < len(COLUMNS):
            self._sort_by(event.column_index)

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._tell()

    def _sort_by(self, column: int) -> None:
        """By this column; the other way round if it was that one already. Figures begin with the largest."""
        self._reverse = not self._reverse if column == self._column else column > 2
        self._column = column
        if self._picture is not None:
            self.draw(self._picture)

    def _tell(self) -> None:
        seen = self._seen.get(self._table.selected or "")
        if seen is None:
            return
        begin = f"worker {seen.state.worker}  "
        text = "; ".join(seen.troubles) if seen.troubles else "no problems"
        self._about.say(Content.assemble((begin, "bold"), text))
        if self._picture is not None and self._cpu.size.width:
            number = seen.state.worker
            moments = catalog.moments_of(number, self._picture.view.aggregate)
            self._cpu.show(catalog.cpu_drawing(number, moments, MAX_CPU_SHARE))
            limit = lag_limit_us(self._picture.figures.percentile("itl", "p50"))
            self._lag.show(catalog.lag_drawing(number, moments, limit))
