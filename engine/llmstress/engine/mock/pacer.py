"""Writes the events of all answers when they are due. This loop determines the mock's cost per event."""

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
from llmstress.engine.telemetry.shares import share

_RESET_WAIT_US = 1_000_000
"""How long a reset waits at most until the client has acknowledged the bytes sent before it."""


def clock_us() -> int:
    """The time in µs of the monotonic clock, used for all stamps."""
    return time.monotonic_ns() // 1_000


class Sink(Protocol):
    """The destination of an answer: a connection."""

    fd: int
    """The socket. The pacer may write to it directly while `buffer_empty` is true."""

    def buffer_empty(self) -> bool:
        """Whether no earlier bytes are waiting in this process."""

    def buffer_full(self) -> bool:
        """Whether too many bytes are waiting to add more. When there is room again, `PacedAnswer.resume` is called."""

    def undelivered(self) -> bool:
        """Whether the client has not yet acknowledged all bytes written before."""

    def send(self, data: bytes) -> None:
        """Write `data` after the waiting bytes."""

    def send_bytewise(self, data: bytes) -> None:
        """Write `data` with one write per byte."""

    def client_gone(self) -> None:
        """Called when a write to the socket failed: the client has disconnected."""

    def answer_done(self, termination: Termination) -> None:
        """Called after the last write; `termination` is not `HANG`."""

    def unfreeze(self) -> None:
        """Called when the pause ends for which `Pacer.hold_if_frozen` has held this sink."""


class PacedAnswer:
    """An answer that is being sent to a client. Stamps and durations are in µs."""

    __slots__ = (
        "direct",
        "due_us",
        "fd",
        "gaps_us",
        "job",
        "last_event_us",
        "last_write",
        "next_write",
        "pacer",
        "parked",
        "prepared",
        "prepared_until",
        "sink",
        "ttft_us",
    )

    def __init__(self, pacer: "Pacer", sink: Sink, job: Job, arrived: int) -> None:
        self.pacer = pacer
        self.sink: Sink | None = sink
        """None once the answer has ended in any way."""
        self.job = job
        self.fd = sink.fd
        self.prepared: tuple[bytes, ...] = ()
        """Writes encoded in advance; they apply up to write `prepared_until`."""
        self.prepared_until = 0
        self.next_write = 0
        """Number of the next write."""
        self.last_write = job.reply.writes - 1
        self.last_event_us = arrived
        """Stamp of the last token event; before the first one, stamp of the complete request."""
        self.ttft_us = -1
        self.gaps_us = array("q")
        """Gaps between token events; the outcome of the answer decides into which histogram they go."""
        self.due_us = 0
        self.direct = False
        """Whether the pacer may write the next event directly to the socket."""
        self.parked = False

    def write_next(self, now: int) -> None:
        """Do the next write if it is not simply a prepared event for a socket with room."""
        sink = self.sink
        if sink is None:
            return  # aborted; an answer can't be removed from the wheel before it comes up
        if sink.buffer_full():
            self.parked = True
            return
        number, reply, record = self.next_write, self.job.reply, self.pacer.record
        if (
            number == self.last_write
            and reply.termination is Termination.RESET
            and now < self.due_us + _RESET_WAIT_US
            and sink.undelivered()
        ):
            # a reset would discard them: the kernel sends ten packets before the client has to acknowledge the first
            self.pacer.retry_soon(self, now)
            return
        data = reply.write(number)
        if reply.one_byte_writes:
            sink.send_bytewise(data)
        else:
            sink.send(data)
        if self.sink is None:
            return  # this write found out that the client has disconnected
        if number == 0 and not self.job.head:
            record.responded(200)
        record.lateness_us.append(now - self.due_us)
        events = reply.events_in(number)
        if events:
            if self.ttft_us < 0:
                self.ttft_us = now - self.last_event_us
            else:
                self.gaps_us.append(now - self.last_event_us)
            self.gaps_us.extend([0] * (events - 1))
            self.last_event_us = now
        self.next_write = number + 1
        if number < self.last_write:
            if number >= self.prepared_until:
                self.prepared, self.prepared_until = reply.prepared(number + 1)
            self.direct = sink.buffer_empty() and not reply.one_byte_writes
            self.pacer.schedule_next(self)
        elif reply.termination is not Termination.HANG:
            self._finish("failed" if self.job.failing else "done")
            sink.answer_done(reply.termination)

    def ping(self) -> None:
        """Send the API's ping, if it has one and the socket has room."""
        sink = self.sink
        if sink is None or self.parked or sink.buffer_full():
            return
        data = self.job.reply.ping()
        if not data:
            return
        if self.job.reply.one_byte_writes:
            sink.send_bytewise(data)
        else:
            sink.send(data)
            self.direct = self.direct and sink.buffer_empty()

    def write_rest(self, rest: bytes) -> None:
        """Hand the rest of an event to the sink because the socket was full."""
        self.direct = False
        if self.sink is not None:
            self.sink.send(rest)

    def client_gone(self) -> None:
        """Tell the sink that a write to the socket failed."""
        if self.sink is not None:
            self.sink.client_gone()

    def resume(self) -> None:
        """Go on now that the sink has room again. The rest of the schedule moves by the pause; no burst follows."""
        if self.parked:
            self.parked = False
            self.due_us = clock_us()
            self.pacer.schedule(self)

    def abort(self) -> None:
        """End the answer because the client has disconnected or the server is shutting down."""
        if self.sink is not None:
            self.direct = False
            self._finish("open" if self.pacer.closing else "aborted")

    def _finish(self, outcome: AnswerOutcome) -> None:
        self.sink = None
        self.pacer.record.ended(self.job, outcome, self.next_write, self.ttft_us, self.gaps_us)
        self.pacer.leave(self)


