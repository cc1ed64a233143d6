"""The rules that make a verdict invalid or degraded: one function for each, and the table."""

from collections.abc import Iterator

from llmstress.engine.telemetry import collecting
from llmstress.engine.telemetry.classes import TIME_LIMITS
from llmstress.engine.telemetry.collecting import Collected
from llmstress.engine.telemetry.rules import Measured, Rule, Values
from llmstress.engine.telemetry.undetermined import SENTENCE, undetermined_values

MAX_CPU_SHARE = 0.9
MIN_LAG_LIMIT_US = 2_000
LAG_SHARE_OF_ITL = 0.05
MAX_CANCELLED_SHARE = 0.01
MIN_TIMED_OUT_SHARE = 0.01
MIN_UNDETERMINED_SHARE = 0.01
MAX_IN_BLOCKS = 0.5
"""Share of the long answers: beyond it medians are those of blocks."""
MIN_IN_BLOCKS = 0.01
"""Beyond it the p99 is."""
LAG_SHARE_OF_BLOCKS = 0.25
"""A client that reads so late that events pile up is late by half of what a block takes, in the median. The median is
compared, because a p99 over its limit is that of a few reads."""


MAX_DROPPED_SHARE = 0.001
"""Dropped requests would have been the slowest: without one in a thousand the p99 is the p98.9 of all."""
MAX_BEHIND_SHARE = 0.005
MIN_SLIP_LIMIT_US = 5_000
SLIP_SHARE_OF_TTFT = 0.05


def lag_limit_us(itl_p50: int | None) -> float:
    """How late a worker's event loop may be (p99, µs); `itl_p50` in µs, None where there is none."""
    return max(MIN_LAG_LIMIT_US, LAG_SHARE_OF_ITL * (itl_p50 or 0))


def lost_workers(measured: Measured) -> Iterator[Values]:
    """Workers that died."""
    for worker in measured.workers:
        if worker.state == "lost":
            yield {"worker": worker.worker, "reason": worker.reason}


def busy_workers(measured: Measured) -> Iterator[Values]:
    """Workers that used more than `MAX_CPU_SHARE` of their core in the steady window."""
    for worker in measured.workers:
        share = worker.steady_cpu_ns / 1e9 / measured.steady_s if measured.steady_s > 0 else 0.0
        if share > MAX_CPU_SHARE:
            yield {"worker": worker.worker, "share": share}


def late_workers(measured: Measured) -> Iterator[Values]:
    """Workers whose event loop was later than `lag_limit_us` in the steady window."""
    itl = measured.steady.latency.get("itl")
    limit = lag_limit_us(itl.percentile("p50") if itl is not None else None)
    for worker in measured.workers:
        lag = worker.loop_lag.percentile("p99") or 0
        if lag > limit:
            yield {"worker": worker.worker, "lag_ms": lag / 1000, "limit_ms": limit / 1000}


def cut_off(measured: Measured) -> Iterator[Values]:
    """Requests that the end of the run cancelled."""
    started = measured.whole.counters.started
    cancelled = measured.whole.ended.get("cancelled", 0) - measured.whole.counters.abandoned
    if started and cancelled / started > MAX_CANCELLED_SHARE:
        yield {"cancelled": cancelled, "started": started}


def timed_out(measured: Measured) -> Iterator[Values]:
    """Requests that ran into a time limit, attempts that were retried included."""
    started, whole = measured.whole.counters.started, measured.whole
    slowest = sum(whole.ended.get(outcome, 0) + whole.retried.get(outcome, 0) for outcome in TIME_LIMITS)
    if started and slowest / started >= MIN_TIMED_OUT_SHARE:
        yield {"slowest": slowest, "started": started}


def partly_undetermined(measured: Measured) -> Iterator[Values]:
    """Answers that are missing from `tpot`, where other answers are in it."""
    without = sum(measured.whole.undetermined.values())
    if measured.has_tpot and measured.ok and without / measured.ok >= MIN_UNDETERMINED_SHARE:
        yield undetermined_values(measured.whole)


