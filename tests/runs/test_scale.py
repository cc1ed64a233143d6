"""Thousands of streams: counts to the unit and memory per stream. Slow, so in a step of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import llmstress, mock_server

pytestmark = pytest.mark.slow


def load(*arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run with one worker against a mock with 4 tokens an answer: summary and truth.

    The first token takes longer than the opening of 4,000 connections, so that all requests are open at once.
    """
    with mock_server("--ttft-ms", "3000", "--gap-ms", "50", "--tokens", "4") as server:
        code, summary, said = llmstress("--url", server.url, "--model", "mock-7b", "--procs", "1", *arguments)
        truth = server.stop()
    assert code == 0, said
    return summary, truth


def test_4000_streams_in_one_process_lose_nothing() -> None:
    summary, truth = load("--streams", "4000", "--requests", "10000")
    assert summary["requests"]["ok"] == summary["requests"]["started"] == truth["done"] == truth["requests"] == 10_000
    assert summary["tokens"]["output"] == summary["tokens"]["events"] == truth["tokens"] == 40_000
    assert summary["streams"]["peak"] == truth["open_max"] == 4000
    assert summary["latency_ms"]["connect"]["count"] == 4000
    assert summary["latency_ms"]["itl"]["count"] == 30_000
    assert summary["errors"] == {}


def test_a_stream_costs_at_most_16_kib_of_memory() -> None:
    few, _ = load("--streams", "10", "--requests", "20")
    many, _ = load("--streams", "4000", "--requests", "8000")
    bytes_each = (many["client"]["rss_peak_mb"] - few["client"]["rss_peak_mb"]) * 1e6 / 3990
    print(f"{bytes_each:.0f} bytes per stream", file=sys.stderr)
    assert bytes_each <= 16 * 1024


def test_the_benchmark_runs() -> None:
    script = Path(__file__).parents[2] / "benchmarks/cost.py"
    arguments = ["--streams", "200", "--pairs", "1", "--short", "3", "--long", "8", "--gap", "20"]
    done = subprocess.run([sys.executable, str(script), *arguments], check=True, capture_output=True, text=True)
    assert "median ratio" in done.stdout
