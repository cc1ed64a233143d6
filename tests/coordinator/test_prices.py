"""Prices: the files of --prices and what is wrong with bad ones, --price, --cost-per-hour, and which price a model
has."""

import datetime
import re
from pathlib import Path

import pytest

from llmstress.coordinator.commands import cli
from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prices import (
    Money,
    OnePrice,
    PriceRow,
    PriceTable,
    built_in,
    find_price,
    parse_money,
    parse_price,
    read_prices,
)
from llmstress.coordinator.config.shown_options import describe
from llmstress.coordinator.config.tasks import OwnOptions
from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.coordinator.run.pricing import check_pricing, pricing_of
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.telemetry.cost import Price

URL = "https://llm.example.com/v1/chat/completions"

FILE = """\
# ours
currency = "EUR"
date = 2026-01-31

[models."gpt-4o"]
input = 2.5
cached = 1.25
output = 10

[models]
"tuned-*" = { input = 1, output = 2, hosts = ["api.example.com"] }
"""


# --- files


def test_a_file_is_read() -> None:
    assert read_prices("\ufeff" + FILE.replace("\n", "\r\n"), "p.toml") == PriceTable(
        name="p.toml",
        currency="EUR",
        date="2026-01-31",
        rows={
            "gpt-4o": PriceRow(Price(input=2.5, cached=1.25, output=10.0)),
            "tuned-*": PriceRow(Price(input=1.0, output=2.0), ("api.example.com",)),
        },
    )
    assert read_prices(FILE, "p.toml").origin == "prices of p.toml as of 2026-01-31"


M = '[models."m"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'p.toml, line 1: a file of prices needs a table for each model: begin it with [models."gpt-4o"]'),
        ("\nmodel = 3\n", "p.toml, line 2: unknown key 'model'; did you mean models?"),
        ("\n\ncolour = 1", "p.toml, line 3: unknown key 'colour'; there are currency, date, models"),
        ('currency = "dollars"\n' + M, 'p.toml, line 1: currency: expected three capital letters, like "USD"'),
        ("date = 5\n" + M, 'p.toml, line 1: date: expected a date, like "2025-10-31"'),
        (
            "models = 3",
            'p.toml, line 1: a file of prices needs a table for each model: begin it with [models."gpt-4o"]',
        ),
        (
            "\n[models]\na.input = 1\na.output = 1\nb = 3",
            "p.toml, line 5: models.'b': expected a table with input and output, like { input = 2.5, output = 10.0 }",
        ),
        (
            M + "input = 1\noutput = 2\ncashed = 3",
            "p.toml, line 4: models.'m': unknown key 'cashed'; did you mean cached?",
        ),
        (
            M + "input = 1\noutput = 2\nx = 3",
            "p.toml, line 4: models.'m': unknown key 'x'; there are input, cached, cache-write, output, hosts",
        ),
        (
            M + 'output = 2\ninput = "2.5"',
            "p.toml, line 3: models.'m': input: expected money for a million tokens, like 2.5",
        ),
        (
            M + "output = 2\ninput = 1\ncache_write = -1",
            "p.toml, line 4: models.'m': cache-write: expected money for a million tokens, like 2.5",
        ),
        (M + "input = nan", "p.toml, line 2: models.'m': input: expected money for a million tokens, like 2.5"),
        (M + "input = true", "p.toml, line 2: models.'m': input: expected money for a million tokens, like 2.5"),
        (
            "\n" + M + "input = 1",
            "p.toml, line 2: models.'m': output is missing: write output = 2.5, or 0 if it costs nothing",
        ),
        (
            '[models]\n"a" = { input = 1, output = 1 }\n"b" = { input = 1, outputs = 1 }',
            "p.toml, line 3: models.'b': unknown key 'outputs'; did you mean output?",
        ),
        (
            M + 'input = 1\noutput = 2\nhosts = "a"',
            "p.toml, line 4: models.'m': hosts: expected an array of hosts, like [\"api.example.com\"]",
        ),
        (
            '[models."a*b"]\ninput = 1\noutput = 2',
            "p.toml, line 1: models.'a*b': a * stands at the end of a name, for any ending: write \"gpt-4o-*\"",
        ),
    ],
)
def test_a_bad_file_is_refused_with_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_prices(text, "p.toml")


