"""What the requests of one task measure in one process: counters and histograms by window.

The hot path only appends: an inter-token gap is one list append (42 ns), and `fold` turns whole lists into histogram
bins every few milliseconds (200 ns a value, in batches short enough not to be seen as loop lag). A sample belongs to
the window of the stamp that completes it, so lists are folded exactly when a stamp crosses a window's edge.
"""

from array import array
from collections.abc import Iterable
from typing import Protocol

from llmstress.engine.api.meaning import Usage
from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.stream.banded import count_banded
from llmstress.engine.stream.objectives import Answered, count_judged
from llmstress.engine.stream.pace import Pace
from llmstress.engine.stream.progress import Progress
from llmstress.engine.telemetry.bands import Bounds
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import BYSTANDER, MAX_FIELDS, MAX_WINDOWS, Counters, Part
from llmstress.engine.telemetry.metrics import METRICS, MetricName
from llmstress.engine.telemetry.slo import Objectives

PLAIN_ANSWERS = 64
"""After so many answers in a row whose events are tokens, the text of events is not kept any more, until an answer
needs it again. Keeping it touches more memory for each event: with 4,000 streams that cost 6 % more CPU per event."""

EDGE = (1 << 32) - MAX_WINDOWS
"""In a gap log all values from here up are no gaps (µs) but marks of a window's begin; the low bits hold its index."""


class Ended(Answered, Protocol):
    """What a request leaves behind; stamps are monotonic nanoseconds, 0 where the moment never came."""

    begun: int
    opened: bool
    sent: int
    head_at: int
    last_token: int
    end_at: int
    gaps: "array[int]"
    marks: int

    @property
    def usage(self) -> Usage | None:
        """What the server has reported so far."""

    def mark(self, sign: int) -> None:
        """Append `sign` to `gaps` and count it in `marks`."""

    @property
    def unseen_at(self) -> int:
        """Stamp by which the first token was there, if no event carried its tokens; else 0."""

    def pace(self) -> Pace | None:
        """Time per token after the first ones; None: no token followed."""


