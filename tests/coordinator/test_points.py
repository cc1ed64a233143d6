"""The figures of a point, and the lines of text about points."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.output.points import FindRow, KneeRow, PeakRow, PointRow, ProbeRow, SweepRow
from llmstress.coordinator.output.points_text import find_lines, sweep_lines
from llmstress.coordinator.run.courses.plan import first_windows, with_begin, with_next_point
from llmstress.coordinator.run.courses.point import (
    Baseline,
    e2e_s,
    late,
    limit_of_client,
    limit_of_machine,
    missed_by,
    slack_s,
)
from llmstress.coordinator.run.courses.readings import Reading, overdue, quiet_s
from llmstress.coordinator.run.courses.sweep import SweepCourse
from llmstress.engine.telemetry.aggregate import WorkerState
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Part, Phase
from llmstress.engine.telemetry.slo import Slo

S = 1_000_000_000

TTFT = Slo("ttft", 1_000_000, True, "ttft<1s")
E2E = Slo("e2e", 3_000_000, True, "e2e<3s")
TPOT = Slo("tpot", 50_000, True, "tpot<50ms")

NOTHING = Baseline(late={}, in_flight=0, cpu_ns=(0,))


def reading(t: float, started: int, ended: int, answered: int = 0, events: int = 0) -> Reading:
    return Reading(
        t=int(t * S), started=started, ended=ended, answered=answered, open=started - ended, waiting=0, events=events
    )


def histogram(*values: int) -> Histogram:
    found = Histogram()
    found.record_many(list(values))
    return found


# --- late requests


def test_requests_that_started_a_limit_ago_and_are_not_over_are_overdue() -> None:
    readings = [
        reading(0, 10, 0),
        reading(1, 30, 5, 8),
        reading(2, 50, 9, 20),
        reading(3, 60, 12, 30),
        reading(4, 60, 15, 45),
    ]
    # one second ago 60 had started, and 45 have their first token; three seconds ago 30, and 15 have ended
    assert overdue(readings, [TTFT, E2E, TPOT]) == {"ttft<1s": 15, "e2e<3s": 15}
    assert overdue(readings[:1], [TTFT, E2E]) == {}, "nothing is known of the time before"


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60), gap=st.integers(1, 5), limit=st.integers(1, 20),
    steps=st.integers(1, 4),
)  # fmt: skip
def test_no_more_are_said_to_be_overdue_than_there_are(lengths: list[int], gap: int, limit: int, steps: int) -> None:
    """Requests start every `gap` ticks and last so many of them."""
    requests = [(index * gap, index * gap + length) for index, length in enumerate(lengths)]
    slo = Slo("e2e", limit * 1_000_000, True, "e2e<x")
    seen: list[Reading] = []
    for t in range(0, requests[-1][1] + 50, steps):
        started = sum(begin <= t for begin, _ in requests)
        ended = sum(end <= t for _, end in requests)
        seen.append(reading(t, started, ended))
        true = sum(begin <= t - limit and end > t for begin, end in requests)
        assert overdue(seen, [slo]).get("e2e<x", 0) <= true


def test_late_requests_count_when_they_become_late_and_not_again_when_they_end() -> None:
    part = Part(latency={"ttft": histogram(500_000, 1_500_000, 2_000_000, 2_500_000)}, missed={"ttft<1s": 1})
    # three samples lie beyond the limit, and one of these requests has ended; five more are overdue than before
    before = msgspec.structs.replace(NOTHING, late={"ttft<1s": 2})
    assert late(part, {"ttft<1s": 7}, before, [TTFT, TPOT]) == {"ttft<1s": 7, "tpot<50ms": 0}
    assert late(part, {"ttft<1s": 0}, before, [TTFT]) == {"ttft<1s": 0}
    assert late(Part(), {}, NOTHING, [E2E]) == {"e2e<3s": 0}


def test_what_was_missed() -> None:
    part = Part(counters=Counters(dropped=4), ended={"ok": 5, "http_503": 2, "cancelled": 9}, missed={"ttft<1s": 3})
    assert missed_by(part, {"ttft<1s": 2, "e2e<3s": 0}) == {"errors": 2, "dropped": 4, "ttft<1s": 5}


def test_silence() -> None:
    readings = [reading(0, 5, 0), reading(1, 9, 1, events=7), reading(2, 9, 1, events=7), reading(5, 12, 1, events=7)]
    assert quiet_s(readings) == 4
    assert quiet_s([*readings, reading(6, 12, 1, events=8)]) == 0


# --- the client as the limit


def worker(cpu_s: float = 0.0, waiting: int = 0) -> WorkerState:
    return WorkerState(0, 10, steady_cpu_ns=int(cpu_s * S), waiting=waiting)


@pytest.mark.parametrize(
    ("part", "state", "most", "said"),
    [
        (Part(), worker(), None, ""),
        (Part(), worker(cpu_s=9.1), None, "worker 0 used 91% of its core"),
        (Part(), worker(cpu_s=8.9), None, ""),
        # 10 % of a second
        (Part(latency={"loop_lag": histogram(*[99_000] * 200)}), worker(), None, ""),
        (
            Part(latency={"loop_lag": histogram(*[101_000] * 200)}),
            worker(),
            None,
            "the workers were up to 101.0 ms late",
        ),
        (Part(latency={"queue": histogram(*[101_000] * 200)}), worker(), None, "requests began up to 101.0 ms late"),
        (
            Part(latency={"queue": histogram(*[101_000] * 200), "e2e": histogram(*[9_000_000] * 200)}),
            worker(),
            None,
            "",  # less than 5 % of a request
        ),
        (Part(), worker(waiting=1), 10, "all 10 streams were in use (--total-streams)"),
        (Part(counters=Counters(due=100, started=100, dropped=1)), worker(), 10, "all 10 streams were in use"),
        (Part(counters=Counters(due=1000, started=985)), worker(), 10, "only 985 of 1,000 requests started in time"),
        (Part(counters=Counters(due=1000, started=995)), worker(), 10, ""),
    ],
)
def test_whether_the_client_is_the_limit(part: Part, state: WorkerState, most: int | None, said: str) -> None:
    found = limit_of_client(part, 10.0, [state], NOTHING, [TTFT, TPOT], most)
    assert found.startswith(said) if said else found == ""


def test_without_slos_the_client_is_late_as_in_the_verdict() -> None:
    part = Part(latency={"loop_lag": histogram(*[3_000] * 200), "itl": histogram(*[20_000] * 200)})
    assert "3.0 ms late (p99 of loop_lag; limit 2.0 ms)" in limit_of_client(part, 9.0, [worker()], NOTHING, [], None)
    assert limit_of_client(part, 9.0, [worker()], NOTHING, [TTFT], None) == ""
    assert limit_of_client(Part(), 0.0, [worker(9)], NOTHING, [], None) == ""


def test_a_machine_without_time_left_limits_a_target_that_runs_on_it() -> None:
    part = Part(counters=Counters(host_ns=1000, host_busy_ns=960))
    assert limit_of_machine(part, local=True) == "the cores of this machine, on which the target runs, were 96% busy"
    assert limit_of_machine(part, local=False) == ""
    assert limit_of_machine(Part(counters=Counters(host_ns=1000, host_busy_ns=900)), local=True) == ""
    assert limit_of_machine(Part(), local=True) == ""


def test_the_length_of_a_request() -> None:
    assert e2e_s(Part()) == 0
    assert e2e_s(Part(latency={"e2e": histogram(1_000_000, 3_000_000)})) == 3
    assert e2e_s(Part(latency={"e2e": histogram(*[1_000_000] * 95, *[9_000_000] * 5)})) == pytest.approx(1, rel=1e-3)


def test_slack() -> None:
    part = Part(latency={"ttft": histogram(*[400_000] * 20), "e2e": histogram(*[2_500_000] * 20)})
    assert slack_s(part, [TTFT, E2E, TPOT]) == pytest.approx(0.5, rel=1e-2)
    assert slack_s(part, [TPOT]) == slack_s(Part(), [TTFT]) == 0
    assert slack_s(Part(latency={"ttft": histogram(*[1_400_000] * 20)}), [TTFT]) == 0


# --- windows


def test_windows_grow_by_two_with_each_point() -> None:
    windows = first_windows(SweepCourse(False, (2.0, 8.0), 20.0))
    windows = with_begin(windows, 1, 3 * S)
    windows = with_next_point(windows, 25 * S, "8")
    windows = with_begin(windows, 3, 28 * S)
    windows = with_begin(windows, 4, 50 * S)
    assert [(each.index, each.kind, each.label, each.begin, each.end) for each in windows] == [
        (0, Phase.WARMUP, "→ 2", 0, 3 * S),
        (1, Phase.STEADY, "2", 3 * S, 25 * S),
        (2, Phase.WARMUP, "→ 8", 25 * S, 28 * S),
        (3, Phase.STEADY, "8", 28 * S, 50 * S),
        (4, Phase.DRAIN, "drain", 50 * S, None),
    ]


# --- text


def point_row(**changes: Any) -> PointRow:
    given: dict[str, Any] = {
        **{"load": 1, "began_s": 2, "seconds": 20, "settle_s": 2, "settled": True, "ended": "measured", "why": "time"},
        **{"ok": 100, "failed": 0, "dropped": 0, "requests_per_s": 5.0, "tokens_per_s": 500.0, "half_width": 0.01},
        **{"ttft_p50": 100.0, "ttft_p99": 200.0, "tpot_p50": 20.0, "tpot_p99": 25.0, "e2e_p50": 900.0},
        **{"e2e_p99": 1900.0, "interactivity": 50.0, "client": ""},
    }
    return PointRow(**{**given, **changes})


def sweep(*points: PointRow, peak: PeakRow | None, knee: KneeRow) -> SweepRow:
    return SweepRow(unit="streams", points=[*points], peak=peak, knee=knee, ended_because="all points were measured")


NO_KNEE = KneeRow(load=None, low=None, high=None, why="the throughput still grows with the load at the highest one")


def test_the_lines_of_a_sweep_fit_into_80_columns() -> None:
    widest = point_row(
        load=100_000_000, requests_per_s=999_000.0, tokens_per_s=99_900_000.0, ttft_p50=3_599_000.0,
        ttft_p99=3_599_000.0, tpot_p50=35_990.0, interactivity=9_990.0, settled=False, client="x", ok=1, failed=10**9,
        seconds=3599,
    )  # fmt: skip
    peak = PeakRow(load=10, per_s=1e6, of="tokens", low=9e5, high=1.1e6, reached_at=1)
    lines = sweep_lines(sweep(point_row(), widest, peak=peak, knee=NO_KNEE))
    assert max(len(line) for line in lines[:-2]) <= 80  # the last two are sentences
    text = "\n".join(lines)
    assert "? the load had not settled" in text
    assert "! this client limited" in text


def test_bars_are_proportional_and_peak_and_knee_are_sentences() -> None:
    peak = PeakRow(load=4, per_s=1000, of="tokens", low=990, high=1010, reached_at=2)
    knee = KneeRow(load=2.0, low=1.9, high=2.2, why="")
    rows = [point_row(load=load, tokens_per_s=per_s) for load, per_s in ((1, 500.0), (2, 1000.0), (4, 1000.0))]
    lines = sweep_lines(sweep(*rows, peak=peak, knee=knee))
    begin = lines.index("throughput against load (output tokens per second)")
    assert [line.count("█") for line in lines[begin + 1 : begin + 4]] == [23, 46, 46]
    assert lines[-2:] == [
        "peak: 1,000 tok/s (990 to 1,010) at 4 streams, not certainly lower from 2 on",
        "knee: about 2 streams (2 to 2), where the line of the lowest load reaches the peak",
    ]


def test_a_sweep_without_points_and_one_without_tokens() -> None:
    assert sweep_lines(sweep(peak=None, knee=NO_KNEE)) == ["sweep: no point was measured: all points were measured"]
    bare = point_row(tokens_per_s=None, ttft_p50=None, ttft_p99=None, tpot_p50=None, interactivity=None)
    peak = PeakRow(load=1, per_s=5, of="requests", low=None, high=None, reached_at=1)
    text = "\n".join(sweep_lines(sweep(bare, peak=peak, knee=NO_KNEE)))
    assert "throughput against load (requests per second)" in text
    assert "TTFT against" not in text
    assert "interactivity" not in text
    assert "peak: 5.00 req/s at 1 stream" in text


def test_the_lines_of_a_search() -> None:
    probe = ProbeRow(
        load=12.5, began_s=2, seconds=20, settle_s=2, settled=True, state="failed", why="", met=10, unknown=0,
        counted=1_000_000, late=0, share=1e-5, low=0.0, high=0.999, missed={"ttft<1s": 5}, requests_per_s=5.0,
        ttft_p99=3_599_000.0, tpot_p50=35_990.0, e2e_p99=1.0, client="x",
    )  # fmt: skip
    find = FindRow(
        state="undecided", capacity=None, unit="requests/s", limit=12.5, attain=0.99, slos=["ttft<1s"], confidence=0.99,
        bound_by="", surprises=["it did"], text="capacity: undecided", ended_because="the budget is used up",
        probes=[probe, msgspec.structs.replace(probe, share=None, client="", state="open")],
    )  # fmt: skip
    lines = find_lines(find)
    assert max(len(line) for line in lines) <= 80
    assert lines[0] == "find: ttft<1s; 2 probes; the budget is used up"
    assert "12.5/s  failed" in lines[3]
    assert lines[-2:] == ["capacity: undecided", "  - it did"]
