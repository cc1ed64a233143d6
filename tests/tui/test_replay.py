"""Replays of records: which frames are given when and after which seek; damaged and cut-off records."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from helpers.made_up_runs import WORKERS, after, eventful, figures_of
from helpers.screens import S, ending, opening, story, write_record

from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.broadcast import DrainRequested, Ended, Frame, RunView
from llmstress.engine.telemetry.messages import Delta
from llmstress.engine.telemetry.thinning import Step
from llmstress.tui.sources import replay as module
from llmstress.tui.sources.replay import Replay
from llmstress.tui.sources.source import Playback, Source, SourceLost, ZoomDetail

TOLD = [*story(), *ending()]


class Clock:
    """A clock that the test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Applies the frames of a replay as the screen does."""

    def __init__(self, replay: Replay, clock: Clock) -> None:
        self.replay = replay
        self.clock = clock
        self.frames: list[Frame] = []
        self.view: RunView | None = None

    async def follow(self) -> None:
        async for frame in self.replay.frames():
            self.frames.append(frame)
            if isinstance(frame, RunView):
                self.view = frame
            else:
                assert self.view is not None
                self.view.apply(frame)

    async def after(self, seconds: float = 0.0) -> RunView:
        """The view after the clock has advanced."""
        self.clock.now += seconds
        await asyncio.sleep(0)
        while self.replay.behind:
            await asyncio.sleep(module.POLL_S)
        assert self.view is not None
        return self.view


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_record(tmp_path / "run.rec", TOLD)


def play(path: Path, steps: Callable[[Listener], Awaitable[None]]) -> Listener:
    clock = Clock()
    listener = Listener(Replay(path, clock=clock), clock)

    async def run() -> None:
        following = asyncio.create_task(listener.follow())
        await listener.after()
        await steps(listener)
        following.cancel()

    asyncio.run(run())
    return listener


def whole(until_s: float, told: list[tuple[int, Frame]] = TOLD) -> RunView:
    """The view made from all messages up to a time."""
    view = opening()
    for t, frame in told:
        if t <= until_s * S:
            assert not isinstance(frame, RunView)
            view.apply(frame)
    return view


def test_it_is_a_source_and_a_player(path: Path) -> None:
    replay = Replay(path)
    source: Source = replay
    playback: Playback = replay
    assert source.playback is playback
    assert not source.controls
    assert playback.length_s == 11.0
    asyncio.run(source.send(DrainRequested()))


def test_messages_come_at_the_pace_they_came_at(path: Path) -> None:
    async def steps(listener: Listener) -> None:
        assert (await listener.after()).aggregate.elapsed_ns == 0
        assert (await listener.after(1.5)).aggregate.elapsed_ns == S
        assert listener.replay.position_s == pytest.approx(1.0)
        assert (await listener.after(2.0)).aggregate.elapsed_ns == 3 * S

    played = play(path, steps)
    assert sum(isinstance(frame, RunView) for frame in played.frames) == 1, "keyframes on the way say nothing new"


def test_speed(path: Path) -> None:
    async def steps(listener: Listener) -> None:
        await listener.after(0.5)
        listener.replay.speed = 4.0
        assert (await listener.after(1.0)).aggregate.elapsed_ns == 4 * S
        listener.replay.speed = 0.5
        assert (await listener.after(1.0)).aggregate.elapsed_ns == int(4.5 * S)

    play(path, steps)


def test_pause(path: Path) -> None:
    async def steps(listener: Listener) -> None:
        await listener.after(2.5)
        listener.replay.paused = True
        assert (await listener.after(5.0)).aggregate.elapsed_ns == 2 * S
        listener.replay.paused = False
        assert (await listener.after(1.0)).aggregate.elapsed_ns == 3 * S

    play(path, steps)


@pytest.mark.parametrize("position", [0.0, 3.3, 5.9, 6.0, 10.5, 11.0])
@pytest.mark.parametrize("start", [0.5, 11.5])
def test_seeking_gives_the_view_of_that_moment(path: Path, position: float, start: float) -> None:
    async def steps(listener: Listener) -> None:
        await listener.after(start)
        listener.replay.paused = True
        listener.replay.seek(position)
        view = await listener.after()
        assert view == whole(position)
        assert listener.replay.position_s == position

    play(path, steps)


def test_after_a_seek_it_goes_on_from_there(path: Path) -> None:
    async def steps(listener: Listener) -> None:
        await listener.after(9.5)
        listener.replay.seek(4.0)
        await listener.after()
        assert await listener.after(1.0) == whole(5.0)

    play(path, steps)


def test_the_recent_past_is_there_after_a_seek_in_a_long_run(tmp_path: Path) -> None:
    told = story(40.0, lost_s=None)
    path = write_record(tmp_path / "long.rec", told)

    async def steps(listener: Listener) -> None:
        listener.replay.paused = True
        listener.replay.seek(35.0)
        view = await listener.after()
        while view.aggregate.elapsed_ns < 35 * S:  # a minute of the record is read again
            view = await listener.after()
        assert len(listener.frames) <= 2
        assert view.aggregate.recent[-1].t_to == 35 * S
        assert len(view.aggregate.recent) >= 40, "ten seconds of it"
        assert view.aggregate.counters() == whole(35.0, told).aggregate.counters()

    play(path, steps)


def test_seeking_stays_within_the_record(path: Path) -> None:
    async def steps(listener: Listener) -> None:
        listener.replay.seek(-100.0)
        assert listener.replay.position_s == -0.5
        listener.replay.seek(1000.0)
        assert listener.replay.position_s == 11.0
        assert (await listener.after()).ended == Ended("duration", 8.0, 1.0)
        assert listener.replay.position_s == 11.0

    play(path, steps)


def test_a_record_that_was_cut_off_is_played_to_where_it_ends(tmp_path: Path) -> None:
    told = [(t, frame) for t, frame in TOLD if t <= 7.3 * S]
    path = write_record(tmp_path / "cut.rec", told)

    async def steps(listener: Listener) -> None:
        view = await listener.after(60.0)
        assert view.ended is None
        assert view == whole(7.3)
        assert listener.replay.length_s == listener.replay.position_s == 7.25

    play(path, steps)


def test_damage_on_the_way_is_told(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE step SET data = x'00' WHERE begin >= 20")
    database.commit()
    database.close()

    async def steps(listener: Listener) -> None:
        with pytest.raises(SourceLost, match="damaged"):
            await listener.follow()

    listener = Listener(Replay(path), Clock())
    listener.replay.speed = 1000.0
    asyncio.run(asyncio.wait_for(steps(listener), 5))
    assert any(isinstance(frame, Delta) for frame in listener.frames), "what came before is played"


# --- thinned records

LONG_S = 80
LONG = eventful(LONG_S)


@pytest.fixture
def thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record of 80 s, thinned like a record of several hours."""
    monkeypatch.setattr(record, "RAW_BYTES", 4_000)
    monkeypatch.setattr(record, "LEVEL_BYTES", 8_000)
    monkeypatch.setattr(record, "MOST_STEPS", 20)
    return write_record(tmp_path / "long.rec", list(LONG), opening(WORKERS, 10))


