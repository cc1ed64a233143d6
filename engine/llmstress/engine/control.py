"""The messages between coordinator and workers: tagged structs in msgpack, over one ZeroMQ DEALER per worker and one
ROUTER.

worker -> coordinator: Hello, Ready, Delta..., Final
coordinator -> worker: Setup, Go, then orders (SetStreams, SetProfile, SetWindows, SetWordsPerToken, Pause, Stop) in any
number, Ack
"""

import enum

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.checks.check import Check
from llmstress.engine.flows.extraction import Extraction
from llmstress.engine.prompts.file import FromFiles
from llmstress.engine.prompts.synthetic import Synthetic
from llmstress.engine.telemetry.bands import Bounds
from llmstress.engine.telemetry.load_profile import Profile
from llmstress.engine.telemetry.messages import Delta, Window
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives


class Timeouts(msgspec.Struct, array_like=True, frozen=True):
    """Time limits of one request; 0: no limit."""

    connect_s: float
    first_token_ns: int
    idle_ns: int
    total_ns: int


class Tls(msgspec.Struct, array_like=True, frozen=True):
    """TLS settings for an https URL: which servers are trusted, and the client's certificate. Paths are absolute."""

    ca_file: str = ""
    """Certificates (PEM) of the authorities to trust; empty: the system's."""
    insecure: bool = False
    """Accept any certificate for any name."""
    cert_file: str = ""
    """Certificate (PEM) of the client; empty: none."""
    key_file: str = ""
    """Private key of the client (PEM); empty: it is in `cert_file`."""


class Network(msgspec.Struct, array_like=True, frozen=True):
    """The way to the target."""

    addresses: list[str] = []
    """Addresses to use for the host of the URL; empty: the host is resolved by DNS."""
    sources: list[str] = []
    """Local addresses to connect from, in turn; empty: the kernel chooses."""
    proxy: str = ""
    """URL of an HTTP proxy, with its user information; empty: none."""
    unix_socket: str = ""
    """Path of the socket to connect to instead of host and port; empty: none."""
    tls: Tls = Tls()


class Think(msgspec.Struct, array_like=True, frozen=True):
    """The think time of a stream: how long it waits after an answer. Each wait is drawn anew."""

    exponential: bool = False
    """Exponential with the mean `low_ns`; else uniform from `low_ns` to `high_ns`."""
    low_ns: int = 0
    high_ns: int = 0


class Abandonment(msgspec.Struct, array_like=True, frozen=True):
    """Users who walk away before their answer has ended."""

    share: float
    """Of the requests, from 0 to 1: whether it is one of them depends on the seed and the number of a request alone."""
    after: Think | None = None
    """Time from the start of a request until it is abandoned; None: only `tokens` counts."""
    tokens: int | None = None
    """Token events after which it is abandoned; None: only `after` counts. If both are given: what comes first."""
    seed: int = 0


class OpenLoad(msgspec.Struct, array_like=True, frozen=True):
    """When requests arrive in the open model, beside the rate."""

    arrival: str
    """constant, poisson, gamma, or trace."""
    burstiness: float
    """Shape of the gamma distribution: 1 is Poisson, less is burstier (as in vLLM's benchmark)."""
    max_queue: int | None
    """Most requests of this worker that wait for a stream; None: no limit."""
    queue_timeout_ns: int
    """A request that has waited this long for a stream is dropped; 0: no limit."""


class Replay(msgspec.Struct, array_like=True, frozen=True):
    """A trace whose rows are the requests of the open model."""

    directory: str
    """Where its columns are (`trace.py`)."""
    lengths: bool
    """The limit of output tokens of each request is the length of its row's answer."""
    block: int = 0
    """Prompts are made with the lengths of the rows, and share what their hash ids say; tokens of the block of an id.
    0: the trace makes no prompts."""
    salt: int = 0
    """Of the run: see `Synthetic`."""
    words: tuple[str, ...] = ()
    """As in `Synthetic`."""


class Conversation(msgspec.Struct, array_like=True, frozen=True):
    """What the conversations of one kind are like."""

    fewest: int
    most: int
    """Turns of a conversation; each number from `fewest` to `most` is equally likely."""
    keeps_answers: bool
    """The history has the server's answers; else scripted ones."""
    think: Think
    """The think time before every turn but the first one."""
    seed: int


class FlowStep(msgspec.Struct, array_like=True, frozen=True):
    """What a step of a flow is, beside its request."""

    setup: bool = False
    """It is made once for each user, and again after a 401."""
    extracts: tuple[Extraction, ...] = ()
    """What later steps need of its answer."""
    keeps_answer: bool = False
    """Later steps need the text of its answer: `{{STEP.answer}}`."""
    think: Think = Think()
    """The wait before it."""
    seed: int = 0

    @property
    def hides_answer(self) -> bool:
        """Its answer may hold a secret, so no text of a failure may show it."""
        return self.setup or any(each.secret for each in self.extracts)


