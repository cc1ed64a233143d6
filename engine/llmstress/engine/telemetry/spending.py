"""What a run has cost so far: the prices of `cost` applied to everything that was measured. Pure functions."""

from collections.abc import Collection

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.cost import PER, SECONDS_PER_HOUR, Cost, Pricing, cost_of, cost_of_task
from llmstress.engine.telemetry.messages import BYSTANDER, Part, Phase, add_counts, task_of, window_of


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of a run. Money is in `currency`; None where there is nothing to divide by."""

    currency: str
    total: Cost
    """The whole run with warm-up and drain, and the bystander."""
    steady: Cost
    """The steady windows."""
    per_request: float | None
    """Cost of the ok requests of the steady windows, divided by their number."""
    per_good_request: float | None
    """Cost of all requests of the steady windows, divided by the number of good ones."""
    per_hour: float | None
    """Cost of all requests of the steady windows, at the pace of these windows."""
    per_million_output: float | None
    """Cost of the steady windows for a million output tokens; with a price for hardware only."""
    per_million: float | None
    """The same for a million tokens, input and output together."""


def spending_of(aggregate: Aggregate, pricing: Pricing, steady_s: float) -> Spending | None:
    """What a run has cost so far; None: nothing has a price.

    `steady_s`: how long the steady windows have lasted so far.
    """
    if not pricing.known:
        return None
    part = aggregate.steady
    steady = cost_of(pricing, steady_by_task(aggregate), steady_s)
    good = part.counters.slo_met
    output = part.counters.output_of_all(aggregate.counters().tokens_per_event or 1.0)
    hardware = steady.hours if pricing.per_hour else 0.0
    return Spending(
        currency=pricing.currency,
        total=total_cost(aggregate, pricing),
        steady=steady,
        per_request=steady.of_ok / steady.ok if steady.ok else None,
        per_good_request=steady.value / good if good else None,
        per_hour=steady.value / steady_s * SECONDS_PER_HOUR if steady_s > 0 else None,
        per_million_output=hardware / output * PER if hardware and output else None,
        per_million=hardware / (output + part.counters.input) * PER if hardware and output else None,
    )


def total_cost(aggregate: Aggregate, pricing: Pricing) -> Cost:
    """The cost of the whole run so far, without the requests in flight."""
    parts = by_task(aggregate)
    if aggregate.apart:
        parts[BYSTANDER] = aggregate.bystander()
    return cost_of(pricing, parts, aggregate.elapsed_ns / 1e9)


def committed(aggregate: Aggregate, pricing: Pricing) -> float:
    """What the requests in flight are going to cost: as much as the average ok request of their task.

    Before the first request of a task has ended ok, only the output that has come is counted.
    """
    if pricing.per_hour:
        return 0.0
    money = 0.0
    for task, part in by_task(aggregate).items():
        tariff, counters = pricing.tariff_of(task), part.counters
        if tariff.price is None:
            continue
        cost = cost_of_task(tariff, part)
        if cost.ok:
            money += (counters.started - sum(part.ended.values())) * cost.of_ok / cost.ok
        else:
            came = counters.events - counters.events_ok - counters.output_failed - counters.output_cancelled
            money += came * tariff.price.output / PER
    return max(0.0, money)


def by_task(aggregate: Aggregate) -> dict[int, Part]:
    """Number of a task -> what happened to its requests in the whole run, without latencies."""
    return _by_task(aggregate, aggregate.whole, range(len(aggregate.windows)))


def steady_by_task(aggregate: Aggregate) -> dict[int, Part]:
    """The same for the steady windows."""
    steady = [window.index for window in aggregate.windows if window.kind is Phase.STEADY]
    return _by_task(aggregate, aggregate.steady, steady)


def _by_task(aggregate: Aggregate, whole: Part, windows: Collection[int]) -> dict[int, Part]:
    """`whole`: the sum over these windows and all tasks. With a single task nothing is added up: a sweep has hundreds
    of windows."""
    tasks = {task_of(key) for key in aggregate.parts}
    if len(tasks) > 1:
        return in_windows(aggregate, frozenset(windows))
    return {next(iter(tasks), 0): msgspec.structs.replace(whole, latency={}, latency_failed={})}


def in_windows(aggregate: Aggregate, windows: Collection[int]) -> dict[int, Part]:
    """The same for the windows with these numbers."""
    found: dict[int, Part] = {}
    for key, part in aggregate.parts.items():
        if window_of(key) in windows:
            mine = found.setdefault(task_of(key), Part())
            mine.counters.add(part.counters)
            add_counts(mine.ended, part.ended)
            add_counts(mine.retried, part.retried)
    return found
