"""The summary and its verdict, from aggregates made by hand."""

import io
import json
import time
from pathlib import Path

import msgspec
import pytest
from helpers.summaries import S, facts_of, histogram, keeps_schema

from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import summarise, write_atomically
from llmstress.engine.health.lag import host_times
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, ErrorSample, Part, Phase
from llmstress.engine.telemetry.verdict import judge


def measured(counters: Counters, *, itl_us: int = 20_000, lag_us: int = 100, **ended: int) -> Aggregate:
    total = Aggregate.over([10])
    total.workers[0].state = "done"
    part = Part(
        counters=counters,
        ended=ended,
        finish={"stop": ended.get("ok", 0)},
        latency={"itl": histogram(itl_us, 1000), "tpot": histogram(20_000, 1000), "loop_lag": histogram(lag_us, 1000)},
    )
    total.merge(Delta(0, 0, 0, 10 * S, Phase.STEADY, 0, 10, 0, 1_000_000, {2: part}, []))
    return total


GOOD = Counters(
    started=100, events=1000, events_ok=1000, output=1000, output_streamed=1000, usage_seen=100, input=300, cpu_ns=S
)


def test_rates_are_the_window_s() -> None:
    made = summarise(measured(GOOD, ok=100), facts_of())
    assert made.requests.per_s == 10
    assert made.tokens.events_per_s == 100
    assert made.tokens.output_per_s == 100
    assert made.tokens.input_per_s == 30
    assert made.tokens.source == "usage"
    assert made.client.cpu_us_per_event == 1000
    assert made.client.workers[0].cpu_share == 0.1
    assert made.tps_user.p50 == pytest.approx(50, rel=0.001)
    assert made.verdict.status == "valid"
    assert made.verdict.notes == []


def test_several_tokens_an_event_scale_the_rate_and_are_noted() -> None:
    counters = msgspec.structs.replace(GOOD, output=2500, output_streamed=2500)
    made = summarise(measured(counters, ok=100), facts_of())
    assert made.tokens.per_event == 2.5
    assert made.tokens.output_per_s == 250
    assert "2.50 tokens" in made.verdict.notes[0]


@pytest.mark.parametrize(("seen", "source"), [(100, "usage"), (40, "mixed"), (0, "events")])
def test_where_tokens_come_from_is_said(seen: int, source: str) -> None:
    made = summarise(measured(msgspec.structs.replace(GOOD, usage_seen=seen), ok=100), facts_of())
    assert made.tokens.source == source
    assert any("without usage" in note for note in made.verdict.notes) == (seen < 100)


def test_without_a_window_there_are_no_rates() -> None:
    made = summarise(Aggregate.over([10]), facts_of(steady_s=0))
    assert made.requests.per_s is None
    assert made.tokens.output_per_s is None
    assert made.client.cpu_us_per_event is None
    assert made.latency_ms["ttft"].p50 is None


