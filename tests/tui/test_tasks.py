"""The tab of the tasks: its table, its words, its bars, and when there is one."""

from collections.abc import Container

import msgspec
import pytest
from helpers.load_stories import STAGES
from helpers.screens import QueueSource, S, ending, histogram, on_screen, opening, press, settle, settle_until, text_of
from helpers.task_stories import TASKS, mixed, mixed_delta, mixed_view
from textual.pilot import Pilot
from textual.widgets import DataTable

from llmstress.engine.telemetry.broadcast import RunView, StepFacts, TaskFacts
from llmstress.engine.telemetry.by_task import TaskFigures, step_figures, task_figures
from llmstress.engine.telemetry.messages import Phase, key_of
from llmstress.engine.telemetry.metrics import TASKS_CHARTED
from llmstress.tui.app import StressApp
from llmstress.tui.charts.bar_chart import BarChart, BarDrawing, NamedBar, bar_pieces, shown_bars
from llmstress.tui.charts.by_task import drawings_of
from llmstress.tui.format.picture import picture_of
from llmstress.tui.panes.task_rows import TaskRow, compared, has_more, rows_of, shown_turns
from llmstress.tui.panes.task_words import about, share_text, title_of
from llmstress.tui.panes.tasks import columns_of, has_tasks, name_column


def after(seconds: float, view: RunView | None = None) -> RunView:
    """The run of `mixed` at this time."""
    view = view or mixed_view()
    for _, frame in mixed(seconds):
        assert not isinstance(frame, RunView)
        view.apply(frame)
    return view


def rows(view: RunView, width: int) -> dict[str, dict[str, str]]:
    """Name of a task -> column -> what the table shows."""
    shown = table(view)
    columns = columns_of(shown, picture_of(view, whole=True), width)
    return {row.label: {each.column.label: each.cell(row.figures).text for each in columns} for row in shown}


def table(view: RunView, opened: Container[str] = ()) -> list[TaskRow]:
    return rows_of(task_figures(view, TASKS_CHARTED), step_figures(view, TASKS_CHARTED), opened)


def task(view: RunView, number: int) -> TaskFigures:
    return task_figures(view, TASKS_CHARTED)[number]


def words(view: RunView, number: int) -> list[str]:
    return about(table(view)[number], view).plain.split("\n")


def test_a_run_of_one_kind_of_requests_has_no_tasks() -> None:
    assert not has_tasks(None)
    assert not has_tasks(opening())
    assert has_tasks(mixed_view())


def test_the_rows_of_a_mix() -> None:
    shown = rows(after(10.0), 200)
    assert shown == {
        "chat": {
            "asked": "60 %",
            "share": "59.6 %",
            "req/s": "48.0",
            "tok/s": "960",
            "inputs/s": "–",
            "TTFT p50": "158 ms",
            "TTFT p99": "~301 ms",
            "TPOT p50": "20.1 ms",
            "E2E p50": "538 ms",
            "failed": "0 %",
            "good": "83.3 %",
            "in/req": "40.0",
            "out/req": "20.0",
        },
        "summaries": {
            "asked": "30 %",
            "share": "30.4 %",
            "req/s": "24.0",
            "tok/s": "480",
            "inputs/s": "–",
            "TTFT p50": "304 ms",
            "TTFT p99": "~308 ms",
            "TPOT p50": "20.1 ms",
            "E2E p50": "684 ms",
            "failed": "2.0 %",
            "good": "98.0 %",
            "in/req": "40.0",
            "out/req": "20.0",
        },
        "embeddings": {
            "asked": "10 %",
            "share": "9.9 %",
            "req/s": "8.00",
            "tok/s": "–",
            "inputs/s": "8.00",
            "TTFT p50": "–",
            "TTFT p99": "–",
            "TPOT p50": "–",
            "E2E p50": "80.0 ms",
            "failed": "0 %",
            "good": "100 %",
            "in/req": "8.00",
            "out/req": "–",
        },
    }


