"""Think times, paces and stages of streams: over real sockets, by a clock that the test sets."""

import asyncio
import itertools
import random
import statistics
from typing import Any

import pytest
from helpers.bench import BEGIN, MS, values
from helpers.live_load import FAILURE, HOUR, live, site, until

from llmstress.engine.control import Think
from llmstress.engine.load.think import think_times
from llmstress.engine.telemetry.load_profile import Piece, Profile

TICK = 20
"""Milliseconds. The load waits by real timers, and looks at the test's clock when they fire."""


async def nothing_more(count: int, started: Any) -> None:
    """Real time passes in which timers fire, and nothing begins."""
    for _ in range(30):
        await asyncio.sleep(0.001)
        assert started() == count


@live
async def test_a_stream_thinks_after_its_answer() -> None:
    async with site(2, think=Think(low_ns=TICK * MS, high_ns=TICK * MS)) as here:
        here.start()
        await here.asked(2)
        here.later(7)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.later(TICK - 1)
        await nothing_more(2, lambda: here.started)
        here.later(1)
        await here.asked(2)
        assert here.started == 4
        part = await here.end()
        assert max(values(part.latency, "queue")) == 0, "a request is due after the pause"
        assert part.ended == {"ok": 4}


@live
async def test_requests_that_are_used_up_end_the_run_while_streams_think() -> None:
    async with site(2, requests=3, think=Think(low_ns=TICK * MS, high_ns=TICK * MS)) as here:
        here.start()
        await here.asked(2)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        assert not here.load.exhausted.is_set()
        here.later(TICK)
        await here.asked(1)
        here.server.answer()
        await until(here.load.exhausted.is_set)
        assert (await here.end()).ended == {"ok": 3}


@live
async def test_a_stream_keeps_its_pace() -> None:
    async with site(1, pacing_ns=TICK * MS) as here:
        here.start()
        for count in (1, 2, 3):
            await here.asked(1)
            assert here.started == count
            here.later(5)
            here.server.answer()
            await until(lambda: not here.recorder.open)
            here.later(TICK - 6)
            await nothing_more(count, lambda: here.started)
            here.later(1)
        await here.asked(1)
        assert here.now - BEGIN == 3 * TICK * MS
        here.later(3 * TICK)
        here.server.answer()
        await here.asked(1)
        assert here.started == 5, "an answer that took longer than the pace delays nothing more"
        assert max(values((await here.end()).latency, "queue")) == 0


@pytest.mark.parametrize("error_pause_s", [0, 0.001])
@live
async def test_a_pace_holds_after_failures_too(error_pause_s: float) -> None:
    async with site(1, pacing_ns=TICK * MS, error_pause_s=error_pause_s) as here:
        here.start()
        await here.asked(1)
        here.later(2)
        here.server.answer(what=FAILURE)
        await until(lambda: not here.recorder.open)
        here.later(TICK - 3)
        await nothing_more(1, lambda: here.started)
        here.later(1)
        await here.asked(1)
        await here.end()


@live
async def test_the_longer_of_think_time_and_pace_counts() -> None:
    async with site(1, pacing_ns=TICK * MS, think=Think(low_ns=5 * MS, high_ns=5 * MS)) as here:
        here.start()
        await here.asked(1)
        here.later(2)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.later(TICK - 3)
        await nothing_more(1, lambda: here.started)
        here.later(1)
        await here.asked(1)
        here.later(TICK)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.later(4)
        await nothing_more(2, lambda: here.started)
        here.later(1)
        await here.asked(1)
        await here.end()


@live
async def test_a_surplus_stream_hangs_up_before_it_thinks() -> None:
    async with site(2, think=Think(low_ns=TICK * MS, high_ns=TICK * MS)) as here:
        here.start()
        await here.asked(2)
        here.model.set_streams(1)
        here.server.answer()
        await until(lambda: len(here.server.connections) == 1)
        here.later(TICK)
        await here.asked(1)
        assert here.started == 3
        await here.end()


