"""Exact statistics of what the mock sent and when, against which a client's figures are checked."""

import time
from array import array
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from llmstress.engine.mock.faults import Fault
from llmstress.engine.mock.journal import Journal
from llmstress.engine.mock.replies import Job
from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram

_FOLD_AT = 2_000
"""Number of values moved into a histogram at a time: 0.25 ms at about 110 ns each, too short to delay tokens."""

AnswerOutcome = Literal["done", "failed", "aborted", "open"]
"""How an answer ended: as planned, by its fault, because the client disconnected, or still open at shutdown."""


Rejection = Literal["rate_limited", "too_long", "unauthorized"]
"""Why a request is rejected, unless because of a fault."""


def _none() -> dict[str, int]:
    return {}


class Truth(msgspec.Struct):
    """Counts and histograms (µs) of everything sent. All of them merge by addition.

    Each request is done, failed, aborted, rate limited, too long or unauthorized, or was still open at the end.
    Latencies are kept separately for `done` answers, for `failed` ones, and for the others, called unfinished.
    """

    connections: int = 0
    """Established connections, after the TLS handshake; those that only listed the models are included."""
    requests: int = 0
    """Valid requests for an answer, including rejected ones."""
    done: int = 0
    """Answers without a fault, or with a harmless one."""
    failed: int = 0
    """Requests with a fault that a client should count as a failure, whether the client or the mock ended them."""
    aborted: int = 0
    """Requests without such a fault whose client disconnected before the end of the answer."""
    rate_limited: int = 0
    """Requests rejected because of a rate limit."""
    too_long: int = 0
    """Requests rejected because they don't fit into the context."""
    unauthorized: int = 0
    """Requests rejected because they have no valid token of a login."""
    open_max: int = 0
    """Maximum number of open requests; with several processes the sum of their maxima, an upper bound."""
    events: int = 0
    """Token-bearing events of all choices, including those that name a tool; answers without a stream have none."""
    writes: int = 0
    """Writes of answers, each at a time of its own."""
    pings: int = 0
    """Pings sent because of a switch or a fault."""
    inputs: int = 0
    """Texts whose embeddings were sent."""
    tokens: dict[str, int] = msgspec.field(default_factory=_none)
    """Visible tokens by kind: text, reasoning, tool."""
    usage: dict[str, int] = msgspec.field(default_factory=_none)
    """Sums over the reported usage: answers with usage, input, output, the reasoning included in output, and, if there
    are any, the cached tokens included in input."""
    prefix_cache: dict[str, int] = msgspec.field(default_factory=_none)
    """Sums over the prompts that were looked up in the cache: requests, tokens, and the cached ones of these."""
    application: dict[str, int] = msgspec.field(default_factory=_none)
    """Requests to the application: logins, searches, and rejected ones by reason."""
    endings: dict[str, int] = msgspec.field(default_factory=_none)
    """Reported finish reasons: stop, length, tool_call, content_filter."""
    faults: dict[str, int] = msgspec.field(default_factory=_none)
    statuses: dict[str, int] = msgspec.field(default_factory=_none)
    """Status -> number of responses whose head was sent."""
    apis: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """API -> requests, how they ended, events and tokens."""
    cpu_ns: int = 0
    """CPU time of the serving processes since their start."""
    ttft: Histogram = msgspec.field(default_factory=Histogram)
    """From the complete request to the write of the first token."""
    gap: Histogram = msgspec.field(default_factory=Histogram)
    """Between token events, by the time of their writes: events in the same write have gaps of 0."""
    ttft_failed: Histogram = msgspec.field(default_factory=Histogram)
    gap_failed: Histogram = msgspec.field(default_factory=Histogram)
    ttft_unfinished: Histogram = msgspec.field(default_factory=Histogram)
    gap_unfinished: Histogram = msgspec.field(default_factory=Histogram)
    left_after: Histogram = msgspec.field(default_factory=Histogram)
    """Visible tokens, not µs, that were written of an answer before its client disconnected. The client may have read
    fewer of them."""
    queue: Histogram = msgspec.field(default_factory=Histogram)
    """From the complete request to a free slot; empty without a limit of slots."""
    lateness: Histogram = msgspec.field(default_factory=Histogram)
    """From the time when a write was due to the actual write."""

    @classmethod
    def merged(cls, truths: Iterable["Truth"]) -> "Truth":
        """The sum over several processes."""
        total = cls()
        for truth in truths:
            for name in cls.__struct_fields__:
                setattr(total, name, _sum(getattr(total, name), getattr(truth, name)))
        return total

    def summary(self) -> dict[str, Any]:
        """The printed form: counts, percentiles in ms (None: too few samples), CPU time in s."""
        counts = {name: getattr(self, name) for name in self.__struct_fields__}
        histograms = {name: counts.pop(name) for name, value in list(counts.items()) if isinstance(value, Histogram)}
        cpu_ns, tokens, left_after = counts.pop("cpu_ns"), counts.pop("tokens"), histograms.pop("left_after")
        cache = counts.pop("prefix_cache")
        return {
            **counts,
            "tokens": sum(tokens.values()),
            "tokens_by_kind": tokens,
            "prefix_cache": {**cache, "hit_rate": cache["cached"] / max(1, cache["tokens"])} if cache else {},
            "left_after_tokens": _percentiles(left_after, 1),
            **{f"{name}_ms": _percentiles(histogram, 1e3) for name, histogram in histograms.items()},
            "cpu_s": round(cpu_ns / 1e9, 3),
        }