def with_steps(*steps: StepFacts) -> RunView:
    """The run of `mixed` in which its three task numbers stand for these steps."""
    view = mixed_view(tuple(each for each in TASKS if each.name in {step.task for step in steps}))
    view.facts = msgspec.structs.replace(view.facts, steps=steps)
    return view


TURNS = (
    StepFacts(task="chat", step="turn 1", conversation=True),
    StepFacts(task="chat", step="turn 2", conversation=True),
    StepFacts(task="summaries"),
)
FLOW = tuple(StepFacts(task="chat", step=name, flow=True) for name in ("login", "search", "ask"))


def test_the_steps_of_a_task_are_below_it() -> None:
    shown = rows(after(10.0, with_steps(*TURNS)), 200)
    assert {name: row["req/s"] for name, row in shown.items()} == {
        "chat": "72.0",
        "  turn 1": "48.0",
        "  turn 2": "24.0",
        "summaries": "8.00",
    }
    assert {name: row["failed"] for name, row in shown.items()} == {
        "chat": "0.7 %",
        "  turn 1": "0 %",
        "  turn 2": "2.0 %",
        "summaries": "0 %",
    }
    assert (shown["  turn 1"]["TTFT p50"], shown["  turn 2"]["TTFT p50"]) == ("158 ms", "304 ms")
    assert (shown["  turn 1"]["E2E p50"], shown["  turn 2"]["TTFT p99"]) == ("538 ms", "~308 ms")
    assert shown["  turn 1"]["share"] == shown["  turn 1"]["asked"] == "", "the weights share out conversations"


def test_a_run_without_a_mix_has_rows_of_turns() -> None:
    view = opening(steps=tuple(StepFacts(step=f"turn {n}", conversation=True) for n in (1, 2, 3)))
    assert has_tasks(view)
    shown = rows(after(10.0, view), 200)
    assert {name: row["req/s"] for name, row in shown.items()} == {"turn 1": "48.0", "turn 2": "24.0", "turn 3": "8.00"}
    assert not {"asked", "share"} & set(shown["turn 1"])
    assert title_of(picture_of(view, whole=False)).plain == "turns · 3 · steady window 8s · failed: whole run"
    assert words(view, 1)[0] == "turn-2  turn 2; thresholds use this name"
    assert words(view, 1)[1].startswith("245 requests started; 2% of 245 requests failed")


