"""Deltas of all workers -> totals, recent past and timeline. Merging is addition; percentiles are never averaged."""

from collections.abc import Iterable
from functools import cached_property
from typing import Self

import msgspec

from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import (
    LABELS,
    MAX_FIELDS,
    MAX_SAMPLES_PER_CLASS,
    MAX_SIGNS,
    Counters,
    Delta,
    ErrorSample,
    Part,
    Phase,
    RateLimit,
    Window,
    add_counts,
    consecutive,
    key_of,
    merge_histograms,
    merge_rate_limits,
    task_of,
    window_of,
    without_bystander,
)
from llmstress.engine.telemetry.metrics import CHARTED
from llmstress.engine.telemetry.sums import Sums
from llmstress.engine.telemetry.timeline import (
    EARLIER_NS,
    FINE_S,
    MAX_ROWS,
    RECENT_S,
    SLOT_NS,
    Recent,
    Row,
    WorkerRecent,
)

WINDOWS = consecutive([(phase, LABELS[phase], None if phase else 0) for phase in Phase])
"""Those of a run of which no times are known: one of each kind."""

MAX_NOTICES = 1000
"""Notices kept; the oldest are dropped first."""


class Notice(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A line of the log: something that happened at `t` (ns after T0; 0 before T0).

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
    """Deltas that never arrived, by their sequence numbers."""
    merged: int = 0
    cpu_ns: int = 0
    steady_cpu_ns: int = 0
    steady_events: int = 0
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)
    """Of the steady windows, as `steady_cpu_ns` and `steady_events`."""
    unfinished: dict[int, int] = msgspec.field(default_factory=dict)
    """Task -> requests that have started and not ended, as far as they were reported."""
    waiting: int = 0
    """Requests that have arrived and wait for a stream, as last reported."""


