"""Records played again: what comes out when, after which seek; damaged and cut-off ones."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from screens import S, ending, story, write_record

from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.broadcast import Drain, Ended, Frame, RunView, encode
from llmstress.engine.telemetry.messages import Delta
from llmstress.engine.telemetry.record import NoRecord
from llmstress.tui import replay as module
from llmstress.tui.replay import Replay
from llmstress.tui.source import Player, Source, SourceLost

TOLD = [*story(), *ending()]


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Takes in what a replay gives, as the screen does."""

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
        """The view when the clock has gone on."""
        self.clock.now += seconds
        await asyncio.sleep(4 * module.POLL_S)
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


def whole(path: Path, until_s: float) -> RunView:
    """The view that all messages up to a moment make."""
    moments = list(record.read(path, keyframes=False))
    view = moments[0].frame
    assert isinstance(view, RunView)
    for moment in moments[1:]:
        if moment.t <= until_s * S and not isinstance(moment.frame, RunView):
            view.apply(moment.frame)
    return view


def test_it_is_a_source_and_a_player(path: Path) -> None:
    replay = Replay(path)
    source: Source = replay
    player: Player = replay
    assert source.player is player
    assert not source.controls
    assert player.length_s == 11.0
    asyncio.run(source.send(Drain()))


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
        assert view == whole(path, position)
        assert listener.replay.position_s == position

    play(path, steps)


def test_after_a_seek_it_goes_on_from_there(path: Path) -> None:
    async def steps(listener: Listener) -> None:
        await listener.after(9.5)
        listener.replay.seek(4.0)
        await listener.after()
        assert await listener.after(1.0) == whole(path, 5.0)

    play(path, steps)


def test_the_recent_past_is_there_after_a_seek_in_a_long_run(tmp_path: Path) -> None:
    path = write_record(tmp_path / "long.rec", story(40.0, lost_s=None))

    async def steps(listener: Listener) -> None:
        listener.replay.paused = True
        listener.replay.seek(35.0)
        view = await listener.after()
        assert len(listener.frames) <= 2
        assert view.aggregate.recent[-1].t_to == 35 * S
        assert len(view.aggregate.recent) >= 40, "ten seconds of it"
        assert view.aggregate.counters() == whole(path, 35.0).aggregate.counters()

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


def test_a_record_that_was_cut_off_is_played_to_its_last_whole_message(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])

    async def steps(listener: Listener) -> None:
        view = await listener.after(60.0)
        assert view.ended is None
        assert view == whole(path, 60.0)
        assert 0 < listener.replay.length_s < 11
        assert listener.replay.position_s == listener.replay.length_s

    play(path, steps)


def test_no_record(tmp_path: Path, path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        Replay(tmp_path / "nowhere")
    for name, data in {
        "empty": b"",
        "other": b"{}" * 100,
        "bare": record.MAGIC,
        "cut": path.read_bytes()[:40],
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(NoRecord):
            Replay(tmp_path / name)


def test_no_record_begins_with_a_mere_change(tmp_path: Path) -> None:
    with (tmp_path / "late").open("wb") as file:
        record.begin(file)
        record.append(file, 0, encode(Ended("duration", 1.0, 1.0)))
    with pytest.raises(NoRecord, match="whole picture"):
        Replay(tmp_path / "late")


def test_damage_on_the_way_is_told(path: Path) -> None:
    places = list(record.scan(path))
    data = bytearray(path.read_bytes())
    data[places[20].offset + 12 : places[20].offset + 16] = b"\xc1\xc1\xc1\xc1"
    path.write_bytes(data)

    async def steps(listener: Listener) -> None:
        with pytest.raises(SourceLost, match="damaged"):
            await listener.follow()

    clock = Clock()
    listener = Listener(Replay(path), clock)
    listener.replay.speed = 1000.0
    asyncio.run(asyncio.wait_for(steps(listener), 5))
    assert any(isinstance(frame, Delta) for frame in listener.frames), "what came before is played"


def test_scan_finds_what_read_gives(path: Path) -> None:
    places, moments = list(record.scan(path)), list(record.read(path))
    assert [place.t for place in places] == [moment.t for moment in moments]
    assert [place.keyframe for place in places] == [isinstance(moment.frame, RunView) for moment in moments]
    for place, moment in zip(places, moments, strict=True):
        if place.keyframe:
            assert next(record.read(path, place.offset)) == moment
