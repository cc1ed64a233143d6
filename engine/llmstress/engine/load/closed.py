"""The closed model: a number of streams, each of which begins its next request when its last one has ended.

A stream makes all requests of a session before it takes something else from the mix.
"""

import asyncio
import contextlib
import random

from llmstress.engine import schedule
from llmstress.engine.control import Plan, Think
from llmstress.engine.load.dialing import Coming
from llmstress.engine.load.load import Load, Model
from llmstress.engine.load.mix import Mix, Next
from llmstress.engine.load.pacing import RAMP_STEP_NS, Release, climb
from llmstress.engine.load.sessions import THINKS, Seats, Sessions
from llmstress.engine.load.think import think_times
from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.states import PARKED, RELEASED, THINKING, WAITING, move
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Request, Task
from llmstress.engine.telemetry.load_profile import Profile, steps

PAUSE_STEPS = 20
"""Pauses end in this many steps per `--error-pause`, so that one wake-up serves many streams: a wake-up for each stream
costs more than its dial. Each worker has an offset of its own, so the workers' steps do not coincide."""

STOP_ORDER_DELAY_S = 0.5
"""After a failure that may end the run, a stream pauses until the coordinator can have stopped the run: one interval of
the reports, in which the coordinator learns of the failure, and this time, in which its order arrives."""