@pytest.mark.parametrize(
    ("count", "turns"),
    [(1, [1]), (5, [1, 2, 3, 4, 5]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (20, [1, 2, 4, 8, 16, 20])],
)
def test_of_many_turns_some_are_shown(count: int, turns: list[int]) -> None:
    assert [at + 1 for at in shown_turns(count)] == turns


def test_a_task_with_many_turns_can_be_opened() -> None:
    steps = [StepFacts(task="chat", step=f"turn {n}", conversation=True) for n in range(1, 9)]
    view = with_steps(*steps, StepFacts(task="summaries", step="a", flow=True))
    labels = [row.label for row in table(view)]
    assert labels == ["chat", "  turn 1", "  turn 2", "  turn 4", "  turn 8", "summaries", "  a"]
    assert [row.label for row in table(view, {"chat"})][1:9] == [f"  turn {n}" for n in range(1, 9)]
    figures = step_figures(view)
    assert [has_more(task, figures) for task in ("chat", "summaries", "")] == [True, False, False]


def test_the_words_about_sessions_and_steps() -> None:
    view = after(10.0, with_steps(*FLOW))
    first = view.aggregate.parts[key_of(Phase.STEADY, 0)]
    first.counters.sessions, first.counters.sessions_completed, first.counters.sessions_failed = 300, 290, 3
    first.aside["flow"] = histogram(*[2_000_000] * 200)
    assert words(view, 0)[1].startswith("300 flows started (share 100 %, asked for 100 %), with 805 requests; ")
    assert "flows: 290 completed, 3 failed; whole flow p50 2.00 s, p99 ~2.00 s" in words(view, 0)[2]
    assert words(view, 1)[0] == "chat/login  step login of the task chat; thresholds use this name"
    assert "steady window: ttft<300ms missed by 64 of 384" in words(view, 1)[2]
    shown = "tasks · 1 · steady window 8s · share of what began, failed: whole run"
    assert title_of(picture_of(view, whole=False)).plain == shown


def test_the_charts_compare_tasks_or_the_steps_of_one() -> None:
    view = after(10.0, with_steps(*TURNS))
    tasks, steps = task_figures(view, TASKS_CHARTED), step_figures(view, TASKS_CHARTED)
    shown = table(view)
    assert compared(shown[0], tasks, steps) == (tasks, "by task")
    assert compared(shown[1], tasks, steps) == (steps, "by turn of chat")
    flow = after(10.0, with_steps(*FLOW))
    tasks, steps = task_figures(flow, TASKS_CHARTED), step_figures(flow, TASKS_CHARTED)
    figures, by = compared(table(flow)[0], tasks, steps)
    assert (figures, by) == (steps, "by step"), "there is no other task to compare with"
    ttft, requests, *_ = drawings_of(figures, flow.aggregate.metrics, "search", by)
    assert (ttft.title, requests.title) == ("TTFT by step: p50 █ p99 ░", "requests/s by step")
    assert [each.name for each in requests.bars] == ["login", "search", "ask"]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_table_fits_and_keeps_what_matters(width: int) -> None:
    view = after(10.0)
    shown = table(view)
    columns = columns_of(shown, picture_of(view, whole=True), width)
    labels = [each.column.label for each in columns]
    taken = name_column(shown, width).width + 2 + sum(each.column.width + 2 for each in columns)
    assert taken <= width
    assert {"share", "req/s", "TTFT p99", "failed", "good"} <= set(labels)
    assert ("E2E p50" in labels) == (width >= 80), "one task has no other latency"
    assert ("in/req" in labels) == (width >= 160)


def test_long_names_leave_room_for_figures() -> None:
    long = tuple(msgspec.structs.replace(each, name=each.name + "x" * 30) for each in TASKS)
    shown = table(after(3.0, mixed_view(long)))
    assert [name_column(shown, width).width for width in (60, 80, 160, 300)] == [12, 16, 32, 40]
    assert name_column(table(after(3.0)), 160).width == len("embeddings")


def test_before_the_steady_window_shares_and_failures_are_known() -> None:
    view = after(2.0)
    assert rows(view, 80)["summaries"] == {
        "share": "30.4 %",
        "req/s": "–",
        "tok/s": "–",
        "TTFT p50": "–",
        "TTFT p99": "–",
        "failed": "2.0 %",
        "good": "–",
    }
    assert title_of(picture_of(view, whole=False)).plain == (
        "tasks · 3 · steady window (not begun) · share, failed: whole run"
    )
    assert words(mixed_view(), 0)[1] == "no request started yet; no request finished"


def test_the_title_says_which_time_the_figures_cover() -> None:
    def title(view: RunView) -> str:
        return title_of(picture_of(view, whole=False)).plain

    assert title(after(10.0)) == "tasks · 3 · steady window 8s · share, failed: whole run"
    view = after(10.0)
    view.aggregate.windows = STAGES
    assert title(view).startswith("tasks · 3 · all stages 10s · ")
    view = mixed_view()
    view.facts = msgspec.structs.replace(view.facts, whole_run=True)
    assert title(view).startswith("tasks · 3 · whole run")
    assert not title(view).endswith("share, failed: whole run")


def test_the_words_about_a_task() -> None:
    view = after(10.0)
    assert words(view, 0) == [
        "chat  openai-chat · mock-7b · http://127.0.0.1:8000/v1/chat/completions",
        "480 requests started (share 59.6 %, asked for 60 %); all 480 requests succeeded",
        "steady window: ttft<300ms missed by 64 of 384; 25 % of its input came from the server's cache",
    ]
    assert words(view, 1)[1:] == [
        "245 requests started (share 30.4 %, asked for 30 %); 2% of 245 requests failed (http_503 2%)",
        "25 % of its input came from the server's cache",
    ]
    assert len(words(view, 2)) == 2, "no SLO and no cached input"


def test_what_can_t_be_known_is_said() -> None:
    view = after(10.0)
    counters = view.aggregate.parts[Phase.STEADY].counters
    counters.slo_met -= 84
    counters.slo_unknown += 84
    counters.usage_seen -= 100
    assert rows(view, 200)["chat"]["good"] == "≥61.5 %"
    assert rows(view, 200)["chat"]["in/req"] == "≥40.0"
    assert "missed by 64 of 384, 84 can't be judged" in words(view, 0)[2]
    assert words(view, 0)[2].endswith("without usage: 100 answers, whose events are counted as tokens")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0004, "<0.1 %"), (0.0006, "0.1 %"), (1 / 3, "33.3 %"), (0.6, "60 %"), (1, "100 %")],
)
def test_a_share(share: float, text: str) -> None:
    assert share_text(share) == text


