"""The words between coordinator and workers: one DEALER per worker, one ROUTER, msgpack-encoded tagged structs.

worker -> coordinator: Hello, Ready, Delta..., Final
coordinator -> worker: Setup, Go, then orders (SetStreams, Pause, Stop) in any number, Ack
"""

import enum

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.telemetry.messages import Delta


class Timeouts(msgspec.Struct, array_like=True, frozen=True):
    """Limits of one request; 0 switches one off."""

    connect_s: float
    first_token_ns: int
    idle_ns: int
    total_ns: int


class Tls(msgspec.Struct, array_like=True, frozen=True):
    """How far a server of an https URL is trusted, and what the client shows of itself. Paths are absolute."""

    ca_file: str = ""
    """Certificates (PEM) of the authorities to trust; empty: those of this machine."""
    insecure: bool = False
    """Any certificate will do, for any name."""
    cert_file: str = ""
    """Certificate (PEM) of the client; empty: none."""
    key_file: str = ""
    """Its private key; empty: it is in `cert_file`."""


class Network(msgspec.Struct, array_like=True, frozen=True):
    """The way to the target."""

    addresses: list[str] = []
    """Where the host of the URL is; empty: what DNS says."""
    sources: list[str] = []
    """Local addresses to connect from, in turn; empty: as the kernel chooses."""
    proxy: str = ""
    """URL of an HTTP proxy, with its user information; empty: none."""
    unix_socket: str = ""
    """Path of the socket to connect to instead of host and port; empty: none."""
    tls: Tls = Tls()


class Plan(msgspec.Struct, array_like=True, frozen=True):
    """What one worker has to do: its exact shares of the load, and everything needed to speak to the target."""

    api: str
    """Name of the API."""
    url: str
    """Full URL of the endpoint, without user information."""
    network: Network
    headers: list[tuple[str, str]]
    """Sent with every request, in this order; may hold secrets."""
    ask: Ask
    """What every request asks."""
    streams: int
    """This worker's number of streams."""
    worker: int
    workers: int
    """All of them: their streams take turns in the ramp."""
    requests: int | None
    """This worker's share of the requests to start; None: no limit."""
    ramp_s: float
    warmup_s: float
    steady_s: float | None
    """Length of the steady window; None: until the requests are used up."""
    whole_run: bool
    """The window is the whole run: everything before the drain is steady."""
    grace_s: float
    interval_s: float
    error_pause_s: float
    retries: int
    """How often a request may be sent again."""
    on_status: list[tuple[str, str]]
    """Entries that change the table in `statuses`."""
    timeouts: Timeouts
    requests_per_connection: int
    """After so many a connection is closed; 0: it is kept as long as the server keeps it."""
    connect_gap_ns: int
    """Least time between two streams that begin with a new connection, in the ramp or when many are added."""
    dials: int
    """Connections that may be being opened at once."""
    seed: int
    secrets: list[str]
    """Strings that must not appear in error samples and logs."""
    verbose: bool
    """Say on stderr what goes on."""
    require_finish: bool = False
    """An answer that ends without a finish reason is truncated."""


class Hello(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """First word of a worker, as soon as it can talk."""

    worker: int
    pid: int
    version: int


class Setup(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Answer to Hello: the worker's plan."""

    plan: Plan


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The worker could start this moment."""

    worker: int
    startup_s: float
    """CPU seconds the process has used so far."""
    rss: int


class Go(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The run starts at `t0` (ns of this machine's monotonic clock, the same in every process)."""

    t0: int


class SetStreams(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """From now on the worker runs this many streams, instead of its plan's number."""

    streams: int
    """0 or more. Surplus streams finish the request they have in flight."""


class Pause(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Start no new requests while `on`; what is in flight goes on, and connections stay open."""

    on: bool


class How(enum.StrEnum):
    """Ways to stop."""

    DRAIN = "drain"
    ABORT = "abort"


class Stop(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Start nothing new; `DRAIN` lets what is open finish within the grace period, `ABORT` cuts it off now."""

    how: How


class Final(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The worker's last word: everything it measured has been sent. It leaves when it has read Ack."""

    worker: int
    deltas: int
    steady_ns: int
    """Length of the steady window as this worker cut it."""
    drain_ns: int
    exhausted: bool
    """Its share of the requests was used up."""


class Ack(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The coordinator has merged everything up to and with Final."""


FromWorker = Hello | Ready | Delta | Final
Order = SetStreams | Pause | Stop
ToWorker = Setup | Go | Order | Ack
