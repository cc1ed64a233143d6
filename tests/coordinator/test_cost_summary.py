"""Cost in the summary, on the console and on the screen."""

import io
import json

import msgspec
import pytest
from helpers.screens import QueueSource, S, on_screen, opening, settle_until, text_of
from helpers.summaries import SCHEMA, check, facts_of
from textual.pilot import Pilot

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.cost import cost_lines
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import encode, summarise
from llmstress.coordinator.run.ending import Limit, limit_reached
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.cost import Price, Pricing, Tariff
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase, key_of
from llmstress.tui.app import StressApp
from llmstress.tui.format.cost_line import cost_line
from llmstress.tui.format.picture import picture_of

TARIFF = Tariff(model="m", price=Price(input=2.5, cached=1.25, output=10.0), origin="prices of p.toml", limit=64)
PRICED = Pricing(tariffs=(TARIFF,))

TEN_OK = {"started": 10, "input": 1000, "output": 500, "input_seen": 10, "usage_seen": 10}
CUT = {"output_cancelled": 30, "unfinished_begun": 2, "unfinished_output": 30}


def measured(ended: dict[str, int], **counters: int) -> Aggregate:
    aggregate = Aggregate.over([5])
    part = Part(counters=Counters(**counters), ended=ended)
    aggregate.merge(Delta(0, 0, 0, 10_000_000_000, Phase.STEADY, 0, 0, 0, 0, {key_of(Phase.STEADY): part}, []))
    return aggregate


def summary_of(aggregate: Aggregate, pricing: Pricing) -> Summary:
    return summarise(aggregate, msgspec.structs.replace(facts_of(), pricing=pricing))


def test_the_summary_has_the_cost_with_its_bounds() -> None:
    cut = measured({"ok": 10, "cancelled": 3}, slo_met=4, **CUT, **TEN_OK | {"started": 13})
    summary = json.loads(encode(summary_of(cut, PRICED)))
    check(summary)
    seconds = summary["run"]["phases_s"]["steady"]
    assert summary["cost"] == {
        "paid_by": "tokens",
        "currency": "USD",
        "tasks": [
            {
                "task": "",
                "model": "m",
                "input": 2.5,
                "cached": 1.25,
                "cache_write": None,
                "output": 10.0,
                "origin": "prices of p.toml",
                "why": "",
                "total": 0.0083,
                "per_request": 0.00075,
            }
        ],
        "hardware_per_hour": None,
        "total": 0.0083,
        "total_low": 0.0075,
        "total_high": 0.01017,
        "at_least": False,
        "unknown_share": 0.0,
        "ok": 0.0075,
        "input": 0.0025,
        "cached_input": 0.0,
        "cache_write": 0.0,
        "output": 0.005,
        "unfinished": {"requests": 3, "estimate": 0.0008, "most": 0.00267},
        "per_request": 0.00075,
        "per_good_request": 0.002075,
        "per_hour": pytest.approx(0.0083 / seconds * 3600),
        "per_million_output": None,
        "per_million": None,
    }
    assert SCHEMA["$defs"]["Cost"]["properties"].keys() == summary["cost"].keys()


def lines(aggregate: Aggregate, pricing: Pricing, *, asked: bool = True) -> list[str]:
    return cost_lines(summary_of(aggregate, pricing).cost, asked=asked)


def test_the_console_says_what_is_exact_and_what_is_not() -> None:
    exact = lines(measured({"ok": 10}, cached_input=400, **TEN_OK), PRICED)
    assert exact[0] == "cost      $0.00700 in the whole run: input $0.00150, cached input $0.000500, output $0.00500"
    assert exact[1].startswith("          $0.000700 per request, $")
    assert exact[2:] == ["          prices of p.toml"]
    cut = lines(measured({"ok": 10, "cancelled": 3}, **CUT, **TEN_OK | {"started": 13}), PRICED)
    assert cut[0].startswith("cost      $0.00830 in the whole run: ")
    assert cut[2] == (
        "          of it $0.000800 is an estimate for 3 requests that did not end ok: from $0 to $0.00267, as the "
        "provider bills them"
    )
    unknown = lines(measured({"ok": 10}, **TEN_OK | {"usage_seen": 8}), PRICED)
    assert unknown[0].startswith("cost      ≥ $0.00750 in the whole run: ")
    assert unknown[1].startswith("          ≥ $0.000750 per request, ≥ $")
    assert unknown[2] == "          ≥: the tokens or the price of 20 % of the ok requests are not all known"


