"""Keys that change the load: rates, stages, and what can't be changed."""

import pytest
from helpers.load_stories import load_ending, staged, staged_view, swept, swept_view
from helpers.screens import QueueSource, S, on_screen, press, settle, text_of
from textual.pilot import Pilot

from llmstress.engine.telemetry.broadcast import (
    Asked,
    Frame,
    PauseRequested,
    RateRequested,
    RunView,
    StageRequested,
    StreamsRequested,
    WorkerChange,
)
from llmstress.engine.telemetry.load_profile import constant
from llmstress.tui.app import StressApp
from llmstress.tui.dialogs.ask_load import AskLoad, parse_rate
from llmstress.tui.dialogs.confirm import Confirm
from llmstress.tui.steering import RequestedLoad, level_now, steered_by, stepped_rate


def after(view: RunView, told: list[tuple[int, Frame]], until_s: float = 1e9) -> RunView:
    for t, frame in told:
        if t <= until_s * S:
            assert not isinstance(frame, RunView)
            view.apply(frame)
    return view


def staged_at(seconds: float) -> RunView:
    return after(staged_view(), staged(), seconds)


@pytest.mark.parametrize(
    ("base", "share", "expected"),
    [
        *((200.0, 0.1, 220.0), (220.0, -0.1, 198.0), (3.0, 0.5, 4.5), (1 / 3, 0.1, 0.367), (12_345.0, 0.1, 13_600.0)),
        *((0.0, 0.1, 1.0), (0.0, -0.1, 0.01), (0.01, -0.5, 0.01)),
    ],
)
def test_steps_of_a_rate(base: float, share: float, expected: float) -> None:
    assert stepped_rate(base, share) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200", 200.0), ("0.5", 0.5), (".5", 0.5), ("90/m", 1.5), ("3600/h", 1.0), ("2/S", 2.0), (" 7 ", 7.0)]
    + [(text, None) for text in ("", "0", "0/s", "/s", ".", "1.2.3", "5/d", "-1", "5 /", "1e3")],
)
def test_a_typed_rate(text: str, expected: float | None) -> None:
    assert parse_rate(text) == expected


def test_what_keys_change() -> None:
    assert steered_by(staged_at(3.0)) == "rate"
    assert steered_by(after(swept_view(), swept())) == "nothing"
    view = staged_at(3.0)
    view.profile = constant("trace", 1.0)
    assert steered_by(view) == "nothing"
    view.profile = constant("streams", 5.0)
    assert steered_by(view) == "streams"
    assert level_now(view) == 5.0


def test_presses_add_up_until_the_run_has_the_rate() -> None:
    now = [0.0]
    asked, view = RequestedLoad(lambda: now[0]), staged_at(3.0)
    assert asked.step(view, 0.1) == RateRequested(22.0)
    assert asked.step(view, 0.1) == RateRequested(24.2)
    assert asked.words(view) == "→ 24.2/s"
    assert view.profile is not None
    view.apply(Asked(view.profile.held(3 * S, 24.2, 4 * S)))
    assert asked.pending(view) is None
    assert asked.step(view, 0.5) == RateRequested(36.3)
    now[0] = 2.2
    assert asked.pending(view) == 36.3, "the workers report later"
    now[0] = 2.3
    assert asked.pending(view) is None


def test_a_rate_is_not_asked_of_nobody() -> None:
    view = staged_at(3.0)
    for worker in (0, 1):
        view.apply(WorkerChange(worker, "lost", reason="killed"))
    assert RequestedLoad().step(view, 0.1) is None
    assert RequestedLoad().set(view, 5.0) is None


def test_keys_change_the_rate() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "plus", "right_square_bracket", "minus")
        assert "→ 29.7/s" in text_of(app)
        source.give(Asked(constant("requests", 29.7)))
        await settle(pilot)
        assert "→ 29.7/s" not in text_of(app)
        await press(pilot, "p")

    source = QueueSource(staged_at(3.0))
    app = StressApp(source)
    on_screen(app, steps, (140, 30))
    assert source.sent == [RateRequested(22.0), RateRequested(33.0), RateRequested(29.7), PauseRequested(True)]


def test_a_rate_can_be_typed() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "equals_sign")
        assert "Requests per second? Now: 20.0" in text_of(app)
        await press(pilot, *"0", "enter")
        assert "Not a rate above 0" in text_of(app)
        await press(pilot, "backspace", *"90", "slash", "m", "x", "enter")
        assert source.sent == [RateRequested(1.5)]
        await press(pilot, "equals_sign", "escape")
        await press(pilot, "equals_sign", "enter")
        assert not isinstance(app.screen, AskLoad)

    source = QueueSource(staged_at(3.0))
    app = StressApp(source)
    on_screen(app, steps, (100, 30))
    assert source.sent == [RateRequested(1.5)]


def test_the_next_stage_is_confirmed() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "k")
        assert "End stage 1 of 4 now?" in text_of(app)
        assert "The next one begins at once" in text_of(app)
        await press(pilot, "n")
        assert source.sent == []
        await press(pilot, "k", "q")
        assert isinstance(app.screen, Confirm), "q does not confirm another action"
        await press(pilot, "k")
        assert source.sent == [StageRequested()]

    source = QueueSource(staged_at(3.0))
    app = StressApp(source)
    on_screen(app, steps, (100, 30))


def test_the_question_goes_away_with_its_stage() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "k")
        source.give(*(frame for t, frame in staged() if 3 * S < t <= 5 * S))
        await settle(pilot)
        assert not isinstance(app.screen, Confirm), "else it would end the stage after the one that it names"

    source = QueueSource(staged_at(3.0))
    app = StressApp(source)
    on_screen(app, steps, (100, 30))
    assert source.sent == []


def test_the_last_stage_ends_the_run() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "k")
        assert "The run ends at once" in text_of(app)
        await press(pilot, "y")

    source = QueueSource(staged_at(14.0))
    app = StressApp(source)
    on_screen(app, steps, (100, 30))
    assert source.sent == [StageRequested()]


@pytest.mark.parametrize("key", ["plus", "minus", "equals_sign", "k"])
def test_a_sweep_decides_by_itself(key: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, key)
        (toast,) = app._notifications
        assert toast.message == (
            "no stage lasts that could be ended early"
            if key == "k"
            else "the load can't be changed: the sweep or the search decides it"
        )

    source = QueueSource(after(swept_view(), swept(), 3.0))
    app = StressApp(source)
    on_screen(app, steps, (140, 30))
    assert source.sent == []


def test_streams_of_stages_are_changed_from_what_is_asked_for() -> None:
    view = staged_at(3.0)
    view.profile = constant("streams", 40.0)
    assert RequestedLoad().step(view, 0.1) == StreamsRequested(44)


def test_a_run_that_has_ended_takes_no_stage() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "k")
        source.give(*(frame for _, frame in load_ending(4 * S)))
        await settle(pilot)
        assert not isinstance(app.screen, Confirm)
        await press(pilot, "k")
        assert "the run is over" in text_of(app)

    source = QueueSource(staged_at(3.0))
    app = StressApp(source)
    on_screen(app, steps, (100, 30))
    assert source.sent == []
