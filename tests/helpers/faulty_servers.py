"""Servers with scripted faults: a script sets every byte, pause and reset of one connection; others are served well.

The load is the worker's own, with real sockets; its clock is the test's. The first connection that is made is the
victim's. What a script writes is read by the client before the script goes on, so that nothing hangs on timing.
"""

import asyncio
import contextlib
import enum
import functools
import gc
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, NamedTuple, cast

from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, MS, ROLE, TOKEN, body_of, chunk
from helpers.live_load import ANSWER, BODY, plan_of, until

from llmstress.engine.connect.dialer import Dialer, TakenOver
from llmstress.engine.control import Network, Timeouts
from llmstress.engine.load.build import build_model
from llmstress.engine.load.load import CHECK_TURNS
from llmstress.engine.outcome import End
from llmstress.engine.schedule import windows
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failure_policy import DEFAULTS
from llmstress.engine.stream.link import Link
from llmstress.engine.stream.observer import Ending, Observer
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Task
from llmstress.engine.stream.transport_stream import TransportStream
from llmstress.engine.telemetry.messages import Part, Phase

BYSTANDERS = 3
NO_LIMITS = Timeouts(0, 0, 0, 0)
TICK_MS = 250
"""How far the clock moves at once."""


class Step(enum.Enum):
    """What a script can do besides writing bytes."""

    ASKED = "wait for a request"
    HEARD = "wait for any byte"
    CLOSE = "close the connection in order"
    RESET = "reset it"
    HANG = "neither say nor do anything any more"
    PLAIN = "from here on write past the TLS layer"


class Drip(NamedTuple):
    """Bytes written one by one, a second apart."""

    data: bytes


Script = tuple[bytes | Step | Drip, ...]


class ScriptedPeer(asyncio.Protocol):
    """The server's end of a connection: plays its script, then serves well."""

    transport: asyncio.Transport

    def __init__(self, server: "ScriptedServer", script: Script) -> None:
        self.server = server
        self.playing = bool(script)
        self.written = 0
        self.dripping = False
        self.heard = False
        self.asked = 0
        self.good = 0
        self.lost = False
        self.port = 0
        self._script = script
        self._data = b""
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.port = transport.get_extra_info("peername")[1]
        self.server.peers.append(self)
        if self.playing:
            self.play(self._script)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._data += data
        if self._data.endswith(b"\r\n\r\n" + BODY):
            self._data = b""
            self.asked += 1
            if not self.playing:
                self._answer()
        self._changed.set()

    def play(self, script: Script) -> None:
        """Do these steps, then serve well."""
        self.playing = True
        self.server.plays.append(asyncio.ensure_future(self._play(script)))

    def reset(self) -> None:
        """Have the kernel send a reset instead of a proper end."""
        made = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, RuntimeError):  # closed already
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _answer(self) -> None:
        self.asked -= 1
        self.good += 1
        self.transport.write(ANSWER)

    async def _play(self, script: Script) -> None:
        plain = False
        for step in script:
            match step:
                case bytes():
                    await self._write(step, plain)
                case Drip(data=data):
                    self.dripping = True
                    for at in range(len(data)):
                        await self.server.a_second()
                        await self._write(data[at : at + 1])
                    self.dripping = False
                case Step.ASKED:
                    await self._when(lambda: self.asked)
                    self.asked -= 1
                case Step.HEARD:
                    await self._when(lambda: self.heard)
                case Step.PLAIN:
                    plain = True
                case Step.HANG:
                    await self._when(lambda: False)
                case Step.CLOSE:
                    self.transport.close()
                case Step.RESET:
                    self.reset()
            if self.lost:
                return
        self.playing = False
        while self.asked:
            self._answer()

    async def _when(self, condition: Callable[[], object]) -> None:
        """Wait for a condition, or for the end of the connection."""
        while not (condition() or self.lost):
            self._changed.clear()
            await self._changed.wait()

    async def _write(self, data: bytes, plain: bool = False) -> None:
        if plain:
            os.write(self.transport.get_extra_info("socket").fileno(), data)
            return
        if self.transport.is_closing():
            return
        self.written += len(data)
        self.transport.write(data)
        await until(lambda: self.lost or self.server.read_by(self.port) >= self.written)


