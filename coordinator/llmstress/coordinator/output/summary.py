"""Makes the summary (`schema`) from an aggregate, and writes it."""

import base64
import os
import platform
import tempfile
from pathlib import Path

import msgspec

from llmstress.coordinator.host.machine import available_cores
from llmstress.coordinator.output.bands import band_rows
from llmstress.coordinator.output.bystander import bystander_of
from llmstress.coordinator.output.conversations import conversations_of
from llmstress.coordinator.output.cost import cost_row
from llmstress.coordinator.output.flows import flows_of
from llmstress.coordinator.output.goodput import fluidity_of, goodput_of, smooth_goodput_of
from llmstress.coordinator.output.judged import threshold_rows
from llmstress.coordinator.output.latencies import describe, in_ms
from llmstress.coordinator.output.load_schema import TraceInfo
from llmstress.coordinator.output.load_summary import load_of, window_row
from llmstress.coordinator.output.points import FindRow, SweepRow
from llmstress.coordinator.output.schema import (
    SCHEMA,
    Asked,
    Client,
    ErrorClass,
    EventRow,
    Gateway,
    Host,
    LoopLag,
    Outcome,
    RateLimit,
    Requests,
    RunInfo,
    Sample,
    Streams,
    Summary,
    TimelineRow,
    Tokens,
    TpsUser,
    Undetermined,
    WindowRow,
    WordsPerToken,
    Worker,
)
from llmstress.coordinator.output.tasks import task_rows
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate, WorkerState
from llmstress.engine.telemetry.bands import Bounds
from llmstress.engine.telemetry.broadcast import StepFacts
from llmstress.engine.telemetry.by_task import TaskFigures, fairness_of
from llmstress.engine.telemetry.classes import NOT_ERRORS, NOT_FAILED
from llmstress.engine.telemetry.cost import NO_PRICES, Pricing
from llmstress.engine.telemetry.error_samples import SCENARIO, samples_of
from llmstress.engine.telemetry.histogram import HIGHEST_US, Histogram
from llmstress.engine.telemetry.intervals import percentile_intervals
from llmstress.engine.telemetry.messages import Counters, Part
from llmstress.engine.telemetry.metrics import LATENCIES, TABLE
from llmstress.engine.telemetry.outcomes import describe_outcome
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives
from llmstress.engine.telemetry.snapshot import Figures
from llmstress.engine.telemetry.thresholds import Judgement
from llmstress.engine.telemetry.undetermined import BOUNDS, median_of
from llmstress.engine.telemetry.verdict import judge
from llmstress.engine.telemetry.windows import WindowFigures


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary needs in addition to the aggregate."""

    run: RunInfo
    ended_by: str
    startup_s: float
    coordinator_cpu_s: float
    points: SweepRow | FindRow | None = None
    """What a course has found; None: the run had none."""
    windows: list[WindowFigures] = []
    """The steady windows that have begun."""
    arrival: str = ""
    """How requests arrive in the open model; empty: closed model."""
    burstiness: float | None = None
    """Of gamma arrivals."""
    bystander_per_s: float | None = None
    """Rate of the bystander; None: there is none."""
    objectives: Objectives = NOT_JUDGED
    steps: tuple[StepFacts, ...] = ()
    """See `RunFacts`."""
    judgements: tuple[Judgement, ...] = ()
    trace: TraceInfo | None = None
    tasks: list[TaskFigures] = []
    """Those of a mix."""
    bands: Bounds | None = None
    """Where long prompts and answers begin; None: requests are not told apart by their tokens."""
    pricing: Pricing = NO_PRICES
    """What the requests cost."""
    words_per_token: list[WordsPerToken] = []


def summarise(aggregate: Aggregate, facts: Facts) -> Summary:
    """The summary, without histograms."""
    counters, ended, retried = aggregate.counters(), aggregate.ended(), aggregate.retried()
    steady = aggregate.steady
    window = facts.run.phases_s.steady
    figures = snapshot.steady(aggregate, window)
    return Summary(
        schema=SCHEMA,
        complete=not any(worker.state == "lost" or worker.gaps for worker in aggregate.workers),
        ended_by=facts.ended_by,
        outcome=_outcome(aggregate.whole),
        verdict=judge(aggregate, window),
        run=facts.run,
        requests=Requests(
            started=counters.started,
            ok=ended.get("ok", 0),
            failed=aggregate.failed(),
            filtered=ended.get("filtered", 0),
            cancelled=ended.get("cancelled", 0),
            abandoned=counters.abandoned,
            lost=ended.get("lost", 0),
            open=counters.started - sum(ended.values()),
            per_s=_rounded(figures.requests_per_s),
            retries=sum(retried.values()),
            retried=dict(sorted(retried.items())),
        ),
        tokens=msgspec.structs.replace(
            _tokens(counters, figures, ended.get("ok", 0)),
            asked=_asked(steady.counters),
            words_per_token=facts.words_per_token,
        ),
        finish=aggregate.whole.finish,
        streams=Streams(target=facts.run.total_streams, peak=aggregate.peak),
        latency_ms={name: describe(steady.latency.get(name)) for name in LATENCIES},
        latency_failed_ms={
            name: describe(steady.latency_failed[name]) for name in LATENCIES if name in steady.latency_failed
        },
        tpot_undetermined=_undetermined(aggregate),
        tps_user=_tps_user(steady.latency.get("tpot")),
        errors={
            outcome: ErrorClass(n, _samples(aggregate, outcome))
            for outcome, n in sorted(ended.items())
            if n and outcome not in NOT_ERRORS
        }
        | ({SCENARIO: ErrorClass(n, _samples(aggregate, SCENARIO))} if (n := counters.user_errors) else {}),
        gateway=Gateway(aggregate.signs, counters.tried_again, counters.long_answers, counters.in_blocks),
        retry_samples={outcome: _samples(aggregate, outcome) for outcome in sorted(retried)},
        rate_limits={
            kind: RateLimit(said.limit, said.remaining, said.lowest)
            for kind, said in sorted(aggregate.rate_limits.items())
        },
        client=_client(aggregate, facts, window),
        load=load_of(aggregate, facts.windows, facts.arrival, facts.burstiness),
        windows=_windows(aggregate, facts),
        tasks=task_rows(facts.tasks, facts.objectives),
        fairness={group: round(index, 6) for group, index in fairness_of(facts.tasks).items()},
        bands=band_rows(steady, facts.bands),
        timeline_step_s=aggregate.row_ns / 1e9,
        timeline=_timeline(aggregate, judged=bool(facts.objectives.slos)),
        trace=facts.trace if facts.trace is not None else msgspec.UNSET,
        events=[EventRow(round(each.t / 1e9, 3), each.kind, each.text) for each in aggregate.notices],
        sweep=facts.points if isinstance(facts.points, SweepRow) else msgspec.UNSET,
        find=facts.points if isinstance(facts.points, FindRow) else msgspec.UNSET,
        bystander=bystander_of(aggregate, facts.bystander_per_s),
        goodput=goodput_of(figures.goodput, facts.objectives) or msgspec.UNSET,
        fluidity=fluidity_of(steady, facts.objectives) or msgspec.UNSET,
        smooth_goodput=smooth_goodput_of(steady, facts.objectives, window) or msgspec.UNSET,
        thresholds=threshold_rows(facts.judgements),
        cost=cost_row(aggregate, facts.pricing, window, _names(facts)),
        conversations=conversations_of(aggregate, facts.steps, window) or msgspec.UNSET,
        flows=flows_of(aggregate, facts.steps, window) or msgspec.UNSET,
    )


def _names(facts: "Facts") -> list[str]:
    """The names of what has a price of its own: tasks, and the steps of flows."""
    if not any(step.flow for step in facts.steps):
        return [task.facts.name for task in facts.tasks]
    return list(
        dict.fromkeys(f"{step.task} {step.step}" if step.flow and step.step else step.task for step in facts.steps)
    )


def histograms_of(aggregate: Aggregate) -> dict[str, str]:
    """Metric -> base64 of HdrHistogram's V2 encoding of the steady window's samples, in µs."""
    steady = aggregate.steady
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


def encode(summary: Summary) -> bytes:
    """The summary as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def write_atomically(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write `data` to `path` so that a reader sees either all of it or the previous content.

    `mode`: the permissions of the file; None: those that the umask leaves.
    """
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
    if mode is None:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    whole.chmod(mode)
    whole.replace(path)


def host() -> Host:
    """This machine."""
    return Host(available_cores(), platform.python_version(), platform.platform())


def _rounded(per_second: float | None) -> float | None:
    return None if per_second is None else round(per_second, 3)


def _outcome(whole: Part) -> Outcome:
    ended = whole.ended
    finished = sum(n for outcome, n in ended.items() if outcome != "cancelled")
    failed = sum(n for outcome, n in ended.items() if outcome not in NOT_FAILED)
    return Outcome(
        text=describe_outcome(whole),
        finished=finished,
        failed_share=round(failed / finished, 6) if finished else None,
        shares={
            outcome: round(n / finished, 6) for outcome, n in sorted(ended.items()) if n and outcome not in NOT_ERRORS
        },
    )


def _windows(aggregate: Aggregate, facts: Facts) -> list[WindowRow]:
    if len(facts.windows) < 2:
        return []
    arrivals = bool(facts.arrival)
    shown = (*TABLE.of(whole_answers=aggregate.whole_answers), *(("queue",) if arrivals else ()))
    rows = []
    for window in facts.windows:
        latency = aggregate.of_window(window.index).latency
        described = {name: describe(latency[name]) for name in shown if name in latency}
        good = goodput_of(window.goodput, facts.objectives)
        rows.append(window_row(window, described, good, arrivals=arrivals))
    return rows


def _undetermined(aggregate: Aggregate) -> Undetermined:
    whole = aggregate.whole
    by_usage, by_events = (in_ms(median_of(whole, name)) for name in BOUNDS)
    return Undetermined(sum(whole.undetermined.values()), by_usage, by_events, dict(sorted(whole.undetermined.items())))


def _token_source(whole: Counters, ok: int) -> str | None:
    """`Tokens.source`. If no answer has ended ok, only events were counted."""
    if not ok:
        return "events" if whole.events else None
    by_events = ok - whole.usage_seen - whole.tokens_unknown
    if not whole.usage_seen:
        return "events" if by_events else None
    return "mixed" if by_events or whole.tokens_unknown else "usage"


def _tokens(whole: Counters, figures: Figures, ok: int) -> Tokens:
    source = _token_source(whole, ok) if whole.output or whole.input or whole.events else None
    return Tokens(
        output=whole.output,
        output_failed=whole.output_failed,
        output_cancelled=whole.output_cancelled,
        input=whole.input,
        cached_input=whole.cached_input,
        reasoning=whole.reasoning,
        inputs=whole.inputs,
        output_per_s=_rounded(figures.tokens_per_s),
        input_per_s=_rounded(figures.input_per_s),
        inputs_per_s=_rounded(figures.inputs_per_s),
        events=whole.events,
        events_per_s=_rounded(figures.events_per_s),
        events_shared_a_read=whole.events_shared,
        per_event=None if whole.tokens_per_event is None else round(whole.tokens_per_event, 4),
        source=source,
        asked=None,
        words_per_token=[],
    )


def _asked(steady: Counters) -> Asked | None:
    if not (steady.asked_input or steady.asked_output):
        return None
    return Asked(steady.asked_input, steady.delivered_input, steady.asked_output, steady.delivered_output)


def _tps_user(tpot: Histogram | None) -> TpsUser:
    found = tpot if tpot is not None else Histogram()
    slow = (5_000, 9_000, 9_900)  # the p90 of tpot is the p10 of tokens per second
    p50, p10, p1 = (_tokens_per_s(us) for us in found.percentiles(slow))
    intervals = ((_tokens_per_s(high), _tokens_per_s(low)) for low, high in percentile_intervals(found, slow))
    return TpsUser(p50, p10, p1, dict(zip(("p50", "p10", "p1"), intervals, strict=True)))


def _tokens_per_s(us: float | None) -> float | None:
    return round(1e6 / us, 3) if us else None


def _samples(aggregate: Aggregate, outcome: str) -> list[Sample]:
    return [
        Sample(each.status, each.text, each.request_id, each.headers, task)
        for task, each in samples_of(aggregate.samples, outcome)
    ]


def _lag(histogram: Histogram) -> LoopLag:
    p50, p99 = histogram.percentiles((5_000, 9_900))
    return LoopLag(in_ms(p50), in_ms(p99), in_ms(histogram.max if histogram.count else None))


def _client(aggregate: Aggregate, facts: Facts, window: float) -> Client:
    steady = aggregate.steady
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


def _timeline(aggregate: Aggregate, *, judged: bool) -> list[TimelineRow]:
    step = aggregate.row_ns / 1e9
    rows: list[TimelineRow] = []
    changes: dict[int, list[str]] = {}
    for notice in aggregate.notices:
        if notice.kind == "load":
            changes.setdefault(notice.t // aggregate.row_ns, []).append(notice.text)
    for index, row in enumerate(aggregate.rows):
        e2e, itl = (_p50_p99(row.more.get(name)) for name in ("e2e", "itl"))
        ttft, e2e = (_p50_p99(None), _p50_p99(row.latency)) if aggregate.whole_answers else (_p50_p99(row.latency), e2e)
        rows.append(
            TimelineRow(
                t=round(index * step, 3),
                phase=aggregate.kind_of(row.window).name.lower(),
                open=row.open,
                requests=row.requests,
                events=row.events,
                ttft_p50=ttft[0],
                ttft_p99=ttft[1],
                e2e_p50=e2e[0],
                e2e_p99=e2e[1],
                failed=row.failed,
                changes=changes.get(index, []),
                itl_p50=itl[0],
                itl_p99=itl[1],
                failed_by=row.failed_by,
                good=row.good if judged else None,
            )
        )
    return rows


def _p50_p99(histogram: Histogram | None) -> tuple[float | None, float | None]:
    """p50 and p99 in ms."""
    p50, p99 = (None, None) if histogram is None else histogram.percentiles((5_000, 9_900))
    return in_ms(p50), in_ms(p99)
