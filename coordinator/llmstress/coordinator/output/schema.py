"""What the JSON summary holds, field by field; schema `llmstress.summary/1`: new keys keep the number.

Counts cover the whole run; rates and latencies the steady window. Latencies are milliseconds. docs/metrics.md defines
metrics, classes and rules.
"""

import inspect
import json
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from llmstress.coordinator.output.band_schema import BandRow
from llmstress.coordinator.output.conversation_schema import Conversations
from llmstress.coordinator.output.cost_schema import Cost
from llmstress.coordinator.output.flow_schema import FlowRow
from llmstress.coordinator.output.judging_schema import Fluidity, Goodput, SmoothGoodput, ThresholdRow
from llmstress.coordinator.output.latencies import Latency
from llmstress.coordinator.output.load_schema import LevelUnit, Load, TraceInfo
from llmstress.coordinator.output.points import FindRow, SweepRow
from llmstress.coordinator.output.task_schema import TaskRow
from llmstress.engine.telemetry.metrics import LATENCIES, Metric
from llmstress.engine.telemetry.verdict import Verdict

SCHEMA = "llmstress.summary/1"


def _latencies(whose: str, metrics: Iterable[Metric]) -> msgspec.Meta:
    """The part of the schema that names and explains each of `metrics`."""
    entries = {each.name: {"$ref": "#/$defs/Latency", "description": f"{each.meaning}."} for each in metrics}
    return msgspec.Meta(
        description=f"{whose}, completed in the steady window. Metric -> its distribution in ms.",
        extra_json_schema={"properties": entries},
    )


_OF_FAILED = [each for each in LATENCIES.values() if each.requests == "all"]


class PhaseLengths(msgspec.Struct, frozen=True):
    """Seconds."""

    ramp: float
    warmup: float
    steady: float
    drain: float


class Host(msgspec.Struct, frozen=True):
    """The machine that sent the load."""

    cpus: int
    python: str
    platform: str


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The run: target, load, phases, options."""

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
    """Counts of the whole run. `started` is the sum of ok, failed, filtered, cancelled, lost and open; `open` is 0 once
    the run has ended. `abandoned`: the part of `cancelled` whose users walked away (`--abandon`). `per_s`: ok requests
    that ended in the steady window."""

    started: int
    ok: int
    failed: int
    filtered: int
    cancelled: int
    abandoned: int
    lost: int
    open: int
    per_s: float | None
    retries: int
    """How often a request was sent again after a failure; such failures are in no other count."""
    retried: dict[str, int]
    """The same by class of failure."""


class Asked(msgspec.Struct, frozen=True):
    """Tokens that requests asked for by lengths of their own, and what they got: sums over the ok requests of the
    steady window whose tokens are known. Input is that of made prompts, output that of answers whose length was asked
    for one by one."""

    input: int
    input_delivered: int
    output: int
    output_delivered: int


class WordsPerToken(msgspec.Struct, frozen=True, kw_only=True):
    """Words of made prompts for each token of their length, from a request of the run on."""

    task: str
    """Name of the task, and of its turn or step if it has any; empty: all requests are of one kind."""
    ratio: float
    """For equal prompts in each run: `--words-per-token` with this number."""
    from_request: int
    """Number among the requests of the task, from 0. From 1 on: the ratio was corrected by what the server counts."""
    reached: bool
    """False: the run has ended before this request."""
    late_from_request: int | None
    """A process had passed `from_request` when it heard of the correction, and has made it from this request on. Then
    the prompts in between are others with another number of processes. Null: there was none."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """`output` is of ok requests; `events` are token events; `source` is usage, events or mixed, null if the tokens
    were not counted; `inputs` are those of embeddings, of which a request has several."""

    output: int
    output_failed: int
    output_cancelled: int
    input: int
    cached_input: int
    reasoning: int
    inputs: int
    output_per_s: float | None
    input_per_s: float | None
    inputs_per_s: float | None
    events: int
    events_per_s: float | None
    events_shared_a_read: int
    per_event: float | None
    source: str | None
    asked: Asked | None
    """None: no request had a length of its own."""
    words_per_token: list[WordsPerToken]
    """What made prompts had, task by task. Empty: none was made of common words."""


class Streams(msgspec.Struct, frozen=True):
    """Requests in flight: how many were asked for, and the most there were."""

    target: int
    peak: int


class TpsUser(msgspec.Struct, frozen=True):
    """Tokens/s that one user sees: 1000 / tpot. One user in ten sees less than p10."""

    p50: float | None
    p10: float | None
    p1: float | None
    intervals: dict[str, tuple[float | None, float | None]]
    """Percentile -> its 99 % confidence interval, from that of tpot."""


class Undetermined(msgspec.Struct, frozen=True):
    """Ok answers of the whole run whose tpot is known only as two bounds: usage counts another number of tokens than
    the events show, so it is unknown when they were generated. `latency_ms.tpot` does not contain these answers."""

    count: int
    by_usage_p50: float | None
    """Median of the bound that spreads all tokens of usage over the events, in ms."""
    by_events_p50: float | None
    """Median of the bound that takes each event for a token, in ms."""
    why: dict[str, int]
    """Reason -> how many answers."""


class WindowRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A steady window. Its counts are of what happened in it: a request may start in one window and end in another."""

    label: str
    begin_s: float
    """Seconds after T0."""
    seconds: float
    unit: LevelUnit
    asked: float
    """Mean level of the load, in `unit`: streams, requests per second, seconds of the trace per second."""
    due: int | None
    """Requests that arrived; null in the closed model, as `dropped` and `achieved_share`."""
    started: int
    dropped: int | None
    started_per_s: float | None
    achieved_share: float | None
    ok: int
    failed: int
    filtered: int
    cancelled: int
    lost: int
    failed_by: dict[str, int]
    """Class of failure -> how many; the sum is `failed`."""
    requests_per_s: float | None
    """Ok requests."""
    output_per_s: float | None
    """Output tokens."""
    events_per_s: float | None
    interactivity: float | None
    """Tokens per second that one user sees: 1000 / `tpot` p50."""
    latency_ms: dict[str, Latency]
    goodput: Goodput | msgspec.UnsetType = msgspec.UNSET
    """If SLOs were given."""