class Pacer:
    """Sends all answers of one process, driven by a timer."""

    def __init__(self, options: MockOptions, index: int, record: TruthRecorder, epoch_us: int) -> None:
        """`epoch_us`: stamp from which freezes are counted."""
        self.record = record
        self.closing = False
        """Whether the server is shutting down, so that open answers are not counted as aborted by clients."""
        source = random.Random(f"{options.seed}/{index}")
        self._ttft = Delays(options.delays, options.ttft_ms * 1e3, options.jitter, source)
        self._gap = Delays(options.delays, options.gap_ms * 1e3, options.jitter, source)
        self._slots: Slots[PacedAnswer] = Slots(share(options.slots, options.procs, index))
        self._limited = options.slots > 0
        self._freezes = Freezes(epoch_us, int(options.freeze_every_ms * 1e3), int(options.freeze_for_ms * 1e3))
        self._held: dict[Sink, None] = {}
        """Sinks with requests that wait for the end of a freeze, in the order of arrival."""
        self._ping_us = int(options.ping_every_ms * 1e3)
        # the interval is the same for all, so a queue keeps them in the order in which they are due
        self._pings: deque[tuple[int, PacedAnswer]] = deque()
        self._wheel: Wheel[PacedAnswer] = Wheel(clock_us())
        self._ticker = Ticker()
        self._ticking = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Register the timer with `loop`."""
        loop.add_reader(self._ticker.fd, self._tick)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the timer; nothing is written any more."""
        loop.remove_reader(self._ticker.fd)
        self._ticker.close()

    def start(self, sink: Sink, job: Job, arrived: int) -> PacedAnswer:
        """Start the answer to a request that was complete at stamp `arrived`."""
        answer = PacedAnswer(self, sink, job, arrived)
        self.record.begin()
        if self._slots.enter(answer):
            self._generate(answer, arrived)
        if self._ping_us and job.head:
            self._pings.append((clock_us() + self._ping_us, answer))
            self._wake()
        return answer

    def leave(self, answer: PacedAnswer) -> None:
        """Give the slot of an ended answer to the one that waits longest."""
        following = self._slots.leave(answer)
        if following is not None and not self.closing:
            self._generate(following, clock_us())

    def schedule(self, answer: PacedAnswer) -> None:
        """Schedule the next write at `answer.due_us`."""
        self._wheel.add(answer.due_us, answer)
        self._wake()

    def retry_soon(self, answer: PacedAnswer, now: int) -> None:
        """Look at an answer again in the next slot although it is due."""
        self._wheel.add(now + SLOT_US, answer)

    def schedule_next(self, answer: PacedAnswer) -> None:
        """Schedule the next write. Its delay counts from when this one was due, so lateness does not accumulate."""
        answer.due_us += self._gap.total(answer.job.reply.gaps_before(answer.next_write))
        self.schedule(answer)

    def hold_if_frozen(self, sink: Sink) -> bool:
        """Whether there is a freeze now; if so, `sink.unfreeze` is called at its end."""
        if not self._freezes or not self._freezes.frozen(clock_us()):
            return False
        self._held[sink] = None
        self._wake()
        return True

    def _generate(self, answer: PacedAnswer, now: int) -> None:
        if self._limited:
            self.record.queued(now - answer.last_event_us)
        reply = answer.job.reply
        if reply.writes:
            ttft_us = self._ttft.next()
            if answer.job.ttft_share < 1:
                ttft_us = int(ttft_us * answer.job.ttft_share)
            answer.due_us = now + ttft_us + self._gap.total(reply.gaps_before(0))
            self.schedule(answer)

    def _wake(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._ticker.start()

    def _tick(self) -> None:
        self._ticker.acknowledge()
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
        # an answer with gaps shorter than a slot comes up several times within a tick
        while answers := take(end):
            for answer in answers:
                now = clock() // 1_000
                number = answer.next_write
                if not answer.direct or number >= answer.prepared_until:
                    answer.write_next(now)
                    continue
                due = answer.due_us
                data = answer.prepared[number % CYCLE]
                try:
                    sent = write(answer.fd, data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    answer.client_gone()
                    continue
                late(now - due)
                answer.gaps_us.append(now - answer.last_event_us)
                answer.last_event_us = now
                answer.next_write = number + 1
                answer.due_us = due = due + gap()
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