def test_what_is_no_toml_is_refused_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"^p.toml, line 2, column 9: input: not valid TOML: "):
        read_prices(M + "input = $2.50", "p.toml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "Invalid value for '--prices': prices.toml can't be read: No such file or directory"),
        (M + "input = 1\noutptu = 2", "prices.toml, line 3: models.'m': unknown key 'outptu'; did you mean output?"),
        (M + "input =", "prices.toml, line 2"),
    ],
)
def test_the_command_refuses_a_bad_file_before_anything_starts(
    content: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("prices.toml").write_text(content, "utf-8")
    Path("run.toml").write_text('url = "http://127.0.0.1:9"\nprices = "prices.toml"\n', "utf-8")
    assert cli.run(["--config", "run.toml"]) == 2
    assert said in capsys.readouterr().err


# --- texts


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("input=2.5,cached=1.25,output=10", OnePrice(Price(input=2.5, cached=1.25, output=10.0))),
        (" output = 0 , input = .02 ", OnePrice(Price(input=0.02, output=0.0))),
        (
            "input=3,output=15,cache-write=3.75,currency=EUR",
            OnePrice(Price(input=3.0, cache_write=3.75, output=15.0), "EUR"),
        ),
    ],
)
def test_a_price_is_read(text: str, price: OnePrice) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2.5", "'2.5' has no =: write input=2.5,cached=1.25,output=10, in money for a million tokens"),
        ("input=2.5", "output is missing: write input=2.5,cached=1.25,output=10; 0 if it costs nothing"),
        ("input=1,output=1,catched=1", "unknown key 'catched'; did you mean cached?"),
        ("input=1,input=2,output=1", "input is given twice"),
        ("input=$1,output=1", "input: '$1' is not a price: write a number like 2.5"),
        ("input=-1,output=1", "input: '-1' is not a price: write a number like 2.5"),
        ("input=inf,output=1", "input: 'inf' is not a price: write a number like 2.5"),
        ("input=1,output=1,currency=euro", "currency: 'euro' is not three capital letters like USD"),
    ],
)
def test_a_bad_price_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_price(text)


def test_an_amount_is_read_or_refused() -> None:
    assert parse_money("12.5") == Money(12.5, "USD")
    assert parse_money(" 12 EUR") == Money(12.0, "EUR")
    assert str(parse_money("12.50EUR")) == "12.5 EUR"
    for text in ("", "0", "-1", "$5", "5 dollars", "1.2.3", "5 eur"):
        with pytest.raises(ValueError, match=r"is not (an amount of money|three capital|a price)"):
            parse_money(text)


# --- which price a model has

TABLE = read_prices(
    "[models]\n"
    + "\n".join(
        f'"{name}" = {{ input = {number}, output = 0{hosts} }}'
        for number, (name, hosts) in enumerate(
            [
                ("gpt-4o", ""),
                ("gpt-4o-2024-05-13", ""),
                ("gpt-4o-mini", ""),
                ("tuned-*", ""),
                ("tuned-large-*", ""),
                ("llama", ', hosts = ["api.example.com"]'),
            ]
        )
    ),
    "p.toml",
)


