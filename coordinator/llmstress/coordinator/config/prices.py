"""Prices of models: the files of `--prices`, the built-in file, and the text of `--price`. Pure functions.

A price is money for a million tokens.
"""

import datetime
import functools
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import msgspec

from llmstress.coordinator.config.config_file import Path, read_toml
from llmstress.coordinator.config.settings import nearest
from llmstress.engine.telemetry.cost import DEFAULT_CURRENCY, Price

FORM = "input=2.5,cached=1.25,output=10"

HIGHEST = 1e9
"""The highest price, and the highest amount of money."""

_MODELS = "models"
_TOP = ("currency", "date", _MODELS)
_PRICES: Mapping[str, str] = {"input": "input", "cached": "cached", "cache-write": "cache_write", "output": "output"}
"""Key of a price -> field of `Price`."""
_NEEDED = ("input", "output")
_HOSTS = "hosts"

_CURRENCY = re.compile(r"[A-Z]{3}")

_VERSION = re.compile(r"[-@:]v?(?:\d{3,8}|\d{4}-\d{2}(?:-\d{2})?)|[-:]latest", re.ASCII)
"""What may follow the name of a model without making it another model: a date, a number of three digits or more, or
`latest`. `-mini` and `-5` make another model, with a price of its own."""


class PriceRow(msgspec.Struct, frozen=True):
    """The price of a model."""

    price: Price
    hosts: tuple[str, ...] = ()
    """Hosts at which it holds; empty: at all."""


