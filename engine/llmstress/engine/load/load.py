"""The streams of one process: what every load model has in common.

A load model decides which stream begins a request when (`closed` and `open` are the two). The load starts the request,
over a new connection if the stream has none, has the reads processed and the time limits applied, tells the model of
each stream that is free again, and ends everything.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from llmstress.engine.load.dialing import Coming, Dialing
from llmstress.engine.load.mix import Mix, Next
from llmstress.engine.load.slices import SlicedReads
from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.progress import NEVER
from llmstress.engine.stream.read_loop import Reads
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.runtime import Runtime
from llmstress.engine.stream.states import DIALING, OVER, move
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Request, Task
from llmstress.engine.stream.transport_stream import TransportStream
from llmstress.engine.telemetry.load_profile import Profile

CHECK_TURNS = 5
"""Calls of `check` until it has seen every stream."""

MakeStream = Callable[[Runtime, Reads], Stream]
"""Makes a stream with its read side."""


class Model(ABC):
    """Decides which stream begins a request when."""

    load: "Load"
    mix: Mix

    def stray(self, error: BaseException | None) -> bool:
        """A task of asyncio that nobody awaits has raised this, or was dropped (None). Gives whether it may be one that
        code of users has begun; then the exception is counted."""
        return any(not isinstance(entry, Task) and entry.stray(error) for entry in self.mix.entries)

    def prepare(self, t0: int) -> None:  # noqa: B027
        """The run will start at stamp `t0`."""

    @abstractmethod
    async def start(self, t0: int) -> None:
        """Begin requests from stamp `t0` on."""

    @abstractmethod
    def free(self, stream: Stream, exchange: Exchange, end: End, *, fatal: bool, now: int) -> None:
        """A stream has ended a request with `end` at stamp `now`; `exchange`: its last attempt; `fatal`: its failure
        may end the run."""

    def not_begun(self, coming: Coming) -> None:  # noqa: B027
        """A stream that waited for a connection is over without having begun its request: the run's time or its
        requests are used up."""

    def check(self, now: int) -> None:  # noqa: B027
        """Is called every 50 ms; `now`: everything that was stamped before has been processed."""

    def stop(self, now: int) -> None:  # noqa: B027
        """Nothing begins any more."""

    @abstractmethod
    def set_streams(self, number: int) -> None:
        """Run this many streams from now on; in the open model: at most this many requests in flight."""

    @abstractmethod
    def set_profile(self, profile: Profile) -> None:
        """The load over time is this one from now on."""

    def cut(self) -> None:  # noqa: B027
        """The run is over: nothing is in flight any more."""

    @abstractmethod
    def pause(self, on: bool, at: int) -> None:
        """Begin no requests while `on`. In the open model none arrives from `at` (ns after T0) until the pause ends."""

    @property
    def pending(self) -> bool:
        """Whether requests that were due are still to begin. In the closed model none is: a stream that is due begins,
        or is over."""
        return False

    @property
    def over(self) -> bool:
        """Whether no more requests will be due. In the closed model there is always a next one."""
        return False


class Load:
    """Runs streams until nothing is left to do."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        dials: int,
        pause_s: float,
        requests: int | None = None,
        beside: "Load | None" = None,
        clock: Callable[[], int] = time.monotonic_ns,
        make_stream: MakeStream = TransportStream,
    ) -> None:
        """To be made inside a running loop.

        dials: connections that may be being opened at once. pause_s: after a failed connect, before the next. requests:
        how many may begin from the steady window on; None: no limit. beside: another load of this process. Its reads
        and those of this load are processed in one queue, in the order of their stamps.
        """
        self.model: Model
        """Is set by the model that takes this load."""
        self.clock = clock
        self.recorder = recorder
        self.streams: list[Stream] = []
        """All that ever were."""
        self.reads: SlicedReads = SlicedReads(recorder, clock, self.fail) if beside is None else beside.reads
        self.dialing = Dialing(dials, pause_s, clock, self._start, self.fail)
        self.requests_left = NEVER if requests is None else requests
        self.exhausted = asyncio.Event()
        """Nothing is in flight and nothing will start any more; or there is a `fault`."""
        self.fault: BaseException | None = None
        """An exception that should not have happened: the run can't be trusted any more."""
        self.open = 0
        """Requests in flight."""
        self._side: dict[Stream, Stream] = {}
        """Streams beside those of the model, for sessions that want several things at once -> the model's stream that
        they belong to."""
        self._free_side: dict[Stream, list[Stream]] = {}
        """Stream of the model -> those beside it that are free."""
        self._beside = beside
        self._make_stream = make_stream
        self._stop_at = NEVER
        self._slice = 0

    def add_streams(self, number: int) -> list[Stream]:
        """Make that many more streams; gives these."""
        new = [self._make_stream(self, self.reads) for _ in range(number)]
        self.streams += new
        return new

    def in_flight(self) -> list[Exchange]:
        """The requests in flight."""
        return [stream.exchange for stream in (*self.streams, *self._side) if stream.exchange is not None]

    # --- beginning

    def may_begin(self, due: int) -> bool:
        """Whether a request that is due at stamp `due` may still begin."""
        return bool(self.requests_left) and max(due, self.clock()) < self._stop_at

    def was_due(self, stamp: int) -> bool:
        """Whether a request that was due at this stamp was due before the run's time was used up."""
        return stamp < self._stop_at

    def begin(self, stream: Stream, request: Request, due: int, taken: Next | None) -> None:
        """Begin a request that was due at stamp `due`, as soon as the stream has a connection to its origin.

        taken: what the mix gave for it; None: it is a later request of a session.
        """
        if stream.link is not None and stream.dials is not request.task.dials:
            stream.drop_link()
        if stream.link is None:
            move(stream, DIALING)
            self.dialing.dial(Coming(stream, request, due, taken))
        else:
            self._count_begun(taken)
            stream.begin(request, due)

    def begin_beside(self, stream: Stream, request: Request) -> None:
        """Begin a request now that a session wants while the model's `stream` is in use by it."""
        now = self.clock()
        if not self.may_begin(now):
            return
        free = self._free_side.setdefault(stream, [])
        if free:
            other = free.pop()
        else:
            other = self._make_stream(self, self.reads)
            self._side[other] = stream
        self.begin(other, request, now, None)

    def withdraw(self, unwanted: Callable[[Coming], bool]) -> list[Coming]:
        """As `Dialing.withdraw`, but streams beside those of the model go on: their sessions wait for the answers."""
        return self.dialing.withdraw(lambda coming: coming.stream not in self._side and unwanted(coming))

    def give_up(self, stream: Stream) -> None:
        """The stream begins nothing any more: the run's time or its requests are used up."""
        move(stream, OVER)
        self.note_if_exhausted()

    def _start(self, coming: Coming) -> bool:
        stream = coming.stream
        if not self.may_begin(self.clock()):
            move(stream, OVER)
            self.model.not_begun(coming)
            self.note_if_exhausted()
            return False
        self._count_begun(coming.taken)
        stream.begin(coming.request, coming.due)
        return True

    def _count_begun(self, taken: Next | None) -> None:
        """Requests of ramp and warm-up come on top of those that were asked for. A session has started when its first
        request begins."""
        self.open += 1
        if self.recorder.steady_has_begun:
            self.requests_left -= 1
        if taken is not None and not isinstance(taken[0], Task):
            taken[0].samples.counters.sessions += 1

    # --- what streams ask for

    def redial(self, stream: Stream) -> None:
        """The stream needs a new connection to send its request again."""
        self.dialing.redial(stream)

    def retry(self, stream: Stream, at: int) -> None:
        """Have the stream resume its request at stamp `at`, whatever is paused: it is in flight."""
        wait = at - self.clock()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait / 1e9, self.retry, stream, at)
        else:
            stream.resume()

    def call_at(self, at: int, act: Callable[[int], None]) -> asyncio.Handle:
        """Call `act` at stamp `at` or later, with the stamp up to which everything has been processed then."""
        return asyncio.get_running_loop().call_later(max(0, at - self.clock()) / 1e9, self._call_when_read, at, act)

    def _call_when_read(self, at: int, act: Callable[[int], None]) -> None:
        now = self.reads.oldest() or self.clock()
        if now <= at:  # what came before waits to be processed, or the timer was early
            self.call_at(at, act)
        else:
            act(now)

    def free(self, stream: Stream, exchange: Exchange, end: End, *, fatal: bool, now: int) -> None:
        """The stream has ended a request: the model decides what it does next."""
        self.open -= 1
        if self._side and (whose := self._side.get(stream)) is not None:
            self._free_side[whose].append(stream)
            self.note_if_exhausted()
        else:
            self.model.free(stream, exchange, end, fatal=fatal, now=now)

    # --- while the run lasts

    def check(self) -> None:
        """Apply the time limits, to a fifth of the streams at a time: 1 ms for 16,000 of them."""
        # what was stamped before the oldest read that waits is processed: limits held against that stamp are exact
        now = self.reads.oldest() or self.clock()
        self._slice = (self._slice + 1) % CHECK_TURNS
        for stream in self.streams[self._slice :: CHECK_TURNS]:
            stream.check(now)
        for stream in [*self._side] if self._side else ():
            stream.check(now)
        self.model.check(now)

    def fail(self, fault: BaseException) -> None:
        """Something happened that should not have: end the run with it."""
        if self._beside is not None:
            self._beside.fail(fault)
        self.fault = self.fault or fault
        self.exhausted.set()

    # --- ending

    def stop_from(self, stamp: int) -> None:
        """Begin no request at or after `stamp`."""
        self._stop_at = min(self._stop_at, stamp)

    def stop(self, now: int) -> None:
        """Begin nothing from `now` on."""
        self.stop_from(now)
        while self.reads.arrived and self.fault is None:
            self.reads.process_slice()
        self.model.stop(now)
        self.note_if_exhausted()

    def cut(self) -> None:
        """Cancel what is in flight and close every connection."""
        self.stop(self.clock())
        self.dialing.cancel()
        for stream in (*self.streams, *self._side):
            stream.cut(self.clock())
        self.model.cut()
        self.note_if_exhausted()

    def note_if_exhausted(self) -> None:
        """Set `exhausted` if nothing is in flight and nothing may begin any more."""
        over = not self.requests_left or self.model.over or self.clock() >= self._stop_at
        if over and not self.open and not self.model.pending:
            self.exhausted.set()