# --- bars


def plain(drawing: BarDrawing, width: int, rows: int) -> list[str]:
    return "".join(text for text, _ in bar_pieces(drawing, width, rows)).rstrip("\n").split("\n")


def test_the_charts_of_a_mix() -> None:
    view = after(10.0)
    drawings = drawings_of(task_figures(view, TASKS_CHARTED), view.aggregate.metrics, "chat")
    assert [each.title for each in drawings] == [
        "TTFT by task: p50 █ p99 ░",
        "requests/s by task",
        "E2E by task: p50 █ p99 ░",
        "TPOT by task: p50 █ p99 ░",
        "tokens/s by task",
    ]
    ttft, requests, e2e, _, tokens = drawings
    assert [each.name for each in ttft.bars] == [each.name for each in tokens.bars] == ["chat", "summaries"]
    assert [each.text for each in ttft.bars] == ["158 ms · ~301 ms", "304 ms · ~308 ms"]
    assert [each.value for each in requests.bars] == [48.0, 24.0, 8.0]
    assert len(e2e.bars) == 3
    whole = drawings_of([task(view, 2)], {"e2e"}, "embeddings")
    assert [each.title for each in whole] == ["E2E by task: p50 █ p99 ░", "requests/s by task"]


def test_a_bar_ends_at_the_first_value_and_goes_on_to_the_second() -> None:
    bars = (NamedBar("a", 50.0, "50", 100.0), NamedBar("long name", 25.0, "25"), NamedBar("c", None, "–"))
    assert plain(BarDrawing("", bars), 33, 3) == [
        f"       a {'█' * 10}{'░' * 10} 50",
        f"long na… {'█' * 5} 25",
        "       c  –",
    ]


@pytest.mark.parametrize("width", [30, 40, 80])
def test_bars_never_leave_the_chart(width: int) -> None:
    bars = tuple(NamedBar(f"task number {n}", 1.0 + n, f"{n} ms", 1.5 * n) for n in range(20))
    for line in plain(BarDrawing("", bars), width, 9):
        assert len(line) <= width


def test_too_many_bars_leave_the_shortest_out_and_say_so() -> None:
    bars = [NamedBar(str(n), float(n * 7 % 10), "", 0.0) for n in range(10)]
    assert shown_bars(bars, 10) == (bars, 0)
    shown, missing = shown_bars(bars, 4)
    assert [each.value for each in shown] == [9.0, 8.0, 7.0]
    assert missing == 7
    assert plain(BarDrawing("", tuple(bars)), 40, 4)[-1] == "7 more, none of them longer"


# --- the pane


def shown_charts(app: StressApp) -> list[str]:
    return [str(chart.border_title) for chart in app.query("TasksPane BarChart").results(BarChart) if chart.size.width]


