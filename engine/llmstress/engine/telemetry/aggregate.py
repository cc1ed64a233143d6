"""Deltas of all workers -> totals, recent past and timeline. Merging is addition; percentiles are never averaged."""

from collections import deque

import msgspec

from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import (
    MAX_SAMPLES_PER_CLASS,
    NOT_FAILED,
    Counters,
    Delta,
    ErrorSample,
    Part,
    Phase,
)

MAX_ROWS = 1024
"""Rows of the timeline: when it is full, neighbours merge and the step doubles."""

RECENT_S = 10
"""How far back the live figures can look."""


class WorkerState(msgspec.Struct):
    """What is known of one worker."""

    worker: int
    streams: int
    pid: int = 0
    state: str = "starting"
    """starting, ready, running, done or lost."""
    reason: str = ""
    startup_cpu_s: float = 0.0
    rss_peak: int = 0
    """Bytes."""
    open: int = 0
    deltas: int = 0
    gaps: int = 0
    """Deltas that never came, by their sequence numbers."""
    merged: int = 0
    cpu_ns: int = 0
    steady_cpu_ns: int = 0
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)
    """Of the steady window."""
    started: int = 0
    ended: int = 0


class Row(msgspec.Struct):
    """One step of the timeline."""

    phase: int = 0
    open: int = 0
    requests: int = 0
    events: int = 0
    failed: int = 0
    ttft: Histogram = msgspec.field(default_factory=Histogram)

    def absorb(self, later: "Row") -> None:
        """Merge the following row into this one."""
        self.phase = later.phase
        self.open = max(self.open, later.open)
        self.requests += later.requests
        self.events += later.events
        self.failed += later.failed
        self.ttft.merge(later.ttft)


class Recent(msgspec.Struct, frozen=True):
    """A delta's contribution to the live figures."""

    t_from: int
    t_to: int
    ok: int
    events: int
    output: int
    ttft: Histogram | None
    itl: Histogram | None