class ClosedModel(Model, Seats):
    """Decides when each stream begins: in the ramp, after its last request, after a pause, or when it is released."""

    def __init__(self, plan: Plan, load: Load, mix: Mix, uniform: random.Random) -> None:
        """uniform: the worker's random numbers."""
        self.load = load
        load.model = self
        load.add_streams(0 if plan.profile is not None else plan.streams)
        self._plan = plan
        self.mix = mix
        self._sessions = Sessions(self)
        self._random = uniform
        self._pause_ns = int(plan.error_pause_s * 1e9)
        self._stop_order_ns = int((plan.interval_s + STOP_ORDER_DELAY_S) * 1e9)
        self._pause_step_ns = max(1, self._pause_ns // PAUSE_STEPS)
        self._pause_offset_ns = uniform.randrange(self._pause_step_ns)
        self._waiting_beside: list[tuple[Stream, Request]] = []
        """Requests beside those of their streams that begin when the pause ends."""
        self._surplus: set[Stream] = set()
        """The last streams, if there are more than wanted: they begin no request."""
        self._released = Release(plan.connect_gap_ns, load.clock, self._begin)
        self._pacing_ns = plan.pacing_ns
        self._begun_at: dict[Stream, int] = {}
        """When the last request of a stream was due; only with a pace."""
        self._waits = think_times(plan.think, uniform) if plan.think != Think() else None
        self._profile = plan.profile
        self._changed = asyncio.Event()
        """The profile is another one."""
        self._started = False
        self._paused = False

    async def start(self, t0: int) -> None:
        """Begin the plan's streams along the ramp from stamp `t0` on, and those that were added before."""
        plan, load = self._plan, self.load
        self._started = True
        self._release(t0)
        if not load.requests_left:
            load.exhausted.set()
        if plan.profile is not None:
            await self._follow(t0)
            return
        ramp_ns = max(plan.ramp_ns, plan.streams * plan.connect_gap_ns)
        streams = load.streams[: plan.streams]
        for stream in streams:
            move(stream, WAITING)
        starts = (
            (stream, t0 + schedule.ramp_start(index, plan.streams, plan.worker, plan.workers, ramp_ns))
            for index, stream in enumerate(streams)
        )
        step_ns = RAMP_STEP_NS if ramp_ns < plan.streams * RAMP_STEP_NS else 0
        await climb(starts, step_ns, load.clock, self._begin)

    def set_streams(self, number: int) -> None:
        """Run `number` streams from now on.

        Additional streams do not wait for the ramp: they begin as fast as connections may be opened, but not before
        `start`. Surplus streams finish the request that they have in flight; they are the first to be used again.
        """
        self._run(number, self.load.clock())

    def _run(self, number: int, due: int) -> None:
        """Run `number` streams; additional ones are due at stamp `due`."""
        load = self.load
        for stream in load.add_streams(number - len(load.streams)):
            move(stream, PARKED)
        self._surplus = set(load.streams[number:])
        self._park_waiting()
        for stream in load.streams[number:]:
            if stream.exchange is None:
                stream.drop_link()
                self._sessions.cut(stream)
                if stream.state == THINKING:
                    move(stream, PARKED)
        self._release(due)

    def set_profile(self, profile: Profile) -> None:
        """The number of streams follows this profile from now on."""
        self._profile = profile
        self._changed.set()

    async def _follow(self, t0: int) -> None:
        """Keep the number of streams at what the profile says. Changes in quick succession are made in steps of
        `RAMP_STEP_NS`; the time by which a stream begins later for that reason is in `queue`."""
        clock = self.load.clock
        while self._profile is not None:
            self._changed.clear()
            earliest = t0
            changes = steps(self._profile, self._plan.worker, self._plan.workers)
            change = next(changes, None)
            while change is not None and not self._changed.is_set():
                at = max(t0 + change[0], earliest)
                while (wait := at - clock()) > 0 and not self._changed.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), wait / 1e9)
                made = None
                while change is not None and t0 + change[0] <= clock() and not self._changed.is_set():
                    made, change = change, next(changes, None)
                if made is not None:
                    self._run(made[1], t0 + made[0])
                    earliest = clock() + RAMP_STEP_NS
            await self._changed.wait()

    def pause(self, on: bool, at: int) -> None:
        """Begin no requests while `on`; the time of the pause is not in `queue`."""
        self._paused = on
        self._park_waiting()
        self._release(self.load.clock())
        waiting, self._waiting_beside = self._waiting_beside, []
        for stream, request in waiting:
            self.beside(stream, request)

    def free(self, stream: Stream, exchange: Exchange, end: End, *, fatal: bool, now: int) -> None:
        """A stream has ended a request: it begins the next one, after a pause if the request failed. A session that
        goes on decides itself how long it waits."""
        if self._sessions.running and (wait_ns := self._sessions.ended(stream, exchange, end)) is not None:
            if wait_ns == THINKS:
                move(stream, THINKING)
                if stream in self._surplus:
                    self._park_surplus(stream)
                self.load.note_if_exhausted()
                return
            if stream in self._surplus:
                self._sessions.cut(stream)
            self._wait(stream, now + wait_ns, now)
        elif not (end.pauses or fatal):
            if self._waits is None and not self._pacing_ns:
                self._begin(stream, now)
            else:
                self._wait(stream, now + (next(self._waits) if self._waits is not None else 0), now)
        else:
            self._pause_after_failure(stream, now, fatal=fatal)

    def _park_surplus(self, stream: Stream) -> None:
        move(stream, PARKED)
        stream.drop_link()
        self._sessions.cut(stream)

    def _pause_after_failure(self, stream: Stream, now: int, *, fatal: bool, wait_ns: int = 0) -> None:
        """`wait_ns`: the least length."""
        # the random pause lasts at least half of `pause_ns`, so twice the time of a stop order is enough for it
        pause_ns = max(self._pause_ns, 2 * self._stop_order_ns) if fatal else self._pause_ns
        due = now + max(wait_ns, schedule.after_failure(pause_ns, self._random.random()))
        self._wait(stream, due + (self._pause_offset_ns - due) % self._pause_step_ns, now)

    # --- sessions that say later what comes next

    def goes_on(self, stream: Stream) -> None:
        """Its request begins, unless the run is paused."""
        self._begin(stream, self.load.clock())

    def is_over(self, stream: Stream, wait_ns: int, *, pauses: bool) -> None:
        """The stream takes something else after the wait, or after the pause of failures."""
        now = self.load.clock()
        if pauses:
            self._pause_after_failure(stream, now, fatal=False, wait_ns=wait_ns)
        else:
            self._wait(stream, now + wait_ns, now)

    def beside(self, stream: Stream, request: Request) -> None:
        """Begins at once, unless the run is paused."""
        if self._paused:
            self._waiting_beside.append((stream, request))
        else:
            self.load.begin_beside(stream, request)

    def cut(self) -> None:
        """No session goes on."""
        self._sessions.cut_all()

    def _wait(self, stream: Stream, due: int, now: int) -> None:
        """Begin the stream's next request at stamp `due`, or later if its pace says so."""
        if self._pacing_ns:
            due = max(due, self._begun_at.get(stream, 0) + self._pacing_ns)
        move(stream, WAITING)
        if due <= now:
            # in a later turn of the loop: a stream whose requests end at once would recurse
            asyncio.get_running_loop().call_soon(self._begin, stream, due)
            return
        if stream in self._surplus:
            stream.drop_link()
        self._begin_at(stream, due)
        self.load.note_if_exhausted()

    def _begin_at(self, stream: Stream, due: int) -> None:
        wait = due - self.load.clock()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait / 1e9, self._begin_at, stream, due)
        else:
            self._begin(stream, due)

    def _begin(self, stream: Stream, due: int) -> None:
        load = self.load
        if stream in self._surplus:
            self._park_surplus(stream)
            load.note_if_exhausted()
        elif self._paused:
            move(stream, PARKED)
            load.note_if_exhausted()
        elif not load.may_begin(due):
            self._sessions.cut(stream)
            load.give_up(stream)
        else:
            if self._pacing_ns:
                self._begun_at[stream] = due
            request, taken = self._next(stream)
            if request is None:
                move(stream, THINKING)
            else:
                load.begin(stream, request, due, taken)

    def _next(self, stream: Stream) -> tuple[Request | None, Next | None]:
        """The next request of the stream's session, or else what comes next in the mix, with what the mix gave. None:
        a session has begun that will say it."""
        if self._sessions.running and (request := self._sessions.take(stream)) is not None:
            return request, None
        taken = entry, number = self.mix.take()
        return entry.request(number) if isinstance(entry, Task) else self._sessions.begin(stream, entry, number), taken

    def not_begun(self, coming: Coming) -> None:
        """The run is over: so is the session of a stream that waited for a connection."""
        self._sessions.cut(coming.stream)

    def _park_waiting(self) -> None:
        """Park the streams that wait for a connection but may not begin any more: they will be due anew. What they have
        taken from the mix goes back to it, a session that was to begin as well."""
        for coming in self.load.withdraw(lambda coming: self._paused or coming.stream in self._surplus):
            move(coming.stream, PARKED)
            if coming.taken is None:
                self._sessions.put_back(coming.stream, coming.request)
            else:
                self._sessions.cut(coming.stream)
                self.mix.give_back(coming.taken)

    def _release(self, due: int) -> None:
        """Let the parked streams that may begin requests do so: they are due at stamp `due`."""
        if self._paused or not self._started:
            return
        ready = [stream for stream in self.load.streams if stream.state == PARKED and stream not in self._surplus]
        for stream in ready:
            move(stream, RELEASED)
        self._released.add(ready, due)
