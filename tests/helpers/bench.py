"""One stream of the real engine on a bench: the test sets the clock, and a fake link keeps what is written."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Timeouts
from llmstress.engine.outcome import End as RequestEnd
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failure_policy import FailurePolicy
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.observer import Observer
from llmstress.engine.stream.read_loop import Reads
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Task, fixed
from llmstress.engine.stream.transport_stream import TransportStream
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import LABELS, Delta, Part, Phase, consecutive
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives

MS = 1_000_000
"""Nanoseconds."""

BEGIN = 1_000_000 * MS
"""Where a test's time 0 lies on its clock."""

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nx-request-id: req-7\r\n\r\n"
)
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def body_of(*chunks: bytes) -> bytes:
    """What is in these chunks, in one piece."""
    return b"".join(each.split(b"\r\n")[1] for each in chunks)


def answer(status: str, body: bytes, *lines: str) -> bytes:
    """A whole answer with these headers."""
    top = [f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}"]
    return "\r\n".join(top).encode() + b"\r\n\r\n" + body


def event(value: Any) -> bytes:
    """An event as most servers send it: one chunk, one `data:` line, one blank line."""
    return chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")


def delta(finish: str | None = None, index: int = 0, **payload: Any) -> bytes:
    """An event with one choice."""
    return event({"id": "c", "choices": [{"index": index, "delta": payload, "finish_reason": finish}]})


def usage(output: int, reasoning: int = 0) -> bytes:
    """The event that reports usage."""
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}} if reasoning else {}
    return event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": output, **details}})


ROLE = delta(role="assistant", content="")
TOKEN = delta(content=" a")
REASONING = delta(reasoning_content="hm")
FINISH = delta(finish="stop")
DONE = event(b"[DONE]")


class BenchLink:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False
        self.at_once = False
        self.transport = cast(asyncio.Transport, self)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def attach(self, stream: object) -> None:
        pass

    def catch_up(self, stream: object) -> None:
        pass

    def close(self, *, at_once: bool = False) -> None:
        self.closed = True
        self.at_once = at_once

    def lost(self, error: Exception | None) -> None:
        self.closed = True


class BenchTimer:
    """A call that is to come, once the test says that it is time."""

    def __init__(self, at: int, act: Callable[[int], None]) -> None:
        self.at = at
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Bench:
    """Implements `stream.runtime.Runtime` for one stream. Times are milliseconds after the test's time 0."""

    def __init__(
        self,
        *,
        streamed: bool = True,
        timeouts: Timeouts | None = None,
        edges: tuple[int, int | None, int | None] = (0, 0, None),
        api: str = "openai-chat",
        ask: Ask | None = None,
        retries: int = 0,
        on_status: tuple[tuple[str, str], ...] = (),
        uniform: float = 0.0,
        wall_s: float = 0.0,
        require_finish: bool = False,
        observer: Observer | None = None,
        objectives: Objectives = NOT_JUDGED,
    ) -> None:
        self.api = make_api(api, ask or Ask(stream=streamed))
        self.now = BEGIN
        self.clock: Callable[[], int] = lambda: self.now
        self.recorder = Recorder(0, self.clock)
        self.reads = Reads(self.recorder, self.clock, lambda: None)
        self.task = Task(
            api=self.api,
            requests=fixed(b"REQUEST", self.api.ask.least_output),
            dials=cast(Dials, self),
            failures=Failures(
                retries, FailurePolicy(on_status), ["sk-secret"], self.recorder, lambda: uniform, lambda: wall_s
            ),
            recorder=self.recorder,
            timeouts=timeouts or Timeouts(0, 0, 0, 0),
            require_finish=require_finish,
            objectives=objectives,
        )
        self.observer = observer
        self.redials = 0
        self.freed: list[bool] = []
        self.fatal: list[bool] = []
        self.waits: list[float] = []
        """Milliseconds from the end of an attempt to the next one."""
        self.links: list[BenchLink] = []
        self.timers: list[BenchTimer] = []
        self.stream = TransportStream(self, self.reads)
        begins = [0, *(None if edge is None else edge * MS for edge in edges)]
        self.windows = consecutive([(kind, LABELS[kind], begin) for kind, begin in zip(Phase, begins, strict=True)])
        self.recorder.begin(
            BEGIN,
            self.windows,
            lambda: [self.stream.exchange] if self.stream.exchange is not None else [],
        )

    def lose(self, error: Exception | None) -> None:
        """The connection is closed (None) or reset now."""
        self.stream.connection_lost(error)
        self.reads.process(len(self.reads.arrived), self.now)

    def redial(self, stream: Stream) -> None:
        self.redials += 1

    def retry(self, stream: Stream, at: int) -> None:
        self.waits.append((at - self.now) / MS)

    def call_at(self, at: int, act: Callable[[int], None]) -> "BenchTimer":
        self.timers.append(BenchTimer(at, act))
        return self.timers[-1]

    def ring(self, ms: float) -> None:
        """Call what is due at `ms`."""
        self.at(ms)
        due = [timer for timer in self.timers if timer.at <= self.now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            if not timer.cancelled:
                timer.act(self.now)

    def free(self, stream: Stream, exchange: Exchange, end: RequestEnd, *, fatal: bool, now: int) -> None:
        self.freed.append(end.pauses or fatal)
        self.fatal.append(fatal)

    def at(self, ms: float) -> "Bench":
        """Set the clock."""
        self.now = BEGIN + int(ms * MS)
        return self

    def begin(self, start: float = 0, *, due: float | None = None, sent: float = 1) -> None:
        """Start a request, over a new connection if there is none."""
        self.at(start)
        request = self.task.request(0)._replace(observer=self.observer)
        self.stream.begin(request, BEGIN + int((start if due is None else due) * MS))
        if self.stream.link is None:
            self.at(sent)
            self.connect()

    def connect(self) -> BenchLink:
        self.links.append(BenchLink())
        self.stream.connected(self.links[-1])
        return self.links[-1]

    def read(self, ms: float, *data: bytes) -> None:
        """One read at `ms`."""
        self.at(ms)
        self.stream.data_received(b"".join(data))
        self.reads.process(len(self.reads.arrived), self.now)

    def cut(self) -> Delta:
        """What was measured since the last cut."""
        made = self.recorder.cut(self.now, 0)
        self.recorder.sent(made)
        return made

    def steady(self) -> Part:
        """What was measured since the last cut in the steady window, retracted samples taken out."""
        part = self.cut().parts.get(Phase.STEADY, Part())
        part.settle()
        return part


def values(histograms: dict[str, Histogram], name: str) -> list[int]:
    """The samples of a histogram in milliseconds, sorted: exact if alone, else the lowest value of their bin."""
    found = histograms.get(name)
    if found is None:
        return []
    if found.count == 1:
        return [round(found.sum / 1000)]
    shown: list[int] = []
    for index, n in sorted(found.counts.items()):
        low = index if index < 2048 else (index - (((index >> 10) - 1) << 10)) << ((index >> 10) - 1)
        shown += [round(low / 1000)] * n
    return shown