@pytest.mark.parametrize(
    ("size", "charts"),
    [
        pytest.param((60, 20), 2, marks=pytest.mark.slow),
        ((80, 24), 2),
        pytest.param((100, 30), 4, marks=pytest.mark.slow),
        ((160, 48), 5),
    ],
)
def test_the_charts_come_in_turn(size: tuple[int, int], charts: int) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "7")
        await settle_until(pilot, lambda: len(shown_charts(app)) == charts)
        titles = shown_charts(app)
        await press(pilot, "c")
        assert shown_charts(app)[0] == titles[1]
        await press(pilot, *("c" * 4))
        assert shown_charts(app) == titles

    app = StressApp(QueueSource(after(8.0)))
    on_screen(app, steps, size)


def test_the_tab_is_that_of_a_mix_and_follows_the_run() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "7")
        assert "no tasks: all requests of the run are of one kind" in text_of(app)
        assert "Overview" in text_of(app).splitlines()[0]
        source.give(mixed_view())
        await settle_until(pilot, lambda: "7 Tasks" in text_of(app).splitlines()[0])
        table = app.query_one("TasksPane DataTable", DataTable)
        source.give(*(frame for _, frame in mixed(5.0)))
        await settle(pilot)
        assert not table.row_count, "nothing is drawn while the tab is hidden"
        await press(pilot, "7")
        await settle_until(pilot, lambda: table.row_count == 3)
        assert "steady window 3s" in text_of(app)
        assert "chat  openai-chat" in text_of(app)
        await press(pilot, "down", "down")
        assert "embeddings  openai-embeddings · mock-e" in text_of(app)
        source.give(*(frame for t, frame in mixed() if t > 5 * S), *(frame for _, frame in ending()))
        await settle_until(pilot, lambda: "steady window 8s" in text_of(app))
        assert "embeddings  openai-embeddings" in text_of(app), "the selection stays"

    source = QueueSource(opening())
    app = StressApp(source)
    on_screen(app, steps, (140, 40))


@pytest.mark.slow
def test_many_tasks_can_be_scrolled_and_the_charts_show_the_longest_bars() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "7")
        await settle_until(pilot, lambda: "more, none of them longer" in text_of(app))
        assert len(shown_charts(app)) == 1
        await press(pilot, *["down"] * 20)
        assert "task-20  openai-chat" in text_of(app)

    facts = tuple(
        TaskFacts(name=f"task-{n}", weight=1 + n, api="openai-chat", url="http://h", model="") for n in range(40)
    )
    view = mixed_view(facts)
    view.apply(mixed_delta(0, 12, (1,) * 40))
    app = StressApp(QueueSource(view))
    on_screen(app, steps, (80, 24))


def test_enter_shows_all_turns_of_a_task() -> None:
    steps = [StepFacts(task=name, step=f"turn {n}", conversation=True) for name in ("a", "b") for n in range(1, 9)]
    view = mixed_view(tuple(msgspec.structs.replace(TASKS[0], name=name) for name in ("a", "b")))
    view.facts = msgspec.structs.replace(view.facts, steps=tuple(steps))
    view.apply(mixed_delta(0, 12, (1,) * 16))

    async def follow(pilot: Pilot[int]) -> None:
        await press(pilot, "7")
        table = app.query_one("TasksPane DataTable", DataTable)
        await settle_until(pilot, lambda: table.row_count == 10)
        assert "enter: all turns" in text_of(app)
        await press(pilot, "down", "down", "enter")
        await settle_until(pilot, lambda: table.row_count == 14)
        names = [str(table.get_row_at(at)[0]) for at in range(14)]
        assert names == ["a", *(f"  turn {n}" for n in range(1, 9)), "b", *(f"  turn {n}" for n in (1, 2, 4, 8))]
        assert "a/turn-2  turn 2 of the task a" in text_of(app), "the selection stays"
        assert "enter: fewer turns" in text_of(app)
        await press(pilot, "enter")
        await settle_until(pilot, lambda: table.row_count == 10)

    app = StressApp(QueueSource(view))
    on_screen(app, follow, (80, 24))
