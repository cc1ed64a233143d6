"""The registry of metrics is complete, and the only list of them."""

import ast
from pathlib import Path
from typing import get_args

import pytest
from helpers.summaries import SCHEMA, facts_of

from llmstress.coordinator.output.summary import summarise
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.metrics import (
    CHARTED,
    EXPLAINED,
    LATENCIES,
    METRICS,
    OF_ONE_REQUEST,
    PROGRESS,
    STAMPS,
    TABLE,
    TILES,
    MetricName,
    Stamp,
)

ROOT = Path(__file__).parents[2]
MOST_NAMED = 2
"""More metrics than this in one literal are a list of metrics."""


def test_each_name_has_one_entry() -> None:
    assert tuple(METRICS) == get_args(MetricName)
    assert tuple(STAMPS) == get_args(Stamp)
    assert [name for name in METRICS if name not in LATENCIES] == ["loop_lag"]


def test_entries_refer_to_others_that_exist() -> None:
    for each in METRICS.values():
        assert {each.start, each.end, each.window_stamp} <= STAMPS.keys()
        if each.without_waits is not None:
            plain = METRICS[each.without_waits]
            assert (each.start, plain.start, each.end) == ("due", "start", plain.end)


@pytest.mark.parametrize(
    "names",
    [*(part for each in (TABLE, TILES, PROGRESS) for part in (each.streams, each.whole_answers)), EXPLAINED, CHARTED],
)
def test_what_is_shown_together_are_latencies(names: tuple[str, ...]) -> None:
    assert set(names) <= LATENCIES.keys()


def test_answers_that_are_not_streamed_have_no_metrics_of_tokens() -> None:
    of_tokens = {each.name for each in METRICS.values() if "token" in each.start + each.end + each.window_stamp}
    assert not of_tokens & {*TABLE.whole_answers, *TILES.whole_answers, *PROGRESS.whole_answers}


def test_a_probe_shows_what_one_request_has() -> None:
    assert OF_ONE_REQUEST == ("connect", "ttfb", "ttft", "ttfa", "tpot", "stall", "e2e")


def test_summary_and_schema_have_each_latency_in_order() -> None:
    assert list(summarise(Aggregate.over([1]), facts_of()).latency_ms) == list(LATENCIES)
    described = SCHEMA["$defs"]["Summary"]["properties"]
    assert list(described["latency_ms"]["properties"]) == list(LATENCIES)
    failed = [each.name for each in LATENCIES.values() if each.requests == "all"]
    assert list(described["latency_failed_ms"]["properties"]) == failed


def test_no_other_module_lists_metrics() -> None:
    found = []
    for layer in ("engine", "coordinator", "tui"):
        for path in (ROOT / layer).rglob("*.py"):
            if path.name == "metrics.py":
                continue
            text = path.read_text("utf-8")
            if sum(f'"{name}"' in text for name in METRICS) <= MOST_NAMED:
                continue  # parsing every module would take 2 s
            for node in ast.walk(ast.parse(text)):
                parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
                names = {each.value for each in parts if isinstance(each, ast.Constant)} & METRICS.keys()
                if len(names) > MOST_NAMED:
                    found.append((path.name, names))
    assert found == []
