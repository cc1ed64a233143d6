"""Deltas of all workers -> totals, recent past and timeline. Merging is addition; percentiles are never averaged."""

from typing import Self

import msgspec

from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import (
    MAX_FIELDS,
    MAX_SAMPLES_PER_CLASS,
    MAX_SIGNS,
    Counters,
    Delta,
    ErrorSample,
    Part,
    Phase,
    RateLimit,
    add_counts,
    merge_histograms,
    merge_rate_limits,
)
from llmstress.engine.telemetry.metrics import CHARTED

MAX_ROWS = 1024
"""Rows of the timeline: when it is full, neighbours merge and the step doubles."""

MAX_NOTICES = 1000
"""Notices kept; the oldest go first."""

RECENT_S = 60
"""How far back the live figures can look, in seconds."""

FINE_S = 10
"""The last so many seconds are kept in slots of `SLOT_NS`; what is older is merged into slots of `EARLIER_NS`."""

SLOT_NS = 250_000_000
"""Deltas that end within the same slot are one step of the recent past, whichever worker they are of."""

EARLIER_NS = 2_500_000_000
"""Length of the slots in `Aggregate.earlier`, a multiple of `SLOT_NS`."""


class Notice(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Something that happened at `t` (ns after T0; 0 before): a line of the log.

    `kind` is phase, warning, load (the load was changed while it ran), end or note.
    """

    t: int
    kind: str
    text: str


class WorkerState(msgspec.Struct, array_like=True):
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
    rss: int = 0
    open: int = 0
    deltas: int = 0
    gaps: int = 0
    """Deltas that never came, by their sequence numbers."""
    merged: int = 0
    cpu_ns: int = 0
    steady_cpu_ns: int = 0
    steady_events: int = 0
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)
    """Of the steady window."""
    started: int = 0
    ended: int = 0


class Row(msgspec.Struct, array_like=True):
    """One step of the timeline."""

    phase: int = 0
    open: int = 0
    requests: int = 0
    events: int = 0
    failed: int = 0
    latency: Histogram = msgspec.field(default_factory=Histogram)
    """TTFT; e2e as long as there are only whole answers."""
    failed_by: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of failure -> how many; the sum is `failed`."""
    more: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """Metric of `CHARTED` -> its samples in coarse bins, as they were seen live: those of requests that failed later
    are among them."""

    def absorb(self, later: "Row") -> None:
        """Merge the following row into this one."""
        self.phase = later.phase
        self.open = max(self.open, later.open)
        self.requests += later.requests
        self.events += later.events
        self.failed += later.failed
        self.latency.merge(later.latency)
        add_counts(self.failed_by, later.failed_by)
        merge_histograms(self.more, later.more)


class WorkerRecent(msgspec.Struct, array_like=True):
    """What one worker did within a slot."""

    t_from: int
    t_to: int
    events: int = 0
    cpu_ns: int = 0
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)

    def absorb(self, other: "WorkerRecent") -> None:
        """Merge another slot of the same worker into this one, its lag in coarse bins: many workers have many bins."""
        self.t_from, self.t_to = min(self.t_from, other.t_from), max(self.t_to, other.t_to)
        self.events += other.events
        self.cpu_ns += other.cpu_ns
        self.loop_lag.merge(other.loop_lag.coarse())


