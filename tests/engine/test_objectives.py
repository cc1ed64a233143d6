"""The worked cases of goodput in docs/metrics.md, read by read through the real stream, and the formulas alone."""

import itertools
from array import array
from collections.abc import Sequence

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, REASONING, ROLE, TOKEN, Bench, answer, delta, usage
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.slo_text import parse_deadlines, parse_slo
from llmstress.engine.stream.objectives import (
    NEVER,
    UNKNOWN,
    Bounds,
    Judged,
    benefit,
    idle_us,
    judge,
    missed_deadlines,
)
from llmstress.engine.telemetry.goodput import fluidity, goodput, smooth_goodput
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.slo import Deadlines, Objectives

WHOLE = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"completion_tokens":7}}'


def judged_by(*slos: str, deadline: str = "", reading_speed: float = 0.0) -> Objectives:
    deadlines = parse_deadlines(deadline) if deadline else None
    return Objectives(tuple(parse_slo(text) for text in slos), deadlines, reading_speed)


def measure(objectives: Objectives, *tokens: int, sent: float = 1) -> Part:
    """An answer with a token event at each of these times (ms)."""
    bench = Bench(objectives=objectives)
    bench.begin(sent=sent)
    bench.read(90, HEAD, ROLE)
    for ms in tokens:
        bench.read(ms, TOKEN)
    bench.read(tokens[-1] + 1, FINISH, usage(len(tokens)), DONE, END)
    return bench.steady()


def slo_counts(part: Part) -> tuple[int, int, int]:
    """Requests that met the SLOs, those of which that is unknown, and the output tokens of the former."""
    counters = part.counters
    return counters.slo_met, counters.slo_unknown, counters.good_output


def test_a_request_that_meets_every_slo_is_good() -> None:
    part = measure(judged_by("ttft<201ms", "tpot<=25ms", "stall<31ms", "connect<=1ms"), 200, 220, 240, 270, 300)
    assert slo_counts(part) == (1, 0, 5)
    assert part.missed == {}


def test_a_request_that_misses_one_slo_is_not_good() -> None:
    part = measure(judged_by("ttft<200ms", "tpot<=25ms", "stall<30ms"), 200, 220, 240, 270, 300)
    assert slo_counts(part) == (0, 0, 0)
    assert part.missed == {"ttft<200ms": 1, "stall<30ms": 1}


def test_a_metric_that_a_request_does_not_have_is_met() -> None:
    part = measure(judged_by("tpot<1ms", "stall<1ms"), 200)
    assert slo_counts(part) == (1, 0, 1)


def test_a_kept_connection_meets_every_limit_of_connect() -> None:
    bench = Bench(objectives=judged_by("connect<10ms"))
    for start in (0, 1000):
        bench.begin(start, sent=start + 20)
        bench.read(start + 100, HEAD, TOKEN)
        bench.read(start + 120, FINISH, DONE, END)
    part = bench.steady()
    assert part.missed == {"connect<10ms": 1}
    assert slo_counts(part) == (1, 0, 1)


def test_a_failed_request_is_not_good() -> None:
    bench = Bench(objectives=judged_by("ttft<500ms", deadline="first=500ms,token=50ms", reading_speed=20))
    bench.begin()
    bench.read(200, HEAD, TOKEN)
    bench.lose(None)
    part = bench.steady()
    assert part.ended == {"truncated": 1}
    assert slo_counts(part) == (0, 0, 0)
    assert part.missed == {}
    assert goodput(part, 1.0).share == 0.0
    assert fluidity(part).answers == smooth_goodput(part, 1.0).answers == 0


@pytest.mark.parametrize(
    ("slo", "met", "unknown"),
    [("tpot<=20ms", 1, 0), ("tpot<5ms", 0, 0), ("tpot<10ms", 0, 1)],
    ids=["both bounds meet it", "both miss it", "one of them misses it"],
)
def test_an_undetermined_tpot_is_judged_by_its_bounds(slo: str, met: int, unknown: int) -> None:
    bench = Bench(objectives=judged_by(slo))
    bench.begin()
    bench.read(90, HEAD)
    bench.read(800, delta(content=" many" * 30))
    for ms in range(820, 1001, 20):
        bench.read(ms, delta(content=" one"))
    bench.read(1001, FINISH, usage(40), DONE, END)
    part = bench.steady()
    assert part.undetermined == {"bundled first event": 1}, "its bounds are 5.1 and 20 ms"
    assert slo_counts(part) == (met, unknown, 40 * met)
    assert sum(part.missed.values()) == 1 - met - unknown
    found = goodput(part, 1.0)
    assert (found.share, found.share_max) == (met, met + unknown)


def test_an_answer_in_one_read_has_no_bounds() -> None:
    bench = Bench(objectives=judged_by("tpot<1s"))
    bench.begin()
    bench.read(200, HEAD, TOKEN, TOKEN, TOKEN, FINISH, DONE, END)
    assert slo_counts(bench.steady()) == (0, 1, 0)


