"""What the mock really sent and when: what a client's numbers are held against."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from llmstress.engine.telemetry.histogram import PERCENTILES, Histogram

_FOLD_AT = 2_000
"""Values put into a histogram at once: 0.25 ms of work at ~110 ns each, too short to make tokens late."""


class Truth(msgspec.Struct, frozen=True):
    """Sums and histograms (µs) of everything sent.

    Requests that are neither done nor aborted were still open at the end.
    """

    connections: int
    """Connections that stood, TLS handshake included; those that only asked for the models, too."""
    requests: int
    """Chat requests accepted; those answered with an error are none."""
    done: int
    aborted: int
    """Requests whose client went away before the end of the answer."""
    tokens: int
    events: int
    """Token-bearing events, one token each; answers in one piece have tokens but no events."""
    open_max: int
    """Most requests open at a time; with several processes the sum of theirs, an upper bound."""
    cpu_ns: int
    """CPU time of the serving processes since their start."""
    ttft: Histogram
    """From the complete request to the write of the first token."""
    gap: Histogram
    """From write to write."""
    lateness: Histogram
    """From when a write was due to when it happened."""

    @classmethod
    def merged(cls, truths: Iterable["Truth"]) -> "Truth":
        """The sum over several processes."""
        total = Recorder()
        for truth in truths:
            total.connections += truth.connections
            total.requests += truth.requests
            total.done += truth.done
            total.aborted += truth.aborted
            total.tokens_in_one_piece += truth.tokens - truth.events
            total.open_max += truth.open_max
            total.cpu_ns += truth.cpu_ns
            total.ttft.merge(truth.ttft)
            total.gap.merge(truth.gap)
            total.lateness.merge(truth.lateness)
        return total.truth()

    def summary(self) -> dict[str, Any]:
        """The printable form: counts, percentiles in ms (None where there are too few samples), CPU in s."""
        return {
            "connections": self.connections,
            "requests": self.requests,
            "done": self.done,
            "aborted": self.aborted,
            "events": self.events,
            "tokens": self.tokens,
            "open_max": self.open_max,
            "ttft_ms": _in_ms(self.ttft),
            "gap_ms": _in_ms(self.gap),
            "lateness_ms": _in_ms(self.lateness),
            "cpu_s": round(self.cpu_ns / 1e9, 3),
        }


class Recorder:
    """Collects the truth of one process.

    The pacing loop appends µs to `ttft_us`, `gap_us` and `lateness_us`, ~20 ns each, and calls `fold` now and
    then.
    """

    def __init__(self) -> None:
        self.connections = self.requests = self.done = self.aborted = self.tokens_in_one_piece = 0
        self.open = self.open_max = self.cpu_ns = 0
        self.ttft, self.gap, self.lateness = Histogram(), Histogram(), Histogram()
        self.ttft_us: list[int] = []
        self.gap_us: list[int] = []
        self.lateness_us: list[int] = []

    def begin(self) -> None:
        """A request was accepted."""
        self.requests += 1
        self.open += 1
        self.open_max = max(self.open_max, self.open)

    def fold(self, at_least: int = _FOLD_AT) -> None:
        """Move the collected values into the histograms if they are `at_least` so many."""
        if len(self.lateness_us) < at_least:
            return
        for histogram, values in (
            (self.ttft, self.ttft_us),
            (self.gap, self.gap_us),
            (self.lateness, self.lateness_us),
        ):
            histogram.record_many(values)
            values.clear()

    def truth(self) -> Truth:
        """Everything collected so far."""
        self.fold(at_least=1)
        events = self.ttft.count + self.gap.count
        return Truth(
            connections=self.connections,
            requests=self.requests,
            done=self.done,
            aborted=self.aborted,
            tokens=events + self.tokens_in_one_piece,
            events=events,
            open_max=self.open_max,
            cpu_ns=self.cpu_ns,
            ttft=self.ttft.copy(),
            gap=self.gap.copy(),
            lateness=self.lateness.copy(),
        )

    def stamp_cpu(self) -> None:
        """Take over the CPU time this process has used since it started."""
        self.cpu_ns = time.process_time_ns()


def _in_ms(histogram: Histogram) -> dict[str, float | None]:
    mean = histogram.mean
    return {
        **{
            name: None if us is None else us / 1e3
            for name, us in zip(PERCENTILES, histogram.percentiles(PERCENTILES.values()), strict=True)
        },
        "max": histogram.max / 1e3 if histogram.count else None,
        "mean": None if mean is None else round(mean / 1e3, 3),
    }