class Recent(msgspec.Struct, array_like=True):
    """One slot of the recent past, all workers together."""

    slot: int
    t_from: int
    t_to: int
    ok: int = 0
    finished: int = 0
    failed: int = 0
    events: int = 0
    output: int = 0
    latency: dict[str, Histogram] = msgspec.field(default_factory=dict)
    workers: dict[int, WorkerRecent] = msgspec.field(default_factory=dict)
    inputs: int = 0
    failed_by: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of failure -> how many; the sum is `failed`."""

    def absorb(self, other: "Recent") -> None:
        """Merge another slot into this one."""
        self.t_from, self.t_to = min(self.t_from, other.t_from), max(self.t_to, other.t_to)
        self.ok += other.ok
        self.finished += other.finished
        self.failed += other.failed
        self.events += other.events
        self.output += other.output
        self.inputs += other.inputs
        add_counts(self.failed_by, other.failed_by)
        merge_histograms(self.latency, other.latency)
        for number, worker in other.workers.items():
            mine = self.workers.setdefault(number, WorkerRecent(worker.t_from, worker.t_to))
            mine.absorb(worker)


class Aggregate(msgspec.Struct, array_like=True):
    """Everything measured so far, over all workers: plain data, which can be sent as it is."""

    workers: list[WorkerState]
    row_ns: int
    """Step of the timeline."""
    phases: dict[int, Part] = msgspec.field(default_factory=lambda: {int(phase): Part() for phase in Phase})
    samples: dict[str, list[ErrorSample]] = msgspec.field(default_factory=dict)
    last_seen: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of a request's end -> when it was last reported (ns after T0)."""
    rows: list[Row] = msgspec.field(default_factory=list)
    recent: list[Recent] = msgspec.field(default_factory=list)
    """The last `FINE_S` seconds."""
    notices: list[Notice] = msgspec.field(default_factory=list)
    phase: Phase = Phase.RAMP
    phase_began: dict[int, int] = msgspec.field(default_factory=dict)
    """Phase -> when it was first reported (ns after T0)."""
    peak: int = 0
    elapsed_ns: int = 0
    row_open: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    """(row, worker) -> most requests in flight within it."""
    signs: list[str] = msgspec.field(default_factory=list)
    """Headers of answers by which a gateway can be told."""
    rate_limits: dict[str, RateLimit] = msgspec.field(default_factory=dict)
    """Kind (requests, tokens, ...) -> what the server says of it."""
    grave: dict[str, ErrorSample] = msgspec.field(default_factory=dict)
    """What it means for the run (`end`, `end-first`) -> the first failure that means it."""
    earlier: list[Recent] = msgspec.field(default_factory=list)
    """What came before `recent`, back to `RECENT_S`, in longer slots."""
    fields: list[str] = msgspec.field(default_factory=list)
    """Names of fields that the API module doesn't know and whose text was counted as reasoning."""

    @classmethod
    def over(cls, streams_per_worker: list[int], row_ns: int = 1_000_000_000) -> Self:
        """An empty one; `row_ns`: step of the timeline to begin with, best a multiple of the interval of deltas."""
        return cls([WorkerState(index, streams) for index, streams in enumerate(streams_per_worker)], row_ns)

    @property
    def steady(self) -> Part:
        """What happened in the steady window: what the summary's figures are made of."""
        return self.phases[Phase.STEADY]

    @property
    def open(self) -> int:
        """Requests in flight, as last reported."""
        return sum(worker.open for worker in self.workers if worker.state == "running")

    @property
    def whole_answers(self) -> bool:
        """There are answers, and none has come as a stream: nothing is known of first tokens and of gaps."""
        parts = self.phases.values()
        seen = any(part.counters.events or "ttft" in part.latency for part in parts)
        return not seen and any("ok" in part.ended for part in parts)

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
        self.signs = list(dict.fromkeys([*self.signs, *delta.signs]))[:MAX_SIGNS]
        self.fields = list(dict.fromkeys([*self.fields, *delta.fields]))[:MAX_FIELDS]
        merge_rate_limits(self.rate_limits, delta.rate_limits)
        self.grave = delta.grave | self.grave
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

    def note(self, notice: Notice) -> None:
        """Keep a line of the log."""
        self.notices.append(notice)
        del self.notices[:-MAX_NOTICES]

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

    def retried(self) -> dict[str, int]:
        """Class of a failure after which a request was sent again -> how many, over the whole run."""
        total: dict[str, int] = {}
        for part in self.phases.values():
            for outcome, n in part.retried.items():
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
        worker.rss = delta.rss
        worker.rss_peak = max(worker.rss_peak, delta.rss)
        for phase, part in delta.parts.items():
            worker.started += part.counters.started
            worker.ended += sum(part.ended.values())
            worker.cpu_ns += part.counters.cpu_ns
            if phase == Phase.STEADY:
                worker.steady_cpu_ns += part.counters.cpu_ns
                worker.steady_events += part.counters.events
                if "loop_lag" in part.latency:
                    worker.loop_lag.merge(part.latency["loop_lag"])

    def _merge_live(self, delta: Delta) -> None:
        self.phase = max(self.phase, delta.phase)
        self.phase_began.setdefault(int(self.phase), delta.t_to)
        self.elapsed_ns = max(self.elapsed_ns, delta.t_to)
        latency = _sum_of_parts(delta)
        ended: dict[str, int] = {}
        for part in delta.parts.values():
            for outcome, n in part.ended.items():
                ended[outcome] = ended.get(outcome, 0) + n
        for outcome in (*ended, *(outcome for part in delta.parts.values() for outcome in part.retried)):
            self.last_seen[outcome] = delta.t_to
        requests = sum(ended.values())
        failed_by = {outcome: n for outcome, n in ended.items() if n and outcome not in NOT_FAILED}
        failed = sum(failed_by.values())
        events = sum(part.counters.events for part in delta.parts.values())
        slot = self._slot_of(delta)
        slot.ok += ended.get("ok", 0)
        slot.finished += requests - ended.get("cancelled", 0)
        slot.failed += failed
        add_counts(slot.failed_by, failed_by)
        slot.events += events
        slot.output += sum(part.counters.output for part in delta.parts.values())
        slot.inputs += sum(part.counters.inputs for part in delta.parts.values())
        merge_histograms(slot.latency, latency)
        worker = slot.workers.get(delta.worker)
        if worker is None:
            worker = slot.workers[delta.worker] = WorkerRecent(delta.t_from, delta.t_to)
        worker.t_to = delta.t_to
        worker.events += events
        worker.cpu_ns += sum(part.counters.cpu_ns for part in delta.parts.values())
        if "loop_lag" in latency:
            worker.loop_lag.merge(latency["loop_lag"])
        index = self._row_of((delta.t_from + delta.t_to) // 2)
        row = self.rows[index]
        # the phase that most of it belongs to: the delta that ends at a phase's edge already carries the next one
        row.phase = max(delta.parts, key=lambda phase: delta.parts[phase].counters.events, default=delta.phase)
        row.requests += requests
        row.failed += failed
        row.events += events
        shown = "e2e" if self.whole_answers else "ttft"
        if shown in latency:
            row.latency.merge(latency[shown])
        add_counts(row.failed_by, failed_by)
        merge_histograms(row.more, {name: latency[name].coarse() for name in CHARTED if name in latency})
        # the open streams of a row: each worker's most within it, summed
        key = (index, delta.worker)
        self.row_open[key] = max(self.row_open.get(key, 0), delta.open_max)
        row.open = sum(self.row_open.get((index, worker.worker), 0) for worker in self.workers)
        self.peak = max(self.peak, row.open)

    def _slot_of(self, delta: Delta) -> Recent:
        number = delta.t_to // SLOT_NS
        oldest = (self.elapsed_ns - FINE_S * 1_000_000_000) // SLOT_NS
        while self.recent and self.recent[0].slot < oldest:
            self._put_earlier(self.recent.pop(0))
        for slot in reversed(self.recent):
            if slot.slot == number:
                slot.t_from, slot.t_to = min(slot.t_from, delta.t_from), max(slot.t_to, delta.t_to)
                return slot
        self.recent.append(Recent(number, delta.t_from, delta.t_to))
        return self.recent[-1]

    def _put_earlier(self, slot: Recent) -> None:
        """Merge a slot that is no longer recent into a longer one, and forget what is older than `RECENT_S`."""
        per_slot = EARLIER_NS // SLOT_NS
        for long in reversed(self.earlier):
            if long.slot // per_slot == slot.slot // per_slot:
                long.absorb(slot)
                break
        else:
            self.earlier.append(slot)
        since = self.elapsed_ns - RECENT_S * 1_000_000_000
        while self.earlier and self.earlier[0].t_to <= since:
            self.earlier.pop(0)

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
        for (index, worker), most in self.row_open.items():
            key = (index // 2, worker)
            halved[key] = max(halved.get(key, 0), most)
        self.row_open = halved


def _sum_of_parts(delta: Delta) -> dict[str, Histogram]:
    """The latencies of all phases together; not to be changed, they may be the delta's own."""
    parts = [part.latency for part in delta.parts.values()]
    if len(parts) == 1:
        return parts[0]
    total: dict[str, Histogram] = {}
    for latency in parts:
        merge_histograms(total, latency)
    return total
