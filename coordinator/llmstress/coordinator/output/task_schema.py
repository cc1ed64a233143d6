"""The tasks of a mix in the summary (`schema`)."""

from typing import Literal

import msgspec

from llmstress.coordinator.output.judging_schema import Goodput
from llmstress.coordinator.output.latencies import Latency


class TaskRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task. Counts and tokens are those of the whole run; rates, `latency_ms` and `goodput` are of the steady
    windows. They have the same definitions as those of the run."""

    name: str
    weight: int
    api: str
    url: str
    model: str
    unit: Literal["requests", "conversations", "flows"]
    """What the weights share out: a conversation or a flow is one, however many requests it has."""
    begun: int
    """How many of them started."""
    share: float
    """Its share of them by the weights."""
    started_share: float | None
    """Its share of those that started: `begun`, divided by the sum over all tasks; null if nothing started."""
    started: int
    """Requests that started: every turn of a conversation and every step of a flow is one."""
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
    speed: float | None
    """Output tokens per second that one user gets, from the start of a request to its end: of ok requests. Requests per
    second if they have no tokens."""
    output: int
    """Output tokens of ok requests."""
    input: int
    cached_input: int
    latency_ms: dict[str, Latency]
    goodput: Goodput | msgspec.UnsetType = msgspec.UNSET
    """If any task has SLOs. A task without SLOs has a good request in every ok one."""