class Aggregate(msgspec.Struct, array_like=True, dict=True):
    """Everything measured so far over all workers: plain data, which can be sent as it is.

    Sums over windows or tasks may be a `Part` of the aggregate itself (if only one was to be summed) and must not be
    changed. None contains a part of `apart`.
    """

    workers: list[WorkerState]
    row_ns: int
    """Step of the timeline."""
    windows: tuple[Window, ...] = WINDOWS
    parts: dict[int, Part] = msgspec.field(default_factory=dict)
    """Window and task (`key_of`) -> what happened to the requests of the task in the window. The histograms of earlier
    windows are packed; the methods that sum parts give them unpacked."""
    samples: dict[str, list[ErrorSample]] = msgspec.field(default_factory=dict)
    last_seen: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of a request's end -> when it was last reported (ns after T0)."""
    rows: list[Row] = msgspec.field(default_factory=list)
    recent: list[Recent] = msgspec.field(default_factory=list)
    """The last `FINE_S` seconds."""
    notices: list[Notice] = msgspec.field(default_factory=list)
    window: int = 0
    """Index of the latest window that a worker has reported."""
    window_began: dict[int, int] = msgspec.field(default_factory=dict)
    """Index of a window -> when it was first reported (ns after T0)."""
    peak: int = 0
    elapsed_ns: int = 0
    row_open: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    """(row, worker) -> most requests in flight within it."""
    signs: list[str] = msgspec.field(default_factory=list)
    """Response headers that identify a gateway."""
    rate_limits: dict[str, RateLimit] = msgspec.field(default_factory=dict)
    """Kind (requests, tokens, ...) -> what the server has said about it."""
    fatal: dict[str, ErrorSample] = msgspec.field(default_factory=dict)
    """Its meaning for the run (`end`, `end-first`) -> the first failure of this meaning."""
    earlier: list[Recent] = msgspec.field(default_factory=list)
    """The time before `recent`, back to `RECENT_S`, in longer slots."""
    fields: list[str] = msgspec.field(default_factory=list)
    """Names of fields that the API module doesn't know and whose text was counted as reasoning."""
    waiting_max: int = 0
    """Most requests that waited for a stream, summed over the workers' own maxima within a report."""
    apart: dict[int, Part] = msgspec.field(default_factory=dict)
    """The bystander's parts: key -> what happened to its requests. They are in no other field."""

    @classmethod
    def over(
        cls, streams_per_worker: list[int], row_ns: int = 1_000_000_000, windows: tuple[Window, ...] = WINDOWS
    ) -> Self:
        """An empty one.

        Args:
            streams_per_worker: the number of streams of each worker.
            row_ns: initial step of the timeline, best a multiple of the interval of deltas.
            windows: those of the run.
        """
        workers = [WorkerState(index, streams) for index, streams in enumerate(streams_per_worker)]
        return cls(workers, row_ns, windows, {key_of(window.index): Part() for window in windows})

    # --- by window and task

    @property
    def phase(self) -> Phase:
        """The kind of the window that lasts."""
        return self.kind_of(self.window)

    def kind_of(self, window: int) -> Phase:
        """The kind of a window. An index beyond the last one counts as the last: a damaged record may hold it."""
        return self.windows[min(window, len(self.windows) - 1)].kind

    def began(self, kind: Phase) -> int | None:
        """When the first window of this kind was first reported (ns after T0); None: none was."""
        found = [t for window, t in self.window_began.items() if self.kind_of(window) is kind]
        return min(found, default=None)

    def part(self, window: int, task: int = 0) -> Part:
        """What happened to the requests of a task in a window."""
        return (self.parts.get(key_of(window, task)) or Part()).unpacked()

    @property
    def steady(self) -> Part:
        """The sum over the steady windows and all tasks: what the summary's figures are made of."""
        return self._sums.of_steady_windows

    @property
    def whole(self) -> Part:
        """The sum over all windows and tasks, without latencies."""
        return sum_of(self._sums.kinds.values())

    def of_kind(self, *kinds: Phase) -> Part:
        """The sum over the windows of these kinds, or over all windows, and all tasks."""
        return sum_of(part for key, part in self.parts.items() if self._is_of(key, kinds))

    def of_task(self, task: int, *kinds: Phase) -> Part:
        """The sum of a task over the windows of these kinds, or over all windows."""
        return sum_of(part for key, part in self.parts.items() if task_of(key) == task and self._is_of(key, kinds))

    def of_window(self, window: int) -> Part:
        """The sum of a window over all tasks."""
        return sum_of(self.parts_of_window(window))

    def parts_of_window(self, window: int) -> list[Part]:
        """What happened to the requests of each task in a window. Histograms may be packed."""
        keys = [key_of(window, task) for task in sorted(self._sums.tasks)]
        return [self.parts[key] for key in keys if key in self.parts]

    def counters(self, *kinds: Phase) -> Counters:
        """The counters of the windows of these kinds, or of the whole run."""
        total = Counters()
        for kind in kinds or Phase:
            total.add(self._sums.kinds[kind].counters)
        return total

    def ended(self, *kinds: Phase) -> dict[str, int]:
        """Class of a request's end -> how many, in the windows of these kinds or in the whole run."""
        total: dict[str, int] = {}
        for kind in kinds or Phase:
            add_counts(total, self._sums.kinds[kind].ended)
        return total

    def retried(self) -> dict[str, int]:
        """Class of a failure after which a request was sent again -> how many, in the whole run."""
        return self.whole.retried

    def finished(self) -> int:
        """Requests of the whole run that have ended, the cancelled ones excepted."""
        return sum(n for outcome, n in self.ended().items() if outcome != "cancelled")

    def bystander(self, *kinds: Phase) -> Part:
        """The sum of the bystander over the windows of these kinds, or over all windows."""
        return sum_of(part for key, part in self.apart.items() if self._is_of(key, kinds))

    def measured(self) -> int:
        """As `finished`, since the first steady window began: what `--requests` counts."""
        first = min((window.index for window in self.windows if window.kind is Phase.STEADY), default=0)
        return sum(
            n
            for key, part in self.parts.items()
            if window_of(key) >= first
            for outcome, n in part.ended.items()
            if outcome != "cancelled"
        )

    def failed(self) -> int:
        """Failed requests of the whole run."""
        return sum(n for outcome, n in self.ended().items() if outcome not in NOT_FAILED)

    @property
    def metrics(self) -> set[str]:
        """Latencies of which there is a sample in any window, or has been one before its request failed."""
        return self._sums.metrics

    def set_windows(self, windows: tuple[Window, ...]) -> None:
        """The windows are known better, or there are more of them."""
        before = {key: self.kind_of(window_of(key)) for key in self.parts}
        self.windows = windows
        for key, kind in before.items():
            now = self.kind_of(window_of(key))
            if now is not kind and (Phase.STEADY in (kind, now) or self.parts[key] != Part()):
                self.forget_sums()

    def correct(self, key: int, part: Part) -> None:
        """A part is this one: counts and bins are the same, extremes of histograms may be others."""
        mine = self.parts.get(key)
        if mine is None:
            self.parts[key] = part
            self.forget_sums()
        else:
            for name in part.__struct_fields__:
                setattr(mine, name, getattr(part, name))
            self._sums.limit()

    def forget_sums(self) -> None:
        """Parts have been changed other than by `merge` and `lose`."""
        self.__dict__.pop("_sums", None)

    @cached_property
    def _sums(self) -> Sums:
        sums = Sums()
        for key, part in self.parts.items():
            sums.enter(key, self.kind_of(window_of(key)), part)
        return sums

    def _is_of(self, key: int, kinds: tuple[Phase, ...]) -> bool:
        return not kinds or self.kind_of(window_of(key)) in kinds

    # --- over the whole run

    @property
    def open(self) -> int:
        """Requests in flight, as last reported."""
        return sum(worker.open for worker in self.workers if worker.state == "running")

    @property
    def waiting(self) -> int:
        """Requests that have arrived and wait for a stream, as last reported."""
        return sum(worker.waiting for worker in self.workers if worker.state == "running")

    @property
    def whole_answers(self) -> bool:
        """There are answers, and none was streamed: there are no first tokens and no gaps."""
        parts = self.parts.values()
        seen = any(part.counters.events or "ttft" in part.latency for part in parts)
        return not seen and any("ok" in part.ended for part in parts)

    def merge(self, delta: Delta) -> None:
        """Take in one delta."""
        parts, apart = without_bystander(delta.parts)
        if apart:
            delta = msgspec.structs.replace(delta, parts=parts)
        self._merge_worker(delta)
        for key, part in parts.items():
            self._add(key, part)
        for key, part in apart.items():
            mine = self.apart.setdefault(key, Part())
            mine.add(part)
            mine.settle()
            mine.bound()
        for sample in delta.samples:
            self._keep(sample)
        self.signs = list(dict.fromkeys([*self.signs, *delta.signs]))[:MAX_SIGNS]
        self.fields = list(dict.fromkeys([*self.fields, *delta.fields]))[:MAX_FIELDS]
        merge_rate_limits(self.rate_limits, delta.rate_limits)
        self.fatal = delta.fatal | self.fatal
        self._merge_live(delta)

    def lose(self, worker: int, reason: str) -> None:
        """A worker has died: what it had in flight, as far as it had reported it, is lost."""
        state = self.workers[worker]
        state.state, state.reason = "lost", reason
        state.open = 0
        lost = {task: n for task, n in state.unfinished.items() if n}
        for task, n in lost.items():
            self._add(key_of(self.window, task), Part(ended={"lost": n}))
        if lost:
            self._keep(ErrorSample("lost", 0, f"worker {worker}: {reason}", ""))

    def _add(self, key: int, part: Part) -> None:
        """Add a part to the one of the same window and task, and to the sums."""
        sums, kind = self._sums, self.kind_of(window_of(key))  # the sums before anything is added to them
        mine = self.parts.get(key)
        if mine is None:
            mine = self.parts[key] = Part()
            sums.enter(key, kind, mine)
        mine.add(part)
        taken = mine.settle()
        mine.bound()
        sums.add(kind, msgspec.structs.replace(part, finish=mine.known_reasons(part.finish)), taken)

    def _pack(self) -> None:
        """Keep windows that are over in little memory; a failure may still take samples out of the last one."""
        for key, part in self.parts.items():
            if window_of(key) < self.window - 1:
                part.pack()

    def note(self, notice: Notice) -> None:
        """Keep a line of the log."""
        self.notices.append(notice)
        del self.notices[:-MAX_NOTICES]

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
        worker.waiting = delta.waiting
        self.waiting_max = max(
            self.waiting_max, delta.waiting_max + sum(each.waiting for each in self.workers if each is not worker)
        )
        worker.rss = delta.rss
        worker.rss_peak = max(worker.rss_peak, delta.rss)
        for key, part in delta.parts.items():
            task, more = task_of(key), part.counters.started - sum(part.ended.values())
            worker.unfinished[task] = worker.unfinished.get(task, 0) + more
            worker.cpu_ns += part.counters.cpu_ns
            if self.kind_of(window_of(key)) is Phase.STEADY:
                worker.steady_cpu_ns += part.counters.cpu_ns
                worker.steady_events += part.counters.events
                if "loop_lag" in part.latency:
                    worker.loop_lag.merge(part.latency["loop_lag"])

    def _merge_live(self, delta: Delta) -> None:
        if delta.window > self.window:
            self.window = delta.window
            self._pack()
        self.window_began.setdefault(self.window, delta.t_to)
        self.elapsed_ns = max(self.elapsed_ns, delta.t_to)
        part = sum_of(delta.parts.values())
        counters, ended, latency = part.counters, part.ended, part.latency
        self.last_seen.update(dict.fromkeys((*ended, *part.retried), delta.t_to))
        requests = sum(ended.values())
        failed_by = {outcome: n for outcome, n in ended.items() if n and outcome not in NOT_FAILED}
        slot = self._slot_of(delta)
        slot.count(part, failed_by)
        worker = slot.workers.get(delta.worker)
        if worker is None:
            worker = slot.workers[delta.worker] = WorkerRecent(delta.t_from, delta.t_to)
        worker.t_to = delta.t_to
        worker.events += counters.events
        worker.cpu_ns += counters.cpu_ns
        if "loop_lag" in latency:
            worker.loop_lag.merge(latency["loop_lag"])
        index = self._row_of((delta.t_from + delta.t_to) // 2)
        row = self.rows[index]
        row.window = _most_eventful(delta)
        row.requests += requests
        row.failed += sum(failed_by.values())
        row.events += counters.events
        row.good += counters.slo_met
        row.started += counters.started
        row.due += counters.due
        shown = "e2e" if self.whole_answers else "ttft"
        if shown in latency:
            row.latency.merge(latency[shown])
        add_counts(row.failed_by, failed_by)
        merge_histograms(row.more, {name: latency[name].coarse() for name in CHARTED if name in latency})
        # the open streams of a row: the most of each worker in it, summed
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


def sum_of(parts: Iterable[Part]) -> Part:
    """All `parts` together, unpacked; a single one itself, so it must not be changed."""
    found = list(parts)
    if len(found) == 1:
        return found[0].unpacked()
    total = Part()
    for part in found:
        total.add(part)
    return total.unpacked()


def _most_eventful(delta: Delta) -> int:
    """The window that most events of a delta belong to: one that ends at a window's edge names the next one already."""
    events: dict[int, int] = {}
    for key, part in delta.parts.items():
        window = window_of(key)
        events[window] = events.get(window, 0) + part.counters.events
    return max(events, key=lambda window: events[window], default=delta.window)
