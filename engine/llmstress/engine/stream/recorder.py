"""What one process measures: counters and histograms by phase, cut into deltas.

The hot path only appends: an inter-token gap is one list append (42 ns), and `fold` turns whole lists into histogram
bins every few milliseconds (200 ns a value, in batches short enough not to be seen as loop lag). A sample belongs
to the phase of the stamp that completes it, so lists are folded exactly when a stamp crosses a phase edge.
"""

import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from llmstress.engine.health.lag import HostTimes
from llmstress.engine.http.gateway import signs_of, tried_again
from llmstress.engine.http.ratelimits import limits_in
from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.schedule import Edges
from llmstress.engine.stream.pace import Pace
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import (
    MAX_FIELDS,
    MAX_SAMPLES_PER_CLASS,
    MAX_SIGN,
    MAX_SIGNS,
    Counters,
    Delta,
    ErrorSample,
    Part,
    Phase,
    RateLimit,
    merge_rate_limits,
)
from llmstress.engine.telemetry.metrics import METRICS, MetricName

PLAIN_ANSWERS = 64
"""After so many answers in a row whose events are tokens, the text of events is wanted no more, until it is again.
Keeping it touches more memory for each event: with 4,000 streams that cost 6 % more CPU per event."""

NEVER = 1 << 63
"""A time that doesn't come (ns)."""

EDGE = 0xFFFF_FFF0
"""In a gap log everything from here up is no gap but the mark of a phase edge; its low bits name the new phase."""


class Ended(Protocol):
    """What a request leaves behind; stamps are monotonic nanoseconds, 0 where the moment never came."""

    due: int
    begun: int
    start: int
    opened: bool
    sent: int
    head_at: int
    first_token: int
    first_answer: int
    last_token: int
    end_at: int
    gaps: "array[int]"
    marks: int

    def mark(self, sign: int) -> None:
        """Append `sign` to `gaps` and count it in `marks`."""

    @property
    def unseen_at(self) -> int:
        """When its first token was there, at the latest, if no event bore its tokens; else 0."""

    def pace(self) -> Pace | None:
        """How long a token took after the first ones; None: none followed."""