def test_the_console_says_why_there_is_no_cost_if_it_was_asked_for() -> None:
    unpriced = Pricing(tariffs=(Tariff(model="x", why="there is no price for the model 'x'"),))
    aggregate = measured({"ok": 10}, **TEN_OK)
    assert lines(aggregate, unpriced) == ["cost      unknown: there is no price for the model 'x'"]
    assert lines(aggregate, unpriced, asked=False) == []
    cost = summary_of(aggregate, unpriced).cost
    assert (cost.total, cost.unfinished, cost.tasks[0].why) == (None, None, "there is no price for the model 'x'")


def test_the_table_shows_the_cost() -> None:
    text = io.StringIO()
    Console(text).table(summary_of(measured({"ok": 10}, **TEN_OK), PRICED))
    assert "\ncost      $0.00750 in the whole run: input $0.00250, output $0.00500\n" in text.getvalue()


def test_hardware_has_a_price_for_a_million_tokens() -> None:
    found = lines(measured({"ok": 10}, **TEN_OK), Pricing(per_hour=12.5, currency="EUR"))
    assert found[0] == "cost      €0.0347 in the whole run, at €12.50 per hour"
    assert " per million output tokens, €" in found[1]
    assert found[1].endswith(" per million tokens (steady window)")
    assert " per hour" not in found[1]


def test_the_screen_shows_what_the_run_has_cost_so_far() -> None:
    view = opening(procs=1)
    part = Part(counters=Counters(**TEN_OK), ended={"ok": 10})
    view.apply(Delta(0, 0, 2_000_000_000, 4_000_000_000, 2, 0, 0, 0, 0, {key_of(Phase.STEADY): part}, []))

    def shown(pricing: Pricing, width: int = 200) -> str:
        view.facts = msgspec.structs.replace(view.facts, pricing=pricing)
        return "".join(text for text, _ in cost_line(picture_of(view, whole=False), width))

    assert shown(PRICED) == "cost: $0.00750 so far · $0.000750 per request · $13.50 per hour (prices of p.toml)"
    assert shown(PRICED, 40) == "cost: $0.00750 so far · $0.000750 per r…"
    assert shown(Pricing()) == ""
    assert shown(Pricing(per_hour=3.6)).startswith("cost: $0.00400 so far · ")


@pytest.mark.parametrize("size", [(100, 30), (80, 24), (200, 50)])
def test_the_line_stands_on_the_overview(size: tuple[int, int]) -> None:
    view = opening(procs=1, pricing=PRICED)
    part = Part(counters=Counters(**TEN_OK), ended={"ok": 10})
    shown: list[str] = []

    async def steps(pilot: Pilot[int]) -> None:
        source.give(Delta(0, 0, 2 * S, 4 * S, 2, 0, 0, 0, 0, {key_of(Phase.STEADY): part}, []))
        await settle_until(pilot, lambda: "cost: $0.00750 so far · $0.000750 per request" in text_of(app))
        shown.append(text_of(app))

    source = QueueSource(view)
    app = StressApp(source)
    on_screen(app, steps, size)
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (0.009, "--max-cost is reached ($0.00750 so far, and about $0.00150 for the requests in flight)"),
        (0.0091, None),
    ],
)
def test_the_run_ends_when_it_will_have_cost_as_much_as_was_allowed(limit: float, text: str | None) -> None:
    aggregate = measured({"ok": 10}, **TEN_OK | {"started": 12})
    reached = limit_reached(Options(procs=1, prompt="p", max_cost=limit), aggregate, pricing=PRICED)
    assert reached == (None if text is None else Limit("quota", text))


def test_hardware_ends_the_run_by_the_clock() -> None:
    reached = limit_reached(Options(procs=1, prompt="p", max_cost=0.01), measured({}), pricing=Pricing(per_hour=3.6))
    assert reached == Limit("quota", "--max-cost is reached ($0.0100 so far)")
