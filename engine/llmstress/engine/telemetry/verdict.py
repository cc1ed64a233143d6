"""Can the numbers be trusted? Says so, why not, and what to do about it."""

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.collecting import Collected, collected
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.notes import notes_of, said_of_undetermined, whole_run

MAX_CPU_SHARE = 0.9
MIN_LAG_LIMIT_US = 2_000
LAG_SHARE_OF_ITL = 0.05
MAX_CANCELLED_SHARE = 0.01
MIN_TIMED_OUT_SHARE = 0.01
MIN_UNDETERMINED_SHARE = 0.01
TIMEOUTS = ("connect_timeout", "timeout_first_token", "timeout_idle", "timeout_total")
"""Classes of requests whose time was cut off by a limit of the user's."""
MAX_IN_BLOCKS = 0.5
"""Share of the long answers: beyond it medians are those of blocks."""
MIN_IN_BLOCKS = 0.01
"""Beyond it the p99 is."""
LAG_SHARE_OF_BLOCKS = 0.25
"""A client that reads so late that events pile up is late by half of what a block takes, in the median; a p99 over its
limit is that of a few reads."""


class Verdict(msgspec.Struct, frozen=True):
    """`status` is valid, degraded or invalid; `notes` are things to know that take nothing from it."""

    status: str
    reasons: list[str]
    notes: list[str]


def judge(aggregate: Aggregate, steady_s: float) -> Verdict:
    """The verdict on a run whose steady window was `steady_s` long."""
    invalid = [
        f"worker {worker.worker} was lost: {worker.reason}" for worker in aggregate.workers if worker.state == "lost"
    ]
    found = _collected(aggregate, steady_s)
    undetermined = _partly_undetermined(aggregate)
    degraded = [
        *_busy_workers(aggregate, steady_s),
        *_late_workers(aggregate),
        *_cut_off(aggregate),
        *_timed_out(aggregate),
        *undetermined,
        *_missing(aggregate),
        *([found.text] if found is not None and found.share > MAX_IN_BLOCKS else []),
    ]
    status = "invalid" if invalid else "degraded" if degraded else "valid"
    # what takes more than half of the answers is a reason already
    minor = found.text if found is not None and found.share <= MAX_IN_BLOCKS else ""
    noted = notes_of(aggregate, minor, collected=found is not None, tpot_missing=bool(undetermined))
    return Verdict(status, invalid + degraded, noted)


def _busy_workers(aggregate: Aggregate, steady_s: float) -> list[str]:
    return [
        f"worker {worker.worker} used {share:.0%} of its core, so its time stamps may be late: use more --procs"
        for worker in aggregate.workers
        if steady_s > 0 and (share := worker.steady_cpu_ns / 1e9 / steady_s) > MAX_CPU_SHARE
    ]


def _late_workers(aggregate: Aggregate) -> list[str]:
    itl = aggregate.steady.latency.get("itl")
    itl_p50 = (itl.percentile("p50") if itl is not None else None) or 0
    limit = max(MIN_LAG_LIMIT_US, LAG_SHARE_OF_ITL * itl_p50)
    return [
        f"worker {worker.worker}'s event loop was up to {lag / 1000:.1f} ms late (p99; limit {limit / 1000:.1f} ms), "
        "so latencies may be too high: use fewer --streams per process, more --procs, or a less busy machine"
        for worker in aggregate.workers
        if (lag := worker.loop_lag.percentile("p99") or 0) > limit
    ]


def _collected(aggregate: Aggregate, steady_s: float) -> Collected | None:
    """Who else collects events; None: nobody, or this client may have let them pile up itself. Of the steady window,
    where its lateness is known, and of what ended after it."""
    found = collected(aggregate.counters(Phase.STEADY, Phase.DRAIN), aggregate.signs)
    if found is None or found.share <= MIN_IN_BLOCKS or _busy_workers(aggregate, steady_s):
        return None
    limit = max(MIN_LAG_LIMIT_US, LAG_SHARE_OF_BLOCKS * found.apart_us)
    late = any((worker.loop_lag.percentile("p50") or 0) > limit for worker in aggregate.workers)
    return None if late else found


def _cut_off(aggregate: Aggregate) -> list[str]:
    started = aggregate.counters().started
    cancelled = aggregate.ended().get("cancelled", 0)
    if not started or cancelled / started <= MAX_CANCELLED_SHARE:
        return []
    return [
        f"{cancelled:,} of {started:,} requests were cut off at the end, so e2e and tpot are biased to short answers: "
        "use a longer --grace or --duration"
    ]


def _timed_out(aggregate: Aggregate) -> list[str]:
    started, ended, retried = aggregate.counters().started, aggregate.ended(), aggregate.retried()
    slowest = sum(ended.get(outcome, 0) + retried.get(outcome, 0) for outcome in TIMEOUTS)
    if not started or slowest / started < MIN_TIMED_OUT_SHARE:
        return []
    return [
        f"{slowest:,} of {started:,} requests ran into a time limit, so the slowest {slowest:,} are missing from the "
        "percentiles of ttft and e2e: use longer --timeout-... limits or less load"
    ]


def _partly_undetermined(aggregate: Aggregate) -> list[str]:
    """Answers that are missing from `tpot`, where others are in it."""
    whole = whole_run(aggregate)
    without, ok = sum(whole.undetermined.values()), whole.ended.get("ok", 0)
    measured = any("tpot" in part.latency for part in aggregate.parts.values())
    if not measured or not ok or without / ok < MIN_UNDETERMINED_SHARE:
        return []
    return [f"{said_of_undetermined(whole)}; they are missing from tpot and tps_user"]


def _missing(aggregate: Aggregate) -> list[str]:
    return [
        f"{worker.gaps} reports of worker {worker.worker} were lost: counts are too low"
        for worker in aggregate.workers
        if worker.gaps
    ]