def lost_reports(measured: Measured) -> Iterator[Values]:
    """Reports of a worker that are missing by their numbers."""
    for worker in measured.workers:
        if worker.gaps:
            yield {"worker": worker.worker, "reports": worker.gaps}


def user_code(measured: Measured) -> Iterator[Values]:
    """Exceptions in the code of a scenario."""
    if exceptions := measured.whole.counters.user_errors:
        yield {"exceptions": exceptions}


def dropped(measured: Measured) -> Iterator[Values]:
    """Requests that arrived and never started, if they are more than `MAX_DROPPED_SHARE`."""
    counters = measured.whole.counters
    if counters.dropped > MAX_DROPPED_SHARE * counters.due:
        yield {"dropped": counters.dropped, "due": counters.due, **_bottleneck(measured)}


def behind(measured: Measured) -> Iterator[Values]:
    """Requests that arrived in the steady windows and had neither started nor been dropped at their end."""
    counters = measured.steady.counters
    late = counters.due - counters.started - counters.dropped
    if counters.due and late > MAX_BEHIND_SHARE * counters.due:
        yield {"late": late, "due": counters.due, **_bottleneck(measured)}


def slip(measured: Measured) -> Iterator[Values]:
    """Requests of the open model that started late although a stream was free."""
    steady = measured.steady
    queue, first = steady.latency.get("queue"), steady.latency.get("ttft") or steady.latency.get("e2e")
    if not steady.counters.due or measured.waiting_max or queue is None:
        return
    usual = first.percentile("p50") if first is not None else None
    late, limit = queue.percentile("p99") or 0, max(MIN_SLIP_LIMIT_US, SLIP_SHARE_OF_TTFT * (usual or 0))
    if late > limit:
        yield {"late_ms": late / 1000, "limit_ms": limit / 1000}


def _bottleneck(measured: Measured) -> Values:
    """Why requests of the open model did not start in time, and what to do."""
    too_slow = {"why": "this client was too slow", "advice": "use more --procs or a less busy machine"}
    if any(busy_workers(measured)):
        return too_slow
    if measured.waiting_max:
        streams = sum(worker.streams for worker in measured.workers)
        return {
            "why": f"up to {measured.waiting_max:,} waited because all {streams:,} streams were in use",
            "advice": "use more --total-streams, or a lower --rate",
        }
    if any(late_workers(measured)):
        return too_slow
    return {"why": "they waited for a connection, or the run ended", "advice": "use a longer --ramp-up"}


def blocks(measured: Measured) -> Iterator[Values]:
    """Answers in blocks, if they are most of the long answers."""
    found = foreign_blocks(measured)
    if found is not None and found.share > MAX_IN_BLOCKS:
        yield found.values


def foreign_blocks(measured: Measured) -> Collected | None:
    """Answers in blocks, if this client can't have caused them: it was neither busy nor late; None: there are none."""
    found = measured.blocks
    if found is None or found.share <= MIN_IN_BLOCKS or any(busy_workers(measured)):
        return None
    limit = max(MIN_LAG_LIMIT_US, LAG_SHARE_OF_BLOCKS * found.apart_us)
    late = any((worker.loop_lag.percentile("p50") or 0) > limit for worker in measured.workers)
    return None if late else found


