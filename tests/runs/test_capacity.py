"""Sweeps and the search for the capacity against the mock, whose knee and capacity are known."""

import signal
from typing import Any

import pytest
from helpers.processes import Run, llmstress, mock_server
from helpers.summaries import keeps_schema

COMMON = ("--model", "mock-7b", "--headless", "--quiet", "--no-probe", "--proxy", "none")


def checked(summary: dict[str, Any]) -> dict[str, Any]:
    keeps_schema(summary)
    return summary


@pytest.mark.slow
def test_a_sweep_measures_one_load_after_the_other() -> None:
    with mock_server() as server:
        code, summary, said = llmstress(
            server.url, *COMMON, "--procs", "2", "--sweep", "2,6", "--point", "1s",
            *("--fail-if", "requests.per_s<0.1 in 2", "--fail-if", "requests.per_s<0.1 in 6"),
        )  # fmt: skip
        truth = server.stop()
    sweep = checked(summary)["sweep"]
    assert (code, summary["ended_by"], sweep["ended_because"]) == (0, "points", "all points were measured")
    assert summary["requests"]["started"] == summary["requests"]["ok"] == truth["requests"] == truth["done"]
    low, high = sweep["points"]
    assert (low["load"], high["load"], sweep["unit"]) == (2, 6, "streams")
    for point in (low, high):
        assert (point["ended"], point["why"], point["settled"], point["failed"]) == ("measured", "time", True, 0)
        assert point["seconds"] >= 1
        assert point["settle_s"] >= 2
        # a closed loop: streams = requests per second × seconds of a request, but for what is in flight at the edges
        in_flight = point["requests_per_s"] * point["e2e_p50"] / 1000
        assert in_flight == pytest.approx(point["load"], rel=0.35)
        assert point["interactivity"] == pytest.approx(1000 / point["tpot_p50"], rel=1e-4)
    assert low["began_s"] + low["seconds"] < high["began_s"]
    rates = [threshold["value"] for threshold in summary["thresholds"]]
    assert rates == [pytest.approx(point["requests_per_s"], rel=1e-3) for point in (low, high)]
    phases = [event["text"] for event in summary["events"] if event["kind"] == "phase"]
    assert [text.split(" begins")[0] for text in phases] == ["→ 2", "2", "→ 6", "6", "drain"]
    assert "2 points of 1s: 2,6" in said
    assert "up to 6 streams" in said
    assert "throughput against load" in said
    assert all(len(line) <= 80 for line in said.partition("sweep: 2 points")[2].splitlines() if "http" not in line)


@pytest.mark.slow
def test_a_hopeless_point_ends_a_sweep_and_a_search() -> None:
    with mock_server("--fault", "http_500=100%") as server:
        code, summary, _ = llmstress(
            server.url, *COMMON, "--procs", "1", "--sweep", "30,60", "--error-pause", "50ms", "--grace", "1s"
        )
        sweep = checked(summary)["sweep"]
        assert (code, summary["ended_by"], len(sweep["points"]), sweep["peak"]) == (5, "points", 1, None)
        assert sweep["points"][0]["ended"] == "hopeless"
        assert sweep["ended_because"].startswith("30 streams: ")
        code, summary, said = llmstress(
            "find", server.url, *COMMON, "--procs", "1", "--from", "30", "--error-pause", "50ms", "--slo", "ttft<1s"
        )
    find = checked(summary)["find"]
    assert (find["state"], find["capacity"], find["limit"], find["bound_by"]) == ("none", None, 30, "errors")
    assert [probe["state"] for probe in find["probes"]] == ["failed", "failed"]
    assert code == 5, "no request succeeded"
    assert "capacity: none: even 30 streams failed (errors)" in said


