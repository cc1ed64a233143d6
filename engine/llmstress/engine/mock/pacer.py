"""Writes every answer's events when they are due: the loop that decides what an event costs."""

import asyncio
import os
import random
import time
from typing import Protocol

from llmstress.engine.mock.cutting import Reply
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.speech.said import CYCLE
from llmstress.engine.mock.ticker import Ticker
from llmstress.engine.mock.truth import Recorder
from llmstress.engine.mock.wheel import Wheel


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

    def send(self, data: bytes) -> None:
        """Write `data` behind what is waiting."""

    def broken(self) -> None:
        """The socket refused a write: the client is gone."""

    def answered(self) -> None:
        """The answer has been written to its end."""


class Answer:
    """One answer on its way to a client."""

    __slots__ = (
        "direct",
        "due",
        "events",
        "fd",
        "final",
        "last",
        "number",
        "pacer",
        "parked",
        "reply",
        "sink",
        "until",
    )

    def __init__(self, pacer: "Pacer", sink: Sink, reply: Reply) -> None:
        self.pacer = pacer
        self.sink: Sink | None = sink
        """None once the answer is over, however it ended."""
        self.reply = reply
        self.fd = sink.fd
        self.events, self.until = reply.run(0)
        """The prepared writes, and the first one behind them."""
        self.number = 0
        """Of the next write."""
        self.final = reply.writes - 1
        self.last = clock_us()
        """Stamp of the last write; before the first one that of the request."""
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
        number = self.number
        sink.send(self.reply.write(number))
        if self.sink is None:
            return  # it was the write that found the client gone
        record = self.pacer.record
        record.lateness_us.append(now - self.due)
        if not self.reply.streamed:
            record.tokens_in_one_piece += self.reply.tokens
        elif number == 0:
            record.ttft_us.append(now - self.last)
        else:
            record.gap_us.append(now - self.last)
        self.last = now
        self.number = number + 1
        if number >= self.until:
            self.events, self.until = self.reply.run(number + 1)
        if number < self.final:
            self.direct = sink.clear()
            self.pacer.schedule_gap(self)
        else:
            self.sink = None
            record.open -= 1
            record.done += 1
            sink.answered()

    def spill(self, rest: bytes) -> None:
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
        """The client is gone."""
        if self.sink is not None:
            self.sink = None
            self.direct = False
            self.pacer.record.open -= 1
            self.pacer.record.aborted += 1


class Pacer:
    """All answers of one process and the timer that drives them."""

    def __init__(self, options: MockOptions, index: int, record: Recorder) -> None:
        self.record = record
        self.random = random.Random(f"{options.seed}/{index}")
        share = options.jitter
        self._ttft = options.ttft_ms * 1e3 * (1 - share), options.ttft_ms * 1e3 * 2 * share
        self._gap = options.gap_ms * 1e3 * (1 - share), options.gap_ms * 1e3 * 2 * share
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

    def start(self, sink: Sink, reply: Reply) -> Answer:
        """Begin the answer to a request that is complete now."""
        answer = Answer(self, sink, reply)
        least, spread = self._ttft
        draw = self.random.random
        answer.due = answer.last + int(least + spread * draw())
        if not reply.streamed:
            # everything comes when the last token would have
            least, spread = self._gap
            answer.due += sum([int(least + spread * draw()) for _ in range(reply.steps - 1)])
        self.record.begin()
        self.schedule(answer)
        return answer

    def schedule(self, answer: Answer) -> None:
        """Wait for `answer.due`."""
        self._wheel.add(answer.due, answer)
        if not self._ticking:
            self._ticking = True
            self._ticker.start()

    def schedule_gap(self, answer: Answer) -> None:
        """Wait for the next token. The gap counts from when this one was due: lateness doesn't add up."""
        least, spread = self._gap
        answer.due += int(least + spread * self.random.random())
        self.schedule(answer)

    def _tick(self) -> None:
        self._ticker.clear()
        end = clock_us()
        wheel, record = self._wheel, self.record
        take, add = wheel.take, wheel.add
        late, gaps = record.lateness_us.append, record.gap_us.append
        least, spread = self._gap
        draw, clock, write = self.random.random, time.monotonic_ns, os.write
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
                gaps(now - answer.last)
                answer.last = now
                answer.number = number + 1
                answer.due = due = due + int(least + spread * draw())
                if sent != len(data):
                    answer.spill(data[sent:])
                add(due, answer)
            record.fold()
        if not wheel:
            self._ticking = False
            self._ticker.stop()
