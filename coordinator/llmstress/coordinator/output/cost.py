"""What the summary and the console say about cost. Pure functions."""

from collections.abc import Mapping, Sequence

from llmstress.coordinator.output.cost_schema import Cost, TaskCost, UnfinishedCost
from llmstress.engine.telemetry.aggregate import Aggregate, sum_of
from llmstress.engine.telemetry.cost import Pricing, cost_of_task
from llmstress.engine.telemetry.formatting import count, money, share
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.spending import by_task, spending_of, steady_by_task


def cost_row(aggregate: Aggregate, pricing: Pricing, steady_s: float, names: Sequence[str] = ()) -> Cost:
    """The cost of a run, whose steady windows lasted `steady_s`; `names`: those of the tasks of a mix."""
    found = spending_of(aggregate, pricing, steady_s)
    tasks = _tasks(aggregate, pricing, names)
    if found is None:
        return Cost(paid_by="tokens", currency=pricing.currency, tasks=tasks)
    total = found.total
    return Cost(
        paid_by="hours" if pricing.per_hour else "tokens",
        currency=pricing.currency,
        tasks=tasks,
        hardware_per_hour=pricing.per_hour or None,
        total=_money(total.value),
        total_low=_money(total.low),
        total_high=_money(total.high),
        at_least=total.unknown > 0,
        unknown_share=round(total.unknown / total.ok, 6) if total.ok else None,
        ok=_money(total.of_ok),
        input=_money(total.input),
        cached_input=_money(total.cached),
        cache_write=_money(total.cache_write),
        output=_money(total.output),
        unfinished=UnfinishedCost(
            requests=total.unfinished, estimate=_money(total.unfinished_cost) or 0.0, most=_money(total.unfinished_most)
        ),
        per_request=_money(found.per_request),
        per_good_request=_money(found.per_good_request),
        per_hour=_money(found.per_hour),
        per_million_output=_money(found.per_million_output),
        per_million=_money(found.per_million),
    )


def _tasks(aggregate: Aggregate, pricing: Pricing, names: Sequence[str]) -> list[TaskCost]:
    whole, steady = (_by_position(parts, pricing) for parts in (by_task(aggregate), steady_by_task(aggregate)))
    rows = []
    for number, tariff in enumerate(pricing.tariffs):
        price = tariff.price
        of_run, of_steady = (cost_of_task(tariff, parts.get(number, Part())) for parts in (whole, steady))
        rows.append(
            TaskCost(
                task=names[number] if number < len(names) else "",
                model=tariff.model,
                input=None if price is None else price.input,
                cached=None if price is None else price.cached,
                cache_write=None if price is None else price.cache_write,
                output=None if price is None else price.output,
                origin=tariff.origin,
                why=tariff.why,
                total=None if price is None else _money(of_run.value),
                per_request=None if price is None or not of_steady.ok else _money(of_steady.of_ok / of_steady.ok),
            )
        )
    return rows


def _by_position(parts: Mapping[int, Part], pricing: Pricing) -> dict[int, Part]:
    """Position of a tariff -> the sum of the parts that it is for. `parts`: task number -> part."""
    found: dict[int, list[Part]] = {}
    for number, part in parts.items():
        found.setdefault(pricing.position_of(number), []).append(part)
    return {position: sum_of(each) for position, each in found.items()}


def _money(amount: float | None) -> float | None:
    """An amount without the noise of binary fractions; a request may cost a millionth."""
    return None if amount is None else float(f"{amount:.12g}")


def cost_lines(cost: Cost, *, asked: bool) -> list[str]:
    """The lines of the console. `asked`: prices were asked for, so it is said why there is none."""
    if cost.total is None:
        return [f"cost      unknown: {row.why}" for row in cost.tasks[:1] if asked]
    pay = cost.currency
    at_least = "≥ " if cost.at_least else ""
    rates = [
        f"{at_least}{money(amount, pay)} per {name}"
        for amount, name in (
            (cost.per_request, "request"),
            (cost.per_good_request, "good request"),
            (cost.per_hour if cost.paid_by == "tokens" else None, "hour"),
            (cost.per_million_output, "million output tokens"),
            (cost.per_million, "million tokens"),
        )
        if amount is not None
    ]
    lines = [f"cost      {at_least}{money(cost.total, pay)} in the whole run{_parts(cost)}"]
    if rates:
        lines.append(f"          {', '.join(rates)} (steady window)")
    if cost.at_least and cost.unknown_share is not None:
        of = share(cost.unknown_share, 1.0)
        lines.append(f"          ≥: the tokens or the price of {of} of the ok requests are not all known")
    if (unfinished := cost.unfinished) is not None and unfinished.requests:
        lines.append(f"          {_unfinished(unfinished, pay)}")
    if len(cost.tasks) > 1:
        lines += [f"          {_task_words(row, pay)}" for row in cost.tasks]
    origins = dict.fromkeys(row.origin or row.why for row in cost.tasks)
    return lines + [f"          {origin}" for origin in origins]


def _task_words(row: TaskCost, pay: str) -> str:
    each = "" if row.per_request is None else f", {money(row.per_request, pay)} per request"
    return f"{row.task}: {'unknown' if row.total is None else f'{money(row.total, pay)}{each}'}"


def _parts(cost: Cost) -> str:
    if cost.paid_by == "hours":
        return f", at {money(cost.hardware_per_hour or 0.0, cost.currency)} per hour"
    named = (("input", cost.input), ("cached input", cost.cached_input), ("output", cost.output))
    parts = [f"{name} {money(amount, cost.currency)}" for name, amount in named if amount]
    if cost.cache_write:
        parts.insert(2, f"cache writes {money(cost.cache_write, cost.currency)}")
    return f": {', '.join(parts)}" if parts else ""


def _unfinished(found: UnfinishedCost, pay: str) -> str:
    most = "an unknown amount" if found.most is None else money(found.most, pay)
    requests = "1 request" if found.requests == 1 else f"{count(found.requests)} requests"
    estimate = f"of it {money(found.estimate, pay)} is an estimate" if found.estimate else "not counted"
    return (
        f"{estimate} for {requests} that did not end ok: from {money(0.0, pay)} to {most}, as the provider bills them"
    )