class Samples:
    """Collects for one task; `progress` is shared by all tasks of the process."""

    __slots__ = (
        "_collected",
        "_firsts",
        "_of_load",
        "_plain",
        "_progress",
        "_texts_begun",
        "bands",
        "fields",
        "gaps",
        "keeps_texts",
        "known_head",
        "objectives",
        "parts",
        "task",
    )

    def __init__(self, task: int, progress: Progress) -> None:
        self.task = task
        self._of_load = int(task != BYSTANDER)
        self.gaps: list[int] = []
        """Inter-token gaps in µs since the last fold. The list stays the same object, so that callers may keep its
        `append`."""
        self.keeps_texts = 1
        """Not 0: exchanges keep the text of events that the time per token may need. Each time it is switched on it
        becomes another number."""
        self.known_head: Head | None = None
        """The last head in which there was nothing to count: the next answer with the very same is not looked at. Heads
        of equal bytes are one object, so this costs a comparison for each answer."""
        self.objectives: Objectives | None = None
        """What requests are judged by; None: nothing."""
        self.bands: Bounds | None = None
        """Where long prompts and answers begin; None: requests are not told apart by their tokens."""
        self.fields: dict[str, None] = {}
        """Names of the fields that `note_field` was called for in this run, in order."""
        self.parts: dict[int, Part] = {}
        """Index of a window -> what has been measured in it since the last delta."""
        self._progress = progress
        self._collected: dict[MetricName, list[int]] = {each.name: [] for each in METRICS.values()}
        self._collected["itl"] = self.gaps
        self._firsts = 0  # token events that end no gap
        self._plain = 0  # answers in a row that did not need the text of their events
        self._texts_begun = 1

    def part(self, window: int) -> Part:
        """Where samples and counts of a window go."""
        part = self.parts.get(window)
        if part is None:
            part = self.parts[window] = Part()
        return part

    @property
    def counters(self) -> Counters:
        """The counters of the window that lasts."""
        return self.part(self._progress.window).counters

    def set_aside(self, name: str, us: int) -> None:
        """Record a value (µs) of the window that lasts in `Part.aside`."""
        self.part(self._progress.window).aside.setdefault(name, Histogram()).record(us)

    # --- recording

    def started(self) -> None:
        """A request has started."""
        self.counters.started += 1
        progress = self._progress
        progress.open += self._of_load
        if progress.open > progress.most_open:
            progress.most_open = progress.open

    def waiting(self, requests: int) -> None:
        """So many requests have arrived and wait for a stream or a connection."""
        progress = self._progress
        if self._of_load:
            progress.waiting = requests
            progress.most_waiting = max(progress.most_waiting, requests)

    def first_token(self, us: int, us_due: int) -> None:
        """The first token of a request came `us` µs after its start and `us_due` µs after it was due."""
        self._collected["ttft"].append(us)
        self._collected["ttft_due"].append(us_due)

    def first_answer(self, us: int) -> None:
        """The first token that is visible to the user came `us` µs after the start of the request."""
        self._collected["ttfa"].append(us)

    def first_of_choice(self) -> None:
        """The first token event of a choice has come: an event that ends no gap."""
        self._firsts += 1

    def loop_lag(self, us: int) -> None:
        """The event loop served a timer `us` µs late. Recorded for task 0 only, since it is the process's."""
        self._collected["loop_lag"].append(us)

    def note_field(self, name: str) -> None:
        """A field of this name, which the API module doesn't know, had text that was counted as reasoning."""
        if len(self.fields) < MAX_FIELDS:
            self.fields[name] = None

    def text_was_wanted(self, wanted: bool) -> None:
        """An answer has ended; `wanted`: its time per token needed the text of its events."""
        if wanted:
            self._plain = 0
            if not self.keeps_texts:
                self._texts_begun += 1
                self.keeps_texts = self._texts_begun
        elif self.keeps_texts:
            self._plain += 1
            if self._plain == PLAIN_ANSWERS:
                self.keeps_texts = 0

    def ended(self, request: Ended, end: End, now: int) -> Part:
        """A request has ended at stamp `now`: count its class and record the samples that its end completes.

        Returns the part that the end belongs to.
        """
        progress = self._progress
        progress.open -= self._of_load
        part = self.part(progress.window_at(now))
        part.ended[end.outcome] = part.ended.get(end.outcome, 0) + 1
        at, gaps = request.end_at, len(request.gaps) - request.marks
        samples: list[_Sample] = [("queue", request.begun, request.begun - request.due), *_before_tokens(request)]
        if end.outcome == "ok":
            progress.answered = progress.answered or bool(self._of_load)
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
            if self.objectives is not None:
                us: dict[str, int] = {metric: nanoseconds // 1000 for metric, _, nanoseconds in samples}
                plain = [gap for gap in request.gaps if gap < EDGE] if request.marks else request.gaps
                count_judged(self.objectives, request, us, pace, plain, part)
            if self.bands is not None:
                count_banded(self.bands, request, pace, part)
        if end.failed:
            self._retract(request)
            self._record_failed(samples)
        elif request.begun >= progress.window_began:
            for metric, _, nanoseconds in samples:
                self._collected[metric].append(nanoseconds // 1000)
        else:
            for metric, stamp, nanoseconds in samples:
                _histogram(self.part(progress.window_at(stamp)).latency, metric).record(nanoseconds // 1000)
        return part

    def retried(self, request: Ended, end: End, now: int) -> None:
        """An attempt has failed at stamp `now`, and the request will be sent again: it is still in flight."""
        retried = self.part(self._progress.window_at(now)).retried
        retried[end.outcome] = retried.get(end.outcome, 0) + 1
        self._record_failed(_before_tokens(request))

    def _retract(self, request: Ended) -> None:
        """Move the samples that are in `latency` already to the failed set, each in the window it was recorded in."""
        self.fold()
        if not request.first_token:
            return
        window = self._progress.window_at(request.first_token)
        self._move("ttft", window, [(request.first_token - request.start) // 1000])
        self._move("ttft_due", window, [(request.first_token - request.due) // 1000])
        if request.first_answer:
            stamp = request.first_answer
            self._move("ttfa", self._progress.window_at(stamp), [(stamp - request.start) // 1000])
        gaps: list[int] = []
        for value in request.gaps:
            if value >= EDGE:
                self._move("itl", window, gaps)
                window, gaps = value - EDGE, []
            else:
                gaps.append(value)
        self._move("itl", window, gaps)

    def _record_failed(self, samples: Iterable["_Sample"]) -> None:
        for metric, stamp, nanoseconds in samples:
            failed = self.part(self._progress.window_at(stamp)).latency_failed
            _histogram(failed, metric).record(nanoseconds // 1000)

    def _move(self, metric: MetricName, window: int, us: list[int]) -> None:
        if us:
            part = self.part(window)
            _histogram(part.retracted, metric).record_many(us)
            _histogram(part.latency_failed, metric).record_many(us)

    def fold(self) -> None:
        """Turn what the hot path collected into histograms of the window that lasts."""
        if not self._firsts and not any(self._collected.values()):
            return
        part = self.part(self._progress.window)
        part.counters.events += len(self.gaps) + self._firsts
        self._firsts = 0
        for metric, values in self._collected.items():
            if values:
                _histogram(part.latency, metric).record_many(values)
                values.clear()


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
