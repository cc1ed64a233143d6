"""Can the numbers be trusted? Says so, why not, and what to do about it."""

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.collecting import Collected, collected
from llmstress.engine.telemetry.messages import Counters, Phase

MAX_CPU_SHARE = 0.9
MIN_LAG_LIMIT_US = 2_000
LAG_SHARE_OF_ITL = 0.05
MAX_CANCELLED_SHARE = 0.01
MAX_TOKENS_PER_EVENT = 1.2
MAX_SHARED_READS = 0.2
MAX_IN_BLOCKS = 0.5
"""Share of the long answers: beyond it medians are those of blocks."""
MIN_IN_BLOCKS = 0.01
"""Beyond it the p99 is."""
LAG_SHARE_OF_BLOCKS = 0.25
"""A client that reads so late that events pile up is late by half of what a block takes, in the median; a p99 over its
limit is that of a few reads."""
MAX_HOST_BUSY = 0.95
MAX_HOST_STOLEN = 0.02


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
    degraded = [
        *_busy_workers(aggregate, steady_s),
        *_late_workers(aggregate),
        *_cut_off(aggregate),
        *_missing(aggregate),
        *([found.text] if found is not None and found.share > MAX_IN_BLOCKS else []),
    ]
    status = "invalid" if invalid else "degraded" if degraded else "valid"
    return Verdict(status, invalid + degraded, _notes(aggregate, found))


def _busy_workers(aggregate: Aggregate, steady_s: float) -> list[str]:
    return [
        f"worker {worker.worker} used {share:.0%} of its core, so its stamps may be late: add --procs"
        for worker in aggregate.workers
        if steady_s > 0 and (share := worker.steady_cpu_ns / 1e9 / steady_s) > MAX_CPU_SHARE
    ]


def _late_workers(aggregate: Aggregate) -> list[str]:
    itl = aggregate.phases[Phase.STEADY].latency.get("itl")
    itl_p50 = (itl.percentile("p50") if itl is not None else None) or 0
    limit = max(MIN_LAG_LIMIT_US, LAG_SHARE_OF_ITL * itl_p50)
    return [
        f"worker {worker.worker}'s event loop was up to {lag / 1000:.1f} ms late (p99; limit {limit / 1000:.1f} ms), "
        "and so may be the latencies: fewer --streams per process, more --procs, or a less busy machine"
        for worker in aggregate.workers
        if (lag := worker.loop_lag.percentile("p99") or 0) > limit
    ]


def _collected(aggregate: Aggregate, steady_s: float) -> Collected | None:
    """Who else collects events; None: nobody, or this client may have let them pile up itself. Of the steady window,
    where its lateness is known, and of what ended after it."""
    counters = Counters()
    for phase in (Phase.STEADY, Phase.DRAIN):
        counters.add(aggregate.phases[phase].counters)
    found = collected(counters, aggregate.signs)
    if found is None or found.share <= MIN_IN_BLOCKS or _busy_workers(aggregate, steady_s):
        return None
    limit = max(MIN_LAG_LIMIT_US, LAG_SHARE_OF_BLOCKS * found.late_us)
    late = any((worker.loop_lag.percentile("p50") or 0) > limit for worker in aggregate.workers)
    return None if late else found


def _cut_off(aggregate: Aggregate) -> list[str]:
    started = aggregate.counters().started
    cancelled = aggregate.ended().get("cancelled", 0)
    if not started or cancelled / started <= MAX_CANCELLED_SHARE:
        return []
    return [
        f"{cancelled:,} of {started:,} requests were cut off at the end, so e2e and tpot lean to the short ones: "
        "a longer --grace or --duration"
    ]


def _missing(aggregate: Aggregate) -> list[str]:
    return [
        f"{worker.gaps} deltas of worker {worker.worker} never arrived: counts are too low"
        for worker in aggregate.workers
        if worker.gaps
    ]


def _host(counters: Counters) -> list[str]:
    if not counters.host_ns:
        return []
    notes = []
    busy, stolen = counters.host_busy_ns / counters.host_ns, counters.host_stolen_ns / counters.host_ns
    if busy > MAX_HOST_BUSY:
        notes.append(
            f"the cores of this machine were {busy:.0%} busy: if the target runs on it, too, the load slowed it down"
        )
    if stolen > MAX_HOST_STOLEN:
        notes.append(f"{stolen:.0%} of this machine's time went to others on its host: it is late by itself")
    return notes


def _notes(aggregate: Aggregate, found: Collected | None) -> list[str]:
    counters, ended = aggregate.counters(), aggregate.ended()
    failed, finished = aggregate.failed(), aggregate.finished()
    notes = []
    if failed and finished:
        notes.append(f"{failed:,} of {finished:,} finished requests failed ({failed / finished:.1%}): see errors")
    if found is not None and found.share <= MAX_IN_BLOCKS:
        notes.append(found.text)
    if (per_event := counters.tokens_per_event or 0.0) > MAX_TOKENS_PER_EVENT:
        notes.append(f"an event carries {per_event:.2f} tokens: itl is the gap between events, tpot the time per token")
    shared = counters.events_shared / counters.events if counters.events else 0.0
    if found is None and shared > MAX_SHARED_READS:
        notes.append(
            f"{shared:.0%} of the events shared a read with another one: they were sent together, or this client "
            "read them late, so single gaps in itl mean little"
        )
    if counters.stream_ignored:
        notes.append(
            f"{counters.stream_ignored:,} requests asked for a stream and got a single JSON body: no ttft for them"
        )
    ok = ended.get("ok", 0)
    if ok > counters.usage_seen:
        notes.append(
            f"{ok - counters.usage_seen:,} of {ok:,} answers came without usage: their tokens are counted in events"
        )
    if counters.events_unknown:
        notes.append(f"{counters.events_unknown:,} events were JSON of an unknown shape and were ignored")
    notes += _host(aggregate.phases[Phase.STEADY].counters)
    if counters.connects_repeated:
        notes.append(
            f"for {counters.connects_repeated:,} of {counters.connections:,} connections packets had to be sent again "
            "before they stood: often a full listen queue of the target, which costs a second (a longer --ramp-up)"
        )
    if counters.stale_retries:
        notes.append(
            f"{counters.stale_retries:,} times a request was sent again on a fresh connection, "
            "because the server had closed the kept one"
        )
    if counters.tried_again:
        notes.append(
            f"{counters.tried_again:,} answers were not a gateway's first attempt, as their headers say "
            "(x-litellm-attempted-retries, -fallbacks): their latencies contain what failed before"
        )
    if retries := sum(aggregate.retried().values()):
        notes.append(
            f"{retries:,} times a request was sent again after a failure (--retries): ttft and e2e are those of the "
            "last attempt, ttft_due and e2e_due contain all of them and the waits between"
        )
    changes = sum(notice.kind == "load" for notice in aggregate.notices)
    if changes:
        times = "once" if changes == 1 else f"{changes} times"
        notes.append(f"the load was changed by hand {times} during the run: figures may mix what was before and after")
    return notes