@pytest.mark.parametrize(
    ("model", "host", "name"),
    [
        ("gpt-4o", "", "gpt-4o"),
        ("gpt-4o-2024-08-06", "", "gpt-4o"),
        ("gpt-4o-20240806", "", "gpt-4o"),
        ("gpt-4o-0806", "", "gpt-4o"),
        ("gpt-4o-latest", "", "gpt-4o"),
        ("gpt-4o:latest", "", "gpt-4o"),
        ("gpt-4o@20240806", "", "gpt-4o"),
        ("gpt-4o-2024-05-13", "", "gpt-4o-2024-05-13"),
        ("gpt-4o-mini-2024-07-18", "", "gpt-4o-mini"),
        ("openai/gpt-4o", "", "gpt-4o"),
        ("openai/gpt-4o-2024-08-06", "", "gpt-4o"),
        ("tuned-small", "", "tuned-*"),
        ("tuned-large-2", "", "tuned-large-*"),
        ("llama", "api.example.com", "llama"),
        ("llama", "eu.api.example.com", "llama"),
        ("llama", "localhost", None),
        ("llama", "evilapi.example.com", None),
        ("gpt-4o-audio-preview", "", None),
        ("gpt-4o-5", "", None),
        ("gpt-4", "", None),
        ("gpt-4o2024", "", None),
        ("GPT-4o", "", None),
        ("", "", None),
        ("a/", "", None),
    ],
)
def test_a_price_is_found_by_the_name_or_with_a_version(model: str, host: str, name: str | None) -> None:
    found = find_price(TABLE, model, host)
    assert (None if found is None else found[0]) == name


def test_the_built_in_prices_say_of_when_they_are_and_are_plausible() -> None:
    table = built_in()
    assert datetime.date.fromisoformat(table.date) < datetime.date.today()
    assert table.origin == f"prices as of {table.date}, built in: check them"
    assert len(table.rows) >= 30
    for name, row in table.rows.items():
        price = row.price
        assert 0.01 <= price.input <= 20, name
        assert price.output == 0 if "embedding" in name else price.input <= price.output <= 100, name
        assert price.cached is None or 0 < price.cached <= price.input / 2, name
        assert price.cache_write is None or price.cache_write >= price.input, name
        assert row.hosts or name.startswith(("gpt-", "o1", "o3", "o4-", "text-embedding-", "claude-")), name
    found = find_price(table, "claude-opus-4-1-20250805", "api.anthropic.com")
    assert found == ("claude-opus-4-1", Price(input=15.0, cached=1.5, cache_write=18.75, output=75.0))
    assert find_price(table, "claude-opus-4-5", "") is None, "another model"
    assert find_price(table, "mock-7b", "") is None


# --- the price of a run


def options(**changes: object) -> Options:
    return Options(**{"procs": 1, "prompt": "p", "url": URL, "model": "gpt-4o", **changes})  # type: ignore[arg-type]


OURS = read_prices('[models."gpt-4o"]\ninput = 1\noutput = 2', "ours.toml")


@pytest.mark.parametrize(
    ("changes", "model", "first", "origin"),
    [
        ({}, "gpt-4o-2024-08-06", 2.5, f"{built_in().origin} (gpt-4o)"),
        ({"prices": OURS}, "gpt-4o", 1.0, "prices of ours.toml"),
        ({"prices": OURS}, "gpt-4.1", 2.0, built_in().origin),
        ({"prices": OURS, "price": parse_price("input=7,output=8")}, "gpt-4o", 7.0, "prices of --price"),
        ({"price": parse_price("input=7,output=8")}, "anything", 7.0, "prices of --price"),
    ],
)
def test_what_is_given_comes_before_what_is_built_in(
    changes: dict[str, object], model: str, first: float, origin: str
) -> None:
    [tariff] = pricing_of([(options(**changes), URL, model)]).tariffs
    assert tariff.price is not None
    assert (tariff.price.input, tariff.origin, tariff.model) == (first, origin, model)


def test_the_built_in_mock_has_no_built_in_price() -> None:
    demo = options(url=None)
    assert not pricing_of([(demo, "http://127.0.0.1:1/v1", "gpt-4o")]).known
    assert pricing_of([(options(url=None, prices=OURS), "http://127.0.0.1:1/v1", "gpt-4o")]).known


