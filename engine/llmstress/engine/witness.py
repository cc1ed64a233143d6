"""One request in every detail: it is made as a run makes it, and every read, event and comment of its answer is kept.

Nothing is parsed here. A run's stream reads the answer and a run's recorder counts it; the witness is the request's
observer.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from llmstress.engine.api.meaning import Meaning
from llmstress.engine.connect.dialer import ConnectError, Dialer, TakenOver
from llmstress.engine.connect.loop import Loop
from llmstress.engine.connect.tcpinfo import address_text, ends_of, retransmissions, tls_of
from llmstress.engine.control import TaskPlan
from llmstress.engine.load.build import Context, build_task
from llmstress.engine.outcome import End
from llmstress.engine.schedule import windows
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.observer import Ending, Observer
from llmstress.engine.stream.progress import NEVER
from llmstress.engine.stream.read_loop import Reads
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.transport_stream import TransportStream
from llmstress.engine.telemetry.aggregate import sum_of
from llmstress.engine.telemetry.messages import Part

CHECK_S = 0.05
"""How often the time limits are looked at."""


class Attempt(msgspec.Struct, frozen=True):
    """One address that a connection was tried to; stamps are nanoseconds."""

    address: str
    begin: int
    end: int
    error: str
    """Empty: it stands."""


class ConnectionFacts(msgspec.Struct, frozen=True):
    """The connection that the request went over."""

    local: str
    """`host:port`; empty: it was gone at once."""
    peer: str
    tls: str
    """Version and cipher; empty: none."""
    repeated: int
    """Segments that had to be sent again before it stood."""


class WitnessedEvent(NamedTuple):
    """An event, a comment or a whole answer."""

    read: int
    """Number of the read that completed it, from 0."""
    stamp: int
    name: bytes
    data: bytes
    meaning: Meaning | None
    """None: it is a comment, whose text is not kept."""


class Read(NamedTuple):
    """What came at once."""

    stamp: int
    data: bytes


class Evidence(msgspec.Struct):
    """What became of the request. Stamps are monotonic nanoseconds."""

    request: bytes
    attempts: list[Attempt]
    connection: ConnectionFacts | None
    reads: list[Read]
    events: list[WitnessedEvent]
    exchange: Exchange
    """With its stamps, its gaps, its usage."""
    ending: Ending
    part: Part
    """What a run would have counted."""
    signs: list[str]
    """Headers by which a gateway can be told."""
    fields: list[str]
    """Names of unknown fields whose text was counted as reasoning."""


class WatchedLoop(Loop):
    """A worker's loop that notes every address which is connected to."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[Attempt] = []

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connect a socket that doesn't block.

        Raises:
            OSError: it can't be connected; the number says why.
        """
        begin, error = time.monotonic_ns(), "given up"
        try:
            await super().sock_connect(sock, address)
            error = ""
        except OSError as problem:
            error = problem.strerror or str(problem)
            raise
        finally:
            self.attempts.append(Attempt(address_text(address), begin, time.monotonic_ns(), error))


class Witness(Observer):
    """Makes one request (it is the stream's `Runtime`) and keeps what becomes of it (it is the request's observer)."""

    EVENTS = True

    def __init__(
        self, plan: TaskPlan, secrets: Sequence[str] = (), clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.clock = clock
        self.recorder = Recorder(0, clock)
        self._plan = msgspec.structs.replace(plan, retries=0)
        self._secrets = secrets
        self._arrived = Reads(self.recorder, clock, self._wake)
        self._stream = TransportStream(self, self._arrived)
        self.reads: list[Read] = []
        self.events: list[WitnessedEvent] = []
        self._over = asyncio.Event()
        self._fault: BaseException | None = None
        self._connection: ConnectionFacts | None = None
        self._ending: Ending | None = None

    async def watch(self, dialer: Dialer) -> Evidence:
        """Make the request over a connection of `dialer`. If this is cancelled, it gives what has come so far: the
        request is cut off then, as at the end of a run."""
        loop, stream = asyncio.get_running_loop(), self._stream
        attempts = loop.attempts if isinstance(loop, WatchedLoop) else []
        before = len(attempts)
        task = build_task(self._plan, Context(self.recorder, lambda: 0.0, self._secrets), dialer)
        request = task.request(0)._replace(observer=self)
        self.recorder.begin(self.clock(), windows(whole_run=True), tuple)
        exchange = stream.begin(request, self.clock())
        try:
            await self._see_through(dialer)
        except asyncio.CancelledError:
            self._read_all()
            stream.cut(self.clock())
        finally:
            stream.drop_link()
        if self._fault is not None:
            raise self._fault
        assert self._ending is not None
        delta = self.recorder.cut(self.clock(), 0)
        part = sum_of(delta.parts.values())
        part.settle()
        return Evidence(
            request=request.data,
            attempts=sorted(attempts[before:], key=lambda attempt: attempt.begin),
            connection=self._connection,
            reads=self.reads,
            events=self.events,
            exchange=exchange,
            ending=self._ending,
            part=part,
            signs=delta.signs,
            fields=delta.fields,
        )

    async def _see_through(self, dialer: Dialer) -> None:
        try:
            link = await dialer.open()
        except ConnectError as error:
            self._stream.not_connected(error.end)
        else:
            self._connected(link)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._over.wait()
            self._read_all()
            self._stream.check(self.clock())

    def _connected(self, link: TakenOver) -> None:
        transport = link.transport
        self._connection = ConnectionFacts(*ends_of(transport), tls_of(transport), retransmissions(transport))
        self._stream.connected(link)

    def _wake(self) -> None:
        asyncio.get_running_loop().call_soon(self._read_all)

    def _read_all(self) -> None:
        try:
            self._arrived.process(len(self._arrived.arrived), NEVER)
        except Exception as fault:
            self._fault = fault
            self._over.set()

    # --- what the stream asks for

    def redial(self, stream: Stream) -> None:
        """Nothing is sent twice: the connection is a fresh one."""
        raise RuntimeError("the answer to a request was read before the request was sent")

    def retry(self, stream: Stream, at: int) -> None:
        """No failure has another attempt."""
        raise RuntimeError("a request was to be sent again that is sent only once")

    def call_at(self, at: int, act: Callable[[int], None]) -> asyncio.Handle:
        """Nothing is planned: the request's observer is this one."""
        raise RuntimeError("the one request of a probe was to be abandoned")

    def free(self, stream: Stream, exchange: Exchange, end: End, *, fatal: bool, now: int) -> None:
        """The request has ended."""
        self._over.set()

    # --- what the stream did

    def read(self, data: bytes, stamp: int) -> None:
        """Keep a read."""
        self.reads.append(Read(stamp, data))

    def event(self, name: bytes, data: bytes, meaning: Meaning) -> None:
        """Keep an event of the last read."""
        self._keep(name, data, meaning)

    def comment(self) -> None:
        """Keep that the last read had a comment."""
        self._keep(b"", b"", None)

    def ended(self, ending: Ending) -> None:
        """Keep how the request ended."""
        self._ending = ending

    def _keep(self, name: bytes, data: bytes, meaning: Meaning | None) -> None:
        self.events.append(WitnessedEvent(len(self.reads) - 1, self.reads[-1].stamp, name, data, meaning))