@pytest.mark.slow
def test_a_search_whose_budget_is_used_up_is_undecided() -> None:
    with mock_server() as server:
        code, summary, said = llmstress(
            "find", server.url, *COMMON, "--procs", "1", "--to", "1", "--slo", "ttft<9s", "--budget", "4s"
        )
    find = checked(summary)["find"]
    assert (code, find["state"], find["capacity"]) == (97, "undecided", None)
    assert find["ended_because"] == "the budget is used up"
    assert [probe["state"] for probe in find["probes"]] == ["open"]
    assert find["probes"][0]["met"] == find["probes"][0]["counted"] > 0
    assert said.rstrip().endswith("exit code 97")


@pytest.mark.slow
def test_a_signal_ends_a_sweep_and_what_was_measured_is_kept() -> None:
    with mock_server() as server:
        run = Run(server.url, *COMMON, "--procs", "1", "--sweep", "2,4,8", "--point", "60s", "--verbose")
        try:
            run.wait_for("2 begins")
            run.process.send_signal(signal.SIGINT)
            code, summary, _ = run.finish()
        finally:
            run.end()
    sweep = checked(summary)["sweep"]
    assert (code, summary["ended_by"], sweep["ended_because"]) == (130, "signal", "the run ended before")
    assert [point["ended"] for point in sweep["points"]] in ([], ["stopped"])


SLOTS = 20

LONG_S = 300
"""A whole search takes one to two minutes."""


@pytest.mark.slow
def test_the_knee_of_a_server_with_slots_is_found() -> None:
    with mock_server("--slots", str(SLOTS), "--ttft-ms", "100", "--gap-ms", "30", "--tokens", "20") as server:
        _, summary, _ = llmstress(
            server.url, *COMMON, "--procs", "1", "--sweep", "1..60x4", "--point", "12s", deadline_s=LONG_S
        )
    sweep = checked(summary)["sweep"]
    assert [point["load"] for point in sweep["points"]] == [1, 4, 16, 60]
    assert sweep["knee"]["load"] == pytest.approx(SLOTS, rel=0.1)
    assert (sweep["peak"]["load"], sweep["peak"]["reached_at"]) == (60, 60)
    assert sweep["peak"]["of"] == "tokens"


@pytest.mark.slow
def test_the_capacity_of_a_server_with_slots_is_found() -> None:
    # a request lasts 670 ms, so each stream above the slots waits 33 ms more
    with mock_server("--slots", str(SLOTS), "--ttft-ms", "100", "--gap-ms", "30", "--tokens", "20") as server:
        code, summary, _ = llmstress(
            "find", server.url, *COMMON, "--procs", "1", "--from", "8", "--slo", "ttft<190ms", "--point", "3s",
            deadline_s=LONG_S,
        )  # fmt: skip
    find = checked(summary)["find"]
    if find["bound_by"] == "client":
        pytest.skip("other programs used the machine: the search says that this client may be the limit")
    assert (code, find["state"], find["bound_by"]) == (0, "found", "ttft<190ms")
    assert find["capacity"] == pytest.approx(SLOTS, rel=0.1)
    passed = [probe for probe in find["probes"] if probe["load"] == find["capacity"] and probe["state"] == "passed"]
    assert passed[-1]["low"] >= find["attain"] == 0.99


@pytest.mark.slow
def test_a_search_says_that_the_client_is_the_limit() -> None:
    # 25 streams and requests of a quarter of a second: no more than 100 requests per second can be in flight
    with mock_server("--ttft-ms", "200", "--gap-ms", "5", "--tokens", "11") as server:
        code, summary, said = llmstress(
            "find", server.url, *COMMON, "--procs", "1", "--unit", "rate", "--from", "40", "--to", "200",
            *("--total-streams", "25", "--slo", "ttft_due<900ms", "--attain", "90%", "--point", "5s"),
            deadline_s=LONG_S,
        )  # fmt: skip
    find = checked(summary)["find"]
    assert (code, find["state"], find["bound_by"]) == (0, "at least", "client")
    assert find["capacity"] == pytest.approx(100, rel=0.1)
    assert "this client was the limit" in said
    assert any("all 25 streams were in use (--total-streams)" in probe["client"] for probe in find["probes"])
