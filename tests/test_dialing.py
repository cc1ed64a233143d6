"""Connections that take their time, are paced, or are never made: over real sockets, by a clock that the test sets."""

import asyncio
import socket
from pathlib import Path

from sites import ANSWER, DIALS, HOUR, GatedDialer, live, site, until
from support import MS, values

from llmstress.engine.control import Timeouts
from llmstress.engine.load import TURN


@live
async def test_streams_that_wait_to_dial_in_a_pause_are_due_when_it_ends() -> None:
    count = DIALS + 10
    async with site(count, gated=True) as here:
        here.start()
        await until(lambda: here.started == DIALS)
        await until(here.starting.done)
        here.load.pause(True)
        assert here.parked == 10
        here.gate.set()
        await here.asked(DIALS)
        here.later(HOUR)
        assert here.started == DIALS
        here.load.pause(False)
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
        await until(here.starting.done)
        here.load.set_streams(3)
        here.load.set_streams(DIALS + 2)
        here.load.set_streams(3)
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
            here.load._dialer = refused
            here.start()
            await until(here.load.exhausted.is_set)
        assert (await here.end()).ended == {"connect_refused": 5}


@live
async def test_a_dead_target_is_not_dialled_by_all_at_once() -> None:
    async with site(10, error_pause_s=3600, dials=2) as here:
        refused = GatedDialer("http://127.0.0.1:9/", Timeouts(0, 0, 0, 0))
        refused.gate.set()
        async with refused:
            here.load._dialer = refused
            here.start()
            await until(lambda: here.recorder.open == 0 < here.started)
            await until(here.starting.done)
            await until(lambda: here.started == 2)
            for _ in range(100):
                await asyncio.sleep(0)
            assert (here.started, here.recorder.open) == (2, 0)
            for task in here.load._dials:
                task.cancel()
        assert (await here.end()).ended == {"connect_refused": 2}


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
        here.load.set_streams(TURN + 1)
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
                here.load._dialer = other
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