class Aggregate:
    """Everything measured so far, over all workers."""

    def __init__(self, streams_per_worker: list[int], row_ns: int = 1_000_000_000) -> None:
        """`row_ns`: step of the timeline to begin with, best a multiple of the interval between deltas."""
        self.phases: dict[int, Part] = {int(phase): Part() for phase in Phase}
        self.workers = [WorkerState(index, streams) for index, streams in enumerate(streams_per_worker)]
        self.samples: dict[str, list[ErrorSample]] = {}
        self.rows: list[Row] = []
        self.row_ns = row_ns
        self.recent: deque[Recent] = deque()
        self.phase = Phase.RAMP
        self.peak = 0
        self.elapsed_ns = 0
        self._open_max: dict[tuple[int, int], int] = {}

    @property
    def open(self) -> int:
        """Requests in flight, as last reported."""
        return sum(worker.open for worker in self.workers if worker.state == "running")

    def merge(self, delta: Delta) -> None:
        """Take in one delta."""
        self._merge_worker(delta)
        for phase, part in delta.parts.items():
            mine = self.phases[phase]
            mine.add(part)
            mine.settle()
            mine.bound()
        for sample in delta.samples:
            self._keep(sample)
        self._merge_live(delta)

    def lose(self, worker: int, reason: str) -> None:
        """A worker has died: what it had in flight, as far as it had reported it, is lost."""
        state = self.workers[worker]
        state.state, state.reason = "lost", reason
        lost = state.started - state.ended
        state.open = 0
        if lost:
            ended = self.phases[self.phase].ended
            ended["lost"] = ended.get("lost", 0) + lost
            self._keep(ErrorSample("lost", 0, f"worker {worker}: {reason}", ""))

    def counters(self) -> Counters:
        """The counters of the whole run."""
        total = Counters()
        for part in self.phases.values():
            total.add(part.counters)
        return total

    def ended(self) -> dict[str, int]:
        """Class of a request's end -> how many, over the whole run."""
        total: dict[str, int] = {}
        for part in self.phases.values():
            for outcome, n in part.ended.items():
                total[outcome] = total.get(outcome, 0) + n
        return total

    def finished(self) -> int:
        """Requests of the whole run that came to an end of their own."""
        return sum(n for outcome, n in self.ended().items() if outcome != "cancelled")

    def failed(self) -> int:
        """Failed requests of the whole run."""
        return sum(n for outcome, n in self.ended().items() if outcome not in NOT_FAILED)

    def _keep(self, sample: ErrorSample) -> None:
        kept = self.samples.setdefault(sample.error, [])
        if len(kept) < MAX_SAMPLES_PER_CLASS and all(sample.text != other.text for other in kept):
            kept.append(sample)

    def _merge_worker(self, delta: Delta) -> None:
        worker = self.workers[delta.worker]
        worker.gaps += delta.seq - worker.deltas
        worker.deltas = delta.seq + 1
        worker.merged += delta.merged
        worker.open = delta.open
        worker.rss_peak = max(worker.rss_peak, delta.rss)
        for phase, part in delta.parts.items():
            worker.started += part.counters.started
            worker.ended += sum(part.ended.values())
            worker.cpu_ns += part.counters.cpu_ns
            if phase == Phase.STEADY:
                worker.steady_cpu_ns += part.counters.cpu_ns
                if "loop_lag" in part.latency:
                    worker.loop_lag.merge(part.latency["loop_lag"])

    def _merge_live(self, delta: Delta) -> None:
        self.phase = max(self.phase, delta.phase)
        self.elapsed_ns = max(self.elapsed_ns, delta.t_to)
        ttft = _sum_of(delta, "ttft")
        requests = sum(sum(part.ended.values()) for part in delta.parts.values())
        ok = sum(part.ended.get("ok", 0) for part in delta.parts.values())
        failed = sum(n for part in delta.parts.values() for name, n in part.ended.items() if name not in NOT_FAILED)
        events = sum(part.counters.events for part in delta.parts.values())
        output = sum(part.counters.output for part in delta.parts.values())
        self.recent.append(Recent(delta.t_from, delta.t_to, ok, events, output, ttft, _sum_of(delta, "itl")))
        while self.recent[0].t_to < self.elapsed_ns - RECENT_S * 1_000_000_000:
            self.recent.popleft()
        index = self._row_of((delta.t_from + delta.t_to) // 2)
        row = self.rows[index]
        # the phase that most of it belongs to: the delta that ends at a phase's edge already carries the next one
        row.phase = max(delta.parts, key=lambda phase: delta.parts[phase].counters.events, default=delta.phase)
        row.requests += requests
        row.failed += failed
        row.events += events
        if ttft is not None:
            row.ttft.merge(ttft)
        # the open streams of a row: each worker's most within it, summed
        key = (index, delta.worker)
        self._open_max[key] = max(self._open_max.get(key, 0), delta.open_max)
        row.open = sum(self._open_max.get((index, worker.worker), 0) for worker in self.workers)
        self.peak = max(self.peak, row.open)

    def _row_of(self, t: int) -> int:
        index = max(0, t) // self.row_ns
        while index >= MAX_ROWS:
            self._double_step()
            index = t // self.row_ns
        while len(self.rows) <= index:
            self.rows.append(Row())
        return index

    def _double_step(self) -> None:
        for index in range(0, len(self.rows) - 1, 2):
            self.rows[index].absorb(self.rows[index + 1])
        self.rows = self.rows[::2]
        self.row_ns *= 2
        halved: dict[tuple[int, int], int] = {}
        for (index, worker), most in self._open_max.items():
            key = (index // 2, worker)
            halved[key] = max(halved.get(key, 0), most)
        self._open_max = halved


def _sum_of(delta: Delta, metric: str) -> Histogram | None:
    found = [part.latency[metric] for part in delta.parts.values() if metric in part.latency]
    if not found:
        return None
    total = found[0].copy()
    for histogram in found[1:]:
        total.merge(histogram)
    return total
