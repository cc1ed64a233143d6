"""The witness of one request: real sockets, a scripted server; and what it counts is what a run would count."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest
from helpers.bench import (
    BEGIN,
    DONE,
    END,
    FINISH,
    HEAD,
    MS,
    REASONING,
    ROLE,
    TOKEN,
    Bench,
    body_of,
    chunk,
    event,
    usage,
)
from helpers.faulty_servers import Script, ScriptedServer, Step, serving
from helpers.fuzzing import CORPUS
from helpers.live_load import on, task_of, until
from helpers.proxies import saying
from helpers.short_runs import make_files, server_tls

from llmstress.coordinator.probe.observed import kinds_of
from llmstress.engine.api.ask import Ask
from llmstress.engine.connect.dialer import Dialer
from llmstress.engine.control import Network, Timeouts, Tls
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.witness import Evidence, WatchedLoop, Witness

watched = on(WatchedLoop)


async def witnessed(server: ScriptedServer, **plan: object) -> Evidence:
    """What a witness says of its request to `server`, each of whose writes is a read of its own."""
    made = task_of(server.url, **plan)
    witness = Witness(made)
    server.read_by = lambda port: sum(len(read.data) for read in witness.reads)
    async with Dialer(made.url, made.network, made.timeouts) as dialer:
        return await witness.watch(dialer)


async def answered(*steps: bytes | Step, **plan: object) -> Evidence:
    """What a witness says of an answer in these reads."""
    script: Script = (Step.HEARD, *steps)
    async with serving(script) as server:
        return await witnessed(server, **plan)


def books(part: Part) -> tuple[object, ...]:
    """All of a part but what the process itself did."""
    counters = {
        name: n for name, n in msgspec.structs.asdict(part.counters).items() if not name.startswith(("cpu_", "host_"))
    }
    latency = {name: histogram for name, histogram in part.latency.items() if histogram.count}
    return counters, part.ended, part.finish, latency, part.latency_failed


def whole_chunks(answer: bytes) -> list[bytes]:
    return re.split(rb"(?<=\n\n\r\n)", answer)


def pieces(size: int) -> Callable[[bytes], list[bytes]]:
    return lambda answer: [answer[at : at + size] for at in range(0, len(answer), size)]


@pytest.mark.parametrize(
    "cut", [whole_chunks, pieces(1 << 20), pieces(97), pieces(40)], ids=["chunks", "1", "97", "40"]
)
@pytest.mark.parametrize("answer", CORPUS, ids=range(len(CORPUS)))
@watched
async def test_it_counts_what_a_run_would_count(answer: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    seen = await answered(*cut(answer), Step.CLOSE)
    bench, exchange = Bench(), seen.exchange
    shift = BEGIN - exchange.start
    bench.stream.begin(bench.task.request(0), exchange.due + shift)
    bench.now = exchange.sent + shift
    bench.connect()
    for read in seen.reads:
        bench.now = read.stamp + shift
        if read.data:
            bench.stream.data_received(read.data)
            bench.reads.process(1, bench.now)
        else:
            bench.lose(None)
    assert bench.freed, "the request is over there, too"
    assert b"".join(read.data for read in seen.reads) == answer[: sum(len(read.data) for read in seen.reads)]
    assert books(seen.part) == books(bench.steady())
    assert seen.part.ended == {seen.ending.end.outcome: 1}


JOINED = body_of(TOKEN).strip()
"""A `data:` line."""


@pytest.mark.parametrize(
    ("steps", "heard"),
    [
        pytest.param(
            (HEAD + ROLE, TOKEN, TOKEN, REASONING, FINISH + usage(3) + DONE + END),
            [(0, "nothing"), (1, "token"), (2, "token"), (3, "reasoning"), (4, "finish"), (4, "usage"), (4, "done")],
            id="a stream",
        ),
        pytest.param(
            (HEAD, chunk(b": ping\n\n"), chunk(b": ping\n\n") + TOKEN, FINISH + chunk(b":\n\n") + DONE, END),
            [(1, "comment"), (2, "comment"), (2, "token"), (3, "finish"), (3, "comment"), (3, "done")],
            id="pings",
        ),
        pytest.param(
            (HEAD, chunk(JOINED + b"\n" + JOINED + b"\n\n"), FINISH, END),
            [(1, "token"), (1, "token"), (2, "finish")],
            id="a line break where two should be",
        ),
        pytest.param(
            (HEAD + TOKEN, FINISH + DONE, usage(1), DONE, END),
            [(0, "token"), (1, "finish"), (1, "done"), (2, "usage"), (3, "done")],
            id="after the last word",
        ),
        pytest.param(
            (HEAD + TOKEN, FINISH, chunk(b"data: [DONE]"), END),
            [(0, "token"), (1, "finish"), (3, "done")],
            id="the last blank line is missing",
        ),
        pytest.param(
            (HEAD + TOKEN, event({"new": 1}) + TOKEN, event(b"{") + TOKEN),
            [(0, "token"), (1, "unknown"), (1, "token"), (2, "malformed")],
            id="malformed",
        ),
    ],
)
@watched
async def test_it_hears_every_event(steps: tuple[bytes, ...], heard: list[tuple[int, str]]) -> None:
    seen = await answered(*steps)
    assert [(each.read, "+".join(kinds_of(each.meaning))) for each in seen.events] == heard
    assert all(each.stamp == seen.reads[each.read].stamp for each in seen.events)
    assert seen.ending.end.outcome == ("malformed" if heard[-1][1] == "malformed" else "ok")


@watched
async def test_reads_that_are_events() -> None:
    steps = (HEAD.replace(b"event-stream", b"plain"), chunk(b"one"), chunk(b" two"), END)
    seen = await answered(*steps, api="text", ask=Ask(body="{prompt}", prompt="count"))
    assert [(each.read, each.data) for each in seen.events] == [(1, b"one"), (2, b" two")]
    assert seen.ending.end.outcome == "ok"
    assert seen.request.endswith(b"\r\n\r\ncount")


@watched
async def test_who_is_cancelled_tells_what_has_come() -> None:
    async with serving((Step.HEARD, HEAD + TOKEN, TOKEN, Step.HANG)) as server:
        plan = task_of(server.url)
        witness = Witness(plan)
        async with Dialer(plan.url, plan.network, plan.timeouts) as dialer:
            watching = asyncio.create_task(witness.watch(dialer))
            await until(lambda: len(witness.events) == 2)
            watching.cancel()
            seen = await watching
    assert seen.ending.end.outcome == "cancelled"
    assert seen.part.counters.output_cancelled == 2
    assert len(seen.exchange.gaps) == 1


@watched
async def test_who_is_cancelled_while_it_connects_has_nothing_to_tell() -> None:
    async with saying(hold=True) as port:  # which speaks no TLS
        plan = task_of(f"https://127.0.0.1:{port}/")
        loop = cast(WatchedLoop, asyncio.get_running_loop())
        async with Dialer(plan.url, plan.network, plan.timeouts) as dialer:
            watching = asyncio.create_task(Witness(plan).watch(dialer))
            await until(lambda: loop.attempts)
            watching.cancel()
            seen = await watching
    assert (seen.ending.end.outcome, seen.connection, seen.reads) == ("cancelled", None, [])
    assert [each.error for each in seen.attempts] == [""]


@watched
async def test_time_limits_hold() -> None:
    now = BEGIN
    async with serving((Step.HEARD, HEAD + TOKEN, Step.HANG)) as server:
        plan = task_of(server.url, timeouts=Timeouts(0, 0, 1000 * MS, 0))
        witness = Witness(plan, clock=lambda: now)
        async with Dialer(plan.url, plan.network, plan.timeouts) as dialer:
            watching = asyncio.create_task(witness.watch(dialer))
            await until(lambda: witness.events)
            now += 2000 * MS
            seen = await watching
    assert seen.ending.end.outcome == "timeout_idle"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.3", "127.0.0.1"], ["127.0.0.3"]], ids=len)
@watched
async def test_it_tells_where_it_tried_to_connect(addresses: list[str]) -> None:
    async with serving((Step.HEARD, HEAD + TOKEN + FINISH + END)) as server:
        plan = task_of(f"http://llm.test:{server.port}/v1/chat/completions", network=Network(addresses))
        async with Dialer(plan.url, plan.network, plan.timeouts) as dialer:
            seen = await Witness(plan).watch(dialer)
    tried = {each.address: each.error for each in seen.attempts}
    errors = {f"127.0.0.1:{server.port}": "", f"127.0.0.3:{server.port}": "Connection refused"}
    assert tried == {address: error for address, error in errors.items() if address.split(":")[0] in addresses}
    assert all(seen.exchange.start <= each.begin <= each.end for each in seen.attempts)
    if "127.0.0.1" in addresses:
        assert seen.connection is not None
        assert seen.connection.peer == f"127.0.0.1:{server.port}"
        assert seen.ending.end.outcome == "ok"
    else:
        assert (seen.connection, seen.ending.end.outcome) == (None, "connect_refused")


@watched
async def test_it_tells_how_tls_was_agreed_upon(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    async with serving((Step.HEARD, HEAD + TOKEN + FINISH + END), context=server_tls(files.server)) as server:
        seen = await witnessed(server, network=Network(tls=Tls(ca_file=files.ca)))
    assert seen.connection is not None
    assert seen.connection.tls.startswith("TLSv1.3 TLS_")
    assert seen.ending.end.outcome == "ok"
