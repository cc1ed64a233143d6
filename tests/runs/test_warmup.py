"""A warm-up of some time or some requests before the requests that are measured: counted to the unit."""

import asyncio
import io
import time
from typing import Any

import pytest
from helpers.processes import mock_server

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.processes.run_directory import own_directory
from llmstress.coordinator.run.conductor import Result
from llmstress.coordinator.run.execute import execute
from llmstress.engine.telemetry.messages import Phase


def run(url: str, **changes: Any) -> tuple[Result, str]:
    """A run with two processes, and what it says."""
    said = io.StringIO()
    given: dict[str, Any] = {"url": url, "procs": 2, "total": 10, "prompt": "p", "model": "m", "interval_s": 0.05}
    options = Options(**(given | {"proxy": "none"} | changes))

    async def measured() -> Result:
        with own_directory() as directory:
            return await execute(
                options,
                lambda _: url,
                Console(said),
                time.monotonic(),
                directory,
                screen=False,
                deliver=lambda result: None,
            )

    return asyncio.run(measured()), said.getvalue()


@pytest.mark.parametrize(
    ("changes", "banner"),
    [
        ({"warmup_s": 0.4}, "warm-up 0.4s → 101 requests → drain"),
        ({"warmup_requests": 31}, "warm-up 31 requests → 101 requests → drain"),
        ({"warmup_requests": 1, "ramp_up_s": 0.3}, "ramp-up 0.3s → warm-up 1 request → 101 requests → drain"),
    ],
    ids=["time", "requests", "requests that end in the ramp"],
)
def test_the_requests_that_were_asked_for_begin_after_the_warm_up(changes: dict[str, Any], banner: str) -> None:
    with mock_server() as server:
        result, said = run(server.url, requests=101, **changes)
        truth = server.stop()
    started = {phase: result.aggregate.parts[phase].counters.started for phase in Phase}
    ended = {phase: sum(result.aggregate.parts[phase].ended.values()) for phase in Phase}
    before = started[Phase.RAMP] + started[Phase.WARMUP]
    requests = result.summary.requests
    assert started[Phase.STEADY] == 101
    assert ended[Phase.RAMP] + ended[Phase.WARMUP] >= changes.get("warmup_requests", 1)
    assert requests.started == before + 101 == requests.ok == truth["requests"] == truth["done"]
    assert (result.exit_code, result.summary.ended_by) == (0, "requests")
    # what was in flight when the warm-up ended is measured from then on
    assert ended[Phase.STEADY] + ended[Phase.DRAIN] == requests.started - ended[Phase.RAMP] - ended[Phase.WARMUP]
    assert 101 <= result.summary.latency_ms["e2e"].count <= 101 + 10
    assert banner in said
    phases = result.summary.run.phases_s
    assert phases.warmup == 0.4 if "warmup_s" in changes else phases.ramp + phases.warmup > 0
    assert [event.text.split(" begins")[0] for event in result.summary.events if event.kind == "phase"][-1] == (
        "steady window"
    )


@pytest.mark.slow
def test_a_warm_up_counted_in_requests_is_followed_by_a_window_of_the_length_that_was_asked_for() -> None:
    with mock_server() as server:
        result, _ = run(server.url, duration_s=0.5, warmup_requests=20)
        truth = server.stop()
    assert (result.summary.ended_by, result.summary.run.phases_s.steady) == ("duration", 0.5)
    assert result.summary.requests.ok == truth["done"]
    warmup = result.aggregate.parts[Phase.WARMUP]
    assert sum(warmup.ended.values()) >= 20
    assert result.summary.latency_ms["e2e"].count == result.aggregate.steady.ended["ok"]


def test_a_run_that_is_ended_in_its_warm_up_has_measured_nothing() -> None:
    with mock_server() as server:
        result, _ = run(server.url, requests=1000, warmup_requests=10**6, max_total_tokens=50)
        truth = server.stop()
    assert result.summary.ended_by == "quota"
    assert result.summary.run.phases_s.steady == 0
    assert result.summary.requests.started == result.summary.requests.ok == truth["done"] > 0
    assert result.summary.latency_ms["ttft"].count == 0