REASONS = (
    Rule(
        id="lost-worker",
        status="invalid",
        looks_at="workers that died",
        limit="any",
        sentence="worker {worker} was lost: {reason}",
        applies=lost_workers,
    ),
    Rule(
        id="busy-worker",
        status="degraded",
        looks_at="CPU time of each worker in the steady window",
        limit=f"over {MAX_CPU_SHARE:.0%} of a core",
        sentence="worker {worker} used {share:.0%} of its core, so its time stamps may be late",
        advice="use more --procs",
        applies=busy_workers,
    ),
    Rule(
        id="late-worker",
        status="degraded",
        looks_at="p99 of each worker's loop lag in the steady window",
        limit=f"over {MIN_LAG_LIMIT_US / 1000:g} ms and over {LAG_SHARE_OF_ITL:.0%} of the p50 of `itl`",
        sentence="worker {worker}'s event loop was up to {lag_ms:.1f} ms late (p99; limit {limit_ms:.1f} ms), so "
        "latencies may be too high",
        advice="use fewer --streams per process, more --procs, or a less busy machine",
        applies=late_workers,
    ),
    Rule(
        id="cut-off",
        status="degraded",
        looks_at="cancelled requests, except those that were abandoned (`--abandon`)",
        limit=f"over {MAX_CANCELLED_SHARE:.0%} of the started ones",
        sentence="{cancelled:,} of {started:,} requests were cut off at the end, so e2e and tpot are biased to short "
        "answers",
        advice="use a longer --grace or --duration",
        applies=cut_off,
    ),
    Rule(
        id="timed-out",
        status="degraded",
        looks_at=f"requests and retried attempts of the classes {', '.join(f'`{name}`' for name in TIME_LIMITS)}",
        limit=f"{MIN_TIMED_OUT_SHARE:.0%} of the started requests or more",
        sentence="{slowest:,} of {started:,} requests ran into a time limit, so the slowest {slowest:,} are missing "
        "from the percentiles of ttft and e2e",
        advice="use longer --timeout-... limits or less load",
        applies=timed_out,
    ),
    Rule(
        id="tpot-partial",
        status="degraded",
        looks_at="ok answers whose `tpot` is undetermined, if other answers of the run have a `tpot`",
        limit=f"{MIN_UNDETERMINED_SHARE:.0%} of the ok answers or more",
        sentence=f"{SENTENCE}; they are missing from tpot and tps_user, and ttft and e2e include them",
        applies=partly_undetermined,
    ),
    Rule(
        id="lost-reports",
        status="degraded",
        looks_at="reports of a worker that never came, by their numbers",
        limit="any",
        sentence="{reports} reports of worker {worker} were lost: counts are too low",
        applies=lost_reports,
    ),
    Rule(
        id="user-code",
        status="degraded",
        looks_at="exceptions that the code of a scenario has raised",
        limit="any",
        sentence="the code of the scenario raised {exceptions:,} exceptions, so what it would have asked after them is "
        "missing",
        advice="look at the samples of `scenario`, which name file and line",
        applies=user_code,
    ),
    Rule(
        id="blocks",
        status="degraded",
        looks_at="long answers that came in blocks, where this client was neither busy nor late",
        limit=f"over {MAX_IN_BLOCKS:.0%} of the long answers",
        sentence=collecting.SENTENCE,
        advice=collecting.ADVICE,
        applies=blocks,
    ),
    Rule(
        id="dropped",
        status="degraded",
        looks_at="requests that arrived (open model) and never started",
        limit=f"over {MAX_DROPPED_SHARE:.1%} of those that arrived",
        sentence="{dropped:,} of {due:,} requests that were due never started, so the load was lower than asked and "
        "the slowest requests are missing: {why}",
        advice="{advice}",
        applies=dropped,
    ),
    Rule(
        id="behind",
        status="degraded",
        looks_at="requests that arrived in the steady windows (open model) and still waited at their end",
        limit=f"over {MAX_BEHIND_SHARE:.1%} of those that arrived",
        sentence="{late:,} of {due:,} requests that were due in the steady window had not started by its end, so the "
        "load was lower than asked: {why}",
        advice="{advice}",
        applies=behind,
    ),
    Rule(
        id="slip",
        status="degraded",
        looks_at="p99 of `queue` in the steady windows (open model), if no request waited for a stream",
        limit=f"over {MIN_SLIP_LIMIT_US / 1000:g} ms and over {SLIP_SHARE_OF_TTFT:.0%} of the p50 of `ttft`",
        sentence="requests started up to {late_ms:.1f} ms after they were due (p99; limit {limit_ms:.1f} ms) although "
        "streams were free: this client was late, or opened connections",
        advice="use more --procs, a less busy machine, or a --warmup",
        applies=slip,
    ),
)
"""In the order in which they are printed."""
