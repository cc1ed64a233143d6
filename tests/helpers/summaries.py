"""Checks that hold for every summary, and the facts of a run that a summary needs besides an aggregate."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from llmstress.coordinator.output import schema
from llmstress.coordinator.output.schema import PhaseLengths, RunInfo
from llmstress.coordinator.output.summary import Facts, host
from llmstress.engine.telemetry.classes import is_class
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives
from llmstress.engine.telemetry.verdict import RULES

S = 1_000_000_000
"""Nanoseconds of a second."""

SCHEMA = json.loads(Path(schema.__file__).with_name("summary.schema.json").read_text("utf-8"))
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def histogram(us: int, n: int) -> Histogram:
    """`n` samples of `us` µs."""
    made = Histogram()
    made.record_many([us] * n)
    return made


def keeps_schema(summary: dict[str, Any]) -> None:
    """Fails if the summary breaks the published schema. `jsonschema.validate` would check the schema itself each time,
    which takes 0.4 s; tests/coordinator/test_schemas.py does it once."""
    _VALIDATOR.validate(summary)


def check(summary: dict[str, Any]) -> None:
    """What holds for every summary."""
    keeps_schema(summary)
    requests = summary["requests"]
    assert requests["started"] == sum(requests[end] for end in ("ok", "failed", "filtered", "cancelled", "lost"))
    assert requests["open"] == 0
    assert requests["retries"] == sum(requests["retried"].values())
    assert set(summary["retry_samples"]) == set(requests["retried"])
    counted = sum(error["count"] for error in summary["errors"].values())
    assert counted == requests["failed"] + requests["filtered"] + requests["lost"]
    assert all(len(error["samples"]) <= 3 for error in summary["errors"].values())
    assert sum(row["events"] for row in summary["timeline"]) == summary["tokens"]["events"]
    assert all(is_class(name) for name in (*summary["errors"], *requests["retried"]))
    verdict = summary["verdict"]
    assert [rule["text"] for rule in verdict["rules"]] == [*verdict["reasons"], *verdict["notes"]]
    assert {rule["id"] for rule in verdict["rules"]} <= {rule.id for rule in RULES}


def facts_of(
    *,
    procs: int = 1,
    streams: int = 10,
    steady_s: float = 10.0,
    ended_by: str = "duration",
    objectives: Objectives = NOT_JUDGED,
) -> Facts:
    """Of a run that nobody knows more of."""
    run = RunInfo(
        version="0",
        api="openai-chat",
        url="http://x/v1/chat/completions",
        model="m",
        procs=procs,
        streams=streams,
        total_streams=procs * streams,
        phases_s=PhaseLengths(0, 0, steady_s, 0),
        started_at="2026-01-01T00:00:00+00:00",
        seed=0,
        options={},
        host=host(),
    )
    return Facts(run=run, ended_by=ended_by, startup_s=0.5, coordinator_cpu_s=0.1, objectives=objectives)