@pytest.mark.parametrize(
    ("aggregate", "steady", "words"),
    [
        (measured(msgspec.structs.replace(GOOD, cpu_ns=S * 91 // 10), ok=100), 10, "91% of its core"),
        (measured(GOOD, lag_us=2_100, ok=100), 10, "2.1 ms late"),
        (measured(GOOD, lag_us=5_100, itl_us=100_000, ok=100), 10, "5.1 ms late"),
        (measured(GOOD, ok=98, cancelled=2), 10, "2 of 100 requests were cut off"),
    ],
    ids=["a busy core", "a late loop", "a late loop, measured by the gaps", "requests cut off"],
)
def test_reasons_to_doubt(aggregate: Aggregate, steady: float, words: str) -> None:
    verdict = judge(aggregate, steady)
    assert verdict.status == "degraded"
    assert [words in reason for reason in verdict.reasons] == [True]


@pytest.mark.parametrize(
    "aggregate",
    [
        measured(msgspec.structs.replace(GOOD, cpu_ns=9 * S), ok=100),
        measured(GOOD, lag_us=1_990, ok=100),
        measured(GOOD, lag_us=4_900, itl_us=100_000, ok=100),
        measured(GOOD, ok=99, cancelled=1),
    ],
    ids=["90 % of a core", "2 ms", "5 % of a gap", "1 % cut off"],
)
def test_limits_that_are_just_kept(aggregate: Aggregate) -> None:
    assert judge(aggregate, 10) == judge(measured(GOOD, ok=100), 10)


@pytest.mark.parametrize(
    ("busy", "stolen", "words"),
    [
        pytest.param(95, 0, [], id="nearly busy"),
        pytest.param(96, 0, ["96% busy"], id="busy"),
        pytest.param(60, 3, ["3% of this machine's CPU time"], id="robbed"),
        pytest.param(60, 36, ["36% of this machine's CPU time"], id="robbed of so much that no time was idle"),
        pytest.param(96, 4, ["96% busy", "4% of this machine's CPU time"], id="busy and robbed"),
    ],
)
def test_a_machine_without_time_is_noted(busy: int, stolen: int, words: list[str]) -> None:
    counters = msgspec.structs.replace(GOOD, host_ns=100 * S, host_busy_ns=busy * S, host_stolen_ns=stolen * S)
    aggregate = measured(counters, ok=100)
    verdict = judge(aggregate, 10)
    assert verdict.status == "valid"
    assert [word in note for word, note in zip(words, verdict.notes, strict=True)] == [True] * len(words)
    client = summarise(aggregate, facts_of()).client
    assert (client.host_busy, client.host_stolen) == (busy / 100, stolen / 100)


def test_the_machine_s_time_passes_in_all_cores() -> None:
    before, ends = host_times(), time.monotonic() + 0.05
    while time.monotonic() < ends or host_times().passed == before.passed:
        pass
    after = host_times()
    assert after.passed >= after.busy + after.stolen > 0
    assert after.busy > before.busy


def test_what_there_is_between_is_said() -> None:
    counters = msgspec.structs.replace(GOOD, long_answers=100, in_blocks=2, blocks=8, tried_again=3)
    aggregate = measured(counters, ok=100)
    aggregate.signs = ["server: nginx"]
    made = msgspec.to_builtins(summarise(aggregate, facts_of()).gateway)
    assert made == {"signs": ["server: nginx"], "tried_again": 3, "long_answers": 100, "in_blocks": 2}


def test_a_lost_worker_makes_it_invalid_and_incomplete() -> None:
    total = measured(GOOD, ok=90)
    total.lose(0, "killed by SIGKILL")
    made = summarise(total, facts_of())
    assert made.verdict.status == "invalid"
    assert made.complete is False
    assert made.requests.lost == 10


def test_a_missing_delta_makes_it_incomplete() -> None:
    total = measured(GOOD, ok=100)
    total.workers[0].gaps = 1
    made = summarise(total, facts_of())
    assert made.complete is False
    assert made.verdict.status == "degraded"


def test_the_timeline_has_gaps_whole_answers_and_failures_by_class() -> None:
    part = Part(ended={"ok": 90, "http_500": 7, "reset": 3, "filtered": 1})
    for name, us in (("ttft", 50_000), ("itl", 20_000), ("e2e", 400_000)):
        part.latency[name] = Histogram()
        part.latency[name].record_many([us + n for n in range(200)])
    part.counters.events = 100
    total = Aggregate.over([1])
    total.merge(Delta(0, 0, 0, 1_000_000_000, Phase.STEADY, 0, 0, 0, 0, {2: part}, []))
    [row] = summarise(total, facts_of()).timeline
    assert row.failed_by == {"http_500": 7, "reset": 3}
    assert row.failed == 10
    assert row.ttft_p50 == 50.111
    assert (row.itl_p50, row.itl_p99) == pytest.approx((20.1, 20.2), rel=0.009)
    assert (row.e2e_p50, row.e2e_p99) == pytest.approx((400.1, 400.2), rel=0.009)


def test_a_summary_keeps_the_schema_and_is_read_back_the_same() -> None:
    made = summarise(measured(GOOD, ok=90, http_500=10), facts_of())
    encoded = msgspec.json.encode(made)
    keeps_schema(json.loads(encoded))
    assert msgspec.json.decode(encoded, type=Summary) == made


def test_the_table_fits_a_terminal_and_has_the_begin_of_a_server_s_words() -> None:
    total = measured(GOOD, ok=90, http_500=10)
    page = f"<html>\n  <p>{'x' * 200}</p>"
    total.samples["http_500"] = [ErrorSample("http_500", 500, page, "", "")]
    table = io.StringIO()
    Console(table).table(summarise(total, facts_of()))
    lines = table.getvalue().splitlines()
    [error] = [line for line in lines if line.startswith("http_500")]
    assert error.partition(": ")[2] == f"<html> <p>{'x' * 99}…"
    begin = next(number for number, line in enumerate(lines) if "p99.9" in line)
    assert {len(line) for line in lines[begin:]} == {80}
    assert "tokens    1,000 output, 100/s; 300 input (by usage or events)" in lines


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_atomically(link, b"x")
    assert Path("/dev/null").is_char_device()
    assert link.is_symlink()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
