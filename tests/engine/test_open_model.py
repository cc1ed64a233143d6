"""The open model: over real sockets, by a clock that the test sets."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.bench import BEGIN, MS, values
from helpers.live_load import ANSWER, FAILURE, HOUR, GatedDialer, Site, live, open_load, site, turns, until

from llmstress.engine.arrivals import amounts, own
from llmstress.engine.control import OpenLoad, Timeouts
from llmstress.engine.load.pool import LEAST_LEAD_NS
from llmstress.engine.stream.states import IN_FLIGHT
from llmstress.engine.telemetry.load_profile import Piece, Profile, constant, stamps

S = 1_000 * MS


def books(here: Site) -> tuple[int, int, int, int]:
    """Requests that were due, have started, were dropped, and wait."""
    here.load.check()
    counters = here.recorder.samples(0).counters
    return counters.due, counters.started, counters.dropped, here.recorder.progress.waiting


# --- arrivals


@live
async def test_a_request_begins_when_it_is_due_and_not_before() -> None:
    async with site(100, **open_load(10)) as here:
        here.start()
        await here.asked(1)
        for count in range(2, 6):
            here.later(99.999)
            await turns()
            assert here.started == count - 1
            here.later(0.001)
            await here.asked(count)
        part = await here.end()
        assert (part.counters.due, part.counters.started, part.counters.dropped) == (5, 5, 0)
        assert max(values(part.latency, "queue")) == 0


@live
async def test_answers_that_take_long_delay_no_request() -> None:
    async with site(1_000, **open_load(100)) as here:
        here.start()
        for count in range(1, 101):
            await here.asked(count)
            here.later(10)
        await here.asked(101)
        assert here.server.peak == 101
        assert max(values((await here.end()).latency, "queue")) == 0


@live
async def test_a_client_that_is_late_begins_all_that_was_due_and_says_how_late() -> None:
    async with site(100, **open_load(20)) as here:
        here.start()
        await here.asked(1)
        here.later(500)
        await here.asked(11)
        part = await here.end()
        assert values(part.latency, "queue") == [0, 0, *range(50, 500, 50)]
        assert part.counters.due == 11


@live
async def test_a_number_of_requests_is_a_number_of_arrivals() -> None:
    async with site(2, **open_load(10, requests=7)) as here:
        here.start()
        here.later(HOUR)
        while not here.load.exhausted.is_set():
            await turns()
            here.load.check()
            here.server.answer()
        part = await here.end()
        assert (part.counters.due, part.counters.started) == (7, 7)
        assert part.ended == {"ok": 7}


@live
async def test_the_last_request_that_waits_for_a_connection_is_not_forgotten() -> None:
    async with site(5, gated=True, **open_load(10, requests=3, dials=1)) as here:
        here.start()
        here.later(HOUR)
        await turns(20)
        assert not here.load.exhausted.is_set()
        here.gate.set()
        await here.asked(3)
        part = await here.end()
        assert part.ended == {"ok": 3}
        assert part.counters.dropped == 0


@live
async def test_a_share_of_no_requests_is_over_at_once() -> None:
    async with site(5, **open_load(10, requests=0)) as here:
        here.start()
        await until(here.load.exhausted.is_set)
        assert (await here.end()).counters.due == 0


# --- the queue


@live
async def test_what_finds_no_free_stream_waits_and_its_wait_is_counted() -> None:
    async with site(2, **open_load(10)) as here:
        here.start()
        await here.asked(1)
        here.later(100)
        await here.asked(2)
        here.later(300)
        await until(lambda: books(here) == (5, 2, 0, 3))
        here.server.answer(1)
        await here.asked(2)
        assert books(here) == (5, 3, 0, 2)
        assert here.recorder.progress.most_waiting == 3
        here.server.answer(1)
        await until(lambda: here.started == 4)
        assert here.server.peak == 2
        part = await here.end()
        assert values(part.latency, "queue") == [0, 0, 100, 200], "the oldest first"
        assert part.counters.dropped == 1, "it still waited when the run was over"


@live
async def test_a_full_queue_drops_what_comes() -> None:
    async with site(1, **open_load(10, max_queue=2)) as here:
        here.start()
        await here.asked(1)
        here.later(1_000)
        await until(lambda: books(here) == (11, 1, 8, 2))
        await here.end()


@live
async def test_without_a_queue_what_finds_no_free_stream_is_dropped() -> None:
    async with site(1, **open_load(10, max_queue=0)) as here:
        here.start()
        await here.asked(1)
        here.later(300)
        await until(lambda: books(here) == (4, 1, 3, 0))
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.later(100)
        await here.asked(1)
        await here.end()


@live
async def test_what_has_waited_too_long_is_dropped() -> None:
    async with site(1, **open_load(10, queue_timeout_ms=250)) as here:
        here.start()
        await here.asked(1)
        for dropped, waiting in ((0, 1), (0, 2), (0, 3), (1, 3), (2, 3)):
            here.later(100)
            await turns()
            due, started, lost, waits = books(here)
            assert (due - started, lost, waits) == (dropped + waiting, dropped, waiting)
        await here.end()


@live
async def test_what_waits_too_long_for_a_connection_is_dropped_too() -> None:
    async with site(50, gated=True, **open_load(100, queue_timeout_ms=200, dials=2)) as here:
        here.start()
        here.later(90)
        await turns(20)
        due, started, dropped, waiting = books(here)
        assert (due, started, dropped) == (10, 2, 0)
        assert waiting == 8
        here.later(300)
        await turns(20)
        due, started, dropped, waiting = books(here)
        assert due == started + dropped + waiting == 40
        assert dropped >= 8
        here.gate.set()
        await until(lambda: books(here)[3] == 0)
        await here.end()


@live
async def test_fewer_streams_begin_nothing_until_so_many_are_in_flight() -> None:
    async with site(5, **open_load(10)) as here:
        here.start()
        here.later(400)
        await here.asked(5)
        here.model.set_streams(2)
        here.later(500)
        here.server.answer(3)
        await until(lambda: here.recorder.open == 2)
        await turns()
        assert books(here)[3] == 5
        here.server.answer(1)
        await until(lambda: here.started == 6)
        here.model.set_streams(9)
        await here.asked(6)
        assert books(here) == (10, 10, 0, 0)
        await here.end()


# --- the end


@live
async def test_the_end_drops_what_waits() -> None:
    async with site(1, **open_load(10)) as here:
        here.start(stop_at=BEGIN + 550 * MS)
        await here.asked(1)
        here.later(500)
        await until(lambda: books(here) == (6, 1, 0, 5))
        here.later(100)
        part = await here.end()
        assert (part.counters.due, part.counters.started, part.counters.dropped) == (6, 1, 5)


@live
async def test_what_was_due_just_before_the_end_begins_although_it_is_noticed_after_it() -> None:
    async with site(50, **open_load(100)) as here:
        here.model.prepare(BEGIN)
        await until(lambda: len(here.server.connections) >= 10)
        await until(lambda: not here.load.dialing.tasks)
        here.start(stop_at=BEGIN + 55 * MS)
        await here.asked(1)
        here.now = BEGIN + 56 * MS  # the alarm does not ring
        part = await here.end()
        assert (part.counters.due, part.counters.started) == (6, 6), "due at 0, 10 ... 50 ms"
        assert values(part.latency, "queue") == [0, 6, 16, 26, 36, 46]


@live
async def test_nothing_arrives_after_the_end() -> None:
    async with site(50, **open_load(10)) as here:
        here.start(stop_at=BEGIN + 250 * MS)
        await here.asked(1)
        here.later(HOUR)
        await turns()
        assert (await here.end()).counters.due == 3


# --- another rate, and pauses


@live
async def test_another_rate_moves_the_arrivals_that_are_still_to_come() -> None:
    profile = constant("requests", 10)
    async with site(500, **open_load(profile)) as here:
        here.start()
        here.later(950)
        await here.asked(10)
        here.model.set_profile(profile.held(1_000 * MS, 100.0))
        here.later(50)
        await here.asked(11)
        here.later(10)
        await here.asked(12)
        here.later(990)
        await here.asked(111)
        here.model.set_profile(profile.held(2_000 * MS, 0.0))
        here.later(HOUR)
        await turns()
        assert books(here) == (111, 111, 0, 0), "an arrival at the very moment of the change has come"
        await here.end()


@live
async def test_a_rate_of_0_is_no_end() -> None:
    async with site(50, **open_load(0.0)) as here:
        here.start()
        here.later(HOUR)
        await turns()
        assert books(here) == (0, 0, 0, 0)
        assert not here.load.exhausted.is_set()
        here.model.set_profile(constant("requests", 0).held(HOUR * MS, 10.0))
        await here.asked(1)
        await here.end()


@live
async def test_a_pause_moves_the_arrivals_that_it_covers() -> None:
    async with site(50, **open_load(10)) as here:
        here.start()
        for count in (1, 2, 3):
            await here.asked(count)
            here.later(100 if count < 3 else 50)
        here.model.pause(True, 270 * MS)
        await turns()
        here.later(10_000)
        await turns()
        assert books(here) == (3, 3, 0, 0)
        here.model.pause(False, 10_250 * MS)
        here.later(29)
        await turns()
        assert here.started == 3
        here.later(1)
        await here.asked(4)
        assert max(values((await here.end()).latency, "queue")) == 0


@live
async def test_what_was_due_before_the_pause_begins_although_the_order_has_come() -> None:
    async with site(50, **open_load(10)) as here:
        here.start()
        here.later(150)
        await here.asked(2)
        here.model.pause(True, 220 * MS)
        here.later(100)
        await here.asked(3)
        here.later(HOUR)
        await turns()
        assert books(here) == (3, 3, 0, 0)
        await here.end()


@live
async def test_what_waits_in_a_pause_begins_after_it_and_is_not_dropped_meanwhile() -> None:
    async with site(1, **open_load(10, queue_timeout_ms=1_000)) as here:
        here.start()
        await here.asked(1)
        here.later(200)
        await until(lambda: books(here) == (3, 1, 0, 2))
        here.model.pause(True, 200 * MS)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.later(HOUR)
        await turns()
        assert books(here) == (3, 1, 0, 2)
        here.model.pause(False, (HOUR + 200) * MS)
        await here.asked(1)
        assert here.started == 2
        await here.end()


@live
async def test_a_pause_before_the_start_holds() -> None:
    async with site(50, **open_load(10)) as here:
        here.model.pause(True, 0)
        here.start()
        here.later(1_000)
        await turns()
        assert here.started == 0
        here.model.pause(False, 1_000 * MS)
        await here.asked(1)
        here.later(100)
        await here.asked(2)
        await here.end()


@live
async def test_another_rate_in_a_pause_holds_after_it() -> None:
    profile = constant("requests", 10)
    async with site(500, **open_load(profile)) as here:
        here.start()
        here.later(50)
        await here.asked(1)
        here.model.pause(True, 50 * MS)
        here.model.set_profile(profile.held(1_000 * MS, 100.0))
        here.later(2_950)
        await turns()
        assert here.started == 1
        here.model.pause(False, 3_000 * MS)
        here.later(995)
        await here.asked(101)
        await here.end()


# --- connections ahead of need


@live
async def test_connections_are_there_before_the_requests() -> None:
    async with site(500, **open_load(100)) as here:
        here.model.prepare(BEGIN)
        await until(lambda: len(here.server.connections) >= 10)
        here.start()
        for _ in range(60):
            here.later(10)
            await turns()
            here.load.check()
            await until(lambda: not here.load.dialing.tasks)
        await here.asked(61)
        part = await here.end()
        assert "connect" not in part.latency, "no request had to open one"
        assert part.counters.connections == here.server.accepted >= 61


@live
async def test_connections_that_the_server_has_closed_are_replaced() -> None:
    async with site(500, **open_load(100)) as here:
        here.model.prepare(BEGIN)
        await until(lambda: len(here.server.connections) >= 10)
        await until(lambda: not here.load.dialing.tasks)
        before = here.server.accepted
        for peer in list(here.server.connections):
            peer.transport.abort()
        await until(lambda: not here.server.connections)
        while here.server.accepted < 2 * before:
            await turns()
            here.load.check()
        here.start()
        await here.asked(1)
        assert "connect" not in (await here.end()).latency


@live
async def test_more_connections_are_opened_for_a_rate_that_rises() -> None:
    rising = Profile("requests", (Piece(0, 1 * S, 10, 10), Piece(1 * S, None, 1_000, 1_000)))
    async with site(5_000, **open_load(rising)) as here:
        here.start()
        await here.asked(1)
        here.later(990)
        await turns()
        here.load.check()
        await until(lambda: len(here.server.connections) >= 1_000 * (LEAST_LEAD_NS / 1e9 - 0.011))
        await here.end()


@live
async def test_a_dead_target_is_not_dialled_ahead_all_the_time() -> None:
    async with site(500, make_dialer=Refused, **open_load(100, error_pause_s=1.0)) as here:
        refused = here.model.mix.tasks[0].dials
        assert isinstance(refused, Refused)
        here.model.prepare(BEGIN)
        await until(lambda: refused.calls and not here.load.dialing.tasks)
        before = refused.calls
        for _ in range(20):
            here.load.check()
            await turns()
        assert refused.calls == before
        here.later(1_000)
        here.load.check()
        assert here.load.dialing.tasks
        await until(lambda: not here.load.dialing.tasks)
        here.start()
        await until(lambda: here.started == 101)
        await until(lambda: not here.recorder.open)
        part = await here.end()
        assert part.ended == {"connect_refused": 101}, "each arrival has tried, and has failed at once"
        assert part.counters.connections == 0


class Refused(GatedDialer):
    """A dialer to a port where nothing listens. It counts its calls."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        super().__init__("http://127.0.0.1:9/", timeouts)
        self.gate.set()
        self.calls = 0

    async def open(self) -> Any:
        self.calls += 1
        return await super().open()


