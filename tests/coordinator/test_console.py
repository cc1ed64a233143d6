"""The output on stderr during a run and at its end, and what is left out of it."""

import io
from pathlib import Path

import pytest
from helpers.processes import llmstress, mock_server
from helpers.summaries import facts_of

from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.summary import summarise
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase

MS = 1_000_000


def after(*seconds: dict[str, int]) -> Aggregate:
    """A run with these outcomes in each second."""
    total = Aggregate.over([10])
    total.workers[0].state = "running"
    for number, ended in enumerate(seconds):
        part = Part(Counters(started=sum(ended.values())), ended)
        begin = 1000 * number * MS
        total.merge(Delta(0, number, begin, begin + 1000 * MS, Phase.STEADY, 0, 10, 0, 0, {2: part}, []))
    return total


def line_of(total: Aggregate) -> str:
    line = io.StringIO()
    Console(line).progress(snapshot.take(total))
    return line.getvalue()


GOOD = {"ok": 100}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param([GOOD] * 4, "failed 0 %\n", id="no failure"),
        pytest.param([{"http_503": 900}, GOOD, GOOD, GOOD], "failed 0 %\n", id="failures that are past"),
        pytest.param([GOOD] * 9 + [{"http_503": 12, "ok": 88}], "failed 6.0 % http_503\n", id="failures of now"),
        pytest.param(
            [GOOD, {"http_503": 10, "reset": 60, "ok": 30}, {"http_503": 10, "ok": 90}],
            "failed 40 % reset\n",
            id="the most frequent class",
        ),
        pytest.param([GOOD, {"cancelled": 5}, {"filtered": 5}], "failed 0 %\n", id="what is no failure"),
        pytest.param([{"tls": 5}, {"tls": 5}], "failed 100 % tls\n", id="nothing but failures"),
        pytest.param([{"od\x1bd": 5}], "failed 100 % od\\x1bd\n", id="a class that no terminal should obey"),
    ],
)
def test_a_progress_line_tells_the_failures_of_the_last_seconds(seconds: list[dict[str, int]], words: str) -> None:
    assert line_of(after(*seconds)).endswith(words)


@pytest.mark.parametrize(
    ("ended", "outcome", "measurement"),
    [
        ({"ok": 5}, "all 5 requests succeeded", "valid"),
        ({"ok": 3, "http_500": 5}, "62.5% of 8 requests failed (http_500 62.5%)", "valid"),
        (
            {"http_404": 5},
            "100% of 5 requests failed (http_404 100%)",
            "valid (of the failures only: no request succeeded)",
        ),
        ({"filtered": 5}, "none of 5 requests failed, 5 filtered", "valid (no request succeeded)"),
        ({"cancelled": 5}, "no request finished", "degraded (no request succeeded)"),
        ({}, "no request finished", "valid (no request succeeded)"),
    ],
    ids=["all succeeded", "most failed", "all failed", "all filtered", "all cut off", "nothing"],
)
def test_the_table_begins_with_outcome_and_measurement(ended: dict[str, int], outcome: str, measurement: str) -> None:
    table = io.StringIO()
    Console(table).table(summarise(after(ended), facts_of()))
    assert table.getvalue().splitlines()[:3] == ["", f"outcome: {outcome}", f"measurement: {measurement}"]


@pytest.mark.slow
def test_a_quiet_run_has_no_progress_lines_but_banner_and_table(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    with mock_server() as server:
        _, _, said = llmstress(
            *("--url", server.url, "--model", "m", "--procs", "3", "--duration", "2s", "--quiet"),
            *("--log-file", str(log)),
        )
    assert "3 processes, 100 streams" in said
    assert "outcome: all " in said
    assert "steady  open" not in said
    assert "steady  open 100/100" in log.read_text("utf-8"), "the log keeps them"


@pytest.mark.slow
def test_progress_lines_come_as_often_as_asked_for() -> None:
    with mock_server() as server:
        _, _, said = llmstress(
            *("--url", server.url, "--model", "m", "--procs", "1", "--streams", "2", "--duration", "3500ms"),
            *("--progress", "3s"),
        )
    assert said.count(" steady  open 2/2") == 1
