"""The cost of whole runs: it is the price of what the mock says it sent, and it ends a run."""

import json
from pathlib import Path

import pytest
from helpers.processes import Run, llmstress, mock_server
from helpers.summaries import check

from llmstress.coordinator.config.prices import built_in

PRICES = """\
currency = "EUR"
[models."mock-*"]
input = 2.5
cached = 1.25
output = 10.0
"""


def test_the_cost_is_the_price_of_what_the_mock_has_sent(tmp_path: Path) -> None:
    (prices := tmp_path / "prices.toml").write_text(PRICES, "utf-8")
    (config := tmp_path / "run.toml").write_text(
        f'prices = "{prices}"\nfail-if = ["cost.total>1", "cost.per_request>0.00001"]\n', "utf-8"
    )
    with mock_server("--procs", "2") as server:
        code, summary, said = llmstress(
            *("--config", str(config), "--url", server.url, "--procs", "2", "--streams", "5"),
            *("--requests", "200", "--warmup-requests", "50"),
        )
        truth = server.stop()
    check(summary)
    usage, cost = truth["usage"], summary["cost"]
    assert usage["answers"] == summary["requests"]["ok"] >= 250
    assert cost["total"] == round((usage["input"] * 2.5 + usage["output"] * 10) / 1e6, 12)
    assert cost["total"] == cost["total_low"] == cost["total_high"] == cost["ok"]
    assert (cost["currency"], cost["unknown_share"], cost["unfinished"]["requests"]) == ("EUR", 0, 0)
    # all requests are alike
    assert cost["per_request"] == round(cost["total"] / usage["answers"], 12)
    [price] = cost["tasks"]
    assert (price["model"], price["origin"]) == ("mock-7b", f"prices of {prices} (mock-*)")
    assert "cost      €" in said
    assert code == 99
    assert [(each["subject"], each["state"]) for each in summary["thresholds"]] == [
        ("cost.total", "passed"),
        ("cost.per_request", "failed"),
    ]


@pytest.mark.slow
def test_tasks_of_a_mix_have_prices_of_their_own(tmp_path: Path) -> None:
    (config := tmp_path / "run.toml").write_text(
        """price = "input=1,output=10"
        fail-if = ["dear.cost.per_request>0.000001", "cheap.cost.total>1"]
        [[task]]
        name = "cheap"
        weight = 3
        [[task]]
        name = "dear"
        price = "input=2,output=20"
        """,
        "utf-8",
    )
    with mock_server() as server:
        code, summary, said = llmstress(
            *("--config", str(config), "--url", server.url, "--model", "mock-7b", "--procs", "1", "--streams", "4"),
            *("--requests", "40"),
        )
        truth = server.stop()
    check(summary)
    cost = summary["cost"]
    cheap, dear = cost["tasks"]
    assert (cheap["task"], cheap["input"], dear["task"], dear["input"]) == ("cheap", 1, "dear", 2)
    sent = (truth["usage"]["input"] * 1 + truth["usage"]["output"] * 10) / 1e6
    dear_ok = summary["tasks"][1]["ok"]
    assert dear["per_request"] == round(2 * cheap["per_request"], 12)
    assert cheap["total"] + dear["total"] == pytest.approx(cost["total"], rel=1e-9)
    assert cost["total"] == pytest.approx(sent * (1 + dear_ok / 40), rel=1e-9), "the dear ones cost twice as much"
    assert code == 99
    assert [each["state"] for each in summary["thresholds"]] == ["failed", "passed"]
    assert "          dear: $" in said


@pytest.mark.slow
def test_max_cost_ends_the_run_and_counts_on_the_requests_in_flight() -> None:
    """A request costs 400 tokens × $10 a million: $0.004, and nothing for its input."""
    tokens, streams, allowed = 400, 10, 0.1
    with mock_server("--tokens", str(tokens), "--gap-ms", "1") as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--procs", "2", "--streams", str(streams // 2), "--duration", "60s"),
            *("--max-tokens", str(tokens), "--price", "input=0,output=10", "--max-cost", str(allowed)),
            *("--interval", "50ms"),
        )
        truth = server.stop()
    check(summary)
    assert (code, summary["ended_by"]) == (0, "quota")
    assert "--max-cost is reached ($" in said
    assert summary["requests"]["cancelled"] == 0
    spent = truth["tokens"] * 10 / 1e6
    assert summary["cost"]["total"] == round(spent, 12)
    # the requests in flight are counted on; those that a stream begins before it hears of the end are not
    assert allowed - 1e-9 <= spent < allowed + 2 * streams * tokens * 10 / 1e6


@pytest.mark.slow
def test_what_the_end_cut_off_is_an_estimate() -> None:
    with mock_server("--tokens", "100000") as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--procs", "1", "--streams", "3", "--duration", "500ms", "--grace", "0s"),
            *("--max-tokens", "100000", "--price", "input=1,output=10"),
        )
    check(summary)
    cost, cut = summary["cost"], summary["tokens"]["output_cancelled"]
    assert (code, summary["requests"]["cancelled"], cost["unfinished"]["requests"]) == (5, 3, 3)
    assert cost["total"] == cost["unfinished"]["estimate"] == round(cut * 10 / 1e6, 12) > 0
    assert (cost["total_low"], cost["total_high"]) == (0, None), "no request has told how long the input is"
    assert "is an estimate for 3 requests that did not end ok: from $0 to an unknown amount" in said


@pytest.mark.slow
def test_own_hardware_has_a_price_for_a_million_tokens() -> None:
    with mock_server() as server:
        code, summary, _ = llmstress(
            *("--url", server.url, "--procs", "1", "--streams", "5", "--duration", "500ms", "--cost-per-hour", "3.6"),
        )
    check(summary)
    cost, tokens = summary["cost"], summary["tokens"]
    assert (code, cost["paid_by"], cost["tasks"]) == (0, "hours", [])
    expected = 0.001 / tokens["output_per_s"] * 1e6
    assert abs(cost["per_million_output"] / expected - 1) < 1e-4
    expected = 0.001 / (tokens["output_per_s"] + tokens["input_per_s"]) * 1e6
    assert abs(cost["per_million"] / expected - 1) < 1e-4
    assert cost["total"] >= 0.0005


@pytest.mark.slow
def test_max_cost_without_a_price_is_refused_before_a_request() -> None:
    with mock_server() as server:
        for model in ((), ("--model", "mock-7b")):
            run = Run(*("--url", server.url, *model, "--max-cost", "5", "--requests", "3", "--headless"))
            out, said = run.process.communicate(timeout=60)
            assert run.process.returncode == 2, said
            assert "--max-cost needs the price of every model, and there is no price for the model 'mock-7b'" in said
            assert not out
        truth = server.stop()
    assert truth["requests"] == 0


@pytest.mark.slow
def test_a_built_in_price_says_of_when_it_is() -> None:
    with mock_server() as server:
        _, summary, said = llmstress(
            *("--url", server.url, "--model", "gpt-4o-2024-08-06", "--procs", "1", "--streams", "1", "--requests", "2")
        )
    assert f"prices as of {built_in().date}, built in: check them (gpt-4o)" in said
    assert json.dumps(summary["cost"]["tasks"]).count("check them") == 1
