"""Writes every answer's events when they are due: the loop that decides what an event costs."""

import asyncio
import os
import random
import time
from array import array
from collections import deque
from typing import Protocol

from llmstress.engine.mock.delays import Delays
from llmstress.engine.mock.dialects.answer_spec import CYCLE
from llmstress.engine.mock.endings import Termination
from llmstress.engine.mock.freezes import Freezes
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.replies import Job
from llmstress.engine.mock.slots import Slots
from llmstress.engine.mock.ticker import Ticker
from llmstress.engine.mock.truth import AnswerOutcome, TruthRecorder
from llmstress.engine.mock.wheel import SLOT_US, Wheel
from llmstress.engine.schedule import share

_RESET_WAIT_US = 1_000_000
"""How long a reset is held back for what was sent before it."""


def clock_us() -> int:
    """The clock of all stamps: µs, monotonic."""
    return time.monotonic_ns() // 1_000


class Sink(Protocol):
    """Where an answer is written to: a connection."""

    fd: int
    """Socket to which the pacer may write by itself while `clear` says so."""

    def clear(self) -> bool:
        """Whether nothing written before is still waiting in this process."""

    def full(self) -> bool:
        """Whether so much is waiting that nothing should be added; ends with a call of `Answer.resume`."""

    def undelivered(self) -> bool:
        """Whether anything written before has not arrived at the client's end."""

    def send(self, data: bytes) -> None:
        """Write `data` behind what is waiting."""

    def send_bytewise(self, data: bytes) -> None:
        """The same, byte by byte."""

    def broken(self) -> None:
        """The socket refused a write: the client is gone."""

    def answered(self, end: Termination) -> None:
        """The answer has been written to its end, which is not `Termination.HANG`."""

    def unfreeze(self) -> None:
        """The freeze that it was held in is over."""


class Answer:
    """One answer on its way to a client."""

    __slots__ = (
        "direct",
        "due",
        "events",
        "fd",
        "final",
        "gaps",
        "job",
        "last",
        "number",
        "pacer",
        "parked",
        "sink",
        "ttft",
        "until",
    )

    def __init__(self, pacer: "Pacer", sink: Sink, job: Job, arrived: int) -> None:
        self.pacer = pacer
        self.sink: Sink | None = sink
        """None once the answer is over, however it ended."""
        self.job = job
        self.fd = sink.fd
        self.events: tuple[bytes, ...] = ()
        """The prepared writes, up to write `until`."""
        self.until = 0
        self.number = 0
        """Of the next write."""
        self.final = job.reply.writes - 1
        self.last = arrived
        """Stamp of the last token event; before the first one that of the request."""
        self.ttft = -1
        self.gaps = array("q")
        """From token event to token event, in µs: only its end shows among which ones they belong."""
        self.due = 0
        self.direct = False
        """Whether the pacer may write the next event to the socket by itself."""
        self.parked = False

    def step(self, now: int) -> None:
        """Do a write that isn't merely one more event to a socket with room."""
        sink = self.sink
        if sink is None:
            return  # aborted: the wheel only forgets an answer when it comes up
        if sink.full():
            self.parked = True
            return
        number, reply, record = self.number, self.job.reply, self.pacer.record
        if (
            number == self.final
            and reply.termination is Termination.RESET
            and now < self.due + _RESET_WAIT_US
            and sink.undelivered()
        ):
            # a reset would throw it away: the kernel sends ten packets before the client has to acknowledge the first
            self.pacer.retry_soon(self, now)
            return
        data = reply.write(number)
        if reply.one_byte_writes:
            sink.send_bytewise(data)
        else:
            sink.send(data)
        if self.sink is None:
            return  # it was the write that found the client gone
        if number == 0 and not self.job.head:
            record.responded(200)
        record.lateness_us.append(now - self.due)
        events = reply.events_in(number)
        if events:
            if self.ttft < 0:
                self.ttft = now - self.last
            else:
                self.gaps.append(now - self.last)
            self.gaps.extend([0] * (events - 1))
            self.last = now
        self.number = number + 1
        if number < self.final:
            if number >= self.until:
                self.events, self.until = reply.prepared(number + 1)
            self.direct = sink.clear() and not reply.one_byte_writes
            self.pacer.schedule_next(self)
        elif reply.termination is not Termination.HANG:
            self._over("failed" if self.job.failing else "done")
            sink.answered(reply.termination)

    def ping(self) -> None:
        """Let the API say that it is still there."""
        sink = self.sink
        if sink is None or self.parked or sink.full():
            return
        data = self.job.reply.ping()
        if not data:
            return
        if self.job.reply.one_byte_writes:
            sink.send_bytewise(data)
        else:
            sink.send(data)
            self.direct = self.direct and sink.clear()

    def write_rest(self, rest: bytes) -> None:
        """The socket was full: leave the rest of an event to the sink."""
        self.direct = False
        if self.sink is not None:
            self.sink.send(rest)

    def broken(self) -> None:
        """The socket refused a write."""
        if self.sink is not None:
            self.sink.broken()

    def resume(self) -> None:
        """The sink has room again. The pause moves the rest of the schedule: no burst makes up for it."""
        if self.parked:
            self.parked = False
            self.due = clock_us()
            self.pacer.schedule(self)

    def abort(self) -> None:
        """The client is gone, or the server is about to be."""
        if self.sink is not None:
            self.direct = False
            self._over("open" if self.pacer.closing else "aborted")

    def _over(self, outcome: AnswerOutcome) -> None:
        self.sink = None
        self.pacer.record.ended(self.job, outcome, self.number, self.ttft, self.gaps)
        self.pacer.leave(self)


