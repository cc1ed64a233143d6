"""The steps of the timeline and of the recent past: what all workers did in a stretch of time."""

import msgspec

from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Part, add_counts, merge_histograms

MAX_ROWS = 1024
"""Rows of the timeline: when it is full, neighbouring rows are merged and the step doubles."""

RECENT_S = 60
"""How far back the live figures can look, in seconds."""

FINE_S = 10
"""The last 10 s are kept in slots of `SLOT_NS`; older ones are merged into slots of `EARLIER_NS`."""

SLOT_NS = 250_000_000
"""Deltas that end within the same slot are one step of the recent past, over all workers."""

EARLIER_NS = 2_500_000_000
"""Length of the slots in `Aggregate.earlier`, a multiple of `SLOT_NS`."""


class Row(msgspec.Struct, array_like=True):
    """One step of the timeline."""

    window: int = 0
    """Index of the window that it belongs to."""
    open: int = 0
    requests: int = 0
    events: int = 0
    failed: int = 0
    latency: Histogram = msgspec.field(default_factory=Histogram)
    """TTFT; e2e as long as all answers were whole ones."""
    failed_by: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of failure -> how many; the sum is `failed`."""
    more: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """Metric of `CHARTED` -> its samples in coarse bins as they came: those of requests that failed later are
    included."""
    good: int = 0
    """Requests that ended ok and met every SLO."""
    started: int = 0
    """Requests that began."""
    due: int = 0
    """Requests that arrived (open model)."""

    def absorb(self, later: "Row") -> None:
        """Merge the following row into this one."""
        self.window = later.window
        self.open = max(self.open, later.open)
        self.requests += later.requests
        self.events += later.events
        self.failed += later.failed
        self.latency.merge(later.latency)
        add_counts(self.failed_by, later.failed_by)
        merge_histograms(self.more, later.more)
        self.good += later.good
        self.started += later.started
        self.due += later.due


class WorkerRecent(msgspec.Struct, array_like=True):
    """What one worker did in a slot."""

    t_from: int
    t_to: int
    events: int = 0
    cpu_ns: int = 0
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)

    def absorb(self, other: "WorkerRecent") -> None:
        """Merge another slot of the same worker into this one, its lag in coarse bins to bound the memory of many
        workers."""
        self.t_from, self.t_to = min(self.t_from, other.t_from), max(self.t_to, other.t_to)
        self.events += other.events
        self.cpu_ns += other.cpu_ns
        self.loop_lag.merge(other.loop_lag.coarse())


class Recent(msgspec.Struct, array_like=True):
    """One slot of the recent past, summed over all workers, windows and tasks."""

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
    started: int = 0
    due: int = 0
    """Requests that arrived (open model)."""
    slo_met: int = 0
    slo_unknown: int = 0
    good_output: int = 0
    missed: dict[str, int] = msgspec.field(default_factory=dict)
    """Text of an SLO -> how many ok requests missed it."""

    def count(self, part: Part, failed_by: dict[str, int]) -> None:
        """Add what a worker has sent, over all windows and tasks; `failed_by`: class of failure -> how many."""
        counters = part.counters
        self.ok += part.ended.get("ok", 0)
        self.finished += sum(part.ended.values()) - part.ended.get("cancelled", 0)
        self.failed += sum(failed_by.values())
        add_counts(self.failed_by, failed_by)
        self.events += counters.events
        self.output += counters.output
        self.inputs += counters.inputs
        self.started += counters.started
        self.due += counters.due
        self.slo_met += counters.slo_met
        self.slo_unknown += counters.slo_unknown
        self.good_output += counters.good_output
        add_counts(self.missed, part.missed)
        merge_histograms(self.latency, part.latency)

    def absorb(self, other: "Recent") -> None:
        """Merge another slot into this one."""
        self.t_from, self.t_to = min(self.t_from, other.t_from), max(self.t_to, other.t_to)
        self.ok += other.ok
        self.finished += other.finished
        self.failed += other.failed
        self.events += other.events
        self.output += other.output
        self.inputs += other.inputs
        self.started += other.started
        self.due += other.due
        add_counts(self.failed_by, other.failed_by)
        merge_histograms(self.latency, other.latency)
        self.slo_met += other.slo_met
        self.slo_unknown += other.slo_unknown
        self.good_output += other.good_output
        add_counts(self.missed, other.missed)
        for number, worker in other.workers.items():
            mine = self.workers.setdefault(number, WorkerRecent(worker.t_from, worker.t_to))
            mine.absorb(worker)