class Outcome(msgspec.Struct, frozen=True):
    """How the finished requests ended. (The verdict says whether the figures can be trusted.)"""

    text: str
    """One sentence."""
    finished: int
    """All requests that ended, except the cancelled ones."""
    failed_share: float | None
    """Null if none has finished."""
    shares: dict[str, float]
    """Class of failure -> its share of the finished ones; `filtered` and `lost` too."""


class Sample(msgspec.Struct, frozen=True):
    """An example of a failure; status 0: no status came."""

    status: int
    text: str
    request_id: str
    headers: str
    """Headers that throttle, or advise whether and when to retry."""
    task: str = ""
    """Name of the task; empty: there is no mix."""


class ErrorClass(msgspec.Struct, frozen=True):
    """How often a class of failure occurred, with up to three distinct samples of each task."""

    count: int
    samples: list[Sample]


class RateLimit(msgspec.Struct, frozen=True):
    """A rate limit as the server's headers report it: its size (null if not reported), the last and the lowest
    remaining amount."""

    limit: int | None
    remaining: int
    lowest: int


class LoopLag(msgspec.Struct, frozen=True):
    """How late the event loops were (ms). This is the error that a stamp can have."""

    p50: float | None
    p99: float | None
    max: float | None


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process. `cpu_share`: of one core, in the steady window."""

    pid: int
    state: str
    reason: str
    cpu_share: float | None
    rss_mb: float
    streams: int
    merged_deltas: int
    """Reports that could not be sent in time and were merged into the next one."""
    loop_lag_ms: LoopLag


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What llmstress itself used. `startup_s`: from the command to T0."""

    startup_s: float
    cpu_s: float
    cpu_us_per_event: float | None
    rss_peak_mb: float
    host_busy: float | None
    """Share of the steady window in which the cores of this machine ran anything, this program or another."""
    host_stolen: float | None
    """Share of the steady window that a hypervisor gave to other machines."""
    connections: int
    """Connections opened in the whole run."""
    connects_repeated: int
    """Of these, how many needed retransmitted packets before they were open."""
    stale_retries: int
    """Requests that were sent again because the server had closed the kept connection."""
    loop_lag_ms: LoopLag
    workers: list[Worker]


class Gateway(msgspec.Struct, frozen=True):
    """What the answers show about gateways between this client and the server."""

    signs: list[str]
    """Headers that name the server or a gateway, such as `server: nginx/1.26.2`: up to 5."""
    tried_again: int
    """Answers that were not the gateway's first attempt, according to their headers."""
    long_answers: int
    """Ok streamed answers of one choice with at least 8 token events."""
    in_blocks: int
    """Of these, how many came in blocks: several events in a read, and the reads far apart."""


class Bystander(msgspec.Struct, frozen=True, kw_only=True):
    """The short requests that were sent beside the load (`--bystander`). They are in no other figure. Counts cover the
    whole run, latencies the steady windows."""

    asked_per_s: float
    due: int
    """Requests that arrived: the sum of started and dropped."""
    started: int
    """The sum of ok, failed, filtered, cancelled and lost."""
    dropped: int
    """Requests that never started, because too many were in flight or the run was over."""
    ok: int
    failed: int
    filtered: int
    cancelled: int
    lost: int
    latency_ms: dict[str, Latency]
    """Of requests that did not fail."""
    errors: dict[str, ErrorClass]


