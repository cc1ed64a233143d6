"""What the mock really sent and when: what a client's numbers are held against."""

import time
from array import array
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from llmstress.engine.mock.faults import Fault
from llmstress.engine.mock.replies import Job
from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram

_FOLD_AT = 2_000
"""Values put into a histogram at once: 0.25 ms of work at ~110 ns each, too short to make tokens late."""

AnswerOutcome = Literal["done", "failed", "aborted", "open"]
"""How an answer ended: as it should, by its fault, because the client went away, or not before the server did."""


def _none() -> dict[str, int]:
    return {}


class Truth(msgspec.Struct):
    """Sums and histograms (µs) of everything sent. All of it merges by addition.

    Each request is done, failed, aborted or rate limited, or was still open at the end. Latencies are kept apart by
    these: those of `done` answers, of `failed` ones, and of the others, here called unfinished.
    """

    connections: int = 0
    """Connections that stood, TLS handshake included; those that only asked for the models, too."""
    requests: int = 0
    """Requests for an answer that were understood, refused ones included."""
    done: int = 0
    """Answers without fault, or with one that does no harm."""
    failed: int = 0
    """Requests with a fault of which a client may complain, whoever ended them."""
    aborted: int = 0
    """Requests without one whose client went away before the end of the answer."""
    rate_limited: int = 0
    """Requests refused because of a rate limit."""
    open_max: int = 0
    """Most requests open at a time; with several processes the sum of theirs, an upper bound."""
    events: int = 0
    """Token-bearing events, of all choices, announcements of a tool included; answers in one piece have none."""
    writes: int = 0
    """Pieces in which answers were sent, each at a time of its own."""
    pings: int = 0
    """Those that a switch or a fault asked for."""
    inputs: int = 0
    """Texts of which embeddings were sent."""
    tokens: dict[str, int] = msgspec.field(default_factory=_none)
    """What was shown, by its kind: text, reasoning, tool."""
    usage: dict[str, int] = msgspec.field(default_factory=_none)
    """What the usage said, summed: answers that had one, input, output, and the reasoning therein."""
    endings: dict[str, int] = msgspec.field(default_factory=_none)
    """Why answers ended, if they were said to: stop, length, tool_call, content_filter."""
    faults: dict[str, int] = msgspec.field(default_factory=_none)
    statuses: dict[str, int] = msgspec.field(default_factory=_none)
    """Of all responses whose head was sent."""
    apis: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Of each API: requests, how they ended, events and tokens."""
    cpu_ns: int = 0
    """CPU time of the serving processes since their start."""
    ttft: Histogram = msgspec.field(default_factory=Histogram)
    """From the complete request to the write of the first token."""
    gap: Histogram = msgspec.field(default_factory=Histogram)
    """From token event to token event, as written: events of one write have gaps of 0."""
    ttft_failed: Histogram = msgspec.field(default_factory=Histogram)
    gap_failed: Histogram = msgspec.field(default_factory=Histogram)
    ttft_unfinished: Histogram = msgspec.field(default_factory=Histogram)
    gap_unfinished: Histogram = msgspec.field(default_factory=Histogram)
    queue: Histogram = msgspec.field(default_factory=Histogram)
    """From the complete request until one of the slots was free; without a limit of slots nobody waits."""
    lateness: Histogram = msgspec.field(default_factory=Histogram)
    """From when a write was due to when it happened."""

    @classmethod
    def merged(cls, truths: Iterable["Truth"]) -> "Truth":
        """The sum over several processes."""
        total = cls()
        for truth in truths:
            for name in cls.__struct_fields__:
                setattr(total, name, _sum(getattr(total, name), getattr(truth, name)))
        return total

    def summary(self) -> dict[str, Any]:
        """The printable form: counts, percentiles in ms (None where there are too few samples), CPU in s."""
        counts = {name: getattr(self, name) for name in self.__struct_fields__}
        histograms = {name: counts.pop(name) for name, value in list(counts.items()) if isinstance(value, Histogram)}
        cpu_ns, tokens = counts.pop("cpu_ns"), counts.pop("tokens")
        return {
            **counts,
            "tokens": sum(tokens.values()),
            "tokens_by_kind": tokens,
            **{f"{name}_ms": _in_ms(histogram) for name, histogram in histograms.items()},
            "cpu_s": round(cpu_ns / 1e9, 3),
        }


class TruthRecorder:
    """Collects the truth of one process.

    The pacing loop appends µs to `lateness_us`, ~20 ns each, and calls `fold` now and then.
    """

    def __init__(self) -> None:
        self.truth = Truth()
        self.open = 0
        self.lateness_us: list[int] = []
        self._ttft_us = array("q")
        self._gap_us = array("q")
        self._collected: tuple[tuple[Histogram, list[int] | array[int]], ...] = (
            (self.truth.lateness, self.lateness_us),
            (self.truth.gap, self._gap_us),
            (self.truth.ttft, self._ttft_us),
        )

    def understood(self, api: str) -> None:
        """A request was understood."""
        self.truth.requests += 1
        self._count(api, "requests")

    def fault(self, fault: Fault) -> None:
        """It has this fault."""
        _add(self.truth.faults, fault, 1)

    def failed(self, api: str) -> None:
        """It had no answer because of its fault."""
        self.truth.failed += 1
        self._count(api, "failed")

    def rate_limited(self, api: str) -> None:
        """It was refused."""
        self.truth.rate_limited += 1
        self._count(api, "rate_limited")

    def responded(self, status: int) -> None:
        """A head was sent."""
        _add(self.truth.statuses, str(status), 1)

    def begin(self) -> None:
        """An answer was begun."""
        self.open += 1
        self.truth.open_max = max(self.truth.open_max, self.open)

    def queued(self, us: int) -> None:
        """An answer has waited for its slot."""
        self.truth.queue.record(us)

    def ended(self, job: Job, outcome: AnswerOutcome, writes: int, ttft_us: int, gaps_us: "array[int]") -> None:
        """An answer is over after so many writes; `ttft_us` is below 0 if there was no token event."""
        truth, answer, reply, api = self.truth, job.answer, job.reply, self.truth.apis[job.api]
        self.open -= 1
        if outcome == "aborted" and job.failing:
            outcome = "failed"
        if outcome != "open":
            setattr(truth, outcome, getattr(truth, outcome) + 1)
            _add(api, outcome, 1)
        truth.writes += writes
        truth.pings += reply.pings
        # each choice has the events, and so the gaps, of the others
        events = answer.choices * ((ttft_us >= 0) + len(gaps_us))
        truth.events += events
        _add(api, "events", events)
        for kind, count in reply.tokens_in(writes).items():
            _add(truth.tokens, kind, count)
            _add(api, "tokens", count)
        if writes == reply.writes and reply.finished:
            truth.inputs += job.inputs
            if answer.reports == "all":
                _add(truth.endings, answer.finish_reason, 1)
            if reply.usage_sent and answer.reports != "nothing":
                immediate = {"answers": 1, "input": answer.prompt_tokens, "output": answer.output_tokens}
                for name, count in {**immediate, "reasoning": answer.all_reasoning_tokens}.items():
                    _add(truth.usage, name, count)
        if outcome == "done":
            # in large batches: what an answer adds to a histogram alone costs more
            self._gap_us.extend(gaps_us * answer.choices)
            if ttft_us >= 0:
                self._ttft_us.append(ttft_us)
            return
        ttft, gap = truth.ttft_unfinished, truth.gap_unfinished
        if job.failing:
            ttft, gap = truth.ttft_failed, truth.gap_failed
        gap.record_many(gaps_us.tolist() * answer.choices)
        if ttft_us >= 0:
            ttft.record(ttft_us)

    def fold(self) -> None:
        """Move some of the collected values into the histograms, if there are enough of them."""
        for histogram, values in self._collected:
            if len(values) >= _FOLD_AT:
                # not all: answers that began together end together, and their gaps with them
                histogram.record_many(list(values[-_FOLD_AT:]))
                del values[-_FOLD_AT:]

    def fold_all(self) -> None:
        """Move all of them."""
        for histogram, values in self._collected:
            histogram.record_many(list(values))
            del values[:]

    def stamp_cpu(self) -> None:
        """Take over the CPU time this process has used since it started."""
        self.truth.cpu_ns = time.process_time_ns()

    def _count(self, api: str, what: str, count: int = 1) -> None:
        _add(self.truth.apis.setdefault(api, {}), what, count)


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count


def _sum(total: Any, value: Any) -> Any:
    """Numbers added up, dictionaries by their keys, histograms merged."""
    if isinstance(value, Histogram):
        total.merge(value)
        return total
    if isinstance(value, dict):
        merged = dict(total)
        for key, each in value.items():
            merged[key] = _sum(merged[key], each) if key in merged else each
        return merged
    return total + value


def _in_ms(histogram: Histogram) -> dict[str, float | None]:
    mean = histogram.mean
    return {
        "count": histogram.count,
        **{
            name: None if us is None else us / 1e3
            for name, us in zip(PERCENTILES, histogram.percentiles(PERCENTILES.values()), strict=True)
        },
        "max": histogram.max / 1e3 if histogram.count else None,
        "mean": None if mean is None else round(mean / 1e3, 3),
    }
