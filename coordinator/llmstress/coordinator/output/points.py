"""What the JSON summary holds of a run with a course: a sweep, or a search for the capacity."""

from typing import Literal

import msgspec

LoadUnit = Literal["streams", "requests/s"]


class PointRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at one load of a sweep. Latencies are in ms; null where there are too few samples."""

    load: float
    """Streams, or requests per second: `unit` of the sweep."""
    began_s: float
    """Seconds after T0."""
    seconds: float
    settle_s: float
    """How long the load took to settle before it."""
    settled: bool
    """False: it had not settled, and was measured nevertheless."""
    ended: Literal["measured", "hopeless", "stopped"]
    """`hopeless`: the sweep ended here; `stopped`: the run did."""
    why: str
    """Why the point ended: `time`, `exact enough`, or a sentence."""
    ok: int
    failed: int
    dropped: int
    requests_per_s: float | None
    """Ok requests."""
    tokens_per_s: float | None
    """Output tokens; null if the answers have none."""
    half_width: float | None
    """Half of the 99 % confidence interval of the throughput, as a share of it; null: the point was too short."""
    ttft_p50: float | None
    ttft_p99: float | None
    tpot_p50: float | None
    tpot_p99: float | None
    e2e_p50: float | None
    e2e_p99: float | None
    interactivity: float | None
    """Output tokens per second of one user: 1000 / `tpot_p50`."""
    client: str
    """Why this client limits what was measured; empty: it does not."""


class PeakRow(msgspec.Struct, frozen=True, kw_only=True):
    """The highest throughput of a sweep."""

    load: float
    per_s: float
    of: Literal["tokens", "requests"]
    low: float | None
    high: float | None
    """99 % confidence interval; null: unknown."""
    reached_at: float
    """The lowest load whose interval reaches that of the peak: its throughput is not certainly lower."""


class KneeRow(msgspec.Struct, frozen=True, kw_only=True):
    """The load beyond which more load gives hardly more throughput: where the line through the lowest load reaches the
    peak."""

    load: float | None
    """Null: there is none within the loads."""
    low: float | None
    high: float | None
    """99 % confidence interval; null: unknown."""
    why: str
    """Why there is none; empty if there is one."""


class SweepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep."""

    unit: LoadUnit
    points: list[PointRow]
    peak: PeakRow | None
    knee: KneeRow
    ended_because: str


class ProbeRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at one load of a search, when it was decided."""

    load: float
    began_s: float
    seconds: float
    settle_s: float
    settled: bool
    state: Literal["passed", "failed", "open", "stopped"]
    """`open`: undecided."""
    why: str
    """Why it was decided, if not by the share of the requests; empty otherwise."""
    met: int
    """Requests that met every SLO. These three counts, the share and its interval include undecided probes at the same
    load before this one: the decision was made by all of them."""
    unknown: int
    counted: int
    """Finished and dropped requests, and those in flight that had missed an SLO."""
    late: int
    """Requests of this probe that were in flight and had missed an SLO."""
    share: float | None
    low: float
    high: float
    """Wilson interval of the share with a confidence of 99 %."""
    missed: dict[str, int]
    """SLO, `errors` or `dropped` -> how many requests missed it."""
    requests_per_s: float | None
    ttft_p99: float | None
    tpot_p50: float | None
    e2e_p99: float | None
    client: str
    """Why this client limits what was measured; empty: it does not."""


class FindRow(msgspec.Struct, frozen=True, kw_only=True):
    """A search for the capacity: the highest load at which enough requests met every SLO."""

    state: Literal["found", "at least", "undecided", "none"]
    """`at least`: the capacity may be higher. `none`: even the lowest load failed."""
    capacity: float | None
    """The highest load that passed; null: none did."""
    unit: LoadUnit
    limit: float | None
    """The lowest load above it that failed; null: none did."""
    attain: float
    """Share of the requests that must meet every SLO."""
    slos: list[str]
    confidence: float
    bound_by: str
    """What limits the capacity: the SLO that most requests missed at `limit`, `errors`, `dropped`, `queue` (it grows),
    `silence` (nothing came any more), `client`, `highest load` (none that was asked for failed); empty: unknown."""
    surprises: list[str]
    """Loads that failed once although they are within the capacity, in words."""
    text: str
    """One sentence."""
    ended_because: str
    probes: list[ProbeRow]