class PriceTable(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of models."""

    name: str
    """Of the file; empty: the built-in one."""
    currency: str = DEFAULT_CURRENCY
    date: str = ""
    """As of when the prices hold: `2025-10-31`; empty: the file does not say."""
    rows: dict[str, PriceRow]
    """Name of a model, or a beginning of names that ends with `*` -> its price."""

    @property
    def origin(self) -> str:
        """Where the prices are from, in words."""
        if not self.name:
            return f"prices as of {self.date}, built in: check them"
        return f"prices of {self.name}{f' as of {self.date}' if self.date else ''}"


class OnePrice(msgspec.Struct, frozen=True):
    """The price of `--price`."""

    price: Price
    currency: str = DEFAULT_CURRENCY

    def __str__(self) -> str:
        """As it is given on the command line."""
        prices = [(key, getattr(self.price, field)) for key, field in _PRICES.items()]
        given = [f"{key}={value:g}" for key, value in prices if value is not None]
        return ",".join([*given, f"currency={self.currency}"])


class Money(msgspec.Struct, frozen=True):
    """An amount, for instance that of `--cost-per-hour`."""

    amount: float
    currency: str = DEFAULT_CURRENCY

    def __str__(self) -> str:
        """As it is given on the command line."""
        return f"{self.amount:g} {self.currency}"


@functools.cache
def built_in() -> PriceTable:
    """The prices that llmstress brings along; `prices.toml` beside this module says where they are from."""
    text = resources.files(__package__).joinpath("prices.toml").read_text("utf-8")
    return read_prices(text, "")


def read_prices(text: str, name: str) -> PriceTable:
    """The prices in a file; `name`: that of the file.

    Raises:
        UsageError: the file is not TOML.
        ValueError: a key is unknown or missing, or a value is none. The message names file, line and key.
    """
    document, lines = read_toml(text, name)

    def fail(path: Path, what: str) -> ValueError:
        return ValueError(f"{name}, line {lines.get(path, 1)}: {what}")

    for key in document:
        if key not in _TOP:
            raise fail((key,), _unknown(key, _TOP))
    currency, date, models = document.get("currency", DEFAULT_CURRENCY), document.get("date", ""), document.get(_MODELS)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise fail(("currency",), 'currency: expected three capital letters, like "USD"')
    if isinstance(date, datetime.date):
        date = date.isoformat()
    if not isinstance(date, str) or len(date) > 40 or not date.isprintable():
        raise fail(("date",), 'date: expected a date, like "2025-10-31"')
    if not isinstance(models, dict) or not models:
        raise fail((_MODELS,), 'a file of prices needs a table for each model: begin it with [models."gpt-4o"]')
    return PriceTable(
        name=name,
        currency=currency,
        date=date,
        rows={model: _row(model, table, lines, name) for model, table in models.items()},
    )


def _row(model: str, table: Any, lines: Mapping[Path, int], name: str) -> PriceRow:
    known = (*_PRICES, _HOSTS)
    at: Path = (_MODELS, model)

    def fail(path: Path, what: str) -> ValueError:
        return ValueError(f"{name}, line {lines.get(path) or lines.get(at, 1)}: {_MODELS}.{model!r}: {what}")

    if not isinstance(table, dict):
        raise fail(at, "expected a table with input and output, like { input = 2.5, output = 10.0 }")
    if "*" in model[:-1] or not model.strip("*"):
        raise fail(at, 'a * stands at the end of a name, for any ending: write "gpt-4o-*"')
    prices: dict[str, float] = {}
    hosts: tuple[str, ...] = ()
    for written, value in table.items():
        key = written.replace("_", "-")
        if key in _PRICES:
            if not is_price(value):
                raise fail((*at, written), f"{key}: expected money for a million tokens, like 2.5")
            prices[_PRICES[key]] = float(value)
        elif key == _HOSTS:
            if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
                raise fail((*at, written), f'{key}: expected an array of hosts, like ["api.example.com"]')
            hosts = tuple(each.lower() for each in value)
        else:
            raise fail(
                (*at, written), f"unknown key {written!r}{nearest(key, known) or '; there are ' + ', '.join(known)}"
            )
    for key in _NEEDED:
        if key not in prices:
            raise fail(at, f"{key} is missing: write {key} = 2.5, or 0 if it costs nothing")
    return PriceRow(Price(**prices), hosts)


def _unknown(written: str, known: Sequence[str]) -> str:
    advice = nearest(written.lower().replace("_", "-"), known) or f"; there are {', '.join(known)}"
    return f"unknown key {written[:60]!r}{advice}"


def is_price(value: Any) -> bool:
    """Whether a value is a number that a price can have."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= HIGHEST


def parse_price(text: str) -> OnePrice:
    """The price of `input=2.5,cached=1.25,output=10`; `cache-write=3.75` and `currency=EUR` may follow.

    Raises:
        ValueError: the text has another form.
    """
    prices: dict[str, float] = {}
    currency = DEFAULT_CURRENCY
    for entry in text.split(","):
        key, equals, value = (each.strip() for each in entry.partition("="))
        known = (*_PRICES, "currency")
        if not equals:
            raise ValueError(f"{entry.strip()!r} has no =: write {FORM}, in money for a million tokens")
        if key not in known:
            raise ValueError(_unknown(key, known))
        if key == "currency":
            currency = _currency_of(value)
        else:
            if _PRICES[key] in prices:
                raise ValueError(f"{key} is given twice")
            prices[_PRICES[key]] = _number_of(value, key)
    for key in _NEEDED:
        if key not in prices:
            raise ValueError(f"{key} is missing: write {FORM}; 0 if it costs nothing")
    return OnePrice(Price(**prices), currency)


def parse_money(text: str) -> Money:
    """The amount of `12.5` (US dollars) or `12.5 EUR`.

    Raises:
        ValueError: the text has another form, or the amount is not above 0.
    """
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]{3})?", text.strip(), re.ASCII)
    amount = _number_of(match[1], "the amount") if match else 0.0
    if match is None or amount <= 0:
        raise ValueError(f"{text!r} is not an amount of money: write it like 12.5 or 12.5 EUR")
    return Money(amount, _currency_of(match[2] or DEFAULT_CURRENCY))


def _number_of(text: str, key: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not is_price(value):
        raise ValueError(f"{key}: {text!r} is not a price: write a number like 2.5")
    return value


def _currency_of(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise ValueError(f"currency: {text!r} is not three capital letters like USD")
    return text


def find_price(table: PriceTable, model: str, host: str) -> tuple[str, Price] | None:
    """The name under which a table has a model, and its price; None: it has none that holds at `host`.

    The exact name comes first, then the longest beginning with a `*`, then the longest name to which only a version was
    added (`gpt-4o-2024-08-06`). If the model's name has a `/`, the part after the last one is tried as well: gateways
    put the provider before it.
    """
    usable = {name: row for name, row in table.rows.items() if not row.hosts or _is_at(host, row.hosts)}
    for wanted in dict.fromkeys((model, model.rpartition("/")[2])):
        if wanted in usable:
            return wanted, usable[wanted].price
        starred = [name for name in usable if name.endswith("*") and wanted.startswith(name[:-1])]
        versions = [name for name in usable if wanted.startswith(name) and _VERSION.fullmatch(wanted[len(name) :])]
        for names in (starred, versions):
            if wanted and names:
                name = max(names, key=len)
                return name, usable[name].price
    return None


def _is_at(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host == each or host.endswith(f".{each}") for each in hosts)
