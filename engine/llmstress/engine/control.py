"""The messages between coordinator and workers: tagged structs in msgpack, over one ZeroMQ DEALER per worker and one
ROUTER.

worker -> coordinator: Hello, Ready, Delta..., Final
coordinator -> worker: Setup, Go, then orders (SetStreams, Pause, Measure, Stop) in any number, Ack
"""

import enum

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.telemetry.messages import Delta
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


class Plan(msgspec.Struct, array_like=True, frozen=True):
    """The task of one worker: its exact shares of the load, and all that it needs to send requests to the target."""

    api: str
    """Name of the API."""
    url: str
    """Full URL of the endpoint, without user information."""
    network: Network
    headers: list[tuple[str, str]]
    """Sent with every request, in this order; may contain secrets."""
    ask: Ask
    """The content of every request."""
    streams: int
    """This worker's number of streams."""
    worker: int
    workers: int
    """Number of all workers, whose streams start in turn during the ramp."""
    requests: int | None
    """This worker's share of the requests that begin in the steady window or later; None: no limit."""
    ramp_s: float
    warmup_s: float
    steady_s: float | None
    """Length of the steady window; None: it ends when all of `requests` have begun."""
    whole_run: bool
    """The steady window is the whole run up to the drain."""
    grace_s: float
    interval_s: float
    error_pause_s: float
    retries: int
    """How often a request may be sent again."""
    on_status: list[tuple[str, str]]
    """Changes to the table in `stream/failure_policy.py`, as pairs of status and action."""
    timeouts: Timeouts
    requests_per_connection: int
    """A connection is closed after this many requests; 0: it stays open as long as the server allows."""
    connect_gap_ns: int
    """Least time between two streams that begin with a new connection, in the ramp or when many are added."""
    dials: int
    """Number of connections that may be opened at the same time."""
    seed: int
    secrets: list[str]
    """Strings that must not appear in error samples and logs."""
    verbose: bool
    """Log to stderr."""
    require_finish: bool = False
    """An answer that ends without a finish reason is truncated."""
    warmup_open: bool = False
    """The warm-up lasts until the order `Measure`."""
    objectives: Objectives = NOT_JUDGED
    """What requests are judged by."""


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


class Measure(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The warm-up ends and the steady window begins at the stamp `at` (ns of the monotonic clock, like T0)."""

    at: int


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
Order = SetStreams | Pause | Measure | Stop
ToWorker = Setup | Go | Order | Ack
