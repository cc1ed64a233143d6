"""What the JSON summary holds about the course of a run."""

import msgspec


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
