"""Streams and pauses that change while the load runs: over real sockets, by a clock that the test sets."""

import asyncio
import contextlib
import itertools
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from helpers.bench import BEGIN, MS, values
from helpers.live_load import FAILURE, HOUR, listening, live, plan_of, site, until
from helpers.processes import DEADLINE_S

from llmstress.coordinator.processes.hub import Hub
from llmstress.engine.control import (
    Ack,
    Final,
    Go,
    Hello,
    Pause,
    Ready,
    SetStreams,
    Setup,
    SetWordsPerToken,
    Stop,
    StopMode,
)
from llmstress.engine.load.closed import ClosedModel
from llmstress.engine.load.pacing import TURN
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Synthetic
from llmstress.engine.telemetry.messages import Delta

# --- more and fewer streams


@live
async def test_new_streams_begin_at_once() -> None:
    async with site(2) as here:
        here.start()
        await here.asked(2)
        here.model.set_streams(5)
        await here.asked(5)
        await here.rounds(3, 5)
        assert (here.server.peak, here.server.accepted) == (5, 5)
        assert (await here.end()).ended == {"ok": 20}


@live
async def test_thousands_begin_in_many_turns_of_the_loop() -> None:
    async with site(0) as here:
        here.start()
        count = 5 * TURN + 1
        here.model.pause(True, 0)
        here.model.set_streams(count)
        await until(lambda: here.starting is not None and here.starting.done())
        here.model.pause(False, 0)
        here.later(HOUR)
        begun = [0]
        while here.started < count:
            await asyncio.sleep(0)
            begun.append(here.started)
        assert max(b - a for a, b in itertools.pairwise(begun)) <= 2 * TURN, "begun and dialled"
        await here.asked(count)
        # and when all of them have a connection
        here.model.pause(True, 0)
        here.server.answer()
        await until(lambda: here.parked == count)
        here.model.set_streams(TURN + 1)
        here.model.pause(False, 0)
        here.model.set_streams(count)
        begun = [here.started]
        while here.started < 2 * count:
            await asyncio.sleep(0)
            begun.append(here.started)
        assert max(b - a for a, b in itertools.pairwise(begun)) <= TURN
        await here.asked(count)
        assert (await here.end()).ended == {"ok": 2 * count}


@live
async def test_a_surplus_stream_finishes_what_it_has_in_flight_and_leaves() -> None:
    async with site(4) as here:
        here.start()
        await here.asked(4)
        here.model.set_streams(1)
        assert len(here.server.connections) == 4
        here.server.answer()
        await until(lambda: len(here.server.connections) == 1)
        await here.rounds(3, 1)
        assert here.server.requests == 4 + 1 + 3
        assert (await here.end()).ended == {"ok": 8}


@live
async def test_an_idle_surplus_stream_hangs_up_at_once() -> None:
    async with site(4) as here:
        here.start()
        await here.asked(4)
        here.model.pause(True, 0)
        here.server.answer()
        await until(lambda: here.parked == 4)
        assert len(here.server.connections) == 4
        here.model.set_streams(1)
        await until(lambda: len(here.server.connections) == 1)
        here.model.pause(False, 0)
        await here.rounds(3, 1)
        assert here.server.accepted == 4
        assert (await here.end()).ended == {"ok": 8}


@live
async def test_a_surplus_stream_that_still_has_a_request_in_flight_simply_goes_on_when_it_is_wanted_again() -> None:
    async with site(4) as here:
        here.start()
        await here.asked(4)
        here.model.set_streams(1)
        here.model.set_streams(3)
        here.server.answer()
        await here.asked(3)
        await until(lambda: len(here.server.connections) == 3)
        await here.rounds(3, 3)
        assert (here.server.peak, here.server.accepted) == (4, 4)
        await here.end()


@live
async def test_surplus_streams_come_back_before_new_ones_are_made() -> None:
    async with site(4) as here:
        here.start()
        await here.asked(4)
        here.model.set_streams(1)
        here.server.answer()
        await until(lambda: here.parked == 3)
        here.model.set_streams(6)
        await here.rounds(2, 6)
        assert len(here.load.streams) == 6
        assert here.server.accepted == 4 + 5, "those that had left have hung up"
        assert here.server.peak == 6
        await here.end()