class TruthRecorder:
    """Collects the statistics of one process.

    The pacing loop appends µs to `lateness_us`, at about 20 ns each, and regularly calls `fold`.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        """`journal` is told of answers that clients left."""
        self.truth = Truth()
        self._journal = journal
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
        """Count a valid request."""
        self.truth.requests += 1
        self._count(api, "requests")

    def fault(self, fault: Fault) -> None:
        """Count a request with this fault."""
        _add(self.truth.faults, fault, 1)

    def failed(self, api: str) -> None:
        """Count a request that had no answer because of its fault."""
        self.truth.failed += 1
        self._count(api, "failed")

    def rejected(self, api: str, why: Rejection) -> None:
        """Count a rejected request."""
        setattr(self.truth, why, getattr(self.truth, why) + 1)
        self._count(api, why)

    def looked_up(self, tokens: int, cached: int) -> None:
        """Count a request whose `tokens` tokens were looked up in the prefix cache."""
        for name, count in (("requests", 1), ("tokens", tokens), ("cached", cached)):
            _add(self.truth.prefix_cache, name, count)

    def application(self, what: str) -> None:
        """Count a request to the application."""
        _add(self.truth.application, what, 1)

    def responded(self, status: int) -> None:
        """Count a response whose head was sent."""
        _add(self.truth.statuses, str(status), 1)

    def begin(self) -> None:
        """Count an answer that was started."""
        self.open += 1
        self.truth.open_max = max(self.truth.open_max, self.open)

    def queued(self, us: int) -> None:
        """Record how long an answer has waited for its slot."""
        self.truth.queue.record(us)

    def ended(self, job: Job, outcome: AnswerOutcome, writes: int, ttft_us: int, gaps_us: "array[int]") -> None:
        """Record an answer that ended after `writes` writes; `ttft_us` is negative if no token event was sent."""
        truth, answer, reply, api = self.truth, job.answer, job.reply, self.truth.apis[job.api]
        self.open -= 1
        if outcome == "aborted":
            tokens = sum(reply.tokens_in(writes).values())
            truth.left_after.record(tokens)
            if self._journal is not None:
                self._journal.left(job.number, tokens)
            outcome = "failed" if job.failing else outcome
        if outcome != "open":
            setattr(truth, outcome, getattr(truth, outcome) + 1)
            _add(api, outcome, 1)
        truth.writes += writes
        truth.pings += reply.pings
        # all choices have the same events and gaps
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
                counts = {"answers": 1, "input": answer.prompt_tokens, "output": answer.output_tokens}
                for name, count in {**counts, "reasoning": answer.all_reasoning_tokens}.items():
                    _add(truth.usage, name, count)
                if answer.cached_tokens:
                    _add(truth.usage, "cached", answer.cached_tokens)
        if outcome == "done":
            # collected for large batches: adding the values of a single answer to a histogram costs more per value
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
        """Move a batch of collected values into the histograms, if there are enough of them."""
        for histogram, values in self._collected:
            if len(values) >= _FOLD_AT:
                # only one batch: answers that began together also end together and leave many values at once
                histogram.record_many(list(values[-_FOLD_AT:]))
                del values[-_FOLD_AT:]

    def fold_all(self) -> None:
        """Move all collected values into the histograms."""
        for histogram, values in self._collected:
            histogram.record_many(list(values))
            del values[:]

    def stamp_cpu(self) -> None:
        """Store the CPU time that this process has used since it started."""
        self.truth.cpu_ns = time.process_time_ns()

    def _count(self, api: str, what: str, count: int = 1) -> None:
        _add(self.truth.apis.setdefault(api, {}), what, count)


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count


def _sum(total: Any, value: Any) -> Any:
    """The sum of two values: numbers are added, dictionaries by key, histograms are merged."""
    if isinstance(value, Histogram):
        total.merge(value)
        return total
    if isinstance(value, dict):
        merged = dict(total)
        for key, each in value.items():
            merged[key] = _sum(merged[key], each) if key in merged else each
        return merged
    return total + value


def _percentiles(histogram: Histogram, unit: float) -> dict[str, float | None]:
    """Count, percentiles, maximum and mean, in units of `unit`."""
    mean = histogram.mean
    return {
        "count": histogram.count,
        **{
            name: None if value is None else value / unit
            for name, value in zip(PERCENTILES, histogram.percentiles(PERCENTILES.values()), strict=True)
        },
        "max": histogram.max / unit if histogram.count else None,
        "mean": None if mean is None else round(mean / unit, 3),
    }
