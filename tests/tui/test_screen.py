"""The screen with a source that the test controls: every tab, every key, every state of a run."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import DEADLINE_S
from helpers.screens import (
    HOSTILE,
    QueueSource,
    S,
    delta,
    ending,
    facts,
    histogram,
    on_screen,
    opening,
    press,
    settle,
    settle_until,
    story,
    text_of,
    write_record,
)
from helpers.summaries import facts_of
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import DataTable, RichLog

from llmstress.coordinator.output.latencies import Latency
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import summarise
from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import (
    DETACHED,
    AbortRequested,
    DrainRequested,
    Ended,
    Frame,
    Paused,
    PauseRequested,
    RunView,
    SaveRequested,
    StepFacts,
    StreamsRequested,
    TaskFacts,
    WorkerChange,
)
from llmstress.engine.telemetry.cost import Pricing, Tariff
from llmstress.engine.telemetry.histogram import PERCENTILES
from llmstress.engine.telemetry.messages import ErrorSample, Part, Phase, RateLimit
from llmstress.engine.telemetry.metrics import LATENCIES, METRICS
from llmstress.engine.telemetry.sanitize import sanitize_text
from llmstress.tui.app import StressApp
from llmstress.tui.charts.chart import Chart
from llmstress.tui.dialogs.ask_load import AskLoad
from llmstress.tui.dialogs.confirm import Confirm
from llmstress.tui.dialogs.help import Help
from llmstress.tui.format.picture import picture_of
from llmstress.tui.panes.errors import error_rows, samples_text
from llmstress.tui.panes.latency import latency_cells
from llmstress.tui.panes.tiles import tiles_of
from llmstress.tui.panes.verdict import VerdictPage
from llmstress.tui.panes.workers import worker_cells, worker_rows
from llmstress.tui.sources.replay import Replay
from llmstress.tui.sources.source import SourceLost
from llmstress.tui.steering import RequestedLoad, stepped

SIZES = [(60, 20), (80, 24), (100, 30), (160, 48), (200, 60)]


def live(seconds: float = 5.0, *, controls: bool = True, **told: Any) -> QueueSource:
    """A run after some seconds."""
    return QueueSource(opening(), *(frame for _, frame in story(seconds, **told)), controls=controls)


def toasts(pilot: Pilot[int]) -> list[str]:
    return [each.message for each in pilot.app._notifications]


# --- a run's life


def test_before_the_first_picture() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "waiting for the run…" in text_of(app)
        await press(pilot, "2", "w", "p", "plus", "question_mark", "escape", "1")
        source.give(opening(started_at=""))
        await settle(pilot)
        assert "waiting for the run…" not in text_of(app)
        assert "starting" in text_of(app)

    source = QueueSource()
    app = StressApp(source)
    on_screen(app, steps)


def test_a_picture_without_any_key() -> None:
    async def run() -> None:
        async with app.run_test(size=(80, 24)), asyncio.timeout(DEADLINE_S):
            while "TTFT p50" not in text_of(app):
                await asyncio.sleep(0.02)

    app = StressApp(live())
    asyncio.run(run())


@pytest.mark.parametrize("key", ["q", "Q", "equals_sign"])
def test_a_question_about_the_run_goes_when_the_run_is_over(key: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, key)
        assert isinstance(app.screen, Confirm | AskLoad)
        source.give(*(frame for _, frame in ending()))
        await settle(pilot)
        assert not isinstance(app.screen, Confirm | AskLoad)
        assert "done: the time was up" in text_of(app)
        assert source.sent == []
        await pilot.press("q")

    source = live()
    app = StressApp(source)
    on_screen(app, steps)


@pytest.mark.slow
def test_the_end_stays_on_the_screen() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "q leaves" not in text_of(app)
        source.give(*(frame for _, frame in ending()))
        await settle(pilot)
        text = text_of(app)
        assert "done: the time was up — s saves the summary, q" in text
        assert "done 0:11" in text
        await press(pilot, "p", "plus", "equals_sign", "Q", "2")
        assert "steady window 8s" in text_of(app), "the result, as the summary has it"
        assert not isinstance(app.screen, Confirm)
        source.give(SourceLost("its coordinator has ended"))
        await settle(pilot)
        assert "done: the time was up — q leaves" in text_of(app), "a run that is over may go"
        await pilot.press("q")

    source = live(11.0)
    app = StressApp(source)
    on_screen(app, steps)
    assert app.return_code == 0
    assert source.sent == []


def test_a_lost_source_is_told_and_the_last_picture_stays() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        source.give(SourceLost("its coordinator is [b]gone[/b]\x1b"))
        await settle(pilot)
        text = text_of(app)
        assert "lost contact with the run: its coordinator is [b]gone[/b]\\x1b" in text
        assert "TTFT p50" in text
        await press(pilot, "p")
        await pilot.press("q")

    source = live()
    app = StressApp(source)
    on_screen(app, steps, (140, 30))
    assert app.return_code == 0
    assert source.sent == []


def test_messages_that_contradict_one_another_end_the_following() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        source.give(delta(7, 0))
        await settle(pilot)
        assert "lost contact with the run" in text_of(app)

    source = live()
    app = StressApp(source)
    on_screen(app, steps)


def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "no news" not in text_of(app)
        monkeypatch.setattr("llmstress.tui.sources.followed_run.SILENCE_S", -1.0)
        app._run.last_frame_at -= 7
        await settle(pilot)
        told = re.search(r"no news for (\d+)s", text_of(app))
        assert told is not None
        assert int(told[1]) >= 7

    app = StressApp(live())
    on_screen(app, steps, (140, 30))


def test_a_keyframe_replaces_everything() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "5")
        assert "warm-up: 1s" in text_of(app)
        other = opening(3)
        other.aggregate.note(Notice(0, "note", "another run"))
        source.give(other)
        await settle(pilot)
        text = text_of(app)
        assert "another run" in text
        assert "warm-up: 1s" not in text
        await press(pilot, "3")
        assert app.query_one("#workers DataTable", DataTable).row_count == 3

    source = live()
    app = StressApp(source)
    on_screen(app, steps)


def test_warnings_and_changes_of_the_load_are_also_toasts() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        source.give(Notice(S, "phase", "no toast"), Notice(S, "warning", "a [b]warning[/b]"))
        await settle(pilot)
        assert toasts(pilot) == ["a [b]warning[/b]"]
        assert "a [b]warning[/b]" in text_of(app)
        await pilot.pause(0.6)
        source.give(Notice(S, "load", "streams 40 → 44"), Notice(S, "load", "so many at once"))
        await settle(pilot)
        assert toasts(pilot) == ["a [b]warning[/b]", "streams 40 → 44"]

    source = live(3.0)
    app = StressApp(source)
    on_screen(app, steps)


# --- keys that end


@pytest.mark.slow
def test_q_asks_once_then_drains_and_stays_until_the_end() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for no in ("n", "escape"):
            await press(pilot, "q")
            assert isinstance(app.screen, Confirm)
            assert "Finishing 40 open requests (up to 30s), no new ones." in text_of(app)
            await press(pilot, no)
            assert not isinstance(app.screen, Confirm)
        assert source.sent == []
        await press(pilot, "q", "q")
        assert source.sent == [DrainRequested()]
        assert app.is_running
        await press(pilot, "q")
        assert source.sent == [DrainRequested()]
        assert any("already" in text for text in toasts(pilot))
        source.give(Ended("signal", 1.0, 1.0))
        await settle(pilot)
        await pilot.press("q")

    source = live(lost_s=None)
    app = StressApp(source)
    on_screen(app, steps)
    assert app.return_code == 0


@pytest.mark.parametrize("key", ["y", "enter", "q"])
def test_ways_to_say_yes(key: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "q", key)

    source = live()
    on_screen(StressApp(source), steps)
    assert source.sent == [DrainRequested()]


def test_a_run_that_ends_while_it_is_asked_needs_no_drain() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "q")
        source.give(Ended("duration", 1.0, 1.0))
        await settle(pilot)
        await press(pilot, "y")
        await pilot.press("q")

    source = live()
    app = StressApp(source)
    on_screen(app, steps)
    assert source.sent == []
    assert app.return_code == 0


def test_abort_takes_one_key_more() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "Q", "escape")
        assert source.sent == []
        await press(pilot, "Q", "Q")

    source = live()
    on_screen(StressApp(source), steps)
    assert source.sent == [AbortRequested()]


def test_ctrl_c_drains_then_aborts_then_leaves_wherever_one_is() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "question_mark", "ctrl+c")
        assert source.sent == [DrainRequested()]
        await press(pilot, "escape", "3", "ctrl+c")
        assert source.sent == [DrainRequested(), AbortRequested()]
        source.give(Ended("abort", 1.0, 0.0))
        await settle(pilot)
        await pilot.press("ctrl+c")

    source = live()
    app = StressApp(source)
    on_screen(app, steps)
    assert app.return_code == 0


def test_ctrl_c_before_the_first_picture_drains() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "ctrl+c")

    source = QueueSource()
    on_screen(StressApp(source), steps)
    assert source.sent == [DrainRequested()]


def test_detach_leaves_the_run_to_itself() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("d")

    source = live()
    app = StressApp(source)
    on_screen(app, steps)
    assert app.return_code == DETACHED == 10
    assert source.sent == []


@pytest.mark.parametrize("key", ["q", "d", "ctrl+c", "ctrl+q"])
def test_a_viewer_just_leaves(key: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press(key)

    source = live(controls=False)
    app = StressApp(source)
    on_screen(app, steps)
    assert app.return_code == 0
    assert source.sent == []


# --- keys that steer


def test_pause_and_on() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "p")
        source.give(Paused(True))
        await settle(pilot)
        assert "‖ paused" in text_of(app)
        await press(pilot, "p")

    source = live()
    app = StressApp(source)
    on_screen(app, steps, (140, 30))
    assert source.sent == [PauseRequested(True), PauseRequested(False)]


@pytest.mark.slow
def test_presses_for_streams_add_up() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "plus", "plus", "right_square_bracket", "minus")
        assert "→ 65 streams" in text_of(app)
        source.give(WorkerChange(0, streams=33), WorkerChange(1, streams=32))
        await settle(pilot)
        assert "→ 65 streams" not in text_of(app)
        assert "2 processes for 65 streams" in text_of(app)
        await press(pilot, *["left_square_bracket"] * 6)

    source = live(lost_s=None)
    app = StressApp(source)
    on_screen(app, steps, (140, 30))
    assert source.sent == [StreamsRequested(total) for total in (44, 48, 72, 65, 33, 17, 9, 5, 3, 2)]


@pytest.mark.slow
def test_the_number_of_streams_can_be_typed() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "equals_sign")
        assert "Now: 40" in text_of(app)
        await press(pilot, *"12x3", "q", "enter")
        assert source.sent == [StreamsRequested(123)]
        assert "→ 123 streams" in text_of(app)
        await press(pilot, "equals_sign")
        assert "Now: 123" in text_of(app), "what was asked counts"
        await press(pilot, *"77", "escape")
        await press(pilot, "equals_sign", "enter")
        await press(pilot, "equals_sign", "0", "enter")
        assert source.sent == [StreamsRequested(123), StreamsRequested(2)], "each process keeps one"
        await press(pilot, "equals_sign", "equals_sign", *"999999999", "enter")
        assert source.sent[2:] == [StreamsRequested(9_999_999)], "the run tells what is too much"

    source = live(lost_s=None)
    app = StressApp(source)
    on_screen(app, steps, (140, 30))


@pytest.mark.slow
def test_a_run_that_ends_while_streams_are_typed_is_not_asked() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "equals_sign", "9")
        source.give(*(frame for _, frame in ending()))
        await settle(pilot)
        await press(pilot, "enter")
        assert not isinstance(app.screen, AskLoad)

    source = live(11.0, lost_s=None)
    app = StressApp(source)
    on_screen(app, steps)
    assert source.sent == []


def test_save() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "s")

    source = live()
    on_screen(StressApp(source), steps)
    assert source.sent == [SaveRequested()]


@pytest.mark.slow
def test_the_summary_can_be_saved_after_the_end_and_the_screen_says_where_it_is() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        source.give(*(frame for _, frame in ending()))
        await settle(pilot)
        assert "s save" in text_of(app).splitlines()[-1]
        source.give(Notice(11 * S, "note", "summary: /home/somebody/last-summary.json"))
        await settle(pilot)
        assert "summary: /home/somebody/last-summary.json" in text_of(app)
        assert not any("summary: " in text for text in toasts(pilot)), "it is said once"
        await press(pilot, "s")
        assert source.sent == [SaveRequested()]
        source.give(Notice(12 * S, "note", "summary saved as /home/somebody/llmstress-1.json"))
        await settle(pilot)
        assert "summary: /home/somebody/llmstress-1.json" in text_of(app)
        source.give(SourceLost("its coordinator has ended"))
        await settle(pilot)
        assert "s save" not in text_of(app).splitlines()[-1]
        assert "summary: /home/somebody/llmstress-1.json" in text_of(app)
        await press(pilot, "s")
        assert source.sent == [SaveRequested()]
        assert toasts(pilot)[-1] == "the summary is in /home/somebody/llmstress-1.json"

    source = live(11.0)
    app = StressApp(source)
    on_screen(app, steps)


def test_where_nothing_was_saved_and_nobody_is_left_it_says_so() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        source.give(*(frame for _, frame in ending()), SourceLost("its coordinator has ended"))
        await settle(pilot)
        await press(pilot, "s")
        assert toasts(pilot)[-1] == "the run is over and can no longer be reached"

    source = live(11.0)
    on_screen(StressApp(source), steps)
    assert source.sent == []


KEYS_OF_CONTROL = (
    *("Q", "p", "plus", "minus", "right_square_bracket", "left_square_bracket", "s"),
    "equals_sign",
)


def test_a_mere_viewer_is_told_how_to_steer() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "streams  " not in text_of(app).splitlines()[-1]
        for key in KEYS_OF_CONTROL:
            app.clear_notifications()
            await press(pilot, key)
            assert toasts(pilot) == ["view only: start attach with --control"], key
            assert not isinstance(app.screen, Confirm)

    source = live(controls=False)
    app = StressApp(source)
    on_screen(app, steps)
    assert source.sent == []


@pytest.mark.parametrize(
    ("base", "share", "procs", "wanted"),
    [
        (1000, 0.1, 4, 1100),
        (1000, -0.1, 4, 900),
        (1100, 0.1, 4, 1210),
        (1000, 0.5, 4, 1500),
        (1500, -0.5, 4, 750),
        (4, 0.1, 4, 5),
        (4, -0.5, 4, 4),
        (7, -0.5, 4, 4),
        (3, -0.1, 1, 2),
        (1, -0.1, 1, 1),
    ],
)
def test_steps(base: int, share: float, procs: int, wanted: int) -> None:
    assert stepped(base, share, procs) == wanted


def test_what_was_asked_is_forgotten_after_a_while() -> None:
    now = [0.0]
    asked, view = RequestedLoad(lambda: now[0]), opening(4, 250)
    assert asked.step(view, 0.1) == StreamsRequested(1100)
    now[0] = 1.9
    assert asked.step(view, 0.1) == StreamsRequested(1210)
    now[0] = 3.8
    assert asked.pending(view) == 1210
    now[0] = 4.2
    assert asked.pending(view) is None
    assert asked.step(view, 0.1) == StreamsRequested(1100)


def test_streams_of_a_lost_worker_are_not_asked_of_the_others() -> None:
    view = opening(4, 250)
    view.apply(WorkerChange(3, "lost", reason="killed"))
    assert RequestedLoad().step(view, 0.1) == StreamsRequested(750 + 75)
    assert RequestedLoad().set(view, 1) == StreamsRequested(3)
    assert RequestedLoad().step(RunView(view.facts, type(view.aggregate).over([250])), 0.1) is None


# --- keys for looking


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_every_tab_at_every_size(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmstress.tui.sources.followed_run.SILENCE_S", DEADLINE_S)

    async def steps(pilot: Pilot[int]) -> None:
        for key, words in {
            "1": ("TTFT p50", "outcome: ▲ ", *([] if size == (60, 20) else ["heatmap"])),
            "2": ("metric", "p99.9", "e2e", "samples", *(["every"] if size[0] >= 160 else [])),
            "3": ("state", "✖ lost", "1001", "CPU", "loop lag", *(["lag, last minute"] if size[0] >= 160 else [])),
            "4": ("http_503", "count", "overloaded", *(["failed/s by class"] if size[1] >= 32 else [])),
            "5": ("+00:02.0", "steady: 8s"),
        }.items():
            await press(pilot, key, *(["down"] if key == "4" else []))
            text = text_of(app)
            for word in words:
                assert word in text, (key, word)
            lines = text.splitlines()
            assert len(lines) == size[1]
            assert "q end" in lines[-1], "the keys are there"
            assert "steady 0:08" in lines[0]
            assert not app.screen.max_scroll_y
        await pilot.click("#tab-workers")
        await settle(pilot)
        assert "loop lag" in text_of(app)

    app = StressApp(live(8.0))
    on_screen(app, steps, size)


@pytest.mark.slow
def test_classes_tell_the_size() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for size, classes in {
            (60, 20): {"-tiny", "-short"},
            (80, 24): {"-narrow", "-short"},
            (99, 40): {"-narrow"},
            (100, 31): {"-short"},
            (120, 32): set(),
            (160, 48): {"-wide"},
        }.items():
            await pilot.resize_terminal(*size)
            await settle(pilot)
            assert app.screen.classes & {"-tiny", "-narrow", "-short", "-wide"} == classes

    app = StressApp(live())
    on_screen(app, steps)


def test_only_the_visible_tab_is_kept_up_to_date() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert app.query_one("#latency DataTable", DataTable).row_count == 0
        await press(pilot, "2")
        assert app.query_one("#latency DataTable", DataTable).row_count == 9

    app = StressApp(live())
    on_screen(app, steps)


def test_nothing_is_shown_again_that_hasn_t_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bool] = []

    def counted(view: RunView, *, whole: bool, **others: Any) -> Any:
        shown.append(whole)
        return picture_of(view, whole=whole, **others)

    monkeypatch.setattr("llmstress.tui.sources.followed_run.SILENCE_S", DEADLINE_S)

    async def steps(pilot: Pilot[int]) -> None:
        shown.clear()
        for _ in range(3):
            await settle(pilot)
        assert shown == []
        source.give(delta(0, 20))
        await settle(pilot)
        assert len(shown) == 1

    monkeypatch.setattr("llmstress.tui.app.picture_of", counted)
    source = live(lost_s=None)
    on_screen(StressApp(source), steps)


@pytest.mark.slow
def test_the_window_is_chosen_and_named() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "2")
        assert "last 5s" in text_of(app)
        await press(pilot, "w")
        assert "steady window 3s" in text_of(app)
        await press(pilot, "w", "3")
        assert "last 5s" in text_of(app)

    app = StressApp(live())
    on_screen(app, steps)


def test_before_the_steady_window_it_says_so() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for key in ("2", "3"):
            await press(pilot, key)
            assert "steady window (not begun)" in text_of(app)

    app = StressApp(live(1.5))
    app._window = True
    on_screen(app, steps)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["escape", "q", "v", "enter"])
def test_the_verdict_can_be_read_in_full(key: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        reason = "worker 0's event loop was up to"
        assert f"{reason} 5.0 ms late (p99; limit 2.0 ms), so latencies may be too high" not in text_of(app)
        await press(pilot, "v")
        assert isinstance(app.screen, VerdictPage)
        shown = " ".join(text_of(app).replace("│", " ").split())
        assert (
            f"• {reason} 5.0 ms late (p99; limit 2.0 ms), so latencies may be too high: use fewer --streams per"
            in shown
        )
        assert "outcome: ✔ all 20 requests succeeded" in shown
        for _ in range(40):
            await pilot.press("down")
        await settle(pilot)
        assert "the load was changed manually once" in " ".join(text_of(app).replace("│", " ").split())
        source.give(Notice(4 * S, "load", "streams 44 → 48"))
        await settle(pilot)
        app.clear_notifications()
        await settle(pilot)
        assert "the load was changed manually 2 times" in " ".join(text_of(app).replace("│", " ").split())
        await press(pilot, key)
        assert not isinstance(app.screen, VerdictPage)

    slow = [delta(worker, seq) for seq in range(12, 14) for worker in (0, 1)]
    for each in slow:
        each.parts[each.window].latency["loop_lag"].record_many([5_000] * 1000)
    source = QueueSource(opening(), *slow, Notice(3 * S, "load", "streams 40 → 44"))
    app = StressApp(source)
    on_screen(app, steps, (80, 16))
    assert app.return_code in (None, 0)


@pytest.mark.slow
def test_charts_are_chosen_by_keys_and_clicks() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        def titles() -> list[str]:
            return [re.split(r"[ /]", chart._drawing.title)[0] for chart in app.query(Chart) if chart._drawing]

        assert titles() == ["TTFT", "tokens"]
        names = []
        for _ in range(7):
            await press(pilot, "c")
            names.append(titles()[0])
        assert names == ["ITL", "TPOT", "E2E", "tokens", "requests", "failed", "TTFT"]
        await press(pilot, "C")
        assert titles() == ["TTFT", "requests"]
        await pilot.click("#chart-right", offset=(5, 3))
        await settle(pilot)
        assert titles() == ["TTFT", "failed"]
        assert "failed/s by class" in text_of(app)
        await press(pilot, "2", "c", "1")
        assert titles()[:2] == ["TTFT", "failed"], "the keys belong to the overview"

    app = StressApp(live())
    on_screen(app, steps, (120, 40))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["escape", "q", "question_mark", "enter"])
def test_help_comes_and_goes(key: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "question_mark")
        assert isinstance(app.screen, Help)
        for word in ("by a tenth", "TTFT", "stall", "verdict", "low sample count"):
            assert word in text_of(app)
        await press(pilot, key)
        assert not isinstance(app.screen, Help)

    app = StressApp(live())
    on_screen(app, steps, (110, 60))
    assert app.return_code in (None, 0)


def test_help_names_every_key_that_is_bound() -> None:
    from llmstress.tui.dialogs.help import LOOKING, REPLAYING, STEERING

    named = " ".join(key for key, _ in (*LOOKING, *STEERING, *REPLAYING))
    signs = {
        "plus": "+",
        "equals_sign": "=",
        "minus": "-",
        "right_square_bracket": "]",
        "left_square_bracket": "[",
        "question_mark": "?",
        "less_than_sign": "<",
        "greater_than_sign": ">",
        "left": "←",
        "right": "→",
    }
    for binding in StressApp.BINDINGS:
        key = binding.key.split(",")[0]  # type: ignore[union-attr]
        if key in "2345" or key.startswith("shift+"):
            continue
        assert signs.get(key, key) in named.split(), key


# --- panes


def test_the_chosen_latency_is_explained_and_drawn() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "2")
        assert "from the start of a request to its first token" in text_of(app)
        assert "ttft · last 5s" in text_of(app)
        await press(pilot, "down", "down")
        assert "from one token event to the next" in text_of(app)
        assert "itl · last 5s" in text_of(app)

    app = StressApp(live())
    on_screen(app, steps)


@pytest.mark.slow
def test_workers_are_marked_sorted_and_told_of() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "3")
        table = app.query_one("#workers DataTable", DataTable)

        def column(index: int) -> list[str]:
            return [table.get_row_at(row)[index].plain for row in range(table.row_count)]

        assert column(0) == ["0", "1 !", "2"]
        assert column(5) == ["50 %", "100 %", "–"]
        await press(pilot, "down")
        assert "uses 100% of its core (limit 90%)" in text_of(app)
        await press(pilot, *"ooooo")
        assert "by cpu ▼" in text_of(app)
        assert column(0) == ["1 !", "0", "2"]
        assert table.cursor_row == 0, "the cursor goes with its row"
        await press(pilot, "O")
        assert column(0) == ["0", "1 !", "2"]
        source.give(WorkerChange(1, "lost", reason="killed by [b]SIGKILL[/b]"))
        await settle(pilot)
        assert "✖ lost" in column(2)
        assert "lost: killed by [b]SIGKILL[/b]" in text_of(app)
        await pilot.click("#workers DataTable", offset=(2, 0))
        await settle(pilot)
        assert "by # ▲" in text_of(app)

    view = opening(3)
    source = QueueSource(view, *(frame for _, frame in story(5.0, lost_s=None)))
    app = StressApp(source)
    on_screen(app, steps)


def test_a_late_loop_and_missing_reports_mark_a_worker() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "3")
        text = text_of(app)
        assert "its event loop is 5.00 ms late" in text
        assert "3 of its reports were lost" in text

    slow = delta(0, 3)
    slow.parts[slow.window].latency["loop_lag"].record_many([5_000] * 1000)
    app = StressApp(QueueSource(opening(), slow))
    on_screen(app, steps, (200, 30))


def test_no_errors_and_then_some() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "4")
        assert "no errors" in text_of(app)
        assert "✖" not in text_of(app).splitlines()[0]
        source.give(*(frame for _, frame in story(4.0)[1:]))
        source.give(*(delta(0, seq) for seq in range(16, 24)))
        await settle(pilot)
        text = text_of(app)
        assert "no errors" not in text
        assert "4 Errors ✖ 2" in text
        assert "2 of 202 finished requests failed" in text.replace("  ", " ") or "finished requests failed" in text
        row = next(line for line in text.splitlines() if line.strip().startswith("http_503 ") and "ago" in line)
        assert "2s ago" in row
        assert "status 503, request req-7" in text

    source = QueueSource(opening(), delta(0, 0))
    app = StressApp(source)
    on_screen(app, steps)


@pytest.mark.slow
def test_the_log_appends_and_wraps_anew() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "5")
        log = app.query_one(RichLog)
        before = len(log.lines)
        source.give(Notice(4 * S, "note", "word " * 30 + "end"))
        await settle(pilot)
        assert "+00:04.0 · word" in text_of(app)
        assert len(log.lines) > before + 1
        await pilot.resize_terminal(200, 30)
        await settle(pilot)
        assert len(log.lines) == before + 1
        source.give(*(Notice(5 * S, "note", f"line {n}") for n in range(1500)))
        await settle(pilot)
        assert "line 1499" in text_of(app)

    source = live()
    app = StressApp(source)
    on_screen(app, steps)


# --- a replay


@pytest.mark.slow
def test_the_keys_of_a_replay(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "replay" in text_of(app).splitlines()[-2]
        assert "space pause" in text_of(app).splitlines()[-1]
        await press(pilot, "space")
        assert replay.paused
        assert "‖ paused" in text_of(app).splitlines()[-2]
        await press(pilot, "right")
        assert replay.position_s == 4.5
        await press(pilot, "home")
        assert replay.position_s == 0.0
        await press(pilot, "shift+right")
        await settle_until(pilot, lambda: "■ end" in text_of(app))
        assert replay.position_s == 11.0
        text = text_of(app)
        assert "■ end" in text
        assert "done: the time was up" in text
        await press(pilot, "left")
        assert replay.position_s == 6.0
        await press(pilot, "3", "shift+left")
        assert replay.position_s == -0.5, "a table without anything beside it leaves these keys alone"
        for _ in range(9):
            await press(pilot, "greater_than_sign")
        assert replay.speed == 64.0
        for _ in range(9):
            await press(pilot, "less_than_sign")
        assert replay.speed == 0.25
        assert "×0.25" in text_of(app)
        await press(pilot, "p", "q")

    replay = Replay(write_record(tmp_path / "run.rec", [*story(), *ending()]), clock=lambda: 0.0)
    app = StressApp(replay)
    on_screen(app, steps)
    assert app.return_code == 0


def test_a_replay_can_t_be_steered(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for key in ("p", "plus", "s", "Q"):
            await press(pilot, key)
        assert set(toasts(pilot)) == {"this is a replay"}
        await pilot.press("d")

    app = StressApp(Replay(write_record(tmp_path / "run.rec", story(lost_s=None))))
    on_screen(app, steps)
    assert app.return_code == 0


def test_a_record_that_was_cut_off_says_so(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        replay.seek(99.0)
        await settle_until(pilot, lambda: "cut off here" in text_of(app))

    replay = Replay(write_record(tmp_path / "run.rec", story()))
    app = StressApp(replay)
    on_screen(app, steps)


# --- what strangers write


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "size"), [*((text, (80, 24)) for text in HOSTILE), ("x " * 5_000, (160, 48))], ids=range(len(HOSTILE) + 1)
)
def test_hostile_texts_stay_text(text: str, size: tuple[int, int]) -> None:
    bad = delta(0, 0)
    bad.parts[bad.window].ended[text] = 3
    bad.parts[bad.window].finish[text] = 3
    bad.parts[bad.window].retried[text] = 3
    bad.parts[bad.window].undetermined[text] = 3
    bad.rate_limits = {text: RateLimit(9, 5, 3, 0)}
    bad.fatal = {text: ErrorSample(text, 500, text, text, text)}
    bad.samples = [ErrorSample(text, 500, text, text, text), ErrorSample("http_503", 500, text, text, text)]
    bad.parts[bad.window].ended["http_503"] = 1
    view = opening()
    tasks = (TaskFacts(name=text, weight=0, api=text, url=text, model=text, slos=(text,)),) * 2
    steps_told = (StepFacts(task=text, step=text),) * 2
    priced = Pricing(tariffs=(Tariff(model=text, origin=text, why=text),), currency=text, per_hour=1.0)
    view.facts = facts(url=text, model=text, api=text, tasks=tasks, steps=steps_told, pricing=priced)
    view.aggregate.note(Notice(0, "warning", text))
    view.aggregate.samples["http_503"] = [ErrorSample("http_503", 500, text + "2", text, text)]
    view.aggregate.rate_limits = {text: RateLimit(9, 5, 3, 0)}
    view.aggregate.fatal = {text: ErrorSample(text, 500, text, text, text)}
    view.aggregate.parts[0] = Part(ended={text: 1, "http_503": 1})
    later: list[Frame] = [
        bad,
        Notice(1, "warning", text),
        Notice(1, text, text),
        WorkerChange(1, "lost", reason=text),
        facts(url=text, model=text, api=text, tasks=tasks, steps=steps_told, pricing=priced),
        Ended(text, 1.0, 1.0),
    ]

    async def steps(pilot: Pilot[int]) -> None:
        for tab in "123457":
            await press(pilot, tab, "down")
            shown = text_of(app)
            assert all(line.isprintable() for line in shown.splitlines()), tab
            assert len(shown.splitlines()) == size[1]
            assert not app.screen.max_scroll_y
            assert "q leave" in shown.splitlines()[-1]
        await press(pilot, "4")
        if "markup" in text:
            assert "[bold red]not markup[/]" in text_of(app)
        source.give(SourceLost(text))
        await settle(pilot)
        assert text_of(app).isprintable() or all(line.isprintable() for line in text_of(app).splitlines())
        await press(pilot, "q")

    source = QueueSource(view, *later)
    app = StressApp(source)
    on_screen(app, steps, size)
    assert app.return_code == 0


@given(st.text(), st.integers(1, 50))
def test_plain_text_is_one_short_line_of_what_can_be_seen(text: str, limit: int) -> None:
    made = sanitize_text(text, limit)
    assert made.isprintable()
    assert len(made) <= limit
    if text.isprintable() and len(text) <= limit:
        assert made == text


def test_phases_have_names() -> None:
    for phase, words in {Phase.RAMP: "ramp-up", Phase.WARMUP: "warm-up", Phase.STEADY: "steady"}.items():
        view = opening()
        view.aggregate.window = phase
        assert picture_of(view, whole=False).stage == words


# --- the screen and the summary


def summary_of(view: RunView) -> Summary:
    assert view.ended is not None
    facts = facts_of(
        procs=view.facts.procs, streams=view.facts.streams, steady_s=view.ended.steady_s, ended_by=view.ended.by
    )
    return summarise(view.aggregate, facts)


def shown_latency(latency: Latency, name: str) -> str:
    """Percentiles as the screen formats them, with `~` for a low sample count."""
    ms = getattr(latency, name)
    thin = "~" if name in latency.low_sample and ms is not None else ""
    return thin + formatting.latency(None if ms is None else round(ms * 1000))


def rate(per_second: float | None) -> str:
    return "–" if per_second is None else formatting.rate(per_second)


def agree(view: RunView) -> None:
    """Check that the panes show the same figures of the whole run as the summary."""
    picture, summary = picture_of(view, whole=True), summary_of(view)
    tiles = {tile.name: tile.value for tile in tiles_of(picture)}
    latency = summary.latency_ms
    finished = summary.requests.started - summary.requests.cancelled
    tokens = summary.tokens
    whole_answers = view.aggregate.whole_answers
    work = {"tokens/s": "–" if whole_answers and not tokens.output else rate(tokens.output_per_s)}
    metrics = ("e2e", "ttfb") if whole_answers else ("ttft", "itl")
    assert tiles == {
        "streams open": tiles["streams open"],
        **({"inputs/s": rate(tokens.inputs_per_s)} if tokens.inputs and not tokens.output else work),
        "requests/s": rate(summary.requests.per_s),
        **{f"{each.upper()} {name}": shown_latency(latency[each], name) for each in metrics for name in ("p50", "p99")},
        "failed": formatting.share(summary.requests.failed, finished),
    }
    for metric in LATENCIES:
        texts = [cell.text for cell in latency_cells(metric, picture.figures.latency.get(metric))]
        values = [shown_latency(latency[metric], name) for name in (*PERCENTILES, "max")]
        assert texts == [metric, *values, formatting.count(latency[metric].count)]
    rows = error_rows(view.aggregate)
    assert {name: cells[1].text for name, cells in rows.items()} == {
        name: formatting.count(error.count) for name, error in summary.errors.items()
    }
    for seen, worker in zip(worker_rows(picture), summary.client.workers, strict=True):
        assert seen.figures.cpu_share == pytest.approx(worker.cpu_share, abs=0.0006)
        lag_ms = worker.loop_lag_ms.p99
        assert worker_cells(seen)[7].text == formatting.latency(None if lag_ms is None else round(lag_ms * 1000))
    assert picture.verdict == summary.verdict


def test_retries_have_a_column_and_their_samples_are_shown() -> None:
    made = delta(0, 0)
    made.parts[made.window].retried = {"rate_limited": 12, "http_503": 1}
    made.parts[made.window].ended["http_503"] = 2
    made.samples = [ErrorSample("rate_limited", 429, "slow down", "", "retry-after: 2")]
    view = opening()
    view.apply(made)
    rows = {name: [cell.text for cell in cells] for name, cells in error_rows(view.aggregate).items()}
    assert rows == {
        "http_503": ["http_503", "2", "29 %", "1", "0s ago"],
        "rate_limited": ["rate_limited", "0", "0 %", "12", "0s ago"],
    }
    text = samples_text("rate_limited", [("chat", each) for each in view.aggregate.samples["rate_limited"]]).plain
    assert "status 429, retry-after: 2" in text
    assert "slow down" in text


def test_latencies_since_a_request_was_due_come_and_go_with_what_they_say() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "2")
        table = app.query_one("#latency DataTable", DataTable)

        def shown() -> list[str]:
            return [table.get_row_at(row)[0].plain for row in range(table.row_count)]

        assert shown() == [metric for metric in LATENCIES if not metric.endswith("_due")]
        late = delta(0, 0)
        latency = late.parts[late.window].latency
        latency["e2e_due"] = histogram(*(9_000_000 + n for n in range(latency["e2e"].count)))
        source.give(late)
        await settle_until(pilot, lambda: len(shown()) > len(LATENCIES) - 2)
        assert shown() == [metric for metric in LATENCIES if metric != "ttft_due"]

    source = QueueSource(opening())
    app = StressApp(source)
    on_screen(app, steps)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(list(Phase)),
            st.dictionaries(
                st.sampled_from(["ok", "http_503", "cancelled", "filtered", "timeout_idle"]), st.integers(1, 50)
            ),
            st.dictionaries(
                st.sampled_from(list(METRICS)),
                st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=30),
            ),
            st.integers(0, 5_000),
            st.integers(0, 5_000),
            st.sampled_from([0, 700]),
        ),
        max_size=12,
    )
)
def test_the_screen_says_what_the_summary_says(
    told: list[tuple[int, Phase, dict[str, int], dict[str, list[int]], int, int, int]],
) -> None:
    view = opening()
    seqs = [0, 0]
    for worker, phase, ended, latencies, events, answered, inputs in told:
        part = Part(ended=ended, latency={name: histogram(*us) for name, us in latencies.items()})
        part.counters.started, part.counters.events, part.counters.events_ok = sum(ended.values()), events, answered
        part.counters.output = part.counters.output_streamed = 2 * answered
        part.counters.cpu_ns, part.counters.inputs = events * 1_000_000, inputs
        seq, seqs[worker] = seqs[worker], seqs[worker] + 1
        made = delta(worker, seq, window=phase, parts={int(phase): part}, samples=[])
        view.apply(made)
    view.apply(Ended("duration", 8.0, 1.0))
    agree(view)


def test_the_tiles_at_the_end_are_the_summary_s(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await settle_until(pilot, lambda: app._run.over)
        assert app._run.view is not None
        agree(app._run.view)
        summary, text = summary_of(app._run.view), text_of(app)
        for value in (
            rate(summary.tokens.output_per_s),
            rate(summary.requests.per_s),
            shown_latency(summary.latency_ms["ttft"], "p50"),
            shown_latency(summary.latency_ms["itl"], "p99"),
        ):
            assert value in text

    replay = Replay(write_record(tmp_path / "run.rec", [*story(), *ending()]))
    replay.seek(99.0)
    app = StressApp(replay)
    on_screen(app, steps, (80, 24))
