"""The description of a probe: one frozen struct without secrets, from which text and JSON are made.

Schema `llmstress.probe/1`; a new key keeps the number. `probe/observed.py` fills the struct.
"""

from typing import Any

import msgspec

from llmstress.coordinator.output.schema import Host, schema_of
from llmstress.coordinator.probe.raw import Raw

SCHEMA = "llmstress.probe/1"


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """The request, as known before it is sent."""

    version: str
    """Version of llmstress."""
    host: Host
    started_at: str
    """UTC, ISO 8601."""
    method: str
    url: str
    """The endpoint, without secrets."""
    api: str
    api_because: str
    """The reason for this API."""
    model: str
    """Empty: the request names no model."""
    model_because: str
    """The reason for this model; empty: the API needs none."""
    streamed: bool
    """A stream is requested."""
    addresses: tuple[str, ...]
    """Addresses of the host; empty: DNS returned none, or the connection uses a Unix socket."""
    way: str
    """Proxy, socket, addresses and TLS options; empty: all are the default."""
    proxied: bool
    notes: tuple[str, ...]


class Attempt(msgspec.Struct, frozen=True):
    """An attempt to connect to one address."""

    address: str
    at_ms: float
    took_ms: float
    error: str
    """Empty: the connection was established."""


class Connection(msgspec.Struct, frozen=True):
    """The connection. A duration is null if that step did not take place or could not be measured."""

    local: str
    peer: str
    tls: str
    """Version and cipher; empty: no TLS."""
    dns_ms: float | None
    tcp_ms: float | None
    tls_ms: float | None
    """TLS handshake; through a proxy, including the opening of the tunnel."""
    repeated: int
    """TCP segments that were retransmitted before the connection was established; a lost SYN costs a second."""
    kept: bool
    """The server keeps the connection open for another request."""


class Asked(msgspec.Struct, frozen=True):
    """The request."""

    bytes: int
    body_bytes: int
    headers: tuple[str, ...]
    """Names of the headers."""


class Head(msgspec.Struct, frozen=True):
    """The head of the answer."""

    status: int
    http: str
    headers: dict[str, str]


class Read(msgspec.Struct, frozen=True):
    """One read from the connection."""

    at_ms: float
    bytes: int
    """0: the end of the connection."""
    tokens: int
    """Token-bearing events that this read completed."""


class Seen(msgspec.Struct, frozen=True):
    """An event or a comment of a stream, or an answer in one piece."""

    read: int
    """Number of the read that completed the event, from 1."""
    at_ms: float
    gap_ms: float | None
    """Time since the previous event."""
    what: tuple[str, ...]
    """How a run reads the event: `token`, `reasoning`, `answer` (in one piece, without tokens), `finish`, `usage`,
    `done`, `error`, `malformed`, `unknown`, `comment`, `ping`, `foreign` (not a message of the API), or `nothing` (not
    counted)."""
    name: str
    bytes: int
    data: str
    """The beginning of the data."""


class Tokens(msgspec.Struct, frozen=True):
    """Tokens, counted as in a run."""

    output: int
    source: str
    """`usage`, `events`, or `unknown`: the output was not counted."""
    input: int | None
    cached_input: int | None
    reasoning: int | None
    events: int
    """Token-bearing events."""
    events_shared: int
    """Token-bearing events that shared their read with another one."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its result. Times are milliseconds since its start; latencies are defined as in a run."""

    schema: str
    where: Where
    attempts: tuple[Attempt, ...]
    connection: Connection | None
    asked: Asked
    head: Head | None
    at_ms: dict[str, float]
    """`sent`, `head`, `first_token`, `first_answer`, `last_token`, `last_word`, `end`, as far as they occurred."""
    latency_ms: dict[str, float]
    gaps_ms: tuple[float, ...]
    """Gaps between token-bearing events."""
    reads: tuple[Read, ...]
    events: tuple[Seen, ...]
    tokens: Tokens
    collected: str
    """How a gateway collected token events, as a note of a run says it; empty: it did not."""
    tried_again: bool
    """The headers say that this was not the gateway's first attempt."""
    finish: str
    """The finish reason; empty: there was none."""
    outcome: str
    """The class in which a run counts the request."""
    words: str
    """The message of a failure: that of the server, or that of llmstress."""
    hint: str
    """Advice about a failure; empty: none."""
    remarks: tuple[str, ...]
    """Properties of the answer that affect the figures of a run."""
    raw: Raw | None
    """The bytes; null: not requested."""
    whole: bool = False
    """The answer came in one piece, not as a stream."""
    body: str = ""
    """The beginning of a body with a good status and without events; empty: there are events, or there is no body."""
    tpot_bounds_ms: tuple[float, float] | None = None
    """Bounds of tpot by usage and by events, if tpot is undetermined; null: it is determined, or there is none."""
    noted: tuple[str, ...] = ()
    """Unusual properties of a good answer, as the notes of a run say them."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of a probe; a test compares it with `probe.schema.json`."""
    return schema_of(Probe, SCHEMA)
