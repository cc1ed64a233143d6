"""The JSON summary, schema `llmstress.summary/1`: additive keys keep the number.

Counts cover the whole run; rates and latencies the steady window. Latencies are milliseconds.
"""

import base64
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from llmstress.coordinator.machine import available_cores
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate, WorkerState
from llmstress.engine.telemetry.histogram import HIGHEST_US, PERCENTILES, Histogram
from llmstress.engine.telemetry.messages import Counters, ErrorSample, Phase
from llmstress.engine.telemetry.snapshot import Figures
from llmstress.engine.telemetry.verdict import Verdict, judge

SCHEMA = "llmstress.summary/1"

LATENCIES = ("queue", "connect", "ttfb", "ttft", "ttft_due", "ttfa", "itl", "tpot", "stall", "e2e", "e2e_due")


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution in milliseconds. A percentile is null where n < 1 / (1 - p)."""

    count: int
    mean: float | None
    min: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    low_sample: list[str]
    """Percentiles for which the sample is thin."""
    over_an_hour: int
    """Values that were longer, and are counted as an hour."""


class PhaseLengths(msgspec.Struct, frozen=True):
    """Seconds."""

    ramp: float
    warmup: float
    steady: float
    drain: float


class Host(msgspec.Struct, frozen=True):
    """Where it ran."""

    cpus: int
    python: str
    platform: str


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was run."""

    version: str
    api: str
    url: str
    model: str
    procs: int
    streams: int
    total_streams: int
    phases_s: PhaseLengths
    started_at: str
    seed: int
    options: dict[str, Any]
    host: Host


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """`started` is the sum of the ends and of what is still `open`, which is 0 unless the run goes on; `per_s` are ok
    requests that ended in the steady window."""

    started: int
    ok: int
    failed: int
    filtered: int
    cancelled: int
    lost: int
    open: int
    per_s: float | None
    retries: int
    """How often a request was sent again after a failure; such failures are in no other count."""
    retried: dict[str, int]
    """The same by class of failure."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """`output` is of ok requests; `events` are token-bearing ones; `source` is usage, events or mixed."""

    output: int
    output_failed: int
    output_cancelled: int
    input: int
    cached_input: int
    reasoning: int
    output_per_s: float | None
    input_per_s: float | None
    events: int
    events_per_s: float | None
    events_shared_a_read: int
    per_event: float | None
    source: str | None


class Streams(msgspec.Struct, frozen=True):
    """Requests in flight: how many were meant to be, how many there were at most."""

    target: int
    peak: int


class TpsUser(msgspec.Struct, frozen=True):
    """Tokens/s that one user sees: 1000 / tpot. p10 is what one user in ten falls below."""

    p50: float | None
    p10: float | None
    p1: float | None


class Sample(msgspec.Struct, frozen=True):
    """An example of a failure; status 0: none came."""

    status: int
    text: str
    request_id: str
    headers: str
    """Those that throttle or advise."""


class ErrorClass(msgspec.Struct, frozen=True):
    """How often a class of failure occurred, with up to three distinct samples."""

    count: int
    samples: list[Sample]


class RateLimit(msgspec.Struct, frozen=True):
    """What the server said of a rate limit: its size (null: it didn't), what was left at last, and at the least."""

    limit: int | None
    remaining: int
    lowest: int


class LoopLag(msgspec.Struct, frozen=True):
    """How late the event loops were (ms): the error that a stamp can have."""

    p50: float | None
    p99: float | None
    max: float | None


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One process; `cpu_share` is of a core, in the steady window."""

    pid: int
    state: str
    reason: str
    cpu_share: float | None
    rss_mb: float
    streams: int
    merged_deltas: int
    """Reports that could not be sent in time and went with the next one."""
    loop_lag_ms: LoopLag


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What the load generator itself used. `startup_s` is the time from the command to T0."""

    startup_s: float
    cpu_s: float
    cpu_us_per_event: float | None
    rss_peak_mb: float
    host_busy: float | None
    """Share of the steady window in which the cores of this machine ran anything, this program or another."""
    host_stolen: float | None
    """Share of it that a hypervisor gave to other machines."""
    connections: int
    """Opened in all."""
    connects_repeated: int
    """The part of them for which packets had to be sent again before they stood."""
    stale_retries: int
    """Requests that were sent again because the server had closed the kept connection."""
    loop_lag_ms: LoopLag
    workers: list[Worker]


class EventRow(msgspec.Struct, frozen=True):
    """Something that happened `t` seconds after T0; `kind` is phase, warning, load (changed by hand), end or note."""

    t: float
    kind: str
    text: str


class TimelineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step; `t` is its begin in seconds after T0, `requests` are those that ended, latencies ms."""

    t: float
    phase: str
    open: int
    requests: int
    events: int
    ttft_p50: float | None
    ttft_p99: float | None
    failed: int
    changes: list[str]
    """What was changed by hand within it."""


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a run has to say."""

    schema: str
    complete: bool
    ended_by: str
    verdict: Verdict
    run: RunInfo
    requests: Requests
    tokens: Tokens
    finish: dict[str, int]
    streams: Streams
    latency_ms: dict[str, Latency]
    latency_failed_ms: dict[str, Latency]
    tps_user: TpsUser
    errors: dict[str, ErrorClass]
    retry_samples: dict[str, list[Sample]]
    """Class of failure -> examples of those after which a request was sent again."""
    rate_limits: dict[str, RateLimit]
    """requests, tokens, input-tokens, output-tokens, as far as the server speaks of them in headers."""
    client: Client
    timeline_step_s: float
    timeline: list[TimelineRow]
    events: list[EventRow]
    """The log of the run: its last 1,000 lines."""
    histograms: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """Metric -> base64 of HdrHistogram's V2 encoding, in µs, of the steady window."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary needs besides the aggregate."""

    run: RunInfo
    ended_by: str
    startup_s: float
    coordinator_cpu_s: float


def summarise(aggregate: Aggregate, facts: Facts) -> Summary:
    """The summary, without histograms."""
    counters, ended, retried = aggregate.counters(), aggregate.ended(), aggregate.retried()
    steady = aggregate.phases[Phase.STEADY]
    window = facts.run.phases_s.steady
    figures = snapshot.steady(aggregate, window)
    finish: dict[str, int] = {}
    for part in aggregate.phases.values():
        for reason, n in part.finish.items():
            finish[reason] = finish.get(reason, 0) + n
    return Summary(
        schema=SCHEMA,
        complete=not any(worker.state == "lost" or worker.gaps for worker in aggregate.workers),
        ended_by=facts.ended_by,
        verdict=judge(aggregate, window),
        run=facts.run,
        requests=Requests(
            started=counters.started,
            ok=ended.get("ok", 0),
            failed=aggregate.failed(),
            filtered=ended.get("filtered", 0),
            cancelled=ended.get("cancelled", 0),
            lost=ended.get("lost", 0),
            open=counters.started - sum(ended.values()),
            per_s=_rounded(figures.requests_per_s),
            retries=sum(retried.values()),
            retried=dict(sorted(retried.items())),
        ),
        tokens=_tokens(counters, figures, ended.get("ok", 0)),
        finish=finish,
        streams=Streams(target=facts.run.total_streams, peak=aggregate.peak),
        latency_ms={name: describe(steady.latency.get(name)) for name in LATENCIES},
        latency_failed_ms={
            name: describe(steady.latency_failed[name]) for name in LATENCIES if name in steady.latency_failed
        },
        tps_user=_tps_user(steady.latency.get("tpot")),
        errors={
            outcome: ErrorClass(n, _samples(aggregate, outcome))
            for outcome, n in sorted(ended.items())
            if n and outcome not in ("ok", "cancelled")
        },
        retry_samples={outcome: _samples(aggregate, outcome) for outcome in sorted(retried)},
        rate_limits={
            kind: RateLimit(said.limit, said.remaining, said.lowest)
            for kind, said in sorted(aggregate.rate_limits.items())
        },
        client=_client(aggregate, facts, window),
        timeline_step_s=aggregate.row_ns / 1e9,
        timeline=_timeline(aggregate),
        events=[EventRow(round(each.t / 1e9, 3), each.kind, each.text) for each in aggregate.notices],
    )


def histograms_of(aggregate: Aggregate) -> dict[str, str]:
    """Metric -> base64 of HdrHistogram's V2 encoding of the steady window's samples, in µs."""
    steady = aggregate.phases[Phase.STEADY]
    return {name: encode_v2(steady.latency[name]) for name in LATENCIES if name in steady.latency}


def encode_v2(histogram: Histogram) -> str:
    """Base64 of HdrHistogram's V2 compressed encoding, by the `hdrhistogram` package (read with its `decode`)."""
    from hdrh.histogram import HdrHistogram  # only where a histogram is written: its import takes 30 ms

    hdr = HdrHistogram(1, HIGHEST_US, 3)
    for index, n in histogram.counts.items():
        hdr.counts[index] = n
    hdr.total_count = histogram.count
    hdr.min_value = histogram.min
    hdr.max_value = histogram.max
    encoded = hdr.encode()
    # the package gives base64 already; ASCII in a JSON string
    return encoded.decode() if isinstance(encoded, bytes) else base64.b64encode(encoded).decode()


def describe(histogram: Histogram | None) -> Latency:
    """A histogram in µs as its summary in ms."""
    found = histogram if histogram is not None else Histogram()
    values = dict(zip(PERCENTILES, found.percentiles(PERCENTILES.values()), strict=True))
    return Latency(
        count=found.count,
        mean=_ms(found.mean),
        min=_ms(found.min if found.count else None),
        max=_ms(found.max if found.count else None),
        low_sample=found.low_sample(),
        over_an_hour=found.overflow,
        **{name: _ms(value) for name, value in values.items()},
    )


def encode(summary: Summary) -> bytes:
    """The summary as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees all of it or what was there before."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a device or a pipe: there is nothing to replace
        return
    path = path.resolve()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        whole = Path(file.name)
        try:
            file.write(data)
            file.flush()
        except OSError:
            whole.unlink()
            raise
    umask = os.umask(0)
    os.umask(umask)
    whole.chmod(0o666 & ~umask)
    whole.replace(path)


def host() -> Host:
    """This machine."""
    return Host(available_cores(), platform.python_version(), platform.platform())


def _ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1000, 3)


def _rounded(per_second: float | None) -> float | None:
    return None if per_second is None else round(per_second, 3)


def _tokens(whole: Counters, figures: Figures, ok: int) -> Tokens:
    source = None if not ok else "usage" if whole.usage_seen == ok else "mixed" if whole.usage_seen else "events"
    return Tokens(
        output=whole.output,
        output_failed=whole.output_failed,
        output_cancelled=whole.output_cancelled,
        input=whole.input,
        cached_input=whole.cached_input,
        reasoning=whole.reasoning,
        output_per_s=_rounded(figures.tokens_per_s),
        input_per_s=_rounded(figures.input_per_s),
        events=whole.events,
        events_per_s=_rounded(figures.events_per_s),
        events_shared_a_read=whole.events_shared,
        per_event=None if whole.tokens_per_event is None else round(whole.tokens_per_event, 4),
        source=source,
    )


def _tps_user(tpot: Histogram | None) -> TpsUser:
    slow = tpot.percentiles((5_000, 9_000, 9_900)) if tpot is not None else [None] * 3
    return TpsUser(*(round(1e6 / us, 3) if us else None for us in slow))


def _samples(aggregate: Aggregate, outcome: str) -> list[Sample]:
    kept: list[ErrorSample] = aggregate.samples.get(outcome, [])
    return [Sample(each.status, each.text, each.request_id, each.headers) for each in kept]


def _lag(histogram: Histogram) -> LoopLag:
    p50, p99 = histogram.percentiles((5_000, 9_900))
    return LoopLag(_ms(p50), _ms(p99), _ms(histogram.max if histogram.count else None))


def _client(aggregate: Aggregate, facts: Facts, window: float) -> Client:
    steady = aggregate.phases[Phase.STEADY]
    workers = aggregate.workers
    lag = Histogram()
    for worker in workers:
        lag.merge(worker.loop_lag)
    events = steady.counters.events
    counters = aggregate.counters()
    return Client(
        startup_s=round(facts.startup_s, 3),
        cpu_s=round(sum(w.startup_cpu_s + w.cpu_ns / 1e9 for w in workers) + facts.coordinator_cpu_s, 3),
        cpu_us_per_event=round(steady.counters.cpu_ns / 1000 / events, 3) if events else None,
        rss_peak_mb=round(sum(worker.rss_peak for worker in workers) / 1e6, 1),
        host_busy=_share(steady.counters.host_busy_ns, steady.counters.host_ns),
        host_stolen=_share(steady.counters.host_stolen_ns, steady.counters.host_ns),
        connections=counters.connections,
        connects_repeated=counters.connects_repeated,
        stale_retries=counters.stale_retries,
        loop_lag_ms=_lag(lag),
        workers=[_worker(worker, window) for worker in workers],
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _worker(worker: WorkerState, window: float) -> Worker:
    return Worker(
        pid=worker.pid,
        state=worker.state,
        reason=worker.reason,
        cpu_share=round(worker.steady_cpu_ns / 1e9 / window, 3) if window > 0 else None,
        rss_mb=round(worker.rss_peak / 1e6, 1),
        streams=worker.streams,
        merged_deltas=worker.merged,
        loop_lag_ms=_lag(worker.loop_lag),
    )


def _timeline(aggregate: Aggregate) -> list[TimelineRow]:
    step = aggregate.row_ns / 1e9
    rows: list[TimelineRow] = []
    changes: dict[int, list[str]] = {}
    for notice in aggregate.notices:
        if notice.kind == "load":
            changes.setdefault(notice.t // aggregate.row_ns, []).append(notice.text)
    for index, row in enumerate(aggregate.rows):
        p50, p99 = row.ttft.percentiles((5_000, 9_900))
        rows.append(
            TimelineRow(
                t=round(index * step, 3),
                phase=Phase(row.phase).name.lower(),
                open=row.open,
                requests=row.requests,
                events=row.events,
                ttft_p50=_ms(p50),
                ttft_p99=_ms(p99),
                failed=row.failed,
                changes=changes.get(index, []),
            )
        )
    return rows


def json_schema() -> dict[str, Any]:
    """JSON Schema of the summary; `summary.schema.json` beside this file is what it gave."""
    schema = msgspec.json.schema(Summary)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **schema}
