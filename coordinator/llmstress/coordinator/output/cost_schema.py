"""What the JSON summary says about cost."""

from typing import Literal

import msgspec


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """A task: the price of its model, in money for a million tokens, and what its requests cost; null: unknown."""

    task: str
    """Empty: all requests are of one kind."""
    model: str
    input: float | None
    cached: float | None
    """Null: as other input."""
    cache_write: float | None
    """Null: as other input."""
    output: float | None
    origin: str
    """Where the price is from; empty if it is unknown."""
    why: str
    """Why it is unknown; empty if it is known."""
    total: float | None
    """Its requests in the whole run."""
    per_request: float | None
    """Its ok requests of the steady window ÷ their number."""


class UnfinishedCost(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and retried attempts of the whole run that did not end ok, although the server may have worked on them.
    Providers differ in what they bill of these."""

    requests: int
    estimate: float
    """The input and the output of those of whose answer something came."""
    most: float | None
    """All of them are billed, and each answer was generated up to the limit of output tokens; null: unknown."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money, in `currency`. Null: unknown, or there is nothing to divide by."""

    paid_by: Literal["tokens", "hours"]
    """hours: `--cost-per-hour`."""
    currency: str
    tasks: list[TaskCost]
    """Empty if hardware is paid by the hour."""
    hardware_per_hour: float | None = None
    """`--cost-per-hour`."""
    total: float | None = None
    """The whole run, with warm-up, drain and the bystander: the sum of `ok` and `unfinished.estimate`. Null if no price
    is known; all other amounts are null then, too."""
    total_low: float | None = None
    total_high: float | None = None
    """Bounds of `total`; `total_high` is null if there is none: tokens of ok requests are unknown, or the most output
    of an answer is."""
    at_least: bool = False
    """The total and the cost of requests are lower bounds, because tokens of ok requests are unknown."""
    unknown_share: float | None = None
    """Share of the ok requests whose tokens are not all known by usage, or whose model has no price."""
    ok: float | None = None
    """Ok requests of the whole run, or the hardware: the sum of the next four, or the hours."""
    input: float | None = None
    cached_input: float | None = None
    cache_write: float | None = None
    output: float | None = None
    unfinished: UnfinishedCost | None = None
    per_request: float | None = None
    """Ok requests of the steady window ÷ their number."""
    per_good_request: float | None = None
    """All requests of the steady window ÷ the number of good ones."""
    per_hour: float | None = None
    """All requests of the steady window, at its pace."""
    per_million_output: float | None = None
    """Hardware in the steady window ÷ output tokens, for a million; null if tokens are paid."""
    per_million: float | None = None
    """The same for input and output tokens together."""
