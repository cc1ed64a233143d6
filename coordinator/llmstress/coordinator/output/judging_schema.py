"""What the JSON summary says about SLOs, deadlines, reading and thresholds."""

import msgspec

from llmstress.coordinator.output.latencies import Latency
from llmstress.engine.telemetry.thresholds import State


class Goodput(msgspec.Struct, frozen=True, kw_only=True):
    """Good requests: those that ended ok and met every SLO. Counts are of requests that ended in the steady window."""

    slos: list[str]
    finished: int
    """All requests that ended in the window, except the cancelled ones."""
    met: int
    unknown: int
    """Ok requests that missed no SLO for certain, and whose value in one of them is unknown; they do not count as good.
    """
    missed: dict[str, int]
    """SLO -> how many ok requests missed it; a request may miss several."""
    share: float | None
    """met / finished; null if none has finished."""
    share_max: float | None
    """The share if all unknown ones were good as well."""
    share_interval: tuple[float | None, float | None]
    """99 % confidence interval of the share; the upper limit counts the unknown ones as good."""
    per_s: float | None
    tokens_per_s: float | None
    """Output tokens of the good requests per second; they count where the answer ends."""


class FluidityIndex(msgspec.Struct, frozen=True):
    """Percentiles of the index of an answer, the share of its deadlines that it met: one answer in ten is below p10.
    Null with fewer than 2, 10 and 100 answers."""

    p50: float | None
    p10: float | None
    p1: float | None
    low_sample: list[str]
    """Percentiles for which there are too few answers."""
    intervals: dict[str, tuple[float | None, float | None]]
    """Percentile -> its 99 % confidence interval."""


class Fluidity(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines of token events, of streamed answers of one choice that ended ok in the steady window."""

    first_ms: float
    token_ms: float
    answers: int
    without: int
    """Ok requests of the window without an index: of several choices, or without a token event."""
    deadlines: int
    missed: int
    deadlines_met: float | None
    """Share of the deadlines that were met."""
    fluid_share: float | None
    """Share of the answers with an index of 0.9 or more."""
    index: FluidityIndex


class SmoothGoodput(msgspec.Struct, frozen=True, kw_only=True):
    """What readers had of the streamed answers of one choice that ended ok in the steady window. A token event counts
    as one token."""

    reading_speed: float
    """Tokens per second."""
    answers: int
    without: int
    """Ok requests of the window that are not in `answers`: of several choices, or without a token event."""
    tokens_per_s: float | None
    """Tokens per second, without those that readers could have read while they waited."""
    idle_ms: Latency
    """How long the reader of an answer waited for its tokens after the first one."""


class ThresholdRow(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold, and what was found. `value`, `low`, `high`, `limit` and `distance` are in `unit`: ms, share (from 0
    to 1) or number; they are null for the verdict, whose `unit` is status."""

    text: str
    """As given."""
    state: State
    """failed, undecided or passed; pending in a summary of a run that goes on."""
    says: str
    """Value, interval and distance in words."""
    subject: str
    scope: str
    """What was judged."""
    unit: str
    value: float | None
    low: float | None
    high: float | None
    """Limits of the 99 % confidence interval; null if there is no interval, or no limit on this side."""
    limit: float | None
    distance: float | None
    """From the limit; negative if the value lies beyond it."""
    why: str
    """Why it is undecided; empty otherwise."""
    at_s: float | None
    """With `over`: when the worst stretch began, in seconds after T0."""
    abort: bool