def test_a_miss_decides_whatever_is_unknown() -> None:
    bench = Bench(objectives=judged_by("tpot<1s", "ttft<100ms"))
    bench.begin()
    bench.read(200, HEAD, TOKEN, TOKEN, TOKEN, FINISH, DONE, END)
    part = bench.steady()
    assert slo_counts(part) == (0, 0, 0)
    assert part.missed == {"ttft<100ms": 1}


@pytest.mark.parametrize(
    ("slo", "counts"),
    [
        ("ttft<1s", (0, 1, 0)),
        ("ttfa<1s", (0, 1, 0)),
        ("tpot<1s", (0, 1, 0)),
        ("stall<1s", (0, 1, 0)),
        ("e2e<=100ms", (1, 0, 7)),
        ("ttfb<100ms", (1, 0, 7)),
    ],
)
def test_an_answer_that_is_not_streamed_has_no_known_ttft(slo: str, counts: tuple[int, int, int]) -> None:
    bench = Bench(streamed=False, objectives=judged_by(slo, deadline="first=500ms,token=50ms", reading_speed=20))
    bench.begin()
    bench.read(100, answer("200 OK", WHOLE, "Content-Type: application/json"))
    part = bench.steady()
    assert slo_counts(part) == counts
    assert part.ended == {"ok": 1}
    assert fluidity(part).answers == smooth_goodput(part, 1.0).answers == 0


def test_an_answer_of_one_token_that_no_event_carried() -> None:
    bench = Bench(objectives=judged_by("ttft<=200ms", "tpot<1ms"))
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, delta(finish="length", role="assistant", content=""), usage(1), DONE, END)
    assert slo_counts(bench.steady()) == (1, 0, 1)


