"""One request, watched: the stream of a run makes it, and what it reads and what it makes of that is kept.

Nothing is parsed here. A stream that a run would use reads the answer, the recorder of a run counts it; a subclass
looks on where the stream takes a read in, where an event gets its meaning, and where the request ends.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from llmstress.engine.api import make_api
from llmstress.engine.api.meaning import Meaning
from llmstress.engine.connect.dialer import ConnectError, Dialer, TakenOver
from llmstress.engine.connect.loop import Loop
from llmstress.engine.connect.tcpinfo import ends_of, place, retransmissions, tls_of
from llmstress.engine.control import Plan
from llmstress.engine.http.request import build_request
from llmstress.engine.http.response import Head
from llmstress.engine.http.sse import Decoder, ServerEvent
from llmstress.engine.outcome import End
from llmstress.engine.schedule import windows
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failure_policy import Statuses
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.fast_path import Shape
from llmstress.engine.stream.linger import Linger
from llmstress.engine.stream.read_loop import read_arrived
from llmstress.engine.stream.recorder import NEVER, Recorder
from llmstress.engine.stream.stream import Stream
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


class Connection(msgspec.Struct, frozen=True):
    """The connection that the request went over."""

    local: str
    """`host:port`; empty: it was gone at once."""
    peer: str
    tls: str
    """Version and cipher; empty: none."""
    repeated: int
    """Segments that had to be sent again before it stood."""


class Heard(NamedTuple):
    """An event, a comment or a whole answer."""

    read: int
    """Number of the read that completed it, from 0."""
    stamp: int
    name: bytes
    data: bytes
    meaning: Meaning | None
    """None: it is a comment, whose words nobody keeps."""


class Read(NamedTuple):
    """What came at once."""

    stamp: int
    data: bytes


class Last(NamedTuple):
    """What the stream had in hand when the request ended."""

    exchange: Exchange
    """With its stamps, its gaps, its usage."""
    end: End
    stamp: int
    head: Head | None
    keeps_alive: bool
    """The answer is whole, and the server lets the connection serve another request."""
    body: bytes | None
    """Of an answer that means something only as a whole; coded still if it is an error's."""


class Evidence(msgspec.Struct):
    """What became of the request. Stamps are monotonic nanoseconds."""

    request: bytes
    attempts: list[Attempt]
    connection: Connection | None
    reads: list[Read]
    heard: list[Heard]
    last: Last
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
            self.attempts.append(Attempt(place(address), begin, time.monotonic_ns(), error))


class Witness:
    """What a stream needs to make its one request (see `stream.Load`), and what it did."""

    def __init__(self, plan: Plan, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.api = make_api(plan.api, plan.ask)
        self.arrived: deque[tuple[Stream, bytes, int]] = deque()
        self.classify = self.api.classify
        self.clock = clock
        self.recorder = Recorder(0, clock)
        self.request = build_request(plan, self.api)
        self.requests_per_connection = plan.requests_per_connection
        self.require_finish = plan.require_finish
        self.least_output = plan.ask.least_output
        self.linger = Linger()
        self.shape = Shape(self.api)
        self.timeouts = plan.timeouts
        self.reads: list[Read] = []
        self.heard: list[Heard] = []
        self.failures = Failures(0, Statuses(), plan.secrets, self.recorder, lambda: 0.0)
        self._stream = _Watched(self)
        self._over = asyncio.Event()
        self._fault: BaseException | None = None
        self._connection: Connection | None = None
        self._last: Last | None = None

    async def watch(self, dialer: Dialer) -> Evidence:
        """Make the request over a connection of `dialer`. Cancelled, it tells what has come so far: the request is
        cut off then as at the end of a run."""
        loop, stream = asyncio.get_running_loop(), self._stream
        attempts = loop.attempts if isinstance(loop, WatchedLoop) else []
        before = len(attempts)
        self.recorder.begin(self.clock(), windows(whole_run=True), tuple)
        try:
            stream.begin(self.clock())
            await self._see_through(dialer)
        except asyncio.CancelledError:
            self._read_all()
            stream.cut(self.clock())
        finally:
            stream.drop_link()
        if self._fault is not None:
            raise self._fault
        assert self._last is not None
        delta = self.recorder.cut(self.clock(), 0)
        part = sum_of(delta.parts.values())
        part.settle()
        return Evidence(
            request=self.request,
            attempts=sorted(attempts[before:], key=lambda attempt: attempt.begin),
            connection=self._connection,
            reads=self.reads,
            heard=self.heard,
            last=self._last,
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
        self._connection = Connection(*ends_of(transport), tls_of(transport), retransmissions(transport))
        self._stream.connected(link)

    # --- what the stream asks for

    def wake(self) -> None:
        """Reads have arrived: understand them in the loop's next turn."""
        asyncio.get_running_loop().call_soon(self._read_all)

    def _read_all(self) -> None:
        try:
            read_arrived(self, len(self.arrived), NEVER)
        except Exception as fault:
            self._fault = fault
            self._over.set()

    def redial(self, stream: Stream) -> None:
        """Nothing is sent twice: the connection is a fresh one."""
        raise RuntimeError("the answer to a request was read before the request was sent")

    def retry(self, stream: Stream, at: int) -> None:
        """No failure has another attempt."""
        raise RuntimeError("a request was to be sent again that is sent only once")

    def free(self, stream: Stream, *, failed: bool, grave: bool, now: int) -> None:
        """The request has ended."""
        self._over.set()

    # --- what the stream did

    def note_read(self, data: bytes, now: int) -> None:
        """It takes in what came at stamp `now`; nothing: the end of the connection."""
        self.reads.append(Read(now, data))

    def note(self, name: bytes, data: bytes, meaning: Meaning | None) -> None:
        """It found this in the last read."""
        self.heard.append(Heard(len(self.reads) - 1, self.reads[-1].stamp, name, data, meaning))

    def note_end(self, last: Last) -> None:
        """The request has ended."""
        self._last = last


class _Watched(Stream):
    """A stream that tells what it does."""

    __slots__ = ("_comments", "_witness")

    def __init__(self, witness: Witness) -> None:
        super().__init__(witness)
        self._witness = witness
        self._comments = 0

    def read(self, data: bytes, now: int) -> None:
        """See `Stream`. No event may take the fast path, where it would mean the same, but nobody would hear of it."""
        self._witness.note_read(data, now)
        super().read(data, now)
        self.fast = None
        self._tell_comments()

    def _meanings(self, event: ServerEvent) -> list[Meaning]:
        self._tell_comments()
        meanings = super()._meanings(event)
        whole = len(meanings) == 1
        for line, meaning in zip([event.data] if whole else event.data.split(b"\n"), meanings, strict=True):
            self._witness.note(event.name if whole else b"", line, meaning)
        return meanings

    def _tell_comments(self) -> None:
        comments = self._decoder.comments if isinstance(self._decoder, Decoder) else self._comments
        for _ in range(comments - self._comments):
            self._witness.note(b"", b"", None)
        self._comments = comments

    def _leave(self, end: End, now: int) -> None:
        self._tell_comments()
        exchange, reader = self.exchange, self._reader
        assert exchange is not None
        head = reader.head if reader is not None else None
        keeps_alive = reader is not None and reader.complete and reader.keep_alive
        body = self._kept.body() if self._kept is not None else None
        self._witness.note_end(Last(exchange, end, now, head, keeps_alive, body))
        super()._leave(end, now)
