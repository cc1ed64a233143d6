"""The figures of a point: what was measured at one load. Pure functions."""

from collections.abc import Mapping, Sequence

import msgspec

from llmstress.engine.telemetry.aggregate import WorkerState
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.histogram import Histogram, bin_range
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.engine.telemetry.notes import MAX_HOST_BUSY
from llmstress.engine.telemetry.reasons import MAX_CPU_SHARE, lag_limit_us
from llmstress.engine.telemetry.slo import Slo

LAG_SHARE_OF_LIMIT = 0.1
"""A client that is later than this share of the shortest limit can decide whether a request meets it."""

QUEUE_SHARE_OF_E2E = 0.05
"""Streams that begin their next request later than by this share of a request make less load than was asked for."""

LEAST_STARTED = 0.99
"""Open model: share of the requests that were due. A client that starts fewer, although streams are free, is too slow.
"""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at one load so far. Times are seconds."""

    level: float
    seconds: float
    """How long the point has been measured."""
    to_judge: bool = True
    """The shares may be compared with the goal now: each comparison is a chance of an error, so they are rare."""
    ok: int = 0
    failed: int = 0
    finished: int = 0
    """Requests that have ended, except the cancelled ones."""
    dropped: int = 0
    due: int = 0
    met: int = 0
    """Requests that met every SLO."""
    unknown: int = 0
    """Those of which it is unknown."""
    missed: Mapping[str, int] = {}
    """What was missed -> how many requests missed it: an SLO by its text, `errors`, `dropped`."""
    late: int = 0
    """Requests in flight that have certainly missed an SLO, in so far as they are more than when the point began."""
    grown: int = 0
    """By how many requests those in flight and those that wait are more than when the point began."""
    e2e_s: float = 0.0
    """p90, or the highest value of few; 0: no request has ended ok."""
    slack_s: float = 0.0
    """How much later requests could become until they miss an SLO, in the median; 0: no SLO limits their time."""
    quiet_s: float = 0.0
    """For how long neither a token nor the end of a request has come."""
    half_width: float | None = None
    """Half of the interval of the throughput, as a share of it; None: the point is too short."""
    client: str = ""
    """Why the client limits what was measured; empty: it does not."""

    @property
    def counted(self) -> int:
        """The requests of which the share of good ones is taken."""
        return self.finished + self.dropped + self.late

    @property
    def share(self) -> float:
        """The share of the requests that met every SLO; 0 without any."""
        return self.met / self.counted if self.counted else 0.0


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a point begins, and compared with later."""

    late: Mapping[str, int]
    """As `readings.overdue` gives it."""
    in_flight: int
    """Requests in flight and those that wait."""
    cpu_ns: tuple[int, ...]
    """Of each worker, in all steady windows."""


_KNOWN_AT_THE_END = frozenset(each.name for each in METRICS.values() if each.window_stamp == "end")


def late(part: Part, overdue: Mapping[str, int], before: Baseline, slos: Sequence[Slo]) -> dict[str, int]:
    """Text of an SLO -> how many requests in flight have certainly missed it, in so far as they are more than when the
    point began.

    They are those whose sample of the point lies beyond the limit although they have not ended, and those that have no
    sample yet and are overdue. Each counts here when it becomes certain that it is late, and no more when it ends: as
    long as the load is steady, as many come as go.
    """
    found: dict[str, int] = {}
    for slo in slos:
        growth = overdue.get(slo.text, 0) - before.late.get(slo.text, 0)
        if slo.metric not in _KNOWN_AT_THE_END and slo.metric in part.latency:
            counts = part.latency[slo.metric].counts
            growth += sum(n for index, n in counts.items() if not slo.met_by(bin_range(index)[0]))
            growth -= part.missed.get(slo.text, 0)
        found[slo.text] = max(0, growth)
    return found


def missed_by(part: Part, late_by: Mapping[str, int]) -> dict[str, int]:
    """What was missed -> how many requests missed it; `late_by`: those in flight."""
    failed = sum(n for outcome, n in part.ended.items() if outcome not in NOT_FAILED)
    found = {"errors": failed, "dropped": part.counters.dropped}
    for text, n in [*part.missed.items(), *late_by.items()]:
        found[text] = found.get(text, 0) + n
    return {what: n for what, n in found.items() if n}


def e2e_s(part: Part) -> float:
    """The p90 of `e2e` in seconds, the highest value of fewer than ten, 0 without any."""
    e2e = part.latency.get("e2e", Histogram())
    us = e2e.percentile("p90") or e2e.max
    return us / 1e6


def slack_s(part: Part, slos: Sequence[Slo]) -> float:
    """The shortest time, in seconds, from the p50 of a metric to its limit; 0: no SLO limits the time of requests, or
    they exceed it already."""
    found = [
        slo.limit_us - (part.latency[slo.metric].percentile("p50") or 0)
        for slo in slos
        if slo.metric in part.latency and METRICS[slo.metric].has_waits
    ]
    return max(0, min(found, default=0)) / 1e6


def limit_of_client(
    part: Part, seconds: float, workers: Sequence[WorkerState], before: Baseline, slos: Sequence[Slo], most: int | None
) -> str:
    """Why this client limits what was measured at a point; empty: it does not.

    Args:
        part: what was measured.
        seconds: length of the point.
        workers: the workers now.
        before: what was known when the point began.
        slos: those that requests are judged by.
        most: the most requests in flight (open model); None: closed model.
    """
    if not seconds:
        return ""
    for worker, cpu_ns in zip(workers, before.cpu_ns, strict=True):
        share = (worker.steady_cpu_ns - cpu_ns) / 1e9 / seconds
        if share > MAX_CPU_SHARE:
            return f"worker {worker.worker} used {share:.0%} of its core"
    itl = part.latency.get("itl")
    # tpot is a mean over an answer, which single late stamps hardly change
    limits = [slo.limit_us for slo in slos if slo.metric != "tpot"]
    limit_us = max(
        lag_limit_us(itl.percentile("p50") if itl is not None else None), LAG_SHARE_OF_LIMIT * min(limits, default=0)
    )
    if most is not None and (any(worker.waiting for worker in workers) or part.counters.dropped):
        return f"all {most:,} streams were in use (--total-streams)"
    e2e_us = part.latency.get("e2e", Histogram()).percentile("p50") or 0
    for metric, what, most_us in (
        ("loop_lag", "the workers were", limit_us),
        ("queue", "requests began", max(limit_us, QUEUE_SHARE_OF_E2E * e2e_us)),
    ):
        us = part.latency.get(metric, Histogram()).percentile("p99") or 0
        if us > most_us:
            return f"{what} up to {us / 1000:.1f} ms late (p99 of {metric}; limit {most_us / 1000:.1f} ms)"
    if most is not None and part.counters.started < LEAST_STARTED * part.counters.due:
        return f"only {part.counters.started:,} of {part.counters.due:,} requests started in time"
    return ""


def limit_of_machine(part: Part, *, local: bool) -> str:
    """Why this machine limits what was measured at a point that is over; empty: it does not.

    `local`: the target runs on this machine, too. If its cores have no time left, the target may have been slowed down.
    """
    host_ns, busy_ns = part.counters.host_ns, part.counters.host_busy_ns
    if not local or not host_ns or busy_ns <= MAX_HOST_BUSY * host_ns:
        return ""
    return f"the cores of this machine, on which the target runs, were {busy_ns / host_ns:.0%} busy"
