"""The closed model: a number of streams, each running request after request over a connection of its own.

A stream is in one place at a time: in flight; on its way to the next request (in the ramp, resting after a failure,
`_released`, waiting to dial); or `_parked`, because it is retired or the load is paused. No timer is ever cancelled: a
stream that may not begin parks when its turn comes. Only parked ones are released, so none can be on its way twice.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable

from llmstress.engine import schedule
from llmstress.engine.api import make_api
from llmstress.engine.connect.dialer import ConnectError, Dialer
from llmstress.engine.connect.tcpinfo import retransmissions
from llmstress.engine.control import Plan
from llmstress.engine.http.request import build_request
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failure_policy import Statuses
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.fast_path import Shape
from llmstress.engine.stream.linger import Linger
from llmstress.engine.stream.read_loop import read_arrived
from llmstress.engine.stream.recorder import NEVER, Recorder
from llmstress.engine.stream.stream import Stream

TURN = 64
"""Requests begun in one turn of the loop, so that dials and reads go on while thousands of streams begin."""

RAMP_STEP_NS = 20_000_000
"""A steep ramp is climbed in steps: with a turn of the loop for every stream a connection cost 460 µs, with steps of
20 ms 325. What a step adds to a stream's start is in `queue`."""

REST_STEPS = 20
"""Streams come back from their rests together, in so many steps within a pause: waking up for each of them costs more
than its dial. The steps of each worker lie elsewhere."""

SLICE, SLICE_NS = 256, 1_000_000
"""Reads understood before the loop looks for new ones: 1 ms of work."""

BACKLOG = 16_384
"""Reads that may wait to be understood before slices grow. Stamping goes first: 4,000 requests that end together are
0.2 s of work, and slices that grew with the backlog from the start made stamps up to 40 ms late (p99); these, 5 ms."""

EXTRA_NS = 1_000
"""For every second read beyond that, so that they don't pile up for ever."""

LARGE_READ, LARGE_SHARE = 64 * 1024, 32
"""From so many bytes on a read counts as one for each 32 of them. A server that floods its clients fills reads of
256 KB, and 16,384 of these would be 4 GB: five such streams made a backlog of 0.8 GB, half a minute of work, and their
worker passed for lost."""

HEARING_S = 0.5
"""After a failure that may end the run a stream rests at least as long as a report and an order take: in this time,
and the interval of the reports, the coordinator has its say."""

CHECK_TURNS = 5
"""Calls of `check` until it has seen every stream."""


