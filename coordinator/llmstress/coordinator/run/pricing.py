"""What the requests of a run cost: the prices that the options name for its tasks. Pure functions."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prices import built_in, find_price
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.telemetry.cost import DEFAULT_CURRENCY, Price, Pricing, Tariff
from llmstress.engine.telemetry.subjects import SUBJECTS
from llmstress.engine.telemetry.thresholds import Threshold

PricedTask = tuple[Options, str, str]
"""The options of a task, its URL, and its model."""


_FREE = Tariff(price=Price(input=0.0, output=0.0), origin="plain HTTP requests have no tokens")


def pricing_of(tasks: Sequence[PricedTask]) -> Pricing:
    """How the cost of a run with these tasks is reckoned.

    Raises:
        UsageError: the tasks have prices in different currencies.
    """
    first = tasks[0][0]
    if (hourly := first.cost_per_hour) is not None:
        return Pricing(per_hour=hourly.amount, currency=hourly.currency)
    found = [_tariff_of(*task) for task in tasks]
    currencies = list(dict.fromkeys(currency for tariff, currency in found if tariff.price is not None))
    if len(currencies) > 1:
        raise UsageError(
            f"the prices of the tasks are in {' and '.join(currencies)}, which can't be added: give all of them in one "
            "currency (--prices)"
        )
    tariffs = [tariff for tariff, _ in found]
    if currencies:  # beside models that have a price, a login or a search of theirs has the price 0
        plain = [options.api == "http" for options, _, _ in tasks]
        if not all(plain):
            tariffs = [_FREE if no else tariff for tariff, no in zip(tariffs, plain, strict=True)]
    return Pricing(tariffs=tuple(tariffs), currency=(*currencies, DEFAULT_CURRENCY)[0])


def _tariff_of(options: Options, url: str, model: str) -> tuple[Tariff, str]:
    """What the requests of a task cost, and the currency."""
    limit = _limit_of(options)
    if (given := options.price) is not None:
        return Tariff(model=model, price=given.price, origin="prices of --price", limit=limit), given.currency
    host = urlsplit(url).hostname or ""
    # the built-in mock costs nothing, whatever its model is called
    tables = [options.prices] if options.url is None else [options.prices, built_in()]
    for table in tables:
        if table is not None and (match := find_price(table, model, host)) is not None:
            name, price = match
            origin = f"{table.origin} ({name})" if name != model else table.origin
            return Tariff(model=model, price=price, origin=origin, limit=limit), table.currency
    why = f"{_nowhere(options, model)}: give it with --price or --prices"
    return Tariff(model=model, why=why, limit=limit), DEFAULT_CURRENCY


def _nowhere(options: Options, model: str) -> str:
    """That the tables lack a model."""
    if not model:
        return "the requests name no model that could have a price"
    if options.prices is None:
        return f"there is no price for the model {model!r}"
    if options.url is None:
        return f"{options.prices.name} does not have the model {model!r}"
    return f"neither {options.prices.name} nor the built-in prices have the model {model!r}"


def _limit_of(options: Options) -> int:
    """Most output tokens of an answer; 0: unknown."""
    if options.trace is not None or options.body is not None:
        return 0
    if any("max" in key and "tokens" in key for key in options.extra_body):
        return 0
    if (output := options.output_tokens) is not None:
        return _most_of(output)
    return options.ask("").limit


def _most_of(lengths: Lengths) -> int:
    highest = {"fixed": lengths.first, "uniform": lengths.second}
    return int(highest.get(lengths.shape, 0))


def check_pricing(options: Options, pricing: Pricing) -> None:
    """Check that there are prices for what the options ask.

    Raises:
        UsageError: `--max-cost` or a threshold needs the price of a model that has none, or a threshold asks for the
            share of a task in the cost of hardware.
    """
    if pricing.per_hour:
        for threshold in options.thresholds:
            if threshold.task and SUBJECTS[threshold.subject].needs == "prices":
                raise UsageError(
                    f"{_flag_of(threshold)} {threshold.text}: hardware that is paid by the hour (--cost-per-hour) has "
                    "no cost for a single task"
                )
        return
    why = next((tariff.why for tariff in pricing.tariffs if tariff.price is None), "")
    if not why:
        return
    if options.max_cost is not None:
        raise UsageError(f"--max-cost needs the price of every model, and {why}")
    for threshold in options.thresholds:
        if SUBJECTS[threshold.subject].needs == "prices":
            raise UsageError(f"{_flag_of(threshold)} {threshold.text} needs the price of every model, and {why}")


def _flag_of(threshold: Threshold) -> str:
    return "--abort-if" if threshold.abort else "--fail-if"