def test_tasks_have_prices_of_their_own_in_one_currency() -> None:
    euros = parse_price("input=1,output=1,currency=EUR")
    tasks = [(options(price=euros), URL, "a"), (options(), URL, "unknown")]
    pricing = pricing_of(tasks)
    assert (pricing.currency, len(pricing.tariffs), pricing.known) == ("EUR", 2, True)
    with pytest.raises(UsageError, match="the prices of the tasks are in EUR and USD, which can't be added"):
        pricing_of([*tasks, (options(), URL, "gpt-4o")])


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, 128),
        ({"max_tokens": 64}, 64),
        ({"output_tokens": Lengths("fixed", 50)}, 50),
        ({"output_tokens": Lengths("uniform", 10, 70)}, 70),
        ({"output_tokens": Lengths("lognormal", 50, 20)}, 0),
        ({"extra_body": {"max_tokens": 5}}, 0),
        ({"extra_body": {"temperature": 0}}, 128),
    ],
)
def test_the_limit_of_the_output_bounds_the_cost(changes: dict[str, object], limit: int) -> None:
    assert pricing_of([(options(**changes), URL, "m")]).tariffs[0].limit == limit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_cost": 5.0}, "--max-cost needs the price of every model, and there is no price for the model 'x'"),
        (
            {"max_cost": 5.0, "prices": OURS},
            "--max-cost needs the price of every model, and neither ours.toml nor the built-in prices have the model",
        ),
        (
            {"fail_if": (parse_threshold("cost.total>5"),)},
            "--fail-if cost.total>5 needs the price of every model, and there is no price for the model 'x'",
        ),
        (
            {"abort_if": (parse_threshold("cost.per_request>1"),)},
            "--abort-if cost.per_request>1 needs the price of every model",
        ),
    ],
)
def test_what_needs_a_price_is_refused_without_one(changes: dict[str, object], message: str) -> None:
    asked = options(**changes)
    with pytest.raises(UsageError) as refused:
        check_pricing(asked, pricing_of([(asked, URL, "x")]))
    assert str(refused.value).startswith(message)
    assert "give it with --price or --prices" in str(refused.value)
    check_pricing(asked, pricing_of([(asked, URL, "gpt-4o")]))


def test_hardware_has_no_cost_for_a_single_task() -> None:
    asked = options(cost_per_hour=Money(12.5), fail_if=(parse_threshold("cost.total>5"),))
    check_pricing(asked, pricing_of([(asked, URL, "m")]))
    by_task = {"tasks": (OwnOptions(name="chat"),), "fail_if": (parse_threshold("chat.cost.total>5"),)}
    asked = options(cost_per_hour=Money(12.5), **by_task)
    with pytest.raises(UsageError, match=r"--fail-if chat\.cost\.total>5: hardware .* has no cost for a single task"):
        check_pricing(asked, pricing_of([(asked, URL, "m")]))


def test_hardware_has_a_price_whatever_the_model() -> None:
    asked = options(cost_per_hour=Money(12.5, "EUR"), max_cost=1.0)
    pricing = pricing_of([(asked, URL, "gpt-4o")])
    assert (pricing.per_hour, pricing.currency, pricing.tariffs) == (12.5, "EUR", ())
    check_pricing(asked, pricing)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_cost": 0.0}, "--max-cost must be an amount above 0, like 5 or 0.25"),
        ({"max_cost": float("nan")}, "--max-cost must be an amount above 0"),
        (
            {"cost_per_hour": Money(1.0), "prices": OURS},
            "--cost-per-hour is for your own hardware and --prices for tokens that are paid: drop one of them",
        ),
        ({"cost_per_hour": Money(1.0), "price": parse_price("input=1,output=1")}, "--cost-per-hour is for .* --price "),
    ],
)
def test_options_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(**changes)


def test_the_summary_shows_the_options() -> None:
    shown = describe(options(prices=OURS, price=parse_price("input=1,output=2")))
    assert (shown["prices"], shown["price"]) == ("ours.toml", "input=1,output=2,currency=USD")
    assert describe(options(cost_per_hour=Money(12.5, "EUR")))["cost_per_hour"] == "12.5 EUR"