class Recorder:
    """Counters and histograms of this process since the last cut."""

    def __init__(
        self,
        worker: int,
        clock: Callable[[], int] = time.monotonic_ns,
        host: Callable[[], HostTimes] = lambda: HostTimes(0, 0, 0),
    ) -> None:
        """`host` is what one of the workers knows of the machine."""
        self.edge = NEVER
        """The stamp from which on samples belong to the next phase; the hot path compares every read with it."""
        self.gaps: list[int] = []
        """Inter-token gaps in µs since the last fold; the same list for ever, so that its append can be kept."""
        self.known_head: Head | None = None
        """The last head of which there is nothing to count: the next answer with the very same needs no look at it.
        Heads of equal bytes are one object, so thousands of answers cost a comparison each."""
        self.keeps_texts = 1
        """Not 0: exchanges keep what the text of their events may be wanted for. Another number each time it begins."""
        self._plain = 0  # answers in a row whose text was not wanted
        self._texts_begun = 1
        self.phase = int(Phase.RAMP)
        self._phase_began = 0
        self.open = 0
        self.answered = False
        """Whether any answer was good."""
        self.steady_ns = 0
        self.drain_ns = 0
        self._worker = worker
        self._clock = clock
        self._host = host
        self._host_before = HostTimes(0, 0, 0)
        self._t0 = 0
        self._edges: list[int] = []
        self._collected: dict[MetricName, list[int]] = {metric.name: [] for metric in METRICS.values()}
        self._collected["itl"] = self.gaps
        self._firsts = 0
        self._parts: dict[int, Part] = {}
        self._open_max = 0
        self._samples: list[ErrorSample] = []
        self._sampled: dict[str, list[str]] = {}
        self._signs: dict[str, str] = {}  # as the server has it -> as it is shown
        self._fields: dict[str, None] = {}  # in the order in which they came
        self._grave: dict[str, ErrorSample] = {}
        self._grave_told: set[str] = set()
        self._rate_limits: dict[str, RateLimit] = {}
        self._seq = 0
        self._merged = 0
        self._cut_at = 0
        self._cpu_ns = 0
        self._in_flight: Callable[[], Iterable[Ended]] = tuple

    def begin(self, t0: int, edges: Edges, in_flight: Callable[[], Iterable["Ended"]]) -> None:
        """The run starts at stamp `t0`; `edges` as `schedule.phase_edges` gives them; `in_flight` gives the requests
        that are to be marked when a phase begins."""
        self._t0 = t0
        self._in_flight = in_flight
        warmup, steady, drain = edges
        self._edges = [t0 + warmup, *(NEVER if edge is None else t0 + edge for edge in (steady, drain))]
        self._cpu_ns = time.process_time_ns()
        self._host_before = self._host()
        self._cut_at = t0
        self._enter_due_phase(t0)

    # --- phases

    def phase_of(self, stamp: int) -> int:
        """The `Phase` in which a stamp lies, as a plain int: making it a member would cost 5 times as much."""
        return bisect_right(self._edges, stamp)

    def cross(self, stamp: int) -> None:
        """A stamp has reached `edge`: fold what was collected into the old phase, then enter the stamp's own."""
        self.fold()
        self._enter_due_phase(stamp)
        for request in self._in_flight():
            if request.first_token:
                request.mark(EDGE + self.phase)

    def tick(self) -> None:
        """Fold, and enter a phase that is due even if nothing was read since."""
        now = self._clock()
        if now >= self.edge:
            self.cross(now)
        else:
            self.fold()

    def steady_from(self, stamp: int, drain: int) -> None:
        """The warm-up, which had no end yet, ends at `stamp`, and the steady window at stamp `drain` or when told."""
        if self.phase <= Phase.WARMUP:
            self._edges = [min(self._edges[0], stamp), stamp, drain]
            self.edge = self._edges[self.phase]

    def drain_from(self, stamp: int) -> None:
        """The drain begins at `stamp`, or has begun before."""
        if stamp < self._edges[2]:
            self._edges = [min(edge, stamp) for edge in self._edges]
        if stamp >= self.edge or self.phase < Phase.DRAIN:
            self.cross(stamp)

    def finish(self, stamp: int) -> None:
        """The run has ended at `stamp`; notes how long window and drain were."""
        self.fold()
        self._count_host()
        _, steady, drain = self._edges
        self.steady_ns = max(0, min(drain, stamp) - steady)
        self.drain_ns = max(0, stamp - drain)

    def _enter_due_phase(self, stamp: int) -> None:
        self._count_cpu()
        self._count_host()  # here only: on a machine of many cores the kernel takes milliseconds to say it
        self.phase = self.phase_of(stamp)
        self._phase_began = self._edges[self.phase - 1] if self.phase else 0
        self.edge = self._edges[self.phase] if self.phase < Phase.DRAIN else NEVER

    def _count_cpu(self) -> None:
        now = time.process_time_ns()
        counters = self.part(self.phase).counters
        counters.cpu_ns += now - self._cpu_ns
        self._cpu_ns = now

    def _count_host(self) -> None:
        counters = self.part(self.phase).counters
        host, before = self._host(), self._host_before
        counters.host_ns += host.passed - before.passed
        counters.host_busy_ns += host.busy - before.busy
        counters.host_stolen_ns += host.stolen - before.stolen
        self._host_before = host

    # --- recording

    def part(self, phase: int) -> Part:
        """Where the samples and counts of a phase go."""
        part = self._parts.get(phase)
        if part is None:
            part = self._parts[phase] = Part()
        return part

    @property
    def counters(self) -> Counters:
        """The counters of the phase that lasts."""
        return self.part(self.phase).counters

    def started(self) -> None:
        """A request has started."""
        self.counters.started += 1
        self.open += 1
        if self.open > self._open_max:
            self._open_max = self.open

    def first_token(self, us: int, us_due: int) -> None:
        """The first token of a request came `us` after its start, and `us_due` after it was due."""
        self._collected["ttft"].append(us)
        self._collected["ttft_due"].append(us_due)

    def first_answer(self, us: int) -> None:
        """The first token that a user sees came `us` after the start of the request."""
        self._collected["ttfa"].append(us)

    def text_was_wanted(self, wanted: bool) -> None:
        """An answer has ended whose text was needed to say its time per token, or was not."""
        if wanted:
            self._plain = 0
            if not self.keeps_texts:
                self._texts_begun += 1
                self.keeps_texts = self._texts_begun
        elif self.keeps_texts:
            self._plain += 1
            if self._plain == PLAIN_ANSWERS:
                self.keeps_texts = 0

    def loop_lag(self, us: int) -> None:
        """The event loop served a timer `us` late: the error that a stamp can have."""
        self._collected["loop_lag"].append(us)

    def first_of_choice(self) -> None:
        """The first token event of a choice has come: an event that ends no gap."""
        self._firsts += 1

    def ended(self, request: Ended, end: End, now: int) -> Part:
        """A request has ended at stamp `now`: count its class and record the samples that its end completes.

        Gives the part that the end belongs to.
        """
        self.open -= 1
        part = self.part(self.phase_of(now))
        part.ended[end.outcome] = part.ended.get(end.outcome, 0) + 1
        at, gaps = request.end_at, len(request.gaps) - request.marks
        samples: list[_Sample] = [("queue", request.begun, request.begun - request.due), *_before_tokens(request)]
        if end.outcome == "ok":
            self.answered = True
            samples.append(("e2e", at, at - request.start))
            samples.append(("e2e_due", at, at - request.due))
            if gaps:
                largest = max(gap for gap in request.gaps if gap < EDGE) if request.marks else max(request.gaps)
                samples.append(("stall", at, largest * 1000))
            if unseen := request.unseen_at:
                samples.append(("ttft", unseen, unseen - request.start))
                samples.append(("ttft_due", unseen, unseen - request.due))
            if (pace := request.pace()) is not None:
                if pace.why:
                    part.add_undetermined(pace.why, pace.by_usage // 1000, pace.by_events // 1000)
                else:
                    samples.append(("tpot", at, pace.ns))
        if end.failed:
            self._retract(request)
            self._record_failed(samples)
        elif request.begun >= self._phase_began:
            for metric, _, nanoseconds in samples:
                self._collected[metric].append(nanoseconds // 1000)
        else:
            for metric, stamp, nanoseconds in samples:
                _histogram(self.part(self.phase_of(stamp)).latency, metric).record(nanoseconds // 1000)
        return part

    def retried(self, request: Ended, end: End, now: int) -> None:
        """An attempt has failed at stamp `now`, and the request will be sent again: it is still open."""
        retried = self.part(self.phase_of(now)).retried
        retried[end.outcome] = retried.get(end.outcome, 0) + 1
        self._record_failed(_before_tokens(request))

    def heard_limits(self, headers: Mapping[str, str], now: int) -> None:
        """An answer whose head came at stamp `now` speaks of rate limits."""
        t = now - self._t0
        said = {
            each.kind: RateLimit(each.limit, each.remaining, each.remaining, t)
            for each in limits_in(headers)
            if each.remaining is not None
        }
        merge_rate_limits(self._rate_limits, said)

    def grave(self, meaning: str, sample: ErrorSample) -> None:
        """A failure may end the run: the next delta tells the first one of each meaning."""
        if meaning not in self._grave_told:
            self._grave_told.add(meaning)
            self._grave[meaning] = sample

    def sample(self, sample: ErrorSample) -> None:
        """Keep an example of a failure: the first three distinct ones of a class."""
        kept = self._sampled.setdefault(sample.error, [])
        if len(kept) < MAX_SAMPLES_PER_CLASS and sample.text not in kept:
            kept.append(sample.text)
            self._samples.append(sample)

    def saw(self, head: Head, clean: Callable[[str], str]) -> None:
        """A head other than `known_head` has come: keep what it tells of a gateway; `clean` takes secrets out."""
        if tried_again(head):
            self.counters.tried_again += 1
        else:
            self.known_head = head
        for sign in signs_of(head):
            if sign not in self._signs and len(self._signs) < MAX_SIGNS:
                self._signs[sign] = clean(sign)[:MAX_SIGN]

    def saw_field(self, name: str) -> None:
        """A field of this name, which the API module doesn't know, had text that was counted as reasoning."""
        if len(self._fields) < MAX_FIELDS:
            self._fields[name] = None

    def _retract(self, request: Ended) -> None:
        """Move the samples that were shown live to the failed set, each in the phase that it was recorded in."""
        self.fold()
        if not request.first_token:
            return
        phase = self.phase_of(request.first_token)
        self._move("ttft", phase, [(request.first_token - request.start) // 1000])
        self._move("ttft_due", phase, [(request.first_token - request.due) // 1000])
        if request.first_answer:
            stamp = request.first_answer
            self._move("ttfa", self.phase_of(stamp), [(stamp - request.start) // 1000])
        gaps: list[int] = []
        for value in request.gaps:
            if value >= EDGE:
                self._move("itl", phase, gaps)
                phase, gaps = value - EDGE, []
            else:
                gaps.append(value)
        self._move("itl", phase, gaps)

    def _record_failed(self, samples: Iterable["_Sample"]) -> None:
        for metric, stamp, nanoseconds in samples:
            failed = self.part(self.phase_of(stamp)).latency_failed
            _histogram(failed, metric).record(nanoseconds // 1000)

    def _move(self, metric: MetricName, phase: int, us: list[int]) -> None:
        if us:
            part = self.part(phase)
            _histogram(part.retracted, metric).record_many(us)
            _histogram(part.latency_failed, metric).record_many(us)

    def fold(self) -> None:
        """Turn what the hot path collected into histograms of the phase that lasts."""
        part = self.part(self.phase)
        part.counters.events += len(self.gaps) + self._firsts
        self._firsts = 0
        for metric, values in self._collected.items():
            if values:
                _histogram(part.latency, metric).record_many(values)
                values.clear()

    # --- cutting

    def cut(self, now: int, rss: int) -> Delta:
        """Everything since the last delta that `sent` was called for."""
        self.fold()
        self._count_cpu()
        return Delta(
            worker=self._worker,
            seq=self._seq,
            t_from=self._cut_at - self._t0,
            t_to=now - self._t0,
            phase=Phase(self.phase),
            open=self.open,
            open_max=self._open_max,
            merged=self._merged,
            rss=rss,
            parts=self._parts,
            samples=self._samples,
            signs=list(dict.fromkeys(self._signs.values())),
            rate_limits=self._rate_limits,
            grave=self._grave,
            fields=list(self._fields),
        )

    def sent(self, delta: Delta) -> None:
        """The last cut is on its way: start the next delta empty."""
        self._seq += 1
        self._merged = 0
        self._cut_at = delta.t_to + self._t0
        self._parts = {}
        self._samples = []
        self._rate_limits = {}
        self._grave = {}
        self._open_max = self.open

    def not_sent(self) -> None:
        """The last cut could not be sent: the next one will contain it."""
        self._merged += 1

    @property
    def deltas(self) -> int:
        """How many deltas have been sent."""
        return self._seq


_Sample = tuple[MetricName, int, int]
"""A metric, the stamp that completes it, nanoseconds."""


def _before_tokens(request: Ended) -> list[_Sample]:
    """What an attempt has measured before any token."""
    samples: list[_Sample] = []
    if request.opened and request.sent:
        samples.append(("connect", request.sent, request.sent - request.start))
    if request.head_at:
        samples.append(("ttfb", request.head_at, request.head_at - request.sent))
    return samples


def _histogram(histograms: dict[str, Histogram], metric: MetricName) -> Histogram:
    histogram = histograms.get(metric)
    if histogram is None:
        histogram = histograms[metric] = Histogram()
    return histogram
