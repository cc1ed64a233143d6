"""The tasks of a mix in the summary (`schema`)."""

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
    share: float
    """Its share of the requests by the weights. A conversation counts as one request."""
    started_share: float | None
    """Its share of what started, in the same sense; null if nothing did."""
    started: int
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
