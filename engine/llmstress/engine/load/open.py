"""The open model: requests arrive by a schedule of their own, however long the answers take.

A session arrives with its first request and keeps its stream until it is over: each later request is due when the user
has thought about the last answer.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

from llmstress.engine.arrivals import Arrivals
from llmstress.engine.control import OpenLoad, Plan
from llmstress.engine.load.alarm import Alarm, MakeAlarm
from llmstress.engine.load.dialing import Coming
from llmstress.engine.load.load import Load, Model
from llmstress.engine.load.mix import Entry, Mix, Next
from llmstress.engine.load.pacing import TURN
from llmstress.engine.load.pool import Pool
from llmstress.engine.load.sessions import THINKS, Seats, Sessions
from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.progress import NEVER
from llmstress.engine.stream.states import FREE, PARKED, THINKING, WAITING, move
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Request, Task
from llmstress.engine.telemetry.load_profile import Profile, stamps


class OpenModel(Model, Seats):
    """Begins a request on a free stream when it arrives. If no stream is free, the request waits in a queue.

    A request that has arrived is due. It starts, is dropped, or waits: in the queue, or for a connection. One that is
    dropped keeps its number, which is that of its arrival: a row of a trace belongs to a moment.
    """

    def __init__(self, plan: Plan, load: Load, mix: Mix, arrivals: Arrivals, make_alarm: MakeAlarm = Alarm) -> None:
        """To be made inside a running loop; the plan has a profile and an open load."""
        assert plan.open is not None
        assert plan.profile is not None
        self.load = load
        load.model = self
        self.mix = mix
        self._open: OpenLoad = plan.open
        self._plan = plan
        self._planned = self._profile = plan.profile
        """The load over time as it was ordered, and with the pauses."""
        self._amounts = _Kept(arrivals.amounts)
        self._expected = arrivals.between
        self._coming: Iterator[int] = iter(())
        self._next: int | None = None
        """Stamp of the next arrival; None: none comes as the profile is."""
        self._t0 = 0
        self._left = NEVER if plan.requests is None else plan.requests
        """Requests that may still be due in the steady window or later, those of sessions included."""
        self._sessions = Sessions(self)
        self._arrived: dict[Stream, tuple[int, Entry]] = {}
        """The sessions that have yet to say what their first request is: when they arrived, and their kind."""
        self._waiting_beside: list[tuple[Stream, Request]] = []
        """Requests beside those of their streams that begin when the pause ends."""
        self._held: list[Stream] = []
        """The streams whose sessions go on when the pause ends."""
        self._started = self._paused = self._stopped = False
        self._over = not self._left
        self._queue: deque[tuple[int, Next]] = deque()
        """The requests that wait for a stream: when each was due, and what it is."""
        self._pool = Pool(
            load,
            mix,
            most=plan.streams,
            spread=arrivals.spread,
            pause_ns=int(plan.error_pause_s * 1e9),
            opened=self._opened,
        )
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
        held, self._held = self._held, []
        for stream in held:
            self.goes_on(stream)
        waiting, self._waiting_beside = self._waiting_beside, []
        for stream, request in waiting:
            self.beside(stream, request)
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
        load = self.load
        if not load.was_due(due):
            return
        arrived = self.mix.take()
        entry = arrived[0]
        self._count_due(entry, due)
        stream = None if self._queue else self._pool.take(entry.dials, linked=not load.may_begin(due))
        if stream is not None:
            self._begin(stream, arrived, due)
        elif self._open.max_queue is not None and len(self._queue) >= self._open.max_queue:
            self._drop(entry)
        else:
            self._queue.append((due, arrived))
        self._note_waiting()

    def _begin(self, stream: Stream, arrived: Next, due: int) -> None:
        entry, number = arrived
        if isinstance(entry, Task):
            self.load.begin(stream, entry.request(number), due, arrived)
        elif (request := self._sessions.begin(stream, entry, number)) is not None:
            self.load.begin(stream, request, due, arrived)
        else:
            move(stream, THINKING)
            self._arrived[stream] = due, entry

    # --- streams

    def free(self, stream: Stream, exchange: Exchange, end: End, *, fatal: bool, now: int) -> None:
        """A stream is free: the request that has waited longest begins on it, unless its session goes on."""
        if self._sessions.running and (wait_ns := self._sessions.ended(stream, exchange, end)) is not None:
            if wait_ns == THINKS:
                move(stream, THINKING)
                return
            move(stream, WAITING)
            # in a later turn of the loop: a stream whose requests end at once would recurse
            asyncio.get_running_loop().call_soon(self._go_on, stream, now + wait_ns)
            return
        self._pool.put_back(stream)
        if self._queue:
            self._begin_waiting()
        self.load.note_if_exhausted()

    def _go_on(self, stream: Stream, due: int) -> None:
        """Begin the next request of the stream's session at stamp `due`."""
        load = self.load
        if (wait := due - load.clock()) > 0 and not self._stopped:
            asyncio.get_running_loop().call_later(wait / 1e9, self._go_on, stream, due)
        elif self._stopped or not self._left or not load.may_begin(due):
            self._sessions.cut(stream)
            move(stream, FREE)  # what waits for a stream was due before the requests were used up
            self._pool.put_back(stream)
            self._begin_waiting()
            load.note_if_exhausted()
        elif self._paused:
            self._held.append(stream)
        elif (request := self._sessions.take(stream)) is not None:
            self._count_due(request.task, due)
            load.begin(stream, request, due, None)

    # --- sessions that say later what comes next

    def goes_on(self, stream: Stream) -> None:
        """Its request begins, unless the run is paused. The first one was due when the session arrived."""
        arrived = self._arrived.get(stream)
        if arrived is None:
            self._go_on(stream, self.load.clock())
            return
        due, entry = arrived
        if self._paused and not self._stopped:
            self._held.append(stream)
            return
        del self._arrived[stream]
        if self._stopped or not self.load.may_begin(due):
            self._drop(entry)
            self._sessions.cut(stream)
            self.load.give_up(stream)
        elif (request := self._sessions.take(stream)) is not None:
            self.load.begin(stream, request, due, None)

    def is_over(self, stream: Stream, wait_ns: int, *, pauses: bool) -> None:
        """The stream is free. Who arrives next decides what it does; nobody waits."""
        self._has_asked_nothing(stream)
        move(stream, FREE)
        self._pool.put_back(stream)
        if self._queue:
            self._begin_waiting()
        self.load.note_if_exhausted()

    def beside(self, stream: Stream, request: Request) -> None:
        """Begins at once, unless the run is paused: the session has arrived."""
        now = self.load.clock()
        if self._stopped or not self._left or not self.load.may_begin(now):
            return
        if self._paused:
            self._waiting_beside.append((stream, request))
        else:
            self._count_due(request.task, now)
            self.load.begin_beside(stream, request)

    def cut(self) -> None:
        """No session goes on."""
        for stream in [*self._arrived]:
            self._has_asked_nothing(stream)
        self._sessions.cut_all()

    def _has_asked_nothing(self, stream: Stream) -> None:
        """If the stream's session was over before its first request, its arrival was that of no request."""
        arrived = self._arrived.pop(stream, None)
        if arrived is not None:
            due, entry = arrived
            entry.samples.part(self.load.recorder.progress.window_at(due)).counters.due -= 1

    def set_streams(self, number: int) -> None:
        """At most this many requests in flight from now on."""
        self._pool.most = number
        self._begin_waiting()

    # --- what waits

    @property
    def pending(self) -> bool:
        """Requests wait for a stream or a connection, or sessions go on."""
        goes_on = self._sessions.running and self._left and not self._stopped
        return bool(self._queue or self.load.dialing.waiting or goes_on)

    @property
    def over(self) -> bool:
        """No more requests will arrive."""
        return self._over

    def check(self, now: int) -> None:
        """Drop what has waited for too long, and open connections ahead of need."""
        limit = self._open.queue_timeout_ns
        if limit and not self._paused:
            while self._queue and now - self._queue[0][0] >= limit:
                _, (entry, _) = self._queue.popleft()
                self._drop(entry)
            if self.load.dialing.waiting:
                for coming in self.load.withdraw(lambda coming: now - coming.due >= limit):
                    move(coming.stream, FREE)
                    self._sessions.cut(coming.stream)
                    self._pool.put_back(coming.stream)
                    self._drop(coming.request.task)
        self._note_waiting()
        self._warm_up()
        self.load.note_if_exhausted()

    def _begin_waiting(self) -> None:
        """Begin the requests in the queue for which there are streams."""
        load = self.load
        while self._queue and not self._paused:
            due, arrived = self._queue[0]
            entry = arrived[0]
            stream = self._pool.take(entry.dials)
            if stream is None:
                break
            self._queue.popleft()
            if load.may_begin(due):
                self._begin(stream, arrived, due)
            else:
                self._drop(entry)
                self._pool.put_back(stream)
        self._note_waiting()

    def not_begun(self, coming: Coming) -> None:
        """The request is dropped: the run has ended while it waited for a connection."""
        self._sessions.cut(coming.stream)
        self._drop(coming.request.task)

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
        for coming in self.load.dialing.withdraw(lambda _: True):
            move(coming.stream, PARKED)
            self._sessions.cut(coming.stream)
            self._drop(coming.request.task)
        for _, (entry, _) in self._queue:
            self._drop(entry)
        self._queue.clear()
        self._note_waiting()

    def _count_due(self, entry: Entry, due: int) -> None:
        progress = self.load.recorder.progress
        entry.samples.part(progress.window_at(due)).counters.due += 1
        if due >= progress.steady_began:  # those of ramp and warm-up come on top of the requests that were asked for
            self._left -= 1
            if not self._left:
                self._over, self._next = True, None

    def _drop(self, entry: Entry) -> None:
        progress = self.load.recorder.progress
        entry.samples.part(progress.window_at(self.load.clock())).counters.dropped += 1

    def _note_waiting(self) -> None:
        self.mix.tasks[0].samples.waiting(len(self._queue) + self.load.dialing.waiting)

    # --- connections ahead of need

    def _warm_up(self) -> None:
        """Open connections until there are enough for what will arrive soon."""
        now = self.load.clock()
        if self._stopped or self._over or not self._t0:
            return
        since = max(0, now - self._t0)
        begin, end = (self._profile.amount(0, until) for until in (since, since + self._pool.lead_ns))
        self._pool.warm_up(now, self._expected(begin, end) / self._plan.workers)

    def _opened(self) -> None:
        if not self._pool.warming:
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