@live
async def test_no_streams_are_no_end_of_the_run() -> None:
    async with site(3, requests=10) as here:
        here.start()
        await here.asked(3)
        here.model.set_streams(0)
        here.server.answer()
        await until(lambda: not here.server.connections)
        assert here.parked == 3
        here.later(HOUR)
        assert not here.load.exhausted.is_set()
        here.model.set_streams(2)
        for left in (2, 2, 2, 1):
            await here.asked(left)
            here.server.answer()
        await until(here.load.exhausted.is_set)
        assert here.load.requests_left == 0
        here.model.set_streams(9)
        part = await here.end()
        assert part.ended == {"ok": 10}
        assert here.server.requests == 10


@live
async def test_surplus_streams_leave_when_the_budget_is_used_up_as_well() -> None:
    async with site(2, requests=2) as here:
        here.start()
        await here.asked(2)
        here.model.set_streams(1)
        here.server.answer()
        await until(here.load.exhausted.is_set)
        await until(lambda: len(here.server.connections) == 1)
        await here.end()


@live
async def test_a_surplus_stream_s_stale_connection_is_replaced_for_the_request_in_flight() -> None:
    async with site(2) as here:
        here.start()
        await here.rounds(1, 2)
        here.model.set_streams(0)
        here.model.pause(True, 0)
        for peer in list(here.server.waiting):
            peer.transport.close()
        await until(lambda: here.server.accepted == 4)
        await here.asked(2)
        here.server.answer()
        await until(lambda: not here.server.connections)
        part = await here.end()
        assert part.ended == {"ok": 4}
        assert part.counters.stale_retries == 2


# --- the ramp

RAMP: dict[str, Any] = {"ramp_ns": 40_000_000}
"""Of 4 streams, one begins every 10 ms."""


@live
async def test_streams_whose_ramp_time_hasn_t_come_are_surplus_too() -> None:
    async with site(4, **RAMP) as here:
        here.start()
        await here.asked(1)
        here.model.set_streams(2)
        here.later(10)
        await here.asked(2)
        here.later(30)
        await here.all_begun()
        await here.rounds(3, 2)
        assert here.server.peak == here.server.accepted == 2
        here.model.set_streams(4)
        await here.asked(4)
        assert max(values((await here.end()).latency, "queue")) == 0, "they are due when they are wanted"


@live
async def test_streams_that_are_wanted_again_before_their_ramp_time_keep_to_it() -> None:
    async with site(4, **RAMP) as here:
        here.start()
        await here.asked(1)
        here.model.set_streams(1)
        here.model.set_streams(6)
        await here.asked(3)
        await here.rounds(2, 3)
        for count in (4, 5, 6):
            here.later(10)
            await here.asked(count)
        await here.rounds(2, 6)
        assert here.server.peak == here.server.accepted == 6
        await here.end()


@live
async def test_streams_whose_ramp_time_comes_in_a_pause_wait() -> None:
    async with site(4, **RAMP) as here:
        here.start()
        await here.asked(1)
        here.model.pause(True, 0)
        here.later(HOUR)
        await until(lambda: here.parked == 3)
        assert here.started == 1
        here.model.pause(False, 0)
        await here.asked(4)
        assert max(values((await here.end()).latency, "queue")) == 0