@live
async def test_a_stream_that_thinks_into_a_pause_begins_when_it_ends() -> None:
    async with site(1, think=Think(low_ns=TICK * MS, high_ns=TICK * MS)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.model.pause(True, 0)
        here.later(HOUR)
        await until(lambda: here.parked == 1)
        here.model.pause(False, 0)
        await here.asked(1)
        assert max(values((await here.end()).latency, "queue")) == 0


# --- think times


def drawn(think: Think, number: int = 5_000) -> list[int]:
    return list(itertools.islice(think_times(think, random.Random(0)), number))


def test_think_times_are_of_the_distribution_that_was_asked_for() -> None:
    assert set(drawn(Think(low_ns=7, high_ns=7))) == {7}
    uniform = drawn(Think(low_ns=1_000_000, high_ns=3_000_000))
    assert 1_000_000 <= min(uniform) < 1_010_000
    assert 2_990_000 < max(uniform) <= 3_000_000
    assert statistics.mean(uniform) == pytest.approx(2_000_000, rel=0.02)
    exponential = drawn(Think(exponential=True, low_ns=2_000_000))
    assert statistics.mean(exponential) == pytest.approx(2_000_000, rel=0.05)
    assert statistics.stdev(exponential) == pytest.approx(2_000_000, rel=0.05)
    assert drawn(Think(exponential=True), 3) == [0, 0, 0]


def test_think_times_come_from_the_seed() -> None:
    assert drawn(Think(low_ns=0, high_ns=10**9)) == drawn(Think(low_ns=0, high_ns=10**9))


# --- stages of streams


def stages(*pieces: tuple[float, float, float]) -> dict[str, Any]:
    """Pieces as (ms, first level, last level)."""
    made, begin = [], 0
    for ms, first, last in pieces:
        made.append(Piece(begin, begin + int(ms * MS), first, last))
        begin += int(ms * MS)
    return {"profile": Profile("streams", tuple(made))}


@live
async def test_streams_follow_steps() -> None:
    async with site(0, **stages((TICK, 3, 3), (TICK, 8, 8), (TICK, 2, 2))) as here:
        here.start()
        await here.rounds(2, 3)
        here.later(TICK - 1)
        await nothing_more(9, lambda: here.server.requests)
        here.later(1)
        await here.rounds(2, 8)
        here.later(TICK)
        while len(here.server.connections) > 2:
            here.server.answer()
            await asyncio.sleep(0.001)
        await here.rounds(2, 2)
        here.later(TICK)
        await asyncio.sleep(0)
        here.server.answer()
        part = await here.end()
        assert max(values(part.latency, "queue")) == 0
        assert here.server.peak == 8


@live
async def test_streams_follow_a_slope_and_say_how_late_they_were() -> None:
    async with site(0, **stages((200, 0, 10), (HOUR, 10, 10))) as here:
        here.start()
        await here.asked(1)
        here.later(50)
        await here.asked(3)
        here.later(1_000)
        await here.asked(10)
        assert here.load.open == 10
        assert max(values((await here.end()).latency, "queue")) <= 1_000


@live
async def test_another_profile_holds_at_once_and_later_steps_of_the_old_one_do_not() -> None:
    made = stages((TICK, 2, 2), (HOUR, 5, 5))
    async with site(0, **made) as here:
        here.start()
        await here.asked(2)
        here.model.set_profile(made["profile"].held(0, 4))
        await here.asked(4)
        here.later(HOUR)
        await nothing_more(4, lambda: here.started)
        here.model.set_profile(made["profile"].held(HOUR * MS, 1))
        here.server.answer()
        await until(lambda: len(here.server.connections) == 1)
        await here.end()


@live
async def test_a_pause_holds_across_stages() -> None:
    async with site(0, **stages((TICK, 2, 2), (HOUR, 5, 5))) as here:
        here.start()
        await here.asked(2)
        here.model.pause(True, 0)
        here.later(TICK)
        await nothing_more(2, lambda: here.started)
        here.model.pause(False, 0)
        await here.asked(5)
        await here.end()