class TaskPlan(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One kind of request, and all that a worker needs to send such requests to their target."""

    name: str = ""
    """Empty: it is the only one."""
    weight: int = 1
    """Its share of the requests is this, divided by the sum of the weights of all tasks."""
    api: str
    """Name of the API."""
    url: str
    """Full URL of the endpoint, without user information."""
    network: Network
    headers: list[tuple[str, str]]
    """Sent with every request, in this order; may contain secrets."""
    ask: Ask
    """The content of every request."""
    retries: int = 0
    """How often a request may be sent again."""
    on_status: list[tuple[str, str]] = []
    """Changes to the table in `stream/failure_policy.py`, as pairs of status and action."""
    timeouts: Timeouts
    requests_per_connection: int = 0
    """A connection is closed after this many requests; 0: it stays open as long as the server allows."""
    require_finish: bool = False
    """An answer that ends without a finish reason is truncated."""
    objectives: Objectives = NOT_JUDGED
    """What requests are judged by."""
    synthetic: Synthetic | None = None
    """Prompts and limits that differ from request to request; None: none are made."""
    prompts: FromFiles | None = None
    """Prompts from files; None: there are none."""
    checks: tuple[Check, ...] = ()
    """What is expected of the answers."""
    abandonment: Abandonment | None = None
    """None: nobody walks away."""
    step: str = ""
    """Name of the step of a session whose requests these are, such as `turn 1`; empty: they are no part of a
    session."""
    steps: int = 1
    """So many plans, this one and those after it, are the steps of the sessions of one kind: their weight is that of
    the first one."""
    conversation: Conversation | None = None
    """Of the first step: the sessions are conversations."""
    flow: FlowStep | None = None
    """Of every step of a flow."""
    script: str = ""
    """The method of a user class in Python that is this task, such as `Support.ask`; empty: it is no such task."""


class Bystander(msgspec.Struct, array_like=True, frozen=True):
    """A light user beside the load: short requests of its own, which are in no figure of the load."""

    per_s: float
    """Rate of its requests; they arrive as a Poisson process."""
    task: TaskPlan


class Scenario(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the tasks in Python need."""

    path: str
    """Of the file."""
    kinds: dict[str, TaskPlan]
    """Kind of a wish (`scenario/port.py`) -> what such requests have in common."""
    secrets: dict[str, str]
    """Environment variable -> value: those that the file names."""


class Plan(msgspec.Struct, array_like=True, frozen=True):
    """The plan of one worker: its exact shares of the load, and its tasks."""

    tasks: tuple[TaskPlan, ...]
    """At least one; their numbers (`messages.key_of`) are their positions."""
    streams: int
    """This worker's number of streams. In the open model: the most requests that it has in flight."""
    worker: int
    workers: int
    """Number of all workers, whose streams start in turn during the ramp."""
    requests: int | None
    """This worker's share of the requests that begin in the steady window or later; None: no limit."""
    ramp_ns: int
    """Closed model: time over which the streams start."""
    windows: tuple[Window, ...]
    grace_s: float
    interval_s: float
    error_pause_s: float
    connect_gap_ns: int
    """Least time between two streams that begin with a new connection, in the ramp or when many are added."""
    dials: int
    """Number of connections that may be opened at the same time."""
    seed: int
    secrets: list[str]
    """Strings that must not appear in error samples and logs."""
    verbose: bool
    """Log to stderr."""
    think: Think = Think()
    pacing_ns: int = 0
    """Least time between the starts of two requests of a stream."""
    profile: Profile | None = None
    """The load over time, of all workers together. Closed model: None if `streams` start along the ramp and stay."""
    open: OpenLoad | None = None
    """None: closed model."""
    bystander: Bystander | None = None
    """One worker of a run may have it."""
    replay: Replay | None = None
    """Open model: None if arrivals are random."""
    bands: Bounds | None = None
    """Where long prompts and answers begin, to tell requests apart by their tokens; None: they are not."""
    scenario: Scenario | None = None
    """None: no task is Python."""


class Hello(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """First message of a worker, sent as soon as it is connected."""

    worker: int
    pid: int
    version: int


class Setup(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The coordinator's answer to Hello, with the worker's plan."""

    plan: Plan


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The worker is ready to start at any moment."""

    worker: int
    startup_s: float
    """CPU seconds that the process has used so far."""
    rss: int
    """Resident memory of the process, in bytes."""


class Go(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The run starts at `t0`, in ns of this machine's monotonic clock, which is the same in every process."""

    t0: int


class SetStreams(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Changes the worker's number of streams."""

    streams: int
    """0 or more. Surplus streams finish their request in flight."""


class Pause(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """While `on`, no new requests begin. Requests in flight continue, and connections stay open."""

    on: bool
    at: int = 0
    """Open model: requests arrive until, or again from, this time (ns after T0). It lies in the future, so that it is
    the same in all workers."""


class SetProfile(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The load over time is another one from now on. A change that is to come at the same moment in all workers lies
    in the future."""

    profile: Profile


class SetWindows(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The windows of the run are known better: those that have begun are as before. A change that is to come at the
    same moment in all workers lies in the future. No request begins from the begin of the drain on."""

    windows: tuple[Window, ...]


class SetWordsPerToken(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The made prompts of a task have other words per token, from the request of a number on. No worker should have
    passed this number, so that it is the same one in all workers; one that has says so in its reports
    (`Delta.corrected_late`)."""

    task: int
    from_request: int
    ratio: float


class StopMode(enum.StrEnum):
    """What a stop does with open requests."""

    DRAIN = "drain"
    ABORT = "abort"


class Stop(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """No new requests begin. `DRAIN`: open requests may finish within the grace period. `ABORT`: they are cancelled."""

    mode: StopMode


class Final(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The worker's last message: it has sent all its measurements. It exits when it has received Ack."""

    worker: int
    deltas: int
    steady_ns: int
    """Length of this worker's steady window."""
    drain_ns: int
    """Length of this worker's drain."""
    exhausted: bool
    """All requests of its share have begun."""


class Ack(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The coordinator has merged all messages of the worker up to Final."""


FromWorker = Hello | Ready | Delta | Final
Order = SetStreams | SetProfile | SetWindows | SetWordsPerToken | Pause | Stop
ToWorker = Setup | Go | Order | Ack
