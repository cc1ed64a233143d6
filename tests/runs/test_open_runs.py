"""Runs at a rate: the schedule's own count, a server that freezes, changes by hand, rates in tokens, a bystander."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import llmstress, mock_server
from helpers.summaries import check
from helpers.watching import follow, once, run_of

from llmstress.engine.arrivals import amounts
from llmstress.engine.telemetry.broadcast import (
    Command,
    PauseRequested,
    RateRequested,
    StageRequested,
    StreamsRequested,
)
from llmstress.engine.telemetry.load_profile import Profile, constant, stamps
from llmstress.engine.telemetry.messages import Phase

S = 1_000_000_000


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> None:
    """Each run has its directory there."""


def scheduled(profile: Profile, begin: int, end: int, arrival: str = "constant", seed: int = 0) -> int:
    """How many requests a schedule has from `begin` to `end`, in ns after T0."""
    due = itertools.takewhile(lambda t: t < end, stamps(profile, amounts(arrival, 0.5, seed)))
    return sum(t >= begin for t in due)


@pytest.mark.slow
@pytest.mark.parametrize(("procs", "arrival"), [(1, "constant"), (2, "poisson"), (4, "gamma")])
def test_the_requests_of_a_run_are_those_of_the_schedule(procs: int, arrival: str) -> None:
    flags = ["--rate", "150/s", "--arrival", arrival, "--seed", "7", "--duration", "1s", "--procs", str(procs)]
    flags += ["--burstiness", "0.5"] if arrival == "gamma" else []
    with mock_server() as server:
        code, summary, _ = llmstress("--url", server.url, "--model", "m", *flags)
        truth = server.stop()
    check(summary)
    load = summary["load"]
    assert code == 0
    assert load["due"] == scheduled(constant("requests", 150), 0, S, arrival, seed=7)
    assert load["started"] + load["dropped"] == load["due"]
    assert truth["requests"] == load["started"]
    assert (load["asked_per_s"], load["arrival"]) == (150, arrival)


@pytest.mark.slow
def test_a_number_of_requests_is_exact() -> None:
    with mock_server() as server:
        flags = ("--rate", "100/s", "--requests", "37", "--warmup", "300ms", "--procs", "2")
        _, summary, _ = llmstress("--url", server.url, "--model", "m", *flags)
    assert summary["ended_by"] == "requests"
    before = summary["load"]["due"] - 37
    assert 0 < before < 100, "the requests of the warm-up come on top"


@pytest.mark.slow
def test_a_server_that_freezes_is_seen_by_those_who_wait() -> None:
    """Five streams: while the server is frozen, five requests have a long `ttft`; the others wait for a stream."""
    with mock_server("--freeze-every-ms", "4000", "--freeze-for-ms", "3000") as server:
        flags = ("--rate", "20/s", "--arrival", "constant", "--total-streams", "5", "--procs", "1", "--duration", "7s")
        _, summary, said = llmstress("--url", server.url, "--model", "m", *flags)
    check(summary)
    latency, load = summary["latency_ms"], summary["load"]
    assert latency["ttft_due"]["p99"] > 2_000
    assert load["slip_p99_ms"] > 1_500
    assert load["waiting_max"] >= 40
    slow = latency["ttft_due"]["mean"] * latency["ttft_due"]["count"] / 1000
    assert slow > 40, "of some 60 requests that were due in 3 s, each waited 1.5 s on average"
    assert latency["ttft"]["mean"] * latency["ttft"]["count"] / 1000 < slow / 2
    assert latency["ttft"]["p90"] < 1_000 < latency["ttft_due"]["p90"]
    assert any("waited because all 5 streams were in use" in text for text in _sentences(summary)), said


def _sentences(summary: dict[str, Any]) -> list[str]:
    verdict = summary["verdict"]
    return [*verdict["reasons"], *verdict["notes"]]


# --- changes by hand
@pytest.mark.slow
def test_stages_and_rates_are_changed_in_all_workers_at_the_same_moment() -> None:
    """Arrivals are evenly spaced: each window has the number that the profile means, to the unit."""
    commands: dict[float, Command] = {
        0.3: RateRequested(220.0),
        0.6: RateRequested(math.nan),
        0.7: RateRequested(-1.0),
        0.8: RateRequested(0.0),
        1.1: StageRequested(),
        1.7: StreamsRequested(50),
        2.0: StageRequested(),
        2.1: StageRequested(),
    }
    stages = ("10s:100/s:step", "10s:60/s:step", "10s:300/s:step", "600ms:80/s:step")
    with mock_server() as server:
        flags = [flag for stage in stages for flag in ("--stage", stage)]
        with run_of(
            *("--url", server.url, "--model", "m", "--procs", "2", "--arrival", "constant", "--headless"), *flags
        ) as (run, directory):
            view = follow(directory, once(commands))
            code, summary, _ = run.finish()
    check(summary)
    assert code == 0
    assert view.profile is not None
    windows = view.aggregate.windows
    limits = [(window.begin, window.end) for window in windows if window.kind is Phase.STEADY]
    assert limits[-1][1] is not None
    assert limits[-1][1] - (limits[-1][0] or 0) == 600_000_000
    assert limits[0][1] is not None
    assert 1.1 * S < limits[0][1] < 10 * S
    for index, (begin, end) in enumerate(limits):
        assert begin is not None
        assert end is not None
        assert view.aggregate.of_window(index).counters.due == scheduled(view.profile, begin, end)
    assert summary["load"]["due"] == scheduled(view.profile, 0, limits[-1][1])
    told = [event["text"] for event in summary["events"] if event["kind"] in ("load", "note")]
    assert told[:4] == [
        "rate 100/s → 220/s",
        "a rate must lie between 0 and 1,000,000/s: nan/s is ignored",
        "a rate must lie between 0 and 1,000,000/s: -1/s is ignored",
        "rate 220/s → 0.00/s",
    ]
    assert told[4] == "stage 1 ended early"
    assert told[5].startswith("most requests in flight ")
    assert told[6:8] == ["stage 2 ended early", "stage 3 ended early"]


@pytest.mark.slow
def test_a_pause_and_commands_that_do_not_fit() -> None:
    commands: dict[float, Command] = {0.4: PauseRequested(True), 0.5: StageRequested(), 1.0: PauseRequested(False)}
    with (
        mock_server() as server,
        run_of(
            *("--url", server.url, "--model", "m", "--procs", "2", "--rate", "100/s", "--arrival", "constant"),
            *("--duration", "1500ms", "--headless"),
        ) as (run, directory),
    ):
        view = follow(directory, once(commands))
        _, summary, _ = run.finish()
    check(summary)
    told = [event["text"] for event in summary["events"] if event["kind"] in ("load", "note")]
    assert told == ["paused: no new requests", "there is no stage that can be ended", "resumed"]
    at = {event["text"]: event["t"] for event in summary["events"]}
    paused_s = at["resumed"] - at["paused: no new requests"]
    assert not view.paused
    missing = 150 - summary["load"]["due"]
    assert 100 * paused_s - 30 < missing < 100 * paused_s + 30, "the order is 50 ms ahead, the line of the log is not"
    assert summary["latency_ms"]["queue"]["max"] < 1000 * paused_s, "what was due before the pause has begun before it"


@pytest.mark.slow
def test_streams_of_stages_are_changed_by_hand_until_the_next_stage() -> None:
    commands: dict[float, Command] = {0.3: StreamsRequested(7), 0.6: RateRequested(5.0)}
    with (
        mock_server("--ttft-ms", "50") as server,
        run_of(
            *("--url", server.url, "--model", "m", "--procs", "2", "--headless"),
            *("--stage", "1500ms:2:step", "--stage", "1s:4:step"),
        ) as (run, directory),
    ):
        view = follow(directory, once(commands))
        _, summary, _ = run.finish()
    check(summary)
    told = [event["text"] for event in summary["events"] if event["kind"] in ("load", "note")]
    assert told == ["streams 2 → 7", "this run has no rate: its streams begin after their last answer"]
    assert view.profile is not None
    assert [view.profile.level_at(t) for t in (0, 1_499_000_000, 1_500_000_000)] == [2, 7, 4]
    assert summary["streams"]["peak"] == 7


# --- tokens
@pytest.mark.slow
def test_a_rate_in_tokens_is_kept_by_what_the_server_counts() -> None:
    with (
        mock_server() as server,
        run_of(
            *("--url", server.url, "--model", "m", "--procs", "1", "--rate", "300k-tokens/m", "--arrival", "constant"),
            *("--duration", "3s", "--headless"),
        ) as (run, directory),
    ):
        view = follow(directory)
        _, summary, _ = run.finish()
    tokens = summary["tokens"]
    mean = (tokens["input"] + tokens["output"]) / summary["requests"]["ok"]
    assert view.profile is not None
    assert view.profile.level_at(3 * S) * mean == pytest.approx(5_000, rel=0.02)
    assert view.profile.level_at(0) * mean < 4_000, "128 tokens were expected, the mock sends 8"
    (note,) = [event["text"] for event in summary["events"] if "tokens on average" in event["text"]]
    assert "300k-tokens/m are " in note


# --- the bystander


@pytest.mark.slow
def test_a_bystander_is_measured_beside_the_load() -> None:
    with mock_server() as server:
        flags = ("--total-streams", "4", "--requests", "150", "--bystander", "60/s", "--procs", "2")
        code, summary, said = llmstress("--url", server.url, "--model", "m", *flags)
        truth = server.stop()
    check(summary)
    beside, requests = summary["bystander"], summary["requests"]
    assert code == 0
    assert requests["started"] == requests["ok"] == 150
    assert summary["load"]["started"] == 150
    assert summary["tokens"]["output"] == 150 * 8
    assert beside["started"] > 5
    assert beside["due"] == beside["started"] + beside["dropped"]
    assert beside["started"] == sum(beside[name] for name in ("ok", "failed", "filtered", "cancelled", "lost"))
    assert truth["requests"] == requests["started"] + beside["started"]
    assert summary["latency_ms"]["ttft"]["count"] == 150
    assert beside["latency_ms"]["ttft"]["count"] >= beside["ok"]
    assert summary["streams"]["peak"] <= 4
    assert sum(row["requests"] for row in summary["timeline"]) == 150
    assert "\nbystander " in said


@pytest.mark.slow
def test_a_bystander_that_fails_fails_apart() -> None:
    """A limit of 30 requests a second throttles the bystander as well; the run's own counts have only the load's."""
    with mock_server("--requests-per-s", "30", "--burst-ms", "100") as server:
        flags = (
            "--total-streams",
            "2",
            "--duration",
            "1s",
            "--bystander",
            "50/s",
            "--procs",
            "1",
            "--max-errors",
            "1000",
        )
        _, summary, _ = llmstress("--url", server.url, "--model", "m", *flags)
        truth = server.stop()
    beside, requests = summary["bystander"], summary["requests"]
    assert beside["failed"] == sum(each["count"] for each in beside["errors"].values()) > 0
    assert truth["requests"] == requests["started"] + beside["started"]
    assert requests["failed"] == sum(each["count"] for each in summary["errors"].values())
    assert beside["errors"]["rate_limited"]["samples"][0]["status"] == 429