def next_slice(reads: int, size: int) -> tuple[int, int]:
    """How many reads are understood before the loop looks for new ones, and for how long (ns), if so many wait and the
    first of them has `size` bytes."""
    waiting = reads if size < LARGE_READ else reads * (size // LARGE_SHARE)
    extra = max(0, waiting - BACKLOG) // 2
    return SLICE + extra, SLICE_NS + extra * EXTRA_NS


class ClosedLoad:
    """Runs the streams of one process from the ramp to the end."""

    def __init__(self, plan: Plan, recorder: Recorder, dialer: Dialer, clock: Callable[[], int] = time.monotonic_ns):
        self.api = make_api(plan.api, plan.ask)
        self.arrived: deque[tuple[Stream, bytes, int]] = deque()
        self.classify = self.api.classify
        self.clock = clock
        self.recorder = recorder
        self.request = build_request(plan, self.api)
        self.requests_per_connection = plan.requests_per_connection
        self.require_finish = plan.require_finish
        self.least_output = plan.ask.least_output
        self.linger = Linger()
        self.shape = Shape(self.api)
        self.timeouts = plan.timeouts
        self.exhausted = asyncio.Event()
        """Nothing is in flight and nothing will start any more; or there is a `fault`."""
        self.fault: BaseException | None = None
        """What should not have happened: the run can't be trusted any more."""
        self._plan = plan
        self._dialer = dialer
        self._pause_ns = int(plan.error_pause_s * 1e9)
        self._hearing_ns = int((plan.interval_s + HEARING_S) * 1e9)
        self._random = random.Random(f"{plan.seed}/{plan.worker}")
        statuses = Statuses(tuple(plan.on_status))
        self.failures = Failures(plan.retries, statuses, plan.secrets, recorder, self._random.random)
        self.requests_left = NEVER if plan.requests is None else plan.requests
        self._stop_at = NEVER
        self._streams = [Stream(self) for _ in range(plan.streams)]
        """All that ever were; the retired ones come last."""
        self._retired: set[Stream] = set()
        """Streams beyond the number that is wanted: they begin nothing."""
        self._parked: set[Stream] = set()
        """Streams that would begin a request if they might."""
        self._released: deque[tuple[Stream, int]] = deque()
        """Streams that were parked and begin in the next turns of the loop; while there are any, `_begin_some` is on
        its way."""
        self._paced = 0
        """Before this stamp no released stream is due: connections are not all opened at once."""
        self._started = False
        self._paused = False
        self._to_dial: deque[tuple[Stream, int | None]] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        self._try_again = asyncio.Event()
        """Whoever rests because no connection could be made goes on when this is set, and cleared again."""
        self._rest_step_ns = max(1, self._pause_ns // REST_STEPS)
        self._rest_offset_ns = self._random.randrange(self._rest_step_ns)
        self._loop = asyncio.get_running_loop()
        self._slice = 0
        self._woken = False

    def in_flight(self) -> list[Exchange]:
        """The requests in flight."""
        return [stream.exchange for stream in self._streams if stream.exchange is not None]

    async def start(self, t0: int, stop_at: int) -> None:
        """Let the streams begin along the ramp from stamp `t0` on; none begins a request at or after `stop_at`."""
        plan = self._plan
        self._stop_at = stop_at
        self._started = True
        self._release(t0)
        if not self.requests_left:
            self.exhausted.set()
        ramp_ns = max(int(plan.ramp_s * 1e9), plan.streams * plan.connect_gap_ns)
        step_ns = RAMP_STEP_NS if ramp_ns < plan.streams * RAMP_STEP_NS else 0
        for index, stream in enumerate(self._streams[: plan.streams]):
            due = t0 + schedule.ramp_start(index, plan.streams, plan.worker, plan.workers, ramp_ns)
            while (wait := due - self.clock()) > 0:  # uvloop's timers fire up to 1 ms early
                await asyncio.sleep(max(wait, step_ns) / 1e9)
            self._begin(stream, due)
            if index % TURN == 0:
                await asyncio.sleep(0)

    def set_streams(self, number: int) -> None:
        """Run `number` streams from now on.

        Streams beyond the plan's begin whatever the ramp does, but no faster than connections may be opened; before
        `start`, with it. Surplus ones end with the request they have in flight, and are the first to come back.
        """
        new = [Stream(self) for _ in range(number - len(self._streams))]
        self._streams += new
        self._parked.update(new)
        surplus = self._streams[number:]
        self._retired = set(surplus)
        for stream in surplus:
            if stream.exchange is None:
                stream.drop_link()
        self._park_waiting()
        self._release(self.clock())

    def pause(self, on: bool) -> None:
        """Begin no requests while `on`; the time until they are resumed is nobody's `queue`."""
        self._paused = on
        self._park_waiting()
        self._release(self.clock())

    def stop_from(self, stamp: int) -> None:
        """Begin no request at or after `stamp`."""
        self._stop_at = min(self._stop_at, stamp)

    def stop(self, now: int) -> None:
        """Start nothing from `now` on."""
        self.stop_from(now)
        while self.arrived and self.fault is None:
            self._read_some()
        self._note_if_exhausted()

    def cut(self) -> None:
        """Cancel what is in flight and close every connection."""
        self.stop(self.clock())
        for task in self._dials:
            task.cancel()
        for stream in self._streams:
            stream.cut(self.clock())
        self._note_if_exhausted()

    def check(self) -> None:
        """Apply the time limits, to a fifth of the streams at a time: 1 ms for 16,000 of them."""
        # what was stamped before the oldest read that waits is understood: limits held against that are exact
        now = self.arrived[0][2] if self.arrived else self.clock()
        self._slice = (self._slice + 1) % CHECK_TURNS
        for stream in self._streams[self._slice :: CHECK_TURNS]:
            stream.check(now)

    # --- what streams ask for

    def wake(self) -> None:
        """Reads have arrived: understand them in the loop's next turn."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._wake_up)

    def fail(self, fault: BaseException) -> None:
        """Something happened that should not have: end the run with it."""
        self.fault = self.fault or fault
        self.exhausted.set()

    def _wake_up(self) -> None:
        self._woken = False
        self._read_some()
        if self.arrived and self.fault is None:
            self.wake()

    def _read_some(self) -> None:
        """Understand some of the reads that have arrived; then the loop can stamp what has come meanwhile."""
        arrived = self.arrived
        most, lasting_ns = next_slice(len(arrived), len(arrived[0][1]) if arrived else 0)
        try:
            read_arrived(self, most, self.clock() + lasting_ns)
        except Exception as fault:
            self.fail(fault)

    def free(self, stream: Stream, *, failed: bool, grave: bool, now: int) -> None:
        """The stream has ended a request at stamp `now`: it begins the next one, after a rest if it failed."""
        # a rest may be half as long as the pause
        pause_ns = max(self._pause_ns, 2 * self._hearing_ns) if grave else self._pause_ns
        if not failed or not pause_ns:
            # not from within: a stream whose requests end at once must not recurse
            self._loop.call_soon(self._begin, stream, now) if failed else self._begin(stream, now)
            return
        if stream in self._retired:
            stream.drop_link()
        due = now + schedule.after_failure(pause_ns, self._random.random())
        self._begin_at(stream, due + (self._rest_offset_ns - due) % self._rest_step_ns)
        self._note_if_exhausted()

    def retry(self, stream: Stream, at: int) -> None:
        """Have the stream resume its request at stamp `at`, whatever is paused or retired: it is in flight."""
        wait = at - self.clock()
        if wait > 0:
            self._loop.call_later(wait / 1e9, self.retry, stream, at)
        else:
            stream.resume()

    def redial(self, stream: Stream) -> None:
        """The stream needs a new connection to send the same request again."""
        self._dial(stream, None)

    # --- beginning

    def _begin_at(self, stream: Stream, due: int) -> None:
        wait = due - self.clock()
        if wait > 0:
            self._loop.call_later(wait / 1e9, self._begin_at, stream, due)
        else:
            self._begin(stream, due)

    def _begin(self, stream: Stream, due: int) -> None:
        if self._paused or stream in self._retired:
            self._park(stream)
        elif not self.requests_left or max(due, self.clock()) >= self._stop_at:
            self._note_if_exhausted()
        elif stream.link is None:
            self._dial(stream, due)
        else:
            self._count_begun()
            stream.begin(due)

    def _count_begun(self) -> None:
        """Those of ramp and warm-up come on top of the requests that were asked for."""
        if self.recorder.steady_has_begun:
            self.requests_left -= 1

    def _park(self, stream: Stream) -> None:
        self._parked.add(stream)
        if stream in self._retired:
            stream.drop_link()
        self._note_if_exhausted()

    def _park_waiting(self) -> None:
        """Park the streams that wait to dial but may not begin any more: they will be due anew."""
        waiting = list(self._to_dial)
        self._to_dial.clear()
        for stream, due in waiting:
            if due is not None and (self._paused or stream in self._retired):
                self._parked.add(stream)
            else:
                self._to_dial.append((stream, due))

    def _release(self, due: int) -> None:
        """Let the parked streams that may begin requests do so: they are due at stamp `due`."""
        if self._paused or not self._started:
            return
        ready = self._parked - self._retired
        if ready and not self._released:
            self._loop.call_soon(self._begin_some)
        self._released += [(stream, due) for stream in self._streams if stream in ready]
        self._parked -= ready

    def _begin_some(self) -> None:
        """Begin a few requests: dials and reads go on while thousands of streams begin."""
        if (early := self._paced - self.clock()) > 0:
            self._loop.call_later(early / 1e9, self._begin_some)
            return
        connects = 0
        for _ in range(min(TURN, len(self._released))):
            stream, due = self._released.popleft()
            connects += stream.link is None
            self._begin(stream, max(due, self._paced))
        if not self._released:
            return
        if pause_ns := connects * self._plan.connect_gap_ns:
            self._paced = self.clock() + pause_ns
            self._loop.call_later(pause_ns / 1e9, self._begin_some)
        else:
            self._loop.call_soon(self._begin_some)

    def _dial(self, stream: Stream, due: int | None) -> None:
        if due is None:  # a request that has begun already: it goes first
            self._to_dial.appendleft((stream, due))
            if stream.exchange is not None and stream.exchange.start:  # its time runs: nobody may rest while it waits
                self._end_rests()
        else:
            self._to_dial.append((stream, due))
        if len(self._dials) < self._plan.dials:
            self._dials.add(self._loop.create_task(self._dial_waiting()))

    async def _dial_waiting(self) -> None:
        try:
            await self._dial_all()
        except Exception as fault:
            self.fail(fault)
        finally:
            # at once, not in a callback: who comes in between would take this task for one that still dials for him
            self._dials.difference_update([asyncio.current_task()])

    async def _dial_all(self) -> None:
        while self._to_dial:
            stream, due = self._to_dial.popleft()
            if due is not None:
                if not self.requests_left or self.clock() >= self._stop_at:
                    self._note_if_exhausted()
                    continue
                self._count_begun()
                stream.begin(due)
            elif stream.exchange is None:
                continue
            else:
                stream.exchange.begin_on_new_connection(self.clock())
            try:
                link = await self._dialer.open()
            except ConnectError as error:
                stream.not_connected(error.end)
            else:
                self.recorder.counters.connects_repeated += retransmissions(link.transport) > 0
                stream.connected(link)
                self._end_rests()
                continue
            await self._rest()

    async def _rest(self) -> None:
        """Who could not connect dials again after the pause, or as soon as somebody else gets through.

        Without it 1,000 streams that each tried a refused port once a second took 30 % of a core. They wait for a place
        to dial from, which is seen as `queue`.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._plan.error_pause_s):
                await self._try_again.wait()

    def _end_rests(self) -> None:
        self._try_again.set()
        self._try_again.clear()

    def _note_if_exhausted(self) -> None:
        over = not self.requests_left or self.clock() >= self._stop_at
        if over and not self.recorder.open:
            self.exhausted.set()
