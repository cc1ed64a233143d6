"""A worker's load against a real server that answers when the test says so; the test sets the clock.

The clock stands still unless a test moves it, so nothing that hangs on time (the ramp, a rest after a failure) happens
before it should, however slow the machine is.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, MS, TOKEN
from helpers.processes import DEADLINE_S

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.connect.dialer import Dialer, TakenOver
from llmstress.engine.connect.loop import Loop
from llmstress.engine.control import Network, OpenLoad, Plan, TaskPlan, Timeouts
from llmstress.engine.load.build import build_model
from llmstress.engine.schedule import windows
from llmstress.engine.stream.progress import NEVER
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.states import PARKED
from llmstress.engine.telemetry.load_profile import Profile, constant
from llmstress.engine.telemetry.messages import Part, Phase

HOUR = 3_600_000
"""In milliseconds: far beyond anything here."""

REST_S = 0.05
"""The mean rest after a failure; none is longer than one and a half of it."""

DIALS = 64
"""Connections that may be being opened at once."""

BODY = OpenAIChat(Ask()).body(Ask())
"""What every request asks."""

ANSWER = HEAD + TOKEN + FINISH + DONE + END
FAILURE = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that will come."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.0005)


class Peer(asyncio.Protocol):
    """The server's end of a connection."""

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)
        self.server.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        if self in self.server.waiting:
            self.server.waiting.remove(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, _, body = self.data.partition(b"\r\n\r\n")
        if body and len(body) == int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]):
            self.data = b""
            self.server.bodies.append(body)
            self.server.ask(self)


class Server:
    """Holds every request until it is told to answer."""

    def __init__(self) -> None:
        self.connections: set[Peer] = set()
        self.accepted = 0
        self.waiting: list[Peer] = []
        """Requests that have come and are not answered, the oldest first."""
        self.bodies: list[bytes] = []
        """Of all requests that have come."""
        self.requests = 0
        self.peak = 0

    def ask(self, peer: Peer) -> None:
        self.requests += 1
        self.waiting.append(peer)
        self.peak = max(self.peak, len(self.waiting))

    def answer(self, count: int | None = None, what: bytes = ANSWER) -> None:
        """Answer the oldest requests; all if no `count` is given."""
        answered, self.waiting = self.waiting[:count], [] if count is None else self.waiting[count:]
        for peer in answered:
            peer.transport.write(what)


class GatedDialer(Dialer):
    """A dialer whose connections take until the gate is opened."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        super().__init__(url, Network(), timeouts)
        self.gate = asyncio.Event()

    async def open(self) -> TakenOver:
        await self.gate.wait()
        return await super().open()


class SetAlarm:
    """An alarm by the clock that the test sets."""

    def __init__(self, ring: Callable[[], None], clock: Callable[[], int]) -> None:
        self._ring = ring
        self._clock = clock
        self._stamp: int | None = None
        self._closed = False

    def set(self, stamp: int | None) -> None:
        self._stamp = stamp
        self.look()

    def close(self) -> None:
        self._closed = True

    def look(self) -> None:
        """Ring in the next turn of the loop, if the stamp has come."""
        if self._stamp is not None and self._stamp <= self._clock():
            asyncio.get_running_loop().call_soon(self._fire)

    def _fire(self) -> None:
        if self._stamp is not None and self._stamp <= self._clock() and not self._closed:
            self._stamp = None
            self._ring()


class Site:
    """A load, what it records, the server it is aimed at, and the clock of all three."""

    def __init__(self, plan: Plan, server: Server, dialer: GatedDialer) -> None:
        self.plan = plan
        self.server = server
        self.gate = dialer.gate
        self.now = BEGIN
        self.recorder = Recorder(0, lambda: self.now)
        self.alarms: list[SetAlarm] = []
        self.model = build_model(plan, self.recorder, lambda _: dialer, lambda: self.now, make_alarm=self.make_alarm)
        self.load = self.model.load
        self.recorder.begin(BEGIN, windows(whole_run=True), self.load.in_flight)
        self.starting: asyncio.Task[None] | None = None

    def start(self, stop_at: int = NEVER) -> None:
        self.load.stop_from(stop_at)
        self.starting = asyncio.create_task(self.model.start(BEGIN))

    def make_alarm(self, ring: Callable[[], None]) -> SetAlarm:
        """An alarm by the clock of the site."""
        self.alarms.append(SetAlarm(ring, lambda: self.now))
        return self.alarms[-1]

    def later(self, ms: float) -> None:
        """Move the clock."""
        self.now += int(ms * MS)
        for alarm in self.alarms:
            alarm.look()

    @property
    def started(self) -> int:
        return self.recorder.samples(0).counters.started

    @property
    def parked(self) -> int:
        return sum(stream.state == PARKED for stream in self.load.streams)

    async def asked(self, count: int) -> None:
        """Wait until that many requests are in flight, and all of them have reached the server."""
        await until(lambda: len(self.server.waiting) == self.recorder.open == count)

    async def rounds(self, count: int, streams: int) -> None:
        """Let `streams` streams make that many more requests each: time enough for others to do what they shouldn't."""
        for _ in range(count):
            await self.asked(streams)
            before = self.server.requests
            self.server.answer()
            await until(functools.partial(self._served, before + streams))
        await self.asked(streams)

    def _served(self, requests: int) -> bool:
        return self.server.requests == requests

    async def all_begun(self) -> None:
        """Wait until the load has begun every stream that it should."""
        assert self.starting is not None
        await until(self.starting.done)

    async def end(self) -> Part:
        """Stop, let what is open finish, and close; what was measured, and the books agree."""
        self.load.stop(self.now)
        await until(lambda: len(self.server.waiting) == self.recorder.open)
        self.server.answer()
        await until(self.load.exhausted.is_set)
        assert self.load.fault is None
        self.load.cut()
        await until(lambda: not self.server.connections)
        part = self.recorder.cut(self.now, 0).parts[Phase.STEADY]
        assert self.recorder.open == 0
        assert part.counters.started == sum(part.ended.values())
        return part


