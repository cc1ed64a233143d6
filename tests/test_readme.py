"""What the pages tell a CI job to run does what they say."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import DEADLINE_S
from helpers.summaries import SCHEMA, S, facts_of, histogram

from llmstress.coordinator.output.summary import encode, summarise
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase

PAGE = (Path(__file__).parents[1] / "docs/ci.md").read_text("utf-8")


def program_for_jq() -> str:
    """The program of the page, which judges a summary."""
    [found] = re.findall(r"^jq -e '\n(.*?)' run\.json$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def summary_of(*, ttfts: int, ttft_ms: int = 200, failed: int = 0, lag_ms: int = 0) -> dict[str, Any]:
    """A run of 1,000 requests with `ttfts` first tokens, all of them after `ttft_ms`."""
    latency = {"ttft": histogram(ttft_ms * 1000, ttfts)} if ttfts else {}
    latency |= {"itl": histogram(20_000, 1000), "loop_lag": histogram(max(1, lag_ms * 1000), 1000)}
    ended = {"ok": 1000 - failed} | ({"http_500": failed} if failed else {})
    counters = Counters(started=1000, events=1000, events_ok=1000, output=1000, output_streamed=1000, usage_seen=1000)
    total = Aggregate.over([10])
    total.workers[0].state = "done"
    part = Part(counters=counters, ended=ended, finish={"stop": 1000 - failed}, latency=latency)
    total.merge(Delta(0, 0, 0, 10 * S, Phase.STEADY, 0, 10, 0, 1_000_000, {2: part}, []))
    made: dict[str, Any] = json.loads(encode(summarise(total, facts_of())))
    return made


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(
    ("run", "passes"),
    [
        pytest.param({"ttfts": 1000}, True, id="good"),
        pytest.param({"ttfts": 1000, "ttft_ms": 1500}, False, id="too slow"),
        pytest.param({"ttfts": 0}, False, id="no first token at all"),
        pytest.param({"ttfts": 99}, False, id="null"),
        pytest.param({"ttfts": 150}, False, id="low sample"),
        pytest.param({"ttfts": 1000, "failed": 11}, False, id="failures"),
        pytest.param({"ttfts": 1000, "failed": 10}, True, id="few failures"),
        pytest.param({"ttfts": 1000, "lag_ms": 500}, False, id="a late client"),
    ],
)
def test_a_ci_job_can_judge_a_summary_with_jq(run: dict[str, int], passes: bool) -> None:
    summary = summary_of(**run)
    told = subprocess.run(
        ["jq", "-e", program_for_jq()], input=json.dumps(summary), capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert (told.stdout.strip(), told.stderr, told.returncode) == ("true" if passes else "false", "", 1 - passes)


def test_what_the_program_for_jq_asks_for_is_in_the_summary() -> None:
    """The same without jq: every name is a field of the schema, and a percentile may be null."""
    kinds = SCHEMA["$defs"]
    fields = {name for kind in kinds.values() for name in kind["properties"]}
    names = set(re.findall(r"\.([a-z_]\w*)", program_for_jq()))
    assert names - fields == {"ttft"}, "a key of latency_ms"
    assert {"type": "null"} in kinds["Latency"]["properties"]["p99"]["anyOf"]
    summary = summary_of(ttfts=99)["latency_ms"]["ttft"]
    assert summary["p99"] is None
    assert "p99" in summary["low_sample"]