class EventRow(msgspec.Struct, frozen=True):
    """An event of the run, `t` seconds after T0; `kind` is phase, warning, load (changed by hand), end or note."""

    t: float
    kind: str
    text: str


class TimelineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `t`: when it begins, in seconds after T0. `requests`: how many ended. Latencies are in ms.

    Latencies are those that were seen within the step, also of requests that failed later. Those of itl, and of e2e if
    answers are streamed, are kept in coarse bins: up to 0.8 % (below 1 ms up to 7 µs) too high. ttft is null if no
    answer is streamed."""

    t: float
    phase: str
    open: int
    requests: int
    events: int
    ttft_p50: float | None
    ttft_p99: float | None
    e2e_p50: float | None
    e2e_p99: float | None
    failed: int
    changes: list[str]
    """What was changed by hand within the step."""
    itl_p50: float | None
    itl_p99: float | None
    failed_by: dict[str, int]
    """Class of failure -> how many; the sum is `failed`."""
    good: int | None
    """Requests that ended ok and met every SLO; null without SLOs."""


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a run."""

    schema: str
    complete: bool
    ended_by: str
    outcome: Outcome
    verdict: Verdict
    run: RunInfo
    requests: Requests
    tokens: Tokens
    finish: dict[str, int]
    streams: Streams
    latency_ms: Annotated[dict[str, Latency], _latencies("Of requests that did not fail", LATENCIES.values())]
    latency_failed_ms: Annotated[dict[str, Latency], _latencies("Of failed requests", _OF_FAILED)]
    tpot_undetermined: Undetermined
    tps_user: TpsUser
    errors: dict[str, ErrorClass]
    gateway: Gateway
    retry_samples: dict[str, list[Sample]]
    """Class of failure -> examples of failures after which a request was sent again."""
    rate_limits: dict[str, RateLimit]
    """Kind (requests, tokens, input-tokens, output-tokens) -> the limit, if the server's headers report it."""
    client: Client
    load: Load
    windows: list[WindowRow]
    """The steady windows, if there is more than one."""
    tasks: list[TaskRow] = []
    """Those of a mix; missing if all requests are of one kind."""
    fairness: dict[str, float] = {}
    """List of models -> Jain's index of the speeds that users of its models get: 1 if all are equal, 1/n if only one of
    n models answers at all. Only with `--models`."""
    bands: list[BandRow] = []
    """Requests by the length of prompt and answer; missing if all have the same length (`--token-bands`)."""
    timeline_step_s: float
    timeline: list[TimelineRow]
    events: list[EventRow]
    """The last 1,000 lines of the run's log."""
    sweep: SweepRow | msgspec.UnsetType = msgspec.UNSET
    """Only with `--sweep`."""
    find: FindRow | msgspec.UnsetType = msgspec.UNSET
    """Only of `llmstress find`."""
    goodput: Goodput | msgspec.UnsetType = msgspec.UNSET
    """Only with `--slo` or `--slo-preset`."""
    fluidity: Fluidity | msgspec.UnsetType = msgspec.UNSET
    """Only with `--deadline`."""
    smooth_goodput: SmoothGoodput | msgspec.UnsetType = msgspec.UNSET
    """Only with `--reading-speed`."""
    thresholds: list[ThresholdRow] = []
    """Those of `--fail-if` and `--abort-if`; missing if there are none."""
    trace: TraceInfo | msgspec.UnsetType = msgspec.UNSET
    """Only with `--trace`."""
    histograms: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """Metric -> base64 of HdrHistogram's V2 encoding, in µs, of the steady window."""
    bystander: Bystander | msgspec.UnsetType = msgspec.UNSET
    """Only with `--bystander`."""
    cost: Cost
    conversations: Conversations | msgspec.UnsetType = msgspec.UNSET
    """Only with `--turns`."""
    flows: list[FlowRow] | msgspec.UnsetType = msgspec.UNSET
    """A row for each task with steps; missing if there is none."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of the summary, as it is stored in `summary.schema.json` beside this file."""
    return schema_of(Summary, SCHEMA)


def schema_of(kind: type[msgspec.Struct], title: str) -> dict[str, Any]:
    """JSON Schema of a document of this kind: the same with every version of msgspec and Python."""
    schema = normal_schema(msgspec.json.schema(kind))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}


def normal_schema(schema: Any) -> Any:
    """`schema` without the differences between versions. Before msgspec 0.23 and Python 3.13 descriptions keep the
    indentation of the docstring, and the alternatives of an `anyOf` have another order; here `null` is the last one."""
    if isinstance(schema, list | tuple):
        return [normal_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: normal_schema(each) for name, each in schema.items()}
    if isinstance(made.get("description"), str):
        made["description"] = inspect.cleandoc(made["description"])
    if isinstance(made.get("anyOf"), list):
        made["anyOf"].sort(key=lambda each: (each.get("type") == "null", json.dumps(each, sort_keys=True)))
    return made