@live
async def test_what_is_told_before_the_start_holds_from_the_start() -> None:
    async with site(4) as here:
        here.model.set_streams(6)
        here.model.set_streams(2)
        here.model.set_streams(5)
        here.model.pause(True, 0)
        here.later(HOUR)
        here.model.pause(False, 0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert here.started == 0
        here.start()
        await here.rounds(2, 5)
        assert here.server.peak == here.server.accepted == 5
        await here.end()
    async with site(4) as here:
        here.model.set_streams(2)
        here.model.pause(True, 0)
        here.start()
        await until(lambda: here.parked == 4)
        assert here.started == 0
        here.model.pause(False, 0)
        await here.rounds(2, 2)
        assert here.server.peak == here.server.accepted == 2
        await here.end()


# --- pauses


@live
async def test_a_pause_starts_nothing_and_hangs_nothing_up() -> None:
    async with site(4) as here:
        here.start()
        await here.rounds(1, 4)
        here.model.pause(True, 0)
        here.model.pause(True, 0)
        assert here.recorder.open == 4, "what is in flight goes on"
        before = here.started
        here.server.answer(3)
        await until(lambda: here.parked == 3)
        here.later(HOUR)
        here.server.answer()
        await until(lambda: here.parked == 4)
        assert here.recorder.open == 0
        assert here.started == before == 8
        assert len(here.server.connections) == here.server.accepted == 4
        assert not here.load.exhausted.is_set()
        here.model.pause(False, 0)
        here.model.pause(False, 0)
        await here.rounds(2, 4)
        assert here.server.accepted == here.server.peak == 4
        part = await here.end()
        assert part.ended == {"ok": 20}
        assert max(values(part.latency, "queue")) == 0, "the pause is no queue"


@live
async def test_rests_that_end_in_a_pause_wait_for_its_end() -> None:
    async with site(4) as here:
        here.start()
        await here.asked(4)
        here.server.answer(2, FAILURE)
        await until(lambda: here.recorder.open == 2)
        here.model.pause(True, 0)
        here.server.answer(2, FAILURE)
        await until(lambda: here.recorder.open == 0)
        assert here.parked == 0, "they rest"
        here.later(HOUR)
        await until(lambda: here.parked == 4)
        assert here.started == 4
        here.model.pause(False, 0)
        await here.rounds(1, 4)
        part = await here.end()
        assert part.ended == {"http_500": 4, "ok": 8}
        assert max(values(part.latency, "queue") + values(part.latency_failed, "queue")) == 0


@live
async def test_a_rest_that_outlasts_the_pause_goes_on() -> None:
    async with site(2) as here:
        here.start()
        await here.asked(2)
        here.server.answer(1, FAILURE)
        await until(lambda: here.recorder.open == 1)
        here.model.pause(True, 0)
        here.model.pause(False, 0)
        await here.rounds(3, 1)
        here.later(HOUR)
        await here.rounds(1, 2)
        await here.end()


@live
async def test_a_surplus_stream_that_rests_hangs_up_and_doesn_t_come_back_by_itself() -> None:
    async with site(4) as here:
        here.start()
        await here.asked(4)
        here.server.answer(1, FAILURE)
        await until(lambda: here.recorder.open == 3)
        here.model.set_streams(0)
        await until(lambda: len(here.server.connections) == 3)
        here.server.answer(3, FAILURE)
        await until(lambda: not here.server.connections)
        assert here.parked == 0, "they rest"
        here.model.set_streams(2)
        here.later(HOUR)
        await here.asked(2)
        await until(lambda: here.parked == 2)
        await here.rounds(2, 2)
        assert here.server.accepted == 4 + 2
        await here.end()


@live
async def test_a_pause_doesn_t_keep_the_drain_from_ending() -> None:
    async with site(3) as here:
        here.start()
        await here.asked(3)
        here.model.pause(True, 0)
        here.server.answer(2)
        await until(lambda: here.parked == 2)
        here.load.stop(here.now)
        assert not here.load.exhausted.is_set()
        here.server.answer()
        await until(here.load.exhausted.is_set)
        here.model.pause(False, 0)
        here.model.set_streams(9)
        assert (await here.end()).ended == {"ok": 3}
        assert here.server.requests == 3


@pytest.mark.parametrize("how", ["paused", "no streams", "paused before the start"])
@live
async def test_with_nothing_in_flight_the_drain_ends_at_once(how: str) -> None:
    async with site(3) as here:
        if how == "paused before the start":
            here.model.pause(True, 0)
        here.start()
        if how == "paused":
            await here.asked(3)
            here.model.pause(True, 0)
        elif how == "no streams":
            await here.asked(3)
            here.model.set_streams(0)
        here.server.answer()
        await until(lambda: here.parked == 3)
        assert not here.load.exhausted.is_set()
        here.load.stop(here.now)
        assert here.load.exhausted.is_set()
        await here.end() if here.started else here.load.cut()


@live
async def test_a_run_that_reaches_its_end_paused_is_over() -> None:
    async with site(2) as here:
        here.start(stop_at=BEGIN + 10 * MS)
        await here.asked(2)
        here.model.pause(True, 0)
        here.later(20)
        here.server.answer()
        await until(here.load.exhausted.is_set)
        here.model.pause(False, 0)
        assert (await here.end()).ended == {"ok": 2}


@live
async def test_what_is_cut_in_a_pause_is_cancelled() -> None:
    async with site(3) as here:
        here.start()
        await here.asked(3)
        here.model.pause(True, 0)
        here.model.set_streams(1)
        here.load.cut()
        assert here.load.exhausted.is_set()
        assert (await here.end()).ended == {"cancelled": 3}


@live
async def test_a_pause_within_a_budget_neither_loses_nor_adds_requests() -> None:
    async with site(4, requests=11) as here:
        here.start()
        await here.asked(4)
        here.model.pause(True, 0)
        here.server.answer()
        await until(lambda: here.parked == 4)
        assert here.load.requests_left == 7
        here.model.pause(False, 0)
        for count in (4, 3):
            await here.asked(count)
            here.server.answer()
        await until(here.load.exhausted.is_set)
        assert (await here.end()).ended == {"ok": 11}


# --- everything at once


@pytest.mark.parametrize("seed", range(25))
@live
async def test_whatever_is_told_in_whatever_order_the_last_word_holds(seed: int) -> None:
    rng = random.Random(seed)
    async with site(rng.randrange(8), ramp_ns=rng.choice([0, 20_000_000]), error_pause_s=rng.choice([0, 0.01])) as here:
        here.start()
        wanted, most, paused = len(here.load.streams), len(here.load.streams), False
        for _ in range(150):
            match rng.randrange(8):
                case 0 | 1:
                    wanted = rng.randrange(12)
                    most = max(most, wanted)
                    here.model.set_streams(wanted)
                case 2:
                    paused = not paused
                    here.model.pause(paused, 0)
                case 3:
                    here.server.answer(rng.randrange(4))
                case 4:
                    here.server.answer(rng.randrange(4), FAILURE)
                case 5:
                    here.later(rng.randrange(8))
                case 6:
                    for peer in rng.sample(sorted(here.server.connections, key=id), len(here.server.connections) // 3):
                        peer.transport.close()
                case 7:
                    here.load.check()
            before = here.started
            assert isinstance(here.model, ClosedModel)
            gone = [stream for stream in here.model._surplus if stream.exchange is None]
            for _ in range(rng.randrange(8)):
                await asyncio.sleep(rng.choice([0, 0.0002]))
            assert not paused or here.started == before
            assert all(stream.exchange is None for stream in gone)
            assert here.recorder.open == len(here.load.in_flight()) <= most
        wanted = rng.randrange(1, 12)
        here.model.set_streams(wanted)
        here.model.pause(False, 0)
        here.later(HOUR)
        await here.all_begun()
        here.server.answer()

        def all_wait() -> bool:
            # a stream whose connection was closed may hear of it, and begin its rest, only now
            here.later(HOUR)
            return len(here.server.waiting) == here.recorder.open >= wanted

        # whoever is surplus or has failed on the way has had its turn
        for _ in range(20):
            await until(all_wait)
            here.server.answer()
        await here.asked(wanted)
        await here.rounds(3, wanted)
        await until(lambda: len(here.server.connections) == wanted)
        part = await here.end()
        assert part.counters.started + part.counters.stale_retries >= here.server.requests


# --- the worker


@contextlib.asynccontextmanager
async def worker_process(directory: Path) -> AsyncIterator[tuple[Hub, asyncio.subprocess.Process]]:
    """A real worker at the other end of a hub."""
    async with Hub(directory, 1) as hub:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llmstress.engine.worker", hub.endpoint, "0", str(os.getpid()))
        )
        try:
            yield hub, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def test_a_worker_obeys(tmp_path: Path) -> None:
    async def drive() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            listening() as (server, url),
            worker_process(tmp_path) as (hub, process),
        ):
            started = 0

            async def heard(kind: type[object]) -> object:
                nonlocal started
                while True:
                    message = await hub.receive()
                    if isinstance(message, Delta):
                        started += sum(part.counters.started for part in message.parts.values())
                    if isinstance(message, kind):
                        return message

            await heard(Hello)
            await hub.send(0, Setup(plan_of(url, 2)))
            await heard(Ready)
            await hub.send(0, SetStreams(5))
            await hub.send(0, Pause(True))
            await hub.send(0, Go(time.monotonic_ns()))
            await heard(Delta)
            await heard(Delta)
            assert (server.accepted, started) == (0, 0), "paused before it began"
            await hub.send(0, Pause(False))
            await until(lambda: len(server.waiting) == 5)
            await hub.send(0, SetStreams(7))
            await until(lambda: len(server.waiting) == 7)
            await hub.send(0, SetStreams(1))
            while len(server.connections) > 1:
                server.answer()
                await asyncio.sleep(0.001)
            await until(lambda: len(server.waiting) == 1)
            await hub.send(0, Stop(StopMode.DRAIN))
            final = asyncio.create_task(heard(Final))
            while not final.done():
                server.answer()
                await asyncio.sleep(0.001)
            await final
            await hub.send(0, Ack())
            assert await process.wait() == 0
            assert started == server.requests > server.accepted == 7

    asyncio.run(drive())