def test_an_answer_without_a_visible_token_misses_ttfa() -> None:
    bench = Bench(objectives=judged_by("ttfa<1h", "ttft<=200ms"))
    bench.begin()
    bench.read(200, HEAD, REASONING)
    bench.read(220, FINISH, DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert part.missed == {"ttfa<1h": 1}


def test_after_a_retry_ttft_is_that_of_the_last_attempt_and_ttft_due_is_not() -> None:
    bench = Bench(objectives=judged_by("ttft<150ms", "ttft_due<150ms"), retries=1)
    bench.begin()
    bench.read(50, answer("503 No", b""))
    assert len(bench.waits) == 1
    exchange = bench.stream.exchange
    assert exchange is not None
    exchange.start = bench.at(1000).now
    exchange.sent = exchange.start
    bench.stream.connected(bench.links[-1])
    bench.read(1100, HEAD, TOKEN)
    bench.read(1120, FINISH, DONE, END)
    part = bench.steady()
    assert part.missed == {"ttft_due<150ms": 1}


# --- deadlines


def fluid(part: Part) -> tuple[int, int, int]:
    return part.counters.deadlines, part.counters.deadlines_missed, part.counters.fluid


def test_a_stall_misses_as_many_deadlines_as_pass_in_it() -> None:
    """Due 300, 350 (so that 220 leaves slack), ...: the gap of 400 comes after a slack of 100 + 30 + 30."""
    part = measure(judged_by(deadline="first=300ms,token=50ms"), 200, 220, 240, 640, 660)
    assert fluid(part) == (8, 4, 0)
    assert fluidity(part).index["p50"] is None, "one answer has no percentiles"


def test_tokens_that_come_early_leave_slack() -> None:
    part = measure(judged_by(deadline="first=200ms,token=50ms"), 200, 210, 220, 330, 340)
    assert fluid(part) == (5, 0, 1), "80 ms of slack carry the gap of 110 ms"


def test_a_late_first_token_misses_the_deadlines_that_pass_until_it_comes() -> None:
    part = measure(judged_by(deadline="first=100ms,token=50ms"), 200, 250, 300)
    assert fluid(part) == (5, 3, 0), "due 100, 150, 200"


def test_a_window_edge_within_an_answer_changes_no_deadline() -> None:
    bench = Bench(objectives=judged_by(deadline="first=300ms,token=50ms", reading_speed=20), edges=(0, 230, None))
    bench.begin()
    bench.read(90, HEAD, ROLE)
    for ms in (200, 220, 240, 640, 660):
        bench.read(ms, TOKEN)
    assert bench.stream.exchange is not None
    assert bench.stream.exchange.marks == 1
    bench.read(661, FINISH, DONE, END)
    part = bench.steady()
    assert fluid(part) == (8, 4, 0)
    assert part.aside["idle"].max == 290_000


def test_several_choices_have_no_index() -> None:
    bench = Bench(objectives=judged_by("stall<21ms", deadline="first=300ms,token=50ms", reading_speed=20))
    bench.begin()
    bench.read(200, HEAD, delta(content=" a"), delta(content=" a", index=1))
    bench.read(220, delta(content=" a"), delta(content=" a", index=1))
    bench.read(230, delta(finish="stop"), delta(finish="stop", index=1), DONE, END)
    part = bench.steady()
    assert fluid(part) == (0, 0, 0)
    assert "idle" not in part.aside
    assert slo_counts(part)[:2] == (1, 0), "SLOs are judged"


def reference(first: int, gaps: Sequence[int], deadlines: Deadlines) -> tuple[int, int]:
    """Event by event, with the time of each deadline. A deadline that passes without a token is missed, and so is one
    after another until the token comes; then the deadlines start anew from that token."""
    arrivals = list(itertools.accumulate((first, *gaps)))
    due, total, missed = deadlines.first_us, 0, 0
    for arrival in arrivals:
        if arrival <= due:
            total += 1
            due += deadlines.token_us
            continue
        # at `due` the first deadline is missed, at each step after it one more
        late = 0
        while due + late * deadlines.token_us <= arrival:
            late += 1
        total += late
        missed += late
        due = arrival + deadlines.token_us
    return total, missed


@given(
    st.integers(0, 3_000),
    st.lists(st.integers(0, 500)),
    st.integers(1, 1_000),
    st.integers(1, 200),
)
def test_deadlines_by_slack_are_those_of_a_clock(first: int, gaps: list[int], first_us: int, token_us: int) -> None:
    deadlines = Deadlines(first_us, token_us)
    assert missed_deadlines(first, array("I", gaps), deadlines) == reference(first, gaps, deadlines)


# --- reading


def test_a_reader_waits_for_late_tokens_only() -> None:
    part = measure(judged_by(reading_speed=20), 200, 220, 240, 640, 660)
    assert part.aside["idle"].max == 290_000, "token 3 is due at 200 + 150, and comes at 640"
    assert part.counters.benefit_milli == 0, "5 tokens, of which 5.8 could have been read while waiting"


def test_the_wait_costs_the_tokens_that_could_have_been_read() -> None:
    part = measure(judged_by(reading_speed=10), 200, 220, 240, 640, 660)
    assert part.aside["idle"].max == 140_000
    assert part.counters.benefit_milli == 3_600, "5 tokens less 10/s in 0.14 s"
    assert smooth_goodput(part, 2.0).per_s == 1.8


@given(st.lists(st.integers(0, 500_000)), st.floats(1, 1_000))
def test_idle_time_is_that_of_a_reader(gaps: list[int], speed: float) -> None:
    """A reader takes each token when it has come and the previous ones are read."""
    read_at, idle = 0.0, 0.0
    for arrival in itertools.accumulate(gaps):
        read_at += 1_000_000 / speed  # the previous token is read
        idle += max(0.0, arrival - read_at)
        read_at = max(read_at, arrival)
    assert idle_us(gaps, speed) == pytest.approx(idle, abs=1)


@given(st.lists(st.integers(0, 500_000), min_size=1), st.floats(1, 1_000), st.data())
def test_a_token_that_comes_later_and_an_answer_that_is_dropped_are_no_benefit(
    gaps: list[int], speed: float, data: st.DataObject
) -> None:
    def of(gaps: list[int]) -> float:
        return benefit(1 + len(gaps), idle_us(gaps, speed), speed)

    index, by = data.draw(st.integers(0, len(gaps) - 1)), data.draw(st.integers(0, 500_000))
    later = list(gaps)
    later[index] += by
    if index + 1 < len(gaps):  # those after it come when they came
        later[index + 1] = max(0, later[index + 1] - by)
    assert of(later) <= of(gaps) + 1e-6 * speed
    assert of(gaps) >= 0


# --- the decision


@pytest.mark.parametrize(
    ("slo", "value", "met"),
    [
        ("ttft<500ms", 499_999, True),
        ("ttft<500ms", 500_000, False),
        ("ttft<=500ms", 500_000, True),
        ("ttft<=500ms", 500_001, False),
    ],
)
def test_a_limit_is_met_up_to_itself_or_below(slo: str, value: int, met: bool) -> None:
    assert judge([parse_slo(slo)], {"ttft": (value, value)}).met is met


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Judged()),
        ({"ttft": UNKNOWN}, Judged(unknown=True)),
        ({"ttft": NEVER}, Judged(("ttft<1s",))),
        ({"ttft": UNKNOWN, "tpot": (60_000, 60_000)}, Judged(("tpot<50ms",))),
        ({"ttft": (5, 5), "tpot": (40_000, 60_000)}, Judged(unknown=True)),
    ],
)
def test_a_conjunction(values: dict[str, Bounds], expected: Judged) -> None:
    assert judge([parse_slo("ttft<1s"), parse_slo("tpot<50ms")], values) == expected


def test_without_objectives_nothing_is_counted() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, HEAD, TOKEN, FINISH, DONE, END)
    part = bench.steady()
    assert bench.task.samples.objectives is None
    assert slo_counts(part) == fluid(part) == (0, 0, 0)
    assert not part.aside
    assert not part.missed
