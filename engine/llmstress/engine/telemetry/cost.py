"""What requests cost: prices of tokens, or of hardware by the hour, and counts of tokens. Pure functions.

The tokens of ok requests are those of the server's usage, so their cost is exact at the given price. A provider may
also bill requests that did not end ok. Usage rarely says how many tokens they had, so their cost is an estimate with
two bounds. `docs/cost.md` has the definitions.
"""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.classes import was_served
from llmstress.engine.telemetry.messages import BYSTANDER, Part

PER = 1_000_000
"""Prices are for so many tokens."""

SECONDS_PER_HOUR = 3600

DEFAULT_CURRENCY = "USD"


class Price(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Money for a million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Input that the server took from its cache; None: as other input."""
    cache_write: float | None = None
    """Input that the server wrote to its cache; None: as other input."""


class Tariff(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the requests of one task cost, and how that is known."""

    model: str = ""
    price: Price | None = None
    origin: str = ""
    """Where the price is from, in words."""
    why: str = ""
    """Why there is no price, in words; empty if there is one."""
    limit: int = 0
    """Most output tokens of an answer; 0: unknown."""


class Pricing(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """How the cost of a run is reckoned."""

    tariffs: tuple[Tariff, ...] = ()
    """By task."""
    positions: tuple[int, ...] = ()
    """Task number of a part -> position in `tariffs`, if a task has several numbers; empty: they are the same."""
    currency: str = DEFAULT_CURRENCY
    per_hour: float = 0.0
    """Money for an hour of the hardware, instead of the tariffs; 0: requests are paid by the token."""

    @property
    def known(self) -> bool:
        """Whether anything has a price."""
        return bool(self.per_hour) or any(tariff.price is not None for tariff in self.tariffs)

    def tariff_of(self, task: int) -> Tariff:
        """That of a task. The bystander sends what the first task sends, with a short prompt and answer."""
        at = self.position_of(0 if task == BYSTANDER else task)
        return self.tariffs[at] if at < len(self.tariffs) else Tariff()

    def position_of(self, task: int) -> int:
        """Position in `tariffs` for the task number of a part."""
        return self.positions[task] if task < len(self.positions) else task


NO_PRICES = Pricing()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money for a part of a run. `input`, `cached`, `cache_write` and `output` are those of ok requests."""

    input: float = 0.0
    """Without the input in `cached` and `cache_write`."""
    cached: float = 0.0
    cache_write: float = 0.0
    output: float = 0.0
    hours: float = 0.0
    """Of the hardware."""
    ok: int = 0
    """Requests that ended ok."""
    unknown: int = 0
    """The part of them whose tokens are not all known by usage, or whose task has no price: they cost more than was
    counted."""
    unfinished: int = 0
    """Requests and retried attempts that did not end ok although the server may have worked on them."""
    unfinished_cost: float = 0.0
    """An estimate of what they cost; it may be nothing."""
    unfinished_most: float | None = 0.0
    """The most that they can cost; None: unknown."""

    @property
    def of_ok(self) -> float:
        """The ok requests, or the hardware."""
        return self.input + self.cached + self.cache_write + self.output + self.hours

    @property
    def value(self) -> float:
        """Everything, with the estimate of the requests that did not end ok."""
        return self.of_ok + self.unfinished_cost

    @property
    def low(self) -> float:
        """The least: the requests that did not end ok are not billed."""
        return self.of_ok

    @property
    def high(self) -> float | None:
        """The most; None: unknown."""
        if self.unknown or self.unfinished_most is None:
            return None
        return self.of_ok + self.unfinished_most

    def plus(self, other: "Cost") -> "Cost":
        """The sum of both."""
        most, others = self.unfinished_most, other.unfinished_most
        return Cost(
            input=self.input + other.input,
            cached=self.cached + other.cached,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            hours=self.hours + other.hours,
            ok=self.ok + other.ok,
            unknown=self.unknown + other.unknown,
            unfinished=self.unfinished + other.unfinished,
            unfinished_cost=self.unfinished_cost + other.unfinished_cost,
            unfinished_most=None if most is None or others is None else most + others,
        )


def cost_of(pricing: Pricing, parts: Mapping[int, Part], seconds: float = 0.0) -> Cost:
    """What a part of a run cost: the sum over its tasks, each at its own price.

    Args:
        pricing: the prices.
        parts: number of a task -> what happened to its requests; latencies are not needed.
        seconds: length of the part of the run; needed for hardware only.
    """
    total = Cost()
    if pricing.per_hour:
        ok = sum(part.ended.get("ok", 0) for task, part in parts.items() if task != BYSTANDER)
        return Cost(hours=pricing.per_hour * seconds / SECONDS_PER_HOUR, ok=ok)
    for task, part in parts.items():
        total = total.plus(cost_of_task(pricing.tariff_of(task), part))
    return total


def cost_of_task(tariff: Tariff, part: Part) -> Cost:
    """What the requests of one task cost."""
    price, counters, ok = tariff.price, part.counters, part.ended.get("ok", 0)
    unfinished = _unfinished(part)
    if price is None:
        return Cost(ok=ok, unknown=ok, unfinished=unfinished, unfinished_most=None if unfinished else 0.0)
    if not (price.input or price.output or price.cached or price.cache_write):
        return Cost(ok=ok, unfinished=unfinished)  # costs nothing, however many tokens it has
    # usage that contradicts itself may count more cached input than input
    fresh = max(0, counters.input - counters.cached_input - counters.cache_written)
    estimate, most = _of_unfinished(price, part, unfinished, tariff.limit)
    return Cost(
        input=fresh * price.input / PER,
        cached=counters.cached_input * (price.input if price.cached is None else price.cached) / PER,
        cache_write=counters.cache_written * (price.input if price.cache_write is None else price.cache_write) / PER,
        output=counters.output * price.output / PER,
        ok=ok,
        unknown=ok - min(ok, counters.input_seen, counters.usage_seen),
        unfinished=unfinished,
        unfinished_cost=estimate,
        unfinished_most=most,
    )


def _unfinished(part: Part) -> int:
    """Requests and retried attempts that the server may have worked on and that did not end ok."""
    ends = (*part.ended.items(), *part.retried.items())
    return sum(n for outcome, n in ends if outcome != "ok" and was_served(outcome))


def _of_unfinished(price: Price, part: Part, unfinished: int, limit: int) -> tuple[float, float | None]:
    """What the requests cost that did not end ok: an estimate, and the most (None: unknown).

    The estimate: those of whose answer something came are billed, with their input and the output that came. The most:
    all of them are billed, and the server generated each answer up to the limit, `limit` tokens. Input that usage does
    not tell is taken to be as long as that of the average ok request, and not cached.
    """
    counters = part.counters
    if not unfinished:
        return 0.0, 0.0
    seen = counters.unfinished_seen
    cached = counters.unfinished_cached
    known = (counters.unfinished_input - cached) * price.input
    known += cached * (price.input if price.cached is None else price.cached)
    inputs = counters.input_seen + seen
    mean = (counters.input + counters.unfinished_input) / inputs if inputs else 0.0
    # one token an event, unless usage counts more, or the events of ok answers have more on average
    came = (counters.output_failed + counters.output_cancelled) * (counters.tokens_per_event or 1.0)
    output = max(float(counters.unfinished_output), came)
    estimate = known + (counters.unfinished_begun - seen) * mean * price.input + output * price.output
    if not (limit and inputs):
        return estimate / PER, None
    dearest = max(price.input, price.cache_write or 0.0)
    all_input = (counters.unfinished_input + (unfinished - seen) * mean) * dearest
    return estimate / PER, max(estimate, all_input + unfinished * limit * price.output) / PER