def count_started(message: object) -> int:
    parts = message.parts.values() if isinstance(message, Delta) else ()
    return sum(part.counters.started for part in parts)


@pytest.mark.parametrize(("number", "late"), [(3, {0: 5}), (5, {})])
def test_a_worker_says_that_a_correction_came_late(number: int, late: dict[int, int], tmp_path: Path) -> None:
    async def drive() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            listening() as (server, url),
            worker_process(tmp_path) as (hub, _),
        ):
            assert isinstance(await hub.receive(), Hello)
            made = Synthetic(prompt=Lengths("fixed", 40), seed=0, salt=0, corrected=True)
            await hub.send(0, Setup(plan_of(url, 5, synthetic=made)))
            assert isinstance(await hub.receive(), Ready)
            await hub.send(0, Go(time.monotonic_ns()))
            await until(lambda: len(server.waiting) == 5)
            await hub.send(0, SetWordsPerToken(0, number, 0.5))
            await hub.send(0, SetStreams(6))
            await until(lambda: len(server.waiting) == 6)  # it has obeyed
            reports = [await hub.receive()]
            while sum(count_started(each) for each in reports) < 6:
                reports.append(await hub.receive())
            last = reports[-1]
            assert isinstance(last, Delta)
            assert last.corrected_late == late

    asyncio.run(drive())