AsyncTest = Callable[..., Awaitable[None]]


def on(loop: type[Loop]) -> Callable[[AsyncTest], Callable[..., None]]:
    """Runs an async test on a loop of this kind."""

    def decorate(test: AsyncTest) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*arguments: object, **named: object) -> None:
            async def bounded() -> None:
                async with asyncio.timeout(2 * DEADLINE_S):
                    await test(*arguments, **named)

            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(bounded())

        return run

    return decorate


live = on(Loop)
"""Runs an async test on the loop that a worker has."""


def task_of(url: str, **changes: object) -> TaskPlan:
    task = TaskPlan(api="openai-chat", url=url, network=Network(), headers=[], ask=Ask(), timeouts=Timeouts(0, 0, 0, 0))
    return msgspec.structs.replace(task, **changes)


def plan_of(url: str, streams: int, **changes: object) -> Plan:
    """A plan of one task; `changes`: of the plan, or of the task."""
    of_task = {name: value for name, value in changes.items() if name in TaskPlan.__struct_fields__}
    plan = Plan(
        tasks=(task_of(url, **of_task),),
        streams=streams,
        worker=0,
        workers=1,
        requests=None,
        ramp_ns=0,
        windows=windows(whole_run=True),
        grace_s=30,
        interval_s=0.05,
        error_pause_s=REST_S,
        connect_gap_ns=0,
        dials=DIALS,
        seed=0,
        secrets=[],
        verbose=False,
    )
    return msgspec.structs.replace(plan, **{name: each for name, each in changes.items() if name not in of_task})


def open_load(
    per_s: float | Profile,
    *,
    arrival: str = "constant",
    burstiness: float = 1.0,
    max_queue: int | None = None,
    queue_timeout_ms: int = 0,
    **changes: object,
) -> dict[str, Any]:
    """The part of a plan that makes it open."""
    profile = per_s if isinstance(per_s, Profile) else constant("requests", per_s)
    return {"profile": profile, "open": OpenLoad(arrival, burstiness, max_queue, queue_timeout_ms * MS), **changes}


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[Server, str]]:
    """A server on a free port, and its URL."""
    server = Server()
    listener = await asyncio.get_running_loop().create_server(lambda: Peer(server), "127.0.0.1", 0, backlog=1024)
    try:
        yield server, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/chat/completions"
    finally:
        listener.close()
        for peer in list(server.connections):
            peer.transport.abort()
        await until(lambda: not server.connections)


@contextlib.asynccontextmanager
async def site(
    streams: int, *, gated: bool = False, make_dialer: "type[GatedDialer]" = GatedDialer, **changes: object
) -> AsyncIterator[Site]:
    """A load of `streams` streams that hasn't started."""
    async with listening() as (server, url):
        plan = plan_of(url, streams, **changes)
        tasks = tuple(msgspec.structs.replace(each, url=url) for each in plan.tasks)
        plan = msgspec.structs.replace(plan, tasks=tasks)
        async with make_dialer(url, plan.tasks[0].timeouts) as dialer:
            if not gated:
                dialer.gate.set()
            made = Site(plan, server, dialer)
            try:
                yield made
            finally:
                made.load.cut()
                if made.starting is not None:
                    made.starting.cancel()
                    await asyncio.gather(made.starting, return_exceptions=True)
                await asyncio.gather(*made.load.dialing.tasks, return_exceptions=True)