class Pacer:
    """All answers of one process and the timer that drives them."""

    def __init__(self, options: MockOptions, index: int, record: TruthRecorder, epoch_us: int) -> None:
        """`epoch_us`: from when on freezes are counted, by the same clock."""
        self.record = record
        self.closing = False
        """Whether the server is about to end, so that nobody else is the reason why answers do."""
        source = random.Random(f"{options.seed}/{index}")
        self._ttft = Delays(options.delays, options.ttft_ms * 1e3, options.jitter, source)
        self._gap = Delays(options.delays, options.gap_ms * 1e3, options.jitter, source)
        self._slots: Slots[Answer] = Slots(share(options.slots, options.procs, index))
        self._limited = options.slots > 0
        self._freezes = Freezes(epoch_us, int(options.freeze_every_ms * 1e3), int(options.freeze_for_ms * 1e3))
        self._held: dict[Sink, None] = {}
        """Those who have requests to answer, in the order in which they came."""
        self._ping_us = int(options.ping_every_ms * 1e3)
        # all wait equally long, so that whose turn comes next is whoever had it longest ago
        self._pings: deque[tuple[int, Answer]] = deque()
        self._wheel: Wheel[Answer] = Wheel(clock_us())
        self._ticker = Ticker()
        self._ticking = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let `loop` call back at every tick."""
        loop.add_reader(self._ticker.fd, self._tick)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write nothing more."""
        loop.remove_reader(self._ticker.fd)
        self._ticker.close()

    def start(self, sink: Sink, job: Job, arrived: int) -> Answer:
        """Begin the answer to a request that was complete at stamp `arrived`."""
        answer = Answer(self, sink, job, arrived)
        self.record.begin()
        if self._slots.enter(answer):
            self._generate(answer, arrived)
        if self._ping_us and job.head:
            self._pings.append((clock_us() + self._ping_us, answer))
            self._wake()
        return answer

    def leave(self, answer: Answer) -> None:
        """An answer is over: whoever waits longest has its slot."""
        following = self._slots.leave(answer)
        if following is not None and not self.closing:
            self._generate(following, clock_us())

    def schedule(self, answer: Answer) -> None:
        """Wait for `answer.due`."""
        self._wheel.add(answer.due, answer)
        self._wake()

    def retry_soon(self, answer: Answer, now: int) -> None:
        """Come back to an answer in a moment, though it is due."""
        self._wheel.add(now + SLOT_US, answer)

    def schedule_next(self, answer: Answer) -> None:
        """Wait for the next write. Its gaps count from when this one was due: lateness doesn't add up."""
        answer.due += self._gap.total(answer.job.reply.gaps_before(answer.number))
        self.schedule(answer)

    def hold(self, sink: Sink) -> bool:
        """Whether everything is frozen now; then `sink` is told when that is over."""
        if not self._freezes or not self._freezes.frozen(clock_us()):
            return False
        self._held[sink] = None
        self._wake()
        return True

    def _generate(self, answer: Answer, now: int) -> None:
        if self._limited:
            self.record.queued(now - answer.last)
        reply = answer.job.reply
        if reply.writes:
            answer.due = now + self._ttft.next() + self._gap.total(reply.gaps_before(0))
            self.schedule(answer)

    def _wake(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._ticker.start()

    def _tick(self) -> None:
        self._ticker.clear()
        end = clock_us()
        if self._freezes.frozen(end):
            return
        if self._held:
            held, self._held = self._held, {}
            for sink in held:
                sink.unfreeze()
        wheel, record = self._wheel, self.record
        take, add = wheel.take, wheel.add
        late, gap = record.lateness_us.append, self._gap.next
        clock, write = time.monotonic_ns, os.write
        # gaps shorter than a slot come up again within the same tick
        while answers := take(end):
            for answer in answers:
                now = clock() // 1_000
                number = answer.number
                if not answer.direct or number >= answer.until:
                    answer.step(now)
                    continue
                due = answer.due
                data = answer.events[number % CYCLE]
                try:
                    sent = write(answer.fd, data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    answer.broken()
                    continue
                late(now - due)
                answer.gaps.append(now - answer.last)
                answer.last = now
                answer.number = number + 1
                answer.due = due = due + gap()
                if sent != len(data):
                    answer.write_rest(data[sent:])
                add(due, answer)
            record.fold()
        self._ping(end)
        if not (wheel or self._pings or self._held):
            self._ticking = False
            self._ticker.stop()

    def _ping(self, now: int) -> None:
        pings = self._pings
        while pings and pings[0][0] <= now:
            due, answer = pings.popleft()
            if answer.sink is not None:
                answer.ping()
                pings.append((due + self._ping_us, answer))