def test_a_thinned_record_is_played_to_the_figures_of_its_run(thinned: Path) -> None:
    async def steps(listener: Listener) -> None:
        for _ in range(10):
            view = await listener.after(LONG_S / 20)
            assert listener.replay.position_s >= view.aggregate.elapsed_ns / S - 0.25
        view = await listener.after(LONG_S)
        while view.ended is None:  # the last messages are at the same position
            view = await listener.after()
        assert figures_of(view.aggregate) == figures_of(after(LONG).aggregate)
        assert listener.replay.position_s == listener.replay.length_s

    played = play(thinned, steps)
    assert sum(isinstance(frame, RunView) for frame in played.frames) > 5
    assert any(isinstance(frame, Delta) for frame in played.frames), "the newest part comes as it came"


def test_seeking_in_a_thinned_record(thinned: Path) -> None:
    """After any seek the view shows what is known at that position: all figures where deltas were kept, else those at
    the end of the last merged step."""
    moments = list(record.Reader(thinned).moments())
    merged = [0, *(moment.t for moment in moments if isinstance(moment.frame, Step))]

    async def steps(listener: Listener) -> None:
        listener.replay.paused = True
        for share in (1.0, 0.5, 0.1, 0.9, 0.5, 0.55, 0.0, 1.0, 0.97):
            position_s = LONG_S * share
            listener.replay.seek(position_s)
            view = await listener.after()
            assert listener.replay.position_s == position_s
            known = position_s * S if position_s * S > merged[-1] else max(t for t in merged if t <= position_s * S)
            expected = after(LONG, until=int(known))
            assert figures_of(view.aggregate)["parts"] == figures_of(expected.aggregate)["parts"]

    play(thinned, steps)


def test_a_zoom_holds_what_was_measured_within_its_stretch(thinned: Path) -> None:
    def events_within(detail: ZoomDetail, until: float) -> int:
        begin = detail.begin_s * S
        found = [frame for t, frame in LONG if isinstance(frame, Delta) and t <= until]
        return sum(
            part.counters.events
            for frame in found
            if (frame.t_from + frame.t_to) // 2 >= begin
            for part in frame.parts.values()
        )

    async def steps(listener: Listener) -> None:
        replay = listener.replay
        replay.paused = True
        for position_s, zoom_s in ((LONG_S - 1.0, 5.0), (LONG_S - 1.0, 20.0), (LONG_S / 2, 10.0), (LONG_S + 1.0, 1.0)):
            replay.seek(position_s)
            replay.zoom_s = zoom_s
            view = await listener.after()
            detail = replay.detail
            assert detail is not None
            step_s = detail.aggregate.row_ns / S
            assert position_s - zoom_s - step_s <= detail.begin_s <= max(0.0, position_s - zoom_s)
            known = view.aggregate.elapsed_ns + WORKERS
            assert sum(row.events for row in detail.aggregate.rows) == events_within(detail, min(known, position_s * S))
        assert (await listener.after()).ended is not None
        replay.seek(LONG_S - 3.0)
        await listener.after()
        replay.paused = False
        await listener.after(2.0)
        assert replay.detail is not None
        shown = events_within(replay.detail, (LONG_S - 1.0) * S)
        assert sum(row.events for row in replay.detail.aggregate.rows) == shown > 0, "it goes on with the replay"
        replay.zoom_s = None
        await listener.after()
        assert replay.detail is None

    play(thinned, steps)
