"""What one process measures, cut into deltas: the samples of its tasks, its own health, and what servers say besides.

A task is one kind of request, with a number from 0. CPU time, load of the host and loop lag belong to the process; they
are recorded in the parts of task 0, so that sums over tasks count them once.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from llmstress.engine.health.lag import HostTimes
from llmstress.engine.http.gateway import signs_of, tried_again
from llmstress.engine.http.ratelimits import limits_in
from llmstress.engine.http.response import Head
from llmstress.engine.stream.progress import Progress
from llmstress.engine.stream.samples import EDGE, Ended, Samples
from llmstress.engine.telemetry.messages import (
    MAX_FIELDS,
    MAX_SAMPLES_PER_CLASS,
    MAX_SIGN,
    MAX_SIGNS,
    Delta,
    ErrorSample,
    RateLimit,
    Window,
    key_of,
    merge_rate_limits,
)

MOST_NAMES = 1000
"""Names of requests that have statistics of their own, in each worker."""

OTHER_NAMES = "(other names)"


class Recorder:
    """Collects what happened in this process since the last delta."""

    def __init__(
        self,
        worker: int,
        clock: Callable[[], int] = time.monotonic_ns,
        host: Callable[[], HostTimes] = lambda: HostTimes(0, 0, 0),
    ) -> None:
        """`host` reads the CPU times of the machine; only one worker of a run passes it."""
        self.progress = Progress()
        self.corrected_late: dict[int, int] = {}
        """See `Delta`."""
        self._tasks: dict[int, Samples] = {}
        self._own = self.samples(0)
        self._worker = worker
        self._clock = clock
        self._host = host
        self._host_before = HostTimes(0, 0, 0)
        self._t0 = 0
        self._error_samples: list[ErrorSample] = []
        self._sampled: dict[str, list[str]] = {}
        self._signs: dict[str, str] = {}  # as the server has it -> as it is shown
        self._fatal: dict[str, ErrorSample] = {}
        self._fatal_reported: set[str] = set()
        self._rate_limits: dict[str, RateLimit] = {}
        self._seq = 0
        self._merged = 0
        self._cut_at = 0
        self._cpu_ns = 0
        self._steady_ns = self._drain_ns = 0
        self._in_flight: Callable[[], Iterable[Ended]] = tuple
        self._first_named = 0
        self._named: dict[tuple[str, str], int] = {}

    def begin(self, t0: int, windows: Sequence[Window], in_flight: Callable[[], Iterable[Ended]]) -> None:
        """The run starts at stamp `t0`; `windows` as `schedule.windows` gives them; `in_flight` gives the requests
        whose gap logs are to be marked when a window begins."""
        self._t0 = t0
        self._in_flight = in_flight
        self._cpu_ns = time.process_time_ns()
        self._host_before = self._host()
        self._cut_at = t0
        self._count_process()
        self.progress.begin(t0, windows)

    # --- what belongs to a task

    def samples(self, task: int) -> Samples:
        """Where the requests of a task record: one object for the whole run, so that it may be kept."""
        if task not in self._tasks:
            self._tasks[task] = Samples(task, self.progress)
        return self._tasks[task]

    def name_from(self, number: int) -> None:
        """The names that the code of users gives have this task number and those after it."""
        self._first_named = number

    def number_of(self, task: str, request: str) -> int:
        """The task number of a name; beyond `MOST_NAMES` of them, that of `OTHER_NAMES`."""
        name = task, request
        if name not in self._named and len(self._named) >= MOST_NAMES:
            name = task, OTHER_NAMES
        return self._first_named + self._named.setdefault(name, len(self._named))

    # --- windows

    @property
    def edge(self) -> int:
        """Stamps from this one on belong to a later window; every read is compared with it."""
        return self.progress.edge

    @property
    def open(self) -> int:
        """Requests of the load in flight."""
        return self.progress.open

    @property
    def answered(self) -> bool:
        """Whether any request of the load has ended ok."""
        return self.progress.answered

    @property
    def steady_has_begun(self) -> bool:
        """The first steady window has begun: from now on requests count towards `--requests`."""
        return self.progress.steady_has_begun

    def cross(self, stamp: int) -> None:
        """A stamp has reached `edge`: fold what was collected into the old window, then enter that of the stamp."""
        self.fold()
        self._count_process()
        self.progress.enter(stamp)
        for request in self._in_flight():
            if request.first_token:
                request.mark(EDGE + self.progress.window)

    def tick(self) -> None:
        """Fold, and enter a window that is due even if nothing was read since."""
        now = self._clock()
        if now >= self.progress.edge:
            self.cross(now)
        else:
            self.fold()

    def set_windows(self, windows: Sequence[Window]) -> None:
        """The windows are known better, or there are more of them; those that have begun stay as they are."""
        self.progress.set_windows(windows)

    def drain_from(self, stamp: int) -> None:
        """The drain begins at `stamp`, or has begun before."""
        self.progress.drain_from(stamp)
        if not self.progress.drains:
            self.cross(stamp)

    def finish(self, stamp: int) -> None:
        """The run has ended at `stamp`."""
        self.fold()
        self._count_host()
        self._steady_ns, self._drain_ns = self.progress.lengths(stamp)

    @property
    def steady_ns(self) -> int:
        """Length of the steady windows, once the run has ended."""
        return self._steady_ns

    @property
    def drain_ns(self) -> int:
        """Length of the drain, once the run has ended."""
        return self._drain_ns

    # --- the process

    def loop_lag(self, us: int) -> None:
        """The event loop served a timer `us` µs late: the error that a stamp can have."""
        self._own.loop_lag(us)

    def _count_process(self) -> None:
        self._count_cpu()
        self._count_host()  # at edges only: on a machine of many cores the kernel takes milliseconds to say it

    def _count_cpu(self) -> None:
        now = time.process_time_ns()
        self._own.counters.cpu_ns += now - self._cpu_ns
        self._cpu_ns = now

    def _count_host(self) -> None:
        counters = self._own.counters
        host, before = self._host(), self._host_before
        counters.host_ns += host.passed - before.passed
        counters.host_busy_ns += host.busy - before.busy
        counters.host_stolen_ns += host.stolen - before.stolen
        self._host_before = host

    # --- what servers say

    def note_rate_limits(self, headers: Mapping[str, str], now: int) -> None:
        """An answer whose head came at stamp `now` contains rate limits."""
        t = now - self._t0
        said = {
            each.kind: RateLimit(each.limit, each.remaining, each.remaining, t)
            for each in limits_in(headers)
            if each.remaining is not None
        }
        merge_rate_limits(self._rate_limits, said)

    def fatal(self, action: str, sample: ErrorSample) -> None:
        """A failure may end the run: the next delta reports the first one of each meaning."""
        if action not in self._fatal_reported:
            self._fatal_reported.add(action)
            self._fatal[action] = sample

    def keep_error_sample(self, sample: ErrorSample) -> None:
        """Keep an example of a failure: the first three distinct ones of a class."""
        kept = self._sampled.setdefault(sample.error, [])
        if len(kept) < MAX_SAMPLES_PER_CLASS and sample.text not in kept:
            kept.append(sample.text)
            self._error_samples.append(sample)

    def note_head(self, head: Head, clean: Callable[[str], str], task: int) -> None:
        """A head other than the `known_head` of the task has come: keep its signs of a gateway; `clean` takes secrets
        out of them."""
        samples = self.samples(task)
        if tried_again(head):
            samples.counters.tried_again += 1
        else:
            samples.known_head = head
        for sign in signs_of(head):
            if sign not in self._signs and len(self._signs) < MAX_SIGNS:
                self._signs[sign] = clean(sign)[:MAX_SIGN]

    # --- cutting

    def fold(self) -> None:
        """Turn what the hot path collected into histograms of the window that lasts."""
        for samples in self._tasks.values():
            samples.fold()

    def cut(self, now: int, rss: int) -> Delta:
        """Everything since the last delta that `sent` was called for."""
        self.fold()
        self._count_cpu()
        progress = self.progress
        return Delta(
            worker=self._worker,
            seq=self._seq,
            t_from=self._cut_at - self._t0,
            t_to=now - self._t0,
            window=progress.window,
            open=progress.open,
            open_max=progress.most_open,
            merged=self._merged,
            rss=rss,
            parts={
                key_of(window, task): part
                for task, samples in self._tasks.items()
                for window, part in samples.parts.items()
            },
            samples=self._error_samples,
            signs=list(dict.fromkeys(self._signs.values())),
            rate_limits=self._rate_limits,
            fatal=self._fatal,
            fields=list(dict.fromkeys(name for samples in self._tasks.values() for name in samples.fields))[
                :MAX_FIELDS
            ],
            waiting=progress.waiting,
            waiting_max=progress.most_waiting,
            named=list(self._named),
            corrected_late=dict(self.corrected_late),
        )

    def sent(self, delta: Delta) -> None:
        """The last cut is on its way: start the next delta empty."""
        self._seq += 1
        self._merged = 0
        self._cut_at = delta.t_to + self._t0
        for samples in self._tasks.values():
            samples.parts = {}
        self._error_samples = []
        self._rate_limits = {}
        self._fatal = {}
        self.progress.most_open = self.progress.open
        self.progress.most_waiting = self.progress.waiting

    def not_sent(self) -> None:
        """The last cut could not be sent: the next one will contain it."""
        self._merged += 1

    @property
    def deltas(self) -> int:
        """How many deltas have been sent."""
        return self._seq