def test_a_worker_that_is_stopped_before_it_begins_starts_nothing(tmp_path: Path) -> None:
    async def drive() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            listening() as (server, url),
            worker_process(tmp_path) as (hub, process),
        ):
            assert isinstance(await hub.receive(), Hello)
            await hub.send(0, Setup(plan_of(url, 2)))
            assert isinstance(await hub.receive(), Ready)
            await hub.send(0, Stop(StopMode.DRAIN))
            await hub.send(0, Go(time.monotonic_ns()))
            while not isinstance(await hub.receive(), Final):
                pass
            await hub.send(0, Ack())
            assert await process.wait() == 0
            assert server.accepted == 0

    asyncio.run(drive())


@live
@pytest.mark.parametrize("how", ["pause", "fewer"])
async def test_a_request_that_was_held_back_while_it_waited_for_a_connection_is_not_left_out(how: str) -> None:
    made = Synthetic(prompt=Lengths("fixed", 20), seed=1, salt=1)
    async with site(3, gated=True, dials=1, synthetic=made) as here:
        here.start()
        await until(lambda: here.recorder.open == 1 and here.load.dialing.waiting == 2)
        if how == "pause":
            here.model.pause(True, 0)
            here.model.pause(False, 0)
        else:
            here.model.set_streams(1)
            here.model.set_streams(3)
        here.gate.set()
        await here.asked(3)
        [task] = here.model.mix.tasks
        expected = {task.request(number).data.partition(b"\r\n\r\n")[2] for number in range(3)}
        assert set(here.server.bodies) == expected


@live
@pytest.mark.parametrize("how", ["pause", "fewer", "stop"])
async def test_what_a_session_wants_beside_its_stream_is_not_taken_back(how: str) -> None:
    async with site(1, gated=True, dials=1) as here:
        here.start()
        await until(lambda: here.recorder.open == 1)
        [stream] = here.load.streams
        here.load.begin_beside(stream, here.model.mix.tasks[0].request(1))
        assert here.load.dialing.waiting == 1
        match how:
            case "pause":
                here.model.pause(True, 0)
            case "fewer":
                here.model.set_streams(0)
            case _:
                here.load.stop(here.now)
        here.gate.set()
        await here.asked(1 if how == "stop" else 2)
        assert here.load.fault is None
