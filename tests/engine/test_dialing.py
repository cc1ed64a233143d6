"""Connections that take their time, are paced, or are never made: over real sockets, by a clock that the test sets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from helpers.bench import MS, values
from helpers.live_load import ANSWER, DIALS, HOUR, GatedDialer, Site, live, site, until

from llmstress.engine.control import Timeouts
from llmstress.engine.load.pacing import TURN
from llmstress.engine.stream.link import Dials, Link


@live
async def test_streams_that_wait_to_dial_in_a_pause_are_due_when_it_ends() -> None:
    count = DIALS + 10
    async with site(count, gated=True) as here:
        here.start()
        await until(lambda: here.started == DIALS)
        await here.all_begun()
        here.model.pause(True, 0)
        assert here.parked == 10
        here.gate.set()
        await here.asked(DIALS)
        here.later(HOUR)
        assert here.started == DIALS
        here.model.pause(False, 0)
        await here.asked(count)
        part = await here.end()
        assert part.ended == {"ok": count}
        assert max(values(part.latency, "queue")) == 0


@live
async def test_surplus_streams_that_wait_to_dial_never_begin() -> None:
    count = DIALS + 10
    async with site(count, gated=True) as here:
        here.start()
        await until(lambda: here.started == DIALS)
        await here.all_begun()
        here.model.set_streams(3)
        here.model.set_streams(DIALS + 2)
        here.model.set_streams(3)
        here.gate.set()
        await here.asked(DIALS)
        here.server.answer()
        await until(lambda: len(here.server.connections) == 3)
        await here.rounds(3, 3)
        assert here.server.requests == DIALS + 3 + 9
        assert here.server.accepted == here.server.peak == DIALS
        await here.end()


@live
async def test_a_dial_that_ends_as_another_is_asked_for_leaves_nobody_waiting() -> None:
    async with site(1, requests=5, error_pause_s=0, dials=1) as here:
        refused = GatedDialer("http://127.0.0.1:9/", Timeouts(0, 0, 0, 0))
        refused.gate.set()
        async with refused:
            here.model.mix.tasks[0].dials = refused
            here.start()
            await until(here.load.exhausted.is_set)
        assert (await here.end()).ended == {"connect_refused": 5}


@live
async def test_a_dead_target_is_not_dialled_by_all_at_once() -> None:
    async with site(10, error_pause_s=3600, dials=2) as here:
        refused = GatedDialer("http://127.0.0.1:9/", Timeouts(0, 0, 0, 0))
        refused.gate.set()
        async with refused:
            here.model.mix.tasks[0].dials = refused
            here.start()
            await until(lambda: here.recorder.open == 0 < here.started)
            await here.all_begun()
            await until(lambda: here.started == 2)
            for _ in range(100):
                await asyncio.sleep(0)
            assert (here.started, here.recorder.open) == (2, 0)
            for task in here.load.dialing.tasks:
                task.cancel()
        assert (await here.end()).ended == {"connect_refused": 2}


class Unsteady:
    """A dialer some of whose attempts are refused, and some of which take until they may go on."""

    def __init__(self, healthy: Dials, refused: Dials, *refusals: int, held: dict[int, asyncio.Event]) -> None:
        self.calls = 0
        self._healthy = healthy
        self._refused = refused
        self._refusals = refusals
        self._held = held

    async def open(self) -> Link:
        self.calls += 1
        number = self.calls
        if number in self._held:
            await self._held[number].wait()
        return await (self._refused if number in self._refusals else self._healthy).open()


@contextlib.asynccontextmanager
async def unsteady(here: Site, *refusals: int, held: int) -> AsyncIterator[tuple[Unsteady, asyncio.Event]]:
    """Has a site's attempts of these numbers (from 1 on) refused; the one of number `held` waits for the event."""
    refused = GatedDialer("http://127.0.0.1:9/", Timeouts(0, 0, 0, 0))
    refused.gate.set()
    go_on = asyncio.Event()
    async with refused:
        dialer = Unsteady(here.model.mix.tasks[0].dials, refused, *refusals, held={held: go_on})
        here.model.mix.tasks[0].dials = dialer
        yield dialer, go_on


@live
async def test_dials_that_fail_now_and_then_don_t_hold_healthy_ones_up() -> None:
    # both places have failed once before half of the streams have had their turn
    async with site(10, error_pause_s=3600, dials=2) as here, unsteady(here, 1, 3, held=2) as (dialer, go_on):
        here.start()
        await until(lambda: here.started == 2 and here.recorder.open == 1)
        await here.all_begun()
        for _ in range(100):
            await asyncio.sleep(0)
        assert dialer.calls == 2, "one place rests"
        go_on.set()
        await here.asked(8)
        assert here.started == dialer.calls == 10
        assert (await here.end()).ended == {"ok": 8, "connect_refused": 2}


@live
async def test_a_kept_connection_that_has_gone_stale_is_replaced_before_anybody_begins() -> None:
    async with site(4, error_pause_s=3600, dials=1) as here, unsteady(here, 2, held=3) as (dialer, go_on):
        here.start()
        await until(lambda: here.started == 2 and here.recorder.open == 1)
        await here.all_begun()
        await here.asked(1)
        here.server.answer()
        await here.asked(1)
        assert (dialer.calls, here.started) == (2, 3), "the only place rests"
        [kept] = here.server.waiting
        kept.transport.close()
        await until(lambda: dialer.calls == 3)
        assert here.started == 3, "the request that had begun is dialled for"
        go_on.set()
        await here.asked(3)
        assert (dialer.calls, here.started) == (5, 5)
        part = await here.end()
        assert part.ended == {"ok": 4, "connect_refused": 1}
        assert part.counters.stale_retries == 1


@live
async def test_streams_begin_no_faster_than_connections_may_be_opened() -> None:
    async with site(3, connect_gap_ns=20 * MS) as here:
        here.start()
        await here.asked(1)
        here.later(20)
        await here.asked(2)
        here.later(20)
        await here.asked(3)
        assert values((await here.end()).latency, "queue") == [0, 0, 0]


@live
async def test_added_streams_are_paced_too() -> None:
    async with site(0, connect_gap_ns=MS) as here:
        here.start()
        here.model.set_streams(TURN + 1)
        await here.asked(TURN)
        here.later(TURN)
        await here.asked(TURN + 1)
        assert max(values((await here.end()).latency, "queue")) == 0


def syn_retransmissions() -> int:
    names, values = [
        line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")
    ]
    return int(values[names.index("TCPSynRetrans")])


@live
async def test_a_connection_that_tcp_had_to_try_twice_is_counted() -> None:
    loop = asyncio.get_running_loop()
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),  # the listen queue is full now
    ):
        listener.setblocking(False)
        before = syn_retransmissions()
        async with site(1, requests=1) as here:
            other = GatedDialer(f"http://127.0.0.1:{listener.getsockname()[1]}/", Timeouts(0, 0, 0, 0))
            other.gate.set()
            async with other:
                here.model.mix.tasks[0].dials = other
                here.start()
                # a second after the first SYN the kernel has sent another one
                await until(lambda: syn_retransmissions() > before)
                (await loop.sock_accept(listener))[0].close()
                ours, _ = await loop.sock_accept(listener)
                with ours:
                    await loop.sock_recv(ours, 1000)
                    await loop.sock_sendall(ours, ANSWER)
                    await until(here.load.exhausted.is_set)
            counters = (await here.end()).counters
    assert (counters.connections, counters.connects_repeated) == (1, 1)
