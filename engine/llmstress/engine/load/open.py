"""The open model: requests arrive by a schedule of their own, however long the answers take."""

import itertools
import math
from collections import deque
from collections.abc import Iterator

from llmstress.engine.arrivals import Arrivals
from llmstress.engine.connect.tcpinfo import retransmissions
from llmstress.engine.control import OpenLoad, Plan
from llmstress.engine.load.alarm import Alarm, MakeAlarm
from llmstress.engine.load.load import Load
from llmstress.engine.load.pacing import TURN
from llmstress.engine.stream.progress import NEVER
from llmstress.engine.stream.states import FREE, PARKED, move
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Task
from llmstress.engine.telemetry.load_profile import Profile, stamps

LEAST_LEAD_NS, MOST_LEAD_NS = 100_000_000, 1_000_000_000
"""Connections are opened for the requests that will arrive within this time: two calls of `check`, and twice the time
that a connection takes to open."""

SIGMAS = 3.0
"""And for so many standard deviations of their number more."""


class OpenModel:
    """Begins a request on a free stream when it arrives. If no stream is free, the request waits in a queue.

    A request that has arrived is due. It starts, is dropped, or waits: in the queue, or for a connection.
    """

    def __init__(self, plan: Plan, load: Load, task: Task, arrivals: Arrivals, make_alarm: MakeAlarm = Alarm) -> None:
        """To be made inside a running loop; the plan has a profile and an open load."""
        assert plan.open is not None
        assert plan.profile is not None
        self.load = load
        load.model = self
        self.task = task
        self._open: OpenLoad = plan.open
        self._plan = plan
        self._most = plan.streams
        self._planned = self._profile = plan.profile
        """The load over time as it was ordered, and with the pauses."""
        self._amounts = _Kept(arrivals.amounts)
        self._expected = arrivals.between
        self._numbers = itertools.count(plan.worker, plan.workers)
        """Those of the requests that are still to arrive."""
        self._coming: Iterator[int] = iter(())
        self._next: int | None = None
        """Stamp of the next arrival; None: none comes as the profile is."""
        self._t0 = 0
        self._left = NEVER if plan.requests is None else plan.requests
        """Requests that may still arrive in the steady window or later."""
        self._started = self._paused = self._stopped = False
        self._over = not self._left
        self._queue: deque[tuple[int, int]] = deque()
        """The requests that wait for a stream: when each was due, and its number."""
        self._warm: list[Stream] = []
        """Free streams with a connection; the one that was used last is used first, so that those which are not needed
        any more stay idle."""
        self._cold: list[Stream] = []
        """Free streams without a connection."""
        self._warming = 0
        """Streams whose connections are opened ahead of need."""
        self._spread = SIGMAS * arrivals.spread
        self._lead_ns = LEAST_LEAD_NS
        self._warm_from = 0
        """No connections are opened ahead of need before this stamp: the last one failed."""
        self._alarm = make_alarm(self._ring)

    # --- arrivals

    def prepare(self, t0: int) -> None:
        """Open connections for the first requests."""
        self._t0 = t0
        self._warm_up()

    async def start(self, t0: int) -> None:
        """Begin requests as they arrive from stamp `t0` on."""
        self._t0 = t0
        self._started = True
        self._look_ahead()
        self.load.note_if_exhausted()

    def set_profile(self, profile: Profile) -> None:
        """Requests arrive at this rate from now on. Those that have arrived stay; the amounts of the others, too."""
        self._planned = profile
        if not self._paused:
            self._profile = profile
            self._look_ahead()

    def pause(self, on: bool, at: int) -> None:
        """No request arrives from `at` (ns after T0) until the pause ends; what waits in the queue stays there."""
        if on == self._paused:
            return
        self._paused = on
        self._profile = self._profile.held(at, 0.0) if on else self._profile.joined(at, self._planned)
        self._begin_waiting()
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Find out anew when requests will arrive."""
        if self._started and not self._stopped:
            self._amounts.put_back()
            self._coming = stamps(self._profile, self._amounts)
            self._take_next()
            self._alarm.set(self._next)

    def _take_next(self) -> None:
        t = None if self._over else next(self._coming, None)
        self._over = self._over or self._amounts.ended
        self._next = None if t is None else self._t0 + t

    def _ring(self) -> None:
        load = self.load
        for _ in range(TURN):  # what has come is stamped between two turns
            due = self._next
            if due is None or self._stopped or due > load.clock():
                break
            self._amounts.used()
            self._arrive(due)
            self._take_next()
        if not self._stopped:
            self._alarm.set(self._next)
        load.note_if_exhausted()

    def _arrive(self, due: int) -> None:
        load, number = self.load, next(self._numbers)
        if not load.was_due(due):
            return
        self._count_due(due)
        stream = None if self._queue else self._free_stream(linked=not load.may_begin(due))
        if stream is not None:
            load.begin(stream, self.task.request(number), due)
        elif self._open.max_queue is not None and len(self._queue) >= self._open.max_queue:
            self._drop()
        else:
            self._queue.append((due, number))
        self._note_waiting()

    # --- streams

    def free(self, stream: Stream, *, failed: bool, fatal: bool, now: int) -> None:
        """A stream is free: the request that has waited longest begins on it."""
        self._put_back(stream)
        if self._queue:
            self._begin_waiting()
        self.load.note_if_exhausted()

    def _put_back(self, stream: Stream) -> None:
        (self._cold if stream.link is None else self._warm).append(stream)

    def _free_stream(self, *, linked: bool = False) -> Stream | None:
        """A stream to begin a request on: one with a connection, if there is one; None: all that there may be are in
        use. `linked`: only one with a connection."""
        if len(self.load.streams) - len(self._warm) - len(self._cold) - self._warming >= self._most:
            return None
        while self._warm:
            stream = self._warm.pop()
            if stream.link is not None:
                return stream
            self._cold.append(stream)  # the server has closed its connection meanwhile
        return None if linked else self._unlinked_stream()

    def _unlinked_stream(self) -> Stream | None:
        if self._cold:
            return self._cold.pop()
        return self.load.add_streams(1)[0] if len(self.load.streams) < self._most else None

    def set_streams(self, number: int) -> None:
        """At most this many requests in flight from now on."""
        self._most = number
        self._begin_waiting()

    # --- what waits

    @property
    def pending(self) -> bool:
        """Requests wait for a stream or a connection."""
        return bool(self._queue or self.load.dialing.waiting)

    @property
    def over(self) -> bool:
        """No more requests will arrive."""
        return self._over

    def check(self, now: int) -> None:
        """Drop what has waited for too long, and open connections ahead of need."""
        limit = self._open.queue_timeout_ns
        if limit and not self._paused:
            while self._queue and now - self._queue[0][0] >= limit:
                self._queue.popleft()
                self._drop()
            if self.load.dialing.waiting:
                for stream in self.load.dialing.withdraw(lambda _, due: now - due >= limit):
                    move(stream, FREE)
                    self._cold.append(stream)
                    self._drop()
        self._note_waiting()
        self._warm_up()
        self.load.note_if_exhausted()

    def _begin_waiting(self) -> None:
        """Begin the requests in the queue for which there are streams."""
        load = self.load
        while self._queue and not self._paused and (stream := self._free_stream()) is not None:
            due, number = self._queue.popleft()
            if load.may_begin(due):
                load.begin(stream, self.task.request(number), due)
            else:
                self._drop()
                self._put_back(stream)
        self._note_waiting()

    def not_begun(self, stream: Stream) -> None:
        """The request of this stream is dropped: the run has ended while it waited for a connection."""
        self._drop()

    def stop(self, now: int) -> None:
        """Nothing arrives any more. What was due before begins if a stream with a connection is free: the client may
        notice an arrival a moment late. Otherwise it is dropped, and so is everything that waits."""
        if self._stopped:
            return
        while self._next is not None and self.load.was_due(self._next):
            self._arrive(self._next)
            self._amounts.used()
            self._take_next()
        self._stopped = True
        self._alarm.close()
        withdrawn = self.load.dialing.withdraw(lambda _stream, _due: True)
        for stream in withdrawn:
            move(stream, PARKED)
        for _ in range(len(self._queue) + len(withdrawn)):
            self._drop()
        self._queue.clear()
        self._note_waiting()

    def _count_due(self, due: int) -> None:
        progress = self.load.recorder.progress
        self.task.samples.part(progress.window_at(due)).counters.due += 1
        if due >= progress.steady_began:  # those of ramp and warm-up come on top of the requests that were asked for
            self._left -= 1
            self._over = not self._left

    def _drop(self) -> None:
        progress = self.load.recorder.progress
        self.task.samples.part(progress.window_at(self.load.clock())).counters.dropped += 1

    def _note_waiting(self) -> None:
        self.task.samples.waiting(len(self._queue) + self.load.dialing.waiting)

    # --- connections ahead of need

    def _warm_up(self) -> None:
        """Open connections until there are enough for what will arrive soon."""
        now = self.load.clock()
        if self._stopped or self._over or not self._t0 or now < self._warm_from:
            return
        self._cold += [stream for stream in self._warm if stream.link is None]
        self._warm = [stream for stream in self._warm if stream.link is not None]
        since = max(0, now - self._t0)
        begin, end = (self._profile.amount(0, until) for until in (since, since + self._lead_ns))
        expected = self._expected(begin, end) / self._plan.workers
        wanted = math.ceil(expected + self._spread * math.sqrt(expected))
        for _ in range(wanted - len(self._warm) - self._warming):
            stream = self._unlinked_stream()
            if stream is None:
                return
            self._warming += 1
            self.load.dialing.dial_ahead(stream, self.task.dials, self._opened)

    def _opened(self, stream: Stream, took_ns: int | None) -> None:
        self._warming -= 1
        self._put_back(stream)
        if took_ns is not None:
            counters = self.task.samples.counters
            counters.connections += 1
            counters.connects_repeated += stream.link is not None and retransmissions(stream.link.transport) > 0
            self._lead_ns = min(MOST_LEAD_NS, max(self._lead_ns, LEAST_LEAD_NS + 2 * took_ns))
        if stream.link is None:  # it was refused, or is closed already
            self._warm_from = self.load.clock() + max(LEAST_LEAD_NS, int(self._plan.error_pause_s * 1e9))
        if not self._warming:
            self._warm_up()  # the time that connections take is known better
        self._begin_waiting()


class _Kept(Iterator[float]):
    """An iterator whose last item can be given once more."""

    def __init__(self, source: Iterator[float]) -> None:
        self._source = source
        self._item: float | None = None
        self._again = False
        self.ended = False

    def __next__(self) -> float:
        if self._again and self._item is not None:
            self._again = False
            return self._item
        try:
            self._item = next(self._source)
        except StopIteration:
            self.ended = True
            self._item = None
            raise
        return self._item

    def used(self) -> None:
        """The last item has been used: it is not given again."""
        self._item = None

    def put_back(self) -> None:
        """Give the last item again, unless it has been used."""
        self._again = self._item is not None