# --- anything, in any order


class Ordered:
    """The profile as it was ordered, and the arrivals that it means up to a moment: the test's own account."""

    def __init__(self, profile: Profile, kind: OpenLoad, seed: int) -> None:
        self.planned = self.effective = profile
        self.paused = False
        self._sequence: Callable[[], Iterator[float]] = lambda: own(amounts(kind.arrival, kind.burstiness, seed), 0, 1)

    def change(self, profile: Profile) -> None:
        self.planned = profile
        if not self.paused:
            self.effective = profile

    def pause(self, on: bool, at: int) -> None:
        if on != self.paused:
            self.paused = on
            self.effective = self.effective.held(at, 0.0) if on else self.effective.joined(at, self.planned)

    def due_by(self, t: int) -> int:
        return sum(1 for _ in itertools.takewhile(lambda at: at <= t, stamps(self.effective, self._sequence())))


@pytest.mark.parametrize("seed", range(40))
@live
async def test_whatever_happens_the_books_agree(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.randrange(1, 9)
    kind = open_load(
        rng.choice([5, 20, 80]),
        arrival=rng.choice(["constant", "poisson", "gamma"]),
        burstiness=rng.choice([0.2, 1, 4]),
        max_queue=rng.choice([None, None, 0, 3]),
        queue_timeout_ms=rng.choice([0, 300]),
        dials=rng.choice([1, 2, 8]),
        error_pause_s=rng.choice([0, 0.5]),
        retries=rng.choice([0, 1]),
        requests_per_connection=rng.choice([0, 0, 1, 3]),
        seed=seed,
    )
    async with site(most, **kind) as here:
        ordered = Ordered(kind["profile"], kind["open"], seed)
        if rng.random() < 0.5:
            here.model.prepare(BEGIN)
        here.start()
        await here.all_begun()
        highest = most
        for _ in range(120):
            t = here.now - BEGIN
            match rng.randrange(10):
                case 0:
                    most = rng.randrange(1, 9)
                    highest = max(highest, most)
                    here.model.set_streams(most)
                case 1:
                    on = rng.random() < 0.5
                    at = t + 50 * MS
                    here.model.pause(on, at)
                    ordered.pause(on, at)
                case 2:
                    profile = ordered.planned.held(t + 50 * MS, rng.choice([0.0, 3.0, 30.0, 100.0]))
                    here.model.set_profile(profile)
                    ordered.change(profile)
                case 3:
                    for peer in rng.sample(
                        sorted(here.server.connections, key=id), k=min(2, len(here.server.connections))
                    ):
                        rng.choice([peer.transport.close, peer.transport.abort])()
                case 4 | 5:
                    here.server.answer(rng.randrange(4), rng.choice([ANSWER, ANSWER, FAILURE]))
                case 6:
                    (here.gate.clear if rng.random() < 0.3 else here.gate.set)()
                case _:
                    here.later(rng.choice([0.5, 10, 60, 200]))
            before = here.started
            await turns(rng.randrange(1, 6))
            if here.started > before:
                assert here.load.open <= highest
            in_flight = here.load.in_flight()
            assert len(in_flight) == here.recorder.open == here.load.open
            assert sum(stream.state == IN_FLIGHT for stream in here.load.streams) == len(in_flight)
            assert all(exchange.due <= exchange.begun <= here.now for exchange in in_flight)
            due, started, dropped, waiting = books(here)
            assert due == started + dropped + waiting
            assert due <= ordered.due_by(here.now - BEGIN)
        await turns(200)
        assert books(here)[0] == ordered.due_by(here.now - BEGIN), "all that was due has been counted"
        here.gate.set()
        here.load.stop(here.now)
        while len(here.server.waiting) != here.recorder.open:  # some wait before they are sent again
            here.later(100)
            await asyncio.sleep(0.001)
        part = await here.end()
        assert part.counters.due == part.counters.started + part.counters.dropped
        assert here.recorder.progress.waiting == 0
