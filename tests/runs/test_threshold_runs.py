"""Whole runs with thresholds: what ends them, and what viewers, records and summaries say."""

from pathlib import Path

import pytest
from helpers.processes import llmstress, mock_server
from helpers.summaries import check

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.coordinator.output.judged import threshold_rows
from llmstress.engine.telemetry.record import Reader
from llmstress.engine.telemetry.thinning import take_in


def test_a_threshold_ends_the_run_at_once(tmp_path: Path) -> None:
    """A tenth of the requests fail. The other threshold is undecided, and the record has the same judgements."""
    record = tmp_path / "run.rec"
    thresholds = ("--abort-if", "errors.http_503>5", "--fail-if", "e2e.p99.9>10s")
    with mock_server("--fault", "http_503_html=10%") as mock:
        target = ("--url", mock.url, "--model", "m", "--procs", "2", "--total-streams", "20", "--headless")
        rest = ("--duration", "10m", "--error-pause", "50ms", "--record", str(record))
        code, summary, said = llmstress(*target, *rest, *thresholds)
    assert (code, summary["ended_by"]) == (99, "threshold"), said
    check(summary)
    undecided, failed = summary["thresholds"]
    assert (failed["state"], failed["abort"], failed["limit"]) == ("failed", True, 5)
    assert 5 < failed["value"] <= summary["errors"]["http_503"]["count"]
    assert undecided["state"] == "undecided"
    assert "ending at once" in said
    assert said.splitlines()[-1] == "llmstress: a threshold was crossed: errors.http_503>5; exit code 99"
    assert summary["run"]["options"]["abort_if"] == ["errors.http_503>5"]
    assert any("errors.http_503>5: " in event["text"] for event in summary["events"])
    reader = Reader(record)
    view = reader.opening()
    for moment in reader.moments():
        take_in(view, moment.frame)
    assert [row.says for row in threshold_rows(view.judgements)] == [row["says"] for row in summary["thresholds"]]


@pytest.mark.slow
def test_thresholds_agree_with_the_summary() -> None:
    """Each threshold without a suffix judges the figure that the summary has under the same name."""
    figures = ("ttft.p50", "ttft.max", "e2e.mean", "requests.per_s", "requests.ok", "errors.rate", "errors.http_503")
    rates = ("tokens.output_per_s", "tokens.input_per_s", "events.per_s")
    units = {"ttft": "1ms", "e2e": "1ms", "errors.rate": "1%"}
    texts = [f"{name}>{units.get(name, units.get(name.partition('.')[0], '1'))}" for name in (*figures, *rates)]
    texts[6] = "errors.http_503>1"
    with mock_server("--fault", "http_503_html=10%") as mock:
        target = ("--url", mock.url, "--model", "m", "--total-streams", "20", "--headless", "--error-pause", "50ms")
        given = [
            word for text in (*texts, "events.per_s<1 over 1s", "ttft.p50>10s after 1s") for word in ("--fail-if", text)
        ]
        code, summary, said = llmstress(*target, "--warmup", "500ms", "--duration", "3s", *given)
    assert code == 99, said
    found = {row["subject"]: row["value"] for row in summary["thresholds"][: len(texts)]}
    assert [parse_threshold(text).text for text in texts] == [
        row["text"] for row in summary["thresholds"][: len(texts)]
    ]
    latency, requests, tokens = summary["latency_ms"], summary["requests"], summary["tokens"]
    assert found["ttft.p50"] == latency["ttft"]["p50"]
    assert found["ttft.max"] == latency["ttft"]["max"]
    assert found["e2e.mean"] == latency["e2e"]["mean"]
    assert found["requests.per_s"] == pytest.approx(requests["per_s"], abs=0.001)
    assert found["requests.ok"] == requests["ok"]
    assert found["errors.rate"] == summary["outcome"]["failed_share"]
    assert found["errors.http_503"] == summary["errors"]["http_503"]["count"]
    for name in rates:
        assert found[name] == pytest.approx(
            tokens["events_per_s" if name == "events.per_s" else name.partition(".")[2]], abs=0.001
        )
    over, after = summary["thresholds"][len(texts) :]
    assert (over["state"], over["scope"]) == ("passed", "steady windows, each 1s")
    assert (after["state"], after["scope"]) == ("passed", "steady windows, without the first 1s")