class ScriptedServer:
    """Listens on a port of its own; `scripts` are for its first connections, in this order."""

    def __init__(self, scripts: list[Script], context: ssl.SSLContext | None = None) -> None:
        self.peers: list[ScriptedPeer] = []
        self.plays: list[asyncio.Future[None]] = []
        self.read_by: Callable[[int], float] = lambda port: float("inf")
        """How many bytes the client at this port has read."""
        self.port = 0
        self._scripts = scripts
        self._context = context
        self._listener: asyncio.Server | None = None
        self._second = asyncio.Event()
        self._waited_for = False

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}/v1/chat/completions"

    async def listen(self) -> None:
        """Begin, or come back on the same port."""
        self._listener = await asyncio.get_running_loop().create_server(
            self._peer, "127.0.0.1", self.port, backlog=1024, ssl=self._context, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def die(self) -> None:
        """Stop listening and reset every connection."""
        self.stop_listening()
        for peer in self.peers:
            if not peer.lost:
                peer.reset()

    def stop_listening(self) -> None:
        assert self._listener is not None
        self._listener.close()

    async def close(self) -> None:
        self.die()
        for play in self.plays:
            play.cancel()
        for result in await asyncio.gather(*self.plays, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        await until(lambda: all(peer.lost for peer in self.peers))

    async def a_second(self) -> None:
        """Wait for `second_passes`."""
        self._waited_for = True
        await self._second.wait()

    async def second_passes(self) -> None:
        """Let those who drip write a byte, which is read."""
        self._waited_for = False
        self._second.set()
        self._second = asyncio.Event()
        await until(lambda: self._waited_for or not any(peer.dripping and not peer.lost for peer in self.peers))

    def _peer(self) -> ScriptedPeer:
        return ScriptedPeer(self, self._scripts.pop(0) if self._scripts else ())


@contextlib.asynccontextmanager
async def serving(*scripts: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(list(scripts), context)
    await server.listen()
    try:
        yield server
    finally:
        await server.close()


class Watched(TransportStream):
    """A stream that counts what it reads of a connection."""

    __slots__ = ("received",)
    bound: ClassVar[dict[int, "Watched"]] = {}
    """The streams by the ports that they are, or were, bound to."""

    def connected(self, link: Link) -> None:
        self.received = 0
        super().connected(link)
        self.bound[self.port] = self

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)

    @property
    def port(self) -> int:
        return self.link.transport.get_extra_info("sockname")[1] if self.link is not None else 0


class EndOf(Observer):
    """Observes one request."""

    def __init__(self, books: "Books") -> None:
        self.books = books

    def ended(self, ending: Ending) -> None:
        self.books.ends.append((self, ending.end))


class Books:
    """Remembers the end of each request of a task."""

    def __init__(self, task: Task) -> None:
        self.ends: list[tuple[EndOf, End]] = []
        inner = task.request
        task.request = lambda number: inner(number)._replace(observer=EndOf(self))

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(end.outcome for _, end in self.ends)


PLAIN_WAY = Network()

NO_END = [(what, "count") for what, meaning in DEFAULTS.items() if meaning != "retry"]
"""Nothing ends the run, so no stream waits to hear of it."""


class Dialers(Dialer):
    """A dialer whose first connection is another one's."""

    def __init__(self, url: str, network: Network, first: Dialer | None) -> None:
        super().__init__(url, network, NO_LIMITS)
        self.first = first

    async def open(self) -> TakenOver:
        first, self.first = self.first, None
        return await (super().open() if first is None else first.open())


class Scene:
    """A load of one victim and some bystanders, the server, and the clock of both."""

    def __init__(self, server: ScriptedServer, dialer: Dialer, streams: int, **plan: Any) -> None:
        self.server = server
        server.read_by = self._read_by
        self.now = BEGIN
        self.recorder = Recorder(0, lambda: self.now)
        made = plan_of(server.url, streams, **{"error_pause_s": 0, "on_status": NO_END, **plan})
        self.model = build_model(made, self.recorder, lambda _: dialer, lambda: self.now, Watched)
        self.load = self.model.load
        self.books = Books(self.model.mix.tasks[0])
        self.recorder.begin(BEGIN, windows(whole_run=True), self.load.in_flight)
        Watched.bound.clear()
        self.exceptions: list[dict[str, Any]] = []
        self.starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.starting = asyncio.create_task(self.model.start(BEGIN))

    def at(self, port: int) -> Watched | None:
        """The stream whose connection is bound to this port; None: the connection is gone."""
        stream = Watched.bound.get(port)
        return stream if stream is not None and stream.port == port else None

    def _read_by(self, port: int) -> float:
        """Of a connection that is gone everything counts as read."""
        stream = self.at(port)
        return float("inf") if stream is None else stream.received

    def _all_new_but(self, stuck: Exchange | None) -> bool:
        return all(each.start == self.now or each is stuck for each in self.load.in_flight())

    async def pass_time(self, ms: int, over: Callable[[], object] = lambda: False) -> None:
        """Move the clock in steps that no bystander's request lasts longer than, applying the time limits at each."""
        for elapsed in range(TICK_MS, ms + TICK_MS, TICK_MS):
            if over():
                return
            victim = self.server.peers[0]
            stream = self.at(victim.port)
            self.now += TICK_MS * MS
            await until(functools.partial(self._all_new_but, None if stream is None else stream.exchange))
            for _ in range(CHECK_TURNS):
                self.load.check()
            if elapsed % 1000 == 0:
                await self.server.second_passes()

    async def end(self) -> Part:
        """Stop, let what is open finish; what was measured, and the books agree."""
        self.load.stop(self.now)
        await until(self.load.exhausted.is_set)
        assert self.load.fault is None
        self.load.cut()
        part = self.recorder.cut(self.now, 0).parts[Phase.STEADY]
        assert self.recorder.open == 0
        assert part.counters.started == sum(part.ended.values()) == len(self.books.ends)
        assert part.ended == dict(self.books.outcomes)
        assert len({id(request) for request, _ in self.books.ends}) == len(self.books.ends), "each ended once"
        return part


@contextlib.asynccontextmanager
async def scene(
    server: ScriptedServer,
    streams: int = 1 + BYSTANDERS,
    first: Dialer | None = None,
    network: Network = PLAIN_WAY,
    **plan: Any,
) -> AsyncIterator[Scene]:
    """A load that hasn't started; at its end nothing must have gone wrong behind anyone's back."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        if first is not None:
            await stack.enter_async_context(first)
        dialer = await stack.enter_async_context(Dialers(server.url, network, first))
        made = Scene(server, dialer, streams, **plan)
        loop.set_exception_handler(lambda loop, context: made.exceptions.append(context))
        try:
            yield made
        finally:
            made.load.cut()
            if made.starting is not None:
                made.starting.cancel()
                await asyncio.gather(made.starting, return_exceptions=True)
            await asyncio.gather(*made.load.dialing.tasks, return_exceptions=True)
    await asyncio.sleep(0)
    gc.collect()  # an exception that nobody has asked for is told when its task is collected
    await asyncio.sleep(0)
    assert made.exceptions == []
    assert made.load.fault is None


# --- what is scripted, and what must become of it

STREAM = body_of(ROLE, TOKEN, TOKEN, FINISH, DONE)
"""The body of a good answer."""
CUT = body_of(ROLE, TOKEN, TOKEN)
"""The same without its finish signal."""
GOOD = HEAD + chunk(STREAM) + END


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines]).encode() + b"\r\n\r\n"


class Fault(NamedTuple):
    """What a server does to the first connection, and what must become of it."""

    ends: str
    """The class in which the request ends."""
    kept: bool
    """The next request goes over the same connection."""
    script: Script
    limits: Timeouts = NO_LIMITS
    ms: int = 0
    """How long it takes at most until the limits notice."""
    times: int = 1
    """How many requests end so."""
    stale: int = 0
    """Requests that are sent again silently."""


def kept(ends: str, *script: bytes | Step | Drip, times: int = 1) -> Fault:
    return Fault(ends, True, (Step.ASKED, *script), times=times)


def gone(ends: str, *script: bytes | Step | Drip) -> Fault:
    return Fault(ends, False, (Step.ASKED, *script))


async def suffer(made: Scene, fault: Fault) -> None:
    """Play the fault, see the others go on at the same time and afterwards, and look at the books."""
    server, books = made.server, made.books
    made.start()
    await until(lambda: len(server.peers) > BYSTANDERS and all(peer.good for peer in server.peers[1:]))
    victim = server.peers[0]

    def over() -> bool:
        if fault.ends != "ok":
            return books.outcomes[fault.ends] == fault.times
        return victim.lost if Step.HANG in fault.script else not victim.playing

    await made.pass_time(fault.ms, over)
    await until(over)
    served = [peer.good for peer in server.peers]
    await until(
        lambda: all(peer.good >= before + 2 for peer, before in zip(server.peers[1:], served[1:], strict=False))
    )
    # the victim's stream goes on too, over this connection or over another one
    if fault.kept:
        await until(lambda: victim.good >= 2)
    else:
        await until(lambda: len(server.peers) > 1 + BYSTANDERS and server.peers[-1].good >= 2)
    assert len(server.peers) == 1 + BYSTANDERS + (not fault.kept)
    part = await made.end()
    assert part.ended == {fault.ends: part.ended[fault.ends], "ok": part.ended["ok"]}
    if fault.ends != "ok":
        assert part.ended[fault.ends] == fault.times
    assert part.counters.stale_retries == fault.stale
    assert part.counters.connections == len(server.peers)
