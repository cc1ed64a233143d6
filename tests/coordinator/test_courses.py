"""What a sweep and a search for the capacity decide: made-up servers, and the rules one by one."""

import itertools
import math
import random
from collections.abc import Callable
from statistics import NormalDist

import msgspec
import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.run.courses.answer import CLIENT, HIGHEST, QUEUE, SILENCE, Answer, answer_of
from llmstress.coordinator.run.courses.course import Done, Step
from llmstress.coordinator.run.courses.curve import Measured, knee_of, peak_of
from llmstress.coordinator.run.courses.estimates import (
    relative_half_width,
    requests_to_show,
    t_quantile,
    wilson,
    wilson_between,
)
from llmstress.coordinator.run.courses.point import Point
from llmstress.coordinator.run.courses.search import SearchCourse
from llmstress.coordinator.run.courses.settling import LONGEST_S, QUIET_S, Settling, may_begin, state_of
from llmstress.coordinator.run.courses.sweep import SweepCourse

# --- estimates


def test_wilson_has_the_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3, at 95 %
    assert [round(limit, 4) for limit in wilson(81, 263, 0.95)] == [0.2553, 0.3662]
    assert [round(limit, 4) for limit in wilson(15, 148, 0.95)] == [0.0624, 0.1605]
    assert [round(limit, 4) for limit in wilson(0, 20, 0.95)] == [0.0, 0.1611]
    assert [round(limit, 4) for limit in wilson(1, 29, 0.95)] == [0.0061, 0.1718]
    assert wilson(0, 0) == (0.0, 1.0)


@given(n=st.integers(1, 5000), part=st.floats(0, 1), unknown=st.floats(0, 1))
def test_an_interval_contains_the_share_and_unknown_requests_widen_it(n: int, part: float, unknown: float) -> None:
    met = math.floor(part * n)
    more = math.floor(unknown * (n - met))
    low, high = wilson_between(met, met + more, n)
    assert 0 <= low <= met / n <= (met + more) / n <= high <= 1
    assert (low, high) == (wilson(met, n)[0], wilson(met + more, n)[1])


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_so_many_good_requests_show_a_share(share: float) -> None:
    n = requests_to_show(share)
    assert wilson(n, n)[0] >= share > wilson(n - 1, n - 1)[0]


def test_quantiles_of_student_s_distribution() -> None:
    # tables: t of 0.995 with 9, 19 and 60 degrees of freedom
    assert [round(t_quantile(0.995, freedom), 2) for freedom in (9, 19, 60)] == [3.25, 2.86, 2.66]
    assert t_quantile(0.975, 10**6) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-4)


def test_the_interval_of_a_rate() -> None:
    assert relative_half_width([(t / 4, 100.0 * t) for t in range(81)]) == pytest.approx(0, abs=1e-9)
    # ten seconds that alternate between 90 and 110: a standard deviation of 10.54, a t of 3.25
    amounts = itertools.accumulate([0.0, *(90.0, 110.0) * 5])
    expected = t_quantile(0.995, 9) * 10.541 / math.sqrt(10) / 100
    assert relative_half_width([*enumerate(amounts)]) == pytest.approx(expected, rel=1e-4)
    assert relative_half_width([(t / 4, 100.0 * t) for t in range(36)]) is None, "fewer than ten batches"
    assert relative_half_width([(t / 4, 0.0) for t in range(81)]) is None
    assert relative_half_width([]) is None


def test_batch_means_cover_the_true_rate_as_often_as_they_say() -> None:
    draw, covered, runs = random.Random(7), 0, 600
    for _ in range(runs):
        amounts = [0.0, *itertools.accumulate(draw.gauss(250, 40) for _ in range(80))]
        half = relative_half_width([(t / 4, amount) for t, amount in enumerate(amounts)])
        mean = amounts[-1] / 20
        covered += half is not None and abs(mean - 1000) <= half * mean
    assert covered / runs >= 0.975  # 99 % with a margin for 600 runs


# --- settling

CHANGE = Settling(at=100.0, all_started=101.0, in_flight=40, ended=1000, streams=10)
WAITED = {"t": 110.0, "in_flight": 10, "ended": 1040, "e2e_s": 2.0, "quiet_s": 0.0}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "settled"),
        ({"t": 102.9}, "waits"),
        ({"ended": 1039}, "waits"),  # requests of the old load are in flight
        ({"in_flight": 11}, "waits"),  # surplus streams still have requests
        ({"e2e_s": 9.5}, "waits"),
        ({"t": 100 + LONGEST_S, "ended": 1000}, "too long"),
        ({"t": 100 + QUIET_S, "ended": 1000, "quiet_s": QUIET_S}, "quiet"),
        ({"t": 110, "ended": 1000, "quiet_s": QUIET_S}, "waits"),  # it was quiet before the change
    ],
)
def test_a_load_has_settled_when_the_old_requests_are_over(changes: dict[str, float], state: str) -> None:
    assert state_of(CHANGE, **{**WAITED, **changes}) == state  # type: ignore[arg-type]


def test_each_stream_of_a_higher_load_has_answered_once() -> None:
    up = Settling(at=0.0, all_started=0.5, in_flight=5, ended=0, streams=50)
    assert state_of(up, t=10.0, in_flight=50, ended=49, e2e_s=1.0, quiet_s=0.0) == "waits"
    assert state_of(up, t=10.0, in_flight=50, ended=50, e2e_s=1.0, quiet_s=0.0) == "settled"


def test_at_a_rate_there_are_no_surplus_streams() -> None:
    rate = Settling(at=0.0, all_started=0.0, in_flight=5, ended=0, streams=None)
    assert state_of(rate, t=10.0, in_flight=500, ended=5, e2e_s=1.0, quiet_s=0.0) == "settled"


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, False),
        ({"in_flight": 20}, True),
        ({"natural": 0.0, "in_flight": 0}, True),
        ({"quiet_s": QUIET_S}, False),  # of which only two seconds are those since the change
        ({"quiet_s": QUIET_S, "waited_s": QUIET_S}, True),
        ({"waited_s": LONGEST_S}, True),
    ],
)
def test_a_lower_rate_does_not_inherit_the_queue_of_a_higher_one(changes: dict[str, float], begins: bool) -> None:
    given = {"in_flight": 21, "natural": 20.0, "waited_s": 2.0, "quiet_s": 0.0}
    assert may_begin(**{**given, **changes}) == begins  # type: ignore[arg-type]


# --- sweep

SWEEP = SweepCourse(rate=False, levels=(1.0, 10.0, 100.0), point_s=20.0)


def done(*levels: float) -> list[Done]:
    return [over(Point(level=level, seconds=20.0), "measured") for level in levels]


def over(point: Point, state: str, why: str = "") -> Done:
    return Done(point=point, state=state, why=why, window=1, settle_s=2.0, settled=True)  # type: ignore[arg-type]


def test_a_point_lasts_as_long_as_was_asked_for() -> None:
    assert SWEEP.step([], Point(level=1, seconds=19.9, e2e_s=1), 22) is None
    assert SWEEP.step([], Point(level=1, seconds=20.0, e2e_s=1), 22) == Step("measured", "time", 10.0)
    last = SWEEP.step(done(1, 10), Point(level=100, seconds=20.0, e2e_s=1), 70)
    assert last == Step("measured", "time", None, "all points were measured")


def test_a_point_lasts_longer_where_requests_are_long_but_not_for_ever() -> None:
    assert SWEEP.step([], Point(level=1, seconds=60.0, e2e_s=40), 62) is None
    assert SWEEP.step([], Point(level=1, seconds=80.0, e2e_s=40), 82) == Step("measured", "time", 10.0)


def test_a_point_ends_early_when_it_is_exact_enough() -> None:
    exact = {"level": 1, "seconds": 10.0, "e2e_s": 1.0, "half_width": 0.019, "finished": 100}
    assert SWEEP.step([], Point(**exact), 12) == Step("measured", "exact enough", 10.0)  # type: ignore[arg-type]
    for less in ({"half_width": 0.021}, {"finished": 99}, {"e2e_s": 6.0}, {"half_width": None}):
        assert SWEEP.step([], Point(**{**exact, **less}), 12) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (Point(level=10, seconds=3, finished=60, failed=60), "60 of 60 requests failed"),
        (Point(level=10, seconds=3, quiet_s=QUIET_S), "no answer and no token came for 30 s"),
    ],
)
def test_a_hopeless_point_ends_the_sweep(point: Point, why: str) -> None:
    step = SWEEP.step(done(1), point, 30)
    assert step == Step("hopeless", why, None, f"10 streams: {why}")


@pytest.mark.parametrize("failed", [0, 10, 50])
def test_a_point_at_which_some_requests_fail_is_not_hopeless(failed: int) -> None:
    assert SWEEP.step(done(1), Point(level=10, seconds=3, finished=60, failed=failed, e2e_s=1), 30) is None


# --- peak and knee


def curve(*rates: float, half: float | None = 0.01, levels: tuple[float, ...] = (1, 10, 100, 1000)) -> list[Measured]:
    return [Measured(level, per_s, half) for level, per_s in zip(levels, rates, strict=True)]


def test_the_peak_is_the_highest_throughput_and_says_where_it_was_reached() -> None:
    peak = peak_of(curve(10, 100, 640, 645))
    assert peak is not None
    assert (peak.at.level, peak.reached) == (1000, 100)
    assert peak_of([]) is None
    assert peak_of(curve(0, 0, 0, 0)) is None


def test_the_knee_is_where_the_line_of_light_load_reaches_the_peak() -> None:
    knee = knee_of(curve(10, 100, 640, 640), rate=False)
    assert knee.level == pytest.approx(64)
    assert knee.low is not None
    assert knee.high is not None
    assert 62 < knee.low < 64 < knee.high < 66
    assert knee_of(curve(10, 100, 640, 640, half=None), rate=False).low is None


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ((10, 100, 1000, 9500), "still grows"),
        ((10, 10, 10, 10), "the lowest load reaches the peak"),
        ((0, 100, 100, 100), "the lowest load has no throughput"),
        ((0, 0, 0, 0), "two points"),
    ],
)
def test_a_curve_without_a_knee(rates: tuple[float, ...], why: str) -> None:
    knee = knee_of(curve(*rates), rate=False)
    assert knee.level is None
    assert why in knee.why


def test_at_a_rate_a_request_adds_exactly_itself() -> None:
    rates = curve(0.9, 9.5, 64, 64, levels=(1, 10, 100, 1000))
    assert knee_of(rates, rate=True).level == 64


# --- search

SEARCH = SearchCourse(rate=False, lowest=1, highest=1000, attain=0.99, point_s=10.0, budget_s=3600.0)


class Server:
    """A made-up server: the share of its requests that meet the SLOs at a load, and how long one takes."""

    def __init__(self, share: Callable[[float], float], seed: int, e2e_s: float = 1.0) -> None:
        self.share = share
        self.e2e_s = e2e_s
        self.draw = random.Random(seed)

    def point(self, level: float, seconds: float, before: Point | None, *, rate: bool) -> Point:
        """What has been measured after `seconds`; `before`: the same probe at an earlier moment."""
        n = round(level * seconds / (1 if rate else self.e2e_s)) - (before.counted if before is not None else 0)
        met = self._binomial(n, self.share(level))
        met += before.met if before is not None else 0
        counted = n + (before.counted if before is not None else 0)
        return Point(
            level=level,
            seconds=seconds,
            finished=counted,
            ok=counted,
            due=counted if rate else 0,
            met=met,
            missed={"ttft<1s": counted - met},
            e2e_s=self.e2e_s,
        )

    def _binomial(self, n: int, share: float) -> int:
        if n < 100:
            return sum(self.draw.random() < share for _ in range(n))
        missed = self.draw.gauss(n * (1 - share), math.sqrt(n * share * (1 - share)))
        return min(n, max(0, n - round(missed)))


def search(course: SearchCourse, server: Server) -> tuple[Answer, list[Done], str]:
    """A whole search: the answer, the probes, and why it ended. A probe is looked at each time it is 20 % longer."""
    probes: list[Done] = []
    elapsed, level = 0.0, course.first
    while True:
        elapsed += 3.0  # it settles
        seconds, point = 1.0, None
        while True:
            point = server.point(level, seconds, point, rate=course.rate)
            step = course.step(probes, point, elapsed + seconds)
            if step is not None:
                break
            assert elapsed + seconds < course.budget_s, "a probe ends at the latest with the budget"
            seconds *= 1.2
        elapsed += seconds
        probes.append(over(point, step.state, step.why))
        assert step.level is None or elapsed < course.budget_s, "no probe begins when the budget is used up"
        if step.level is None:
            return answer_of(course, probes), probes, step.ended
        assert course.lowest <= step.level <= course.highest
        level = step.level


def falls_at(capacity: float, width: float = 0.02) -> Callable[[float], float]:
    """Nearly all requests are good up to the capacity; 2 % above it, far fewer."""
    return lambda level: 0.9995 if level <= capacity else max(0.0, 0.97 - (level - capacity) / (capacity * width) * 0.2)


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 7, 11, 16, 30, 64, 65, 100, 333, 700])
@pytest.mark.parametrize("seed", range(3))
def test_the_capacity_of_a_made_up_server_is_found(capacity: float, seed: int) -> None:
    answer, probes, ended = search(SEARCH, Server(falls_at(capacity), seed))
    assert (answer.state, answer.bound_by) == ("found", "ttft<1s")
    assert answer.capacity is not None
    assert answer.limit is not None
    assert abs(answer.capacity - capacity) <= max(0.1 * capacity, 0)
    assert answer.capacity <= capacity < answer.limit
    assert ended == "the capacity was found"
    assert len(probes) <= 30
    states = {probe.point.level: probe.state for probe in probes}
    assert (states[answer.capacity], states[answer.limit]) == ("passed", "failed")


@examples(60)
@given(
    capacity=st.floats(1.2, 900), seed=st.integers(0, 10**6), rate=st.booleans(), e2e_s=st.floats(0.2, 8),
    attain=st.sampled_from([0.5, 0.9, 0.95, 0.99]), budget_s=st.sampled_from([30.0, 600.0, 7200.0]),
    width=st.floats(0.001, 2.0),
)  # fmt: skip
def test_every_search_ends_and_says_nothing_that_its_probes_do_not_show(
    capacity: float, seed: int, rate: bool, e2e_s: float, attain: float, budget_s: float, width: float
) -> None:
    course = SearchCourse(rate=rate, lowest=1, highest=1000, attain=attain, point_s=10.0, budget_s=budget_s)
    answer, probes, _ = search(course, Server(falls_at(capacity, width), seed, e2e_s))
    passed = [probe.point.level for probe in probes if probe.state == "passed"]
    failed = [probe.point.level for probe in probes if probe.state == "failed"]
    assert answer.capacity is None or answer.capacity in passed
    assert answer.limit is None or answer.limit in failed
    if answer.capacity is not None and answer.limit is not None:
        assert answer.capacity < answer.limit
    if answer.state == "found":
        assert answer.capacity is not None
        assert answer.limit is not None
        assert answer.limit - answer.capacity <= max(0 if rate else 2, 0.1 * answer.capacity)
    if answer.state == "none":
        assert set(failed) == {1.0}
    assert answer.text.startswith("capacity: ")


def test_the_highest_load_may_pass() -> None:
    answer, _, ended = search(SEARCH, Server(lambda _: 1.0, 0))
    assert (answer.state, answer.capacity, answer.limit, answer.bound_by) == ("at least", 1000, None, HIGHEST)
    assert ended == "the highest load passed"
    assert "at least 1,000 streams" in answer.text


def test_even_the_lowest_load_may_fail() -> None:
    answer, probes, ended = search(SEARCH, Server(lambda _: 0.3, 0))
    assert (answer.state, answer.capacity, answer.limit) == ("none", None, 1)
    assert ended == "even the lowest load failed"
    assert len(probes) == 2, "it was tried again"
    assert "even 1 stream failed (ttft<1s)" in answer.text


def test_a_share_at_the_goal_is_not_decided_by_an_estimate() -> None:
    course = SearchCourse(rate=False, lowest=100, highest=100, attain=0.99, point_s=10.0, budget_s=100_000.0)
    states = [search(course, Server(lambda _: 0.99, seed))[0].state for seed in range(60)]
    # with an estimate half of them would pass and half would fail
    assert states.count("undecided") >= 40


def test_too_few_requests_are_said_and_not_guessed() -> None:
    course = SearchCourse(rate=False, lowest=1, highest=4, attain=0.99, point_s=10.0, budget_s=600.0)
    answer, _, _ = search(course, Server(lambda _: 1.0, 0, e2e_s=20.0))
    assert (answer.state, answer.capacity) == ("undecided", None)
    assert f"at least {requests_to_show(0.99)} requests are needed" in answer.text


def test_a_load_that_failed_only_at_first_is_a_surprise_and_the_search_goes_on_above_it() -> None:
    tried: list[float] = []

    class Cold(Server):
        def point(self, level: float, seconds: float, before: Point | None, *, rate: bool) -> Point:
            if before is None:
                tried.append(level)
            cold = level == 64 and tried.count(64) == 1
            self.share = (lambda _: 0.2) if cold else falls_at(200)
            return super().point(level, seconds, before, rate=rate)

    answer, probes, _ = search(SEARCH, Cold(falls_at(200), 3))
    assert [probe.state for probe in probes if probe.point.level == 64] == ["failed", "passed"]
    assert answer.state == "found"
    assert answer.capacity is not None
    assert 180 <= answer.capacity <= 200
    assert any("64 streams failed once" in text and "passed when tried again" in text for text in answer.surprises)


def test_a_mood_of_a_slow_server_does_not_keep_the_search_at_low_loads() -> None:
    tried: list[float] = []

    class Moody(Server):
        def point(self, level: float, seconds: float, before: Point | None, *, rate: bool) -> Point:
            if before is None:
                tried.append(level)
            mood = level == 4 and tried.count(4) == 1
            self.share = (lambda _: 0.3) if mood else falls_at(40)
            return super().point(level, seconds, before, rate=rate)

    course = SearchCourse(rate=False, lowest=1, highest=1000, attain=0.99, point_s=5.0, budget_s=300.0)
    answer, _, _ = search(course, Moody(falls_at(40), 3))
    assert tried[:5] == [1, 2, 4, 4, 8]
    assert answer.state == "found"
    assert answer.capacity is not None
    assert 37 <= answer.capacity <= 40
    assert [text.partition(" (")[0] for text in answer.surprises] == ["4 streams failed once"]
    assert answer.surprises[0].endswith("a higher load passed")


def failing(**changes: object) -> Point:
    given = {"level": 2.0, "seconds": 5.0, "finished": 100, "met": 50, "e2e_s": 0.1}
    return Point(**{**given, **changes})  # type: ignore[arg-type]


PASSED = over(Point(level=1.0, seconds=30.0, finished=1000, met=1000), "passed")


@pytest.mark.parametrize(
    ("points", "rate", "state", "bound"),
    [
        ([failing(missed={"ttft<1s": 30, "tpot<50ms": 20})], False, "found", "ttft<1s"),
        ([failing(missed={"errors": 30, "tpot<50ms": 20})], False, "found", "errors"),
        ([failing(missed={"dropped": 50})], True, "undecided", "dropped"),
        ([failing(missed={"ttft<1s": 50}, due=500, grown=100)], True, "undecided", QUEUE),
        ([failing(missed={}, finished=0, met=0, quiet_s=31.0)], False, "found", SILENCE),
        ([failing(missed={"ttft<1s": 50}, client="worker 0 used 99% of its core")], False, "at least", CLIENT),
        # the client was late in one of two probes only: it is not what limits
        ([failing(missed={"ttft<1s": 50}, client="late"), failing(missed={"ttft<1s": 50})], False, "found", "ttft<1s"),
    ],
)
def test_what_limits_the_capacity(points: list[Point], rate: bool, state: str, bound: str) -> None:
    course = SearchCourse(rate=rate, lowest=1, highest=4, attain=0.9, point_s=10.0, budget_s=600.0)
    answer = answer_of(course, [PASSED, *(over(point, "failed") for point in points)])
    assert (answer.state, answer.bound_by) == (state, bound)
    if bound == CLIENT:
        assert answer.text.startswith("capacity: at least 1 stream ")
        assert "2 streams failed, but this client was the limit: worker 0" in answer.text


def test_a_probe_is_not_decided_before_it_has_lasted_two_requests() -> None:
    bad = {"level": 1.0, "finished": 500, "met": 0, "e2e_s": 4.0}
    assert SEARCH.step([], Point(seconds=7.9, **bad), 10) is None  # type: ignore[arg-type]
    assert SEARCH.step([], Point(seconds=8.0, **bad), 10) == Step("failed", "", 1.0)  # type: ignore[arg-type]
    assert SEARCH.step([], Point(seconds=8.0, to_judge=False, **bad), 10) is None  # type: ignore[arg-type]


def test_in_an_overload_requests_become_longer_as_fast_as_the_probe_does() -> None:
    light = over(Point(level=1.0, seconds=10.0, e2e_s=1.5, finished=20, met=20), "open")
    for seconds, state in ((2.9, None), (3.0, "failed")):
        step = SEARCH.step([light], Point(level=2.0, seconds=seconds, e2e_s=12.0, finished=50, met=0), 20)
        assert (step.state if step is not None else None) == state
    good = Point(level=2.0, seconds=23.9, e2e_s=12.0, finished=900, met=900)
    step = SEARCH.step([light], good, 40)
    assert step is None or step.state == "open", "a probe that passes lasts two of its own"


def test_a_probe_does_not_pass_before_its_time() -> None:
    good = {"level": 1.0, "finished": 900, "met": 900, "e2e_s": 0.1}
    assert SEARCH.step([], Point(seconds=9.9, **good), 12) is None  # type: ignore[arg-type]
    assert SEARCH.step([], Point(seconds=10.0, **good), 13) == Step("passed", "", 2.0)  # type: ignore[arg-type]


def test_at_a_rate_a_probe_passes_when_a_queue_of_a_tenth_would_have_used_up_the_slack() -> None:
    good = {"level": 100.0, "finished": 1500, "met": 1500, "due": 1500, "e2e_s": 0.1, "slack_s": 1.5}
    course = SearchCourse(rate=True, lowest=100, highest=1000, attain=0.99, point_s=10.0, budget_s=600.0)
    point = Point(seconds=15.1, **good)  # type: ignore[arg-type]
    assert course.step([], point, 17) == Step("open", "undecided for too long", 200.0), "nothing has failed yet"
    tried = [over(Point(level=100.0, seconds=10.0), "open")]
    assert course.step(tried, point, 50) is None
    assert course.step(tried, Point(seconds=15.2, **good), 50) == Step("passed", "", 200.0)  # type: ignore[arg-type]
    assert SEARCH.step([], Point(**{**good, "level": 1.0, "seconds": 10.0}), 12) == Step("passed", "", 2.0)  # type: ignore[arg-type]


def test_at_a_rate_a_probe_passes_when_chance_cannot_have_moved_the_arrivals_much() -> None:
    good = {"level": 20.0, "finished": 900, "met": 900, "due": 900, "e2e_s": 0.1, "slack_s": 0.5}
    tried = [over(Point(level=20.0, seconds=5.0), "open")]
    for spread, needed_s in ((1.0, 20.0), (2**0.5, 40.0), (0.0, 5.0)):
        course = SearchCourse(rate=True, lowest=20, highest=99, attain=0.99, point_s=5.0, budget_s=600.0, spread=spread)
        assert course.step(tried, Point(seconds=needed_s - 0.1, **good), 50) is None  # type: ignore[arg-type]
        assert course.step(tried, Point(seconds=needed_s + 0.1, **good), 50) == Step("passed", "", 40.0)  # type: ignore[arg-type]


def test_a_share_that_is_close_to_the_goal_over_a_wide_range_ends_the_search() -> None:
    course = SearchCourse(rate=True, lowest=1, highest=1000, attain=0.9, point_s=10.0, budget_s=100_000.0)
    answer, probes, ended = search(
        course, Server(lambda level: 0.99 if level < 20 else max(0.0, 0.93 - level / 1000), 5)
    )
    assert len(probes) < 40
    if answer.state == "undecided":
        assert ended == "the share of good requests is too close to the goal at the loads between"
    assert answer.capacity is not None
    assert 15 < answer.capacity < 32


def test_a_queue_that_grows_fails_whatever_the_slos_say() -> None:
    course = SearchCourse(rate=True, lowest=100, highest=1000, attain=0.99, point_s=10.0, budget_s=600.0)
    grows = Point(level=100.0, seconds=10.0, finished=900, met=900, due=1000, grown=100, e2e_s=0.1)
    step = course.step([], grows, 13)
    assert step is not None
    assert (step.state, step.why) == ("failed", "100 more requests arrived than ended")
    chance = Point(level=100.0, seconds=10.0, finished=960, met=960, due=1000, grown=90, e2e_s=0.1)
    assert course.step([], chance, 13) == Step("open", "undecided for too long", 200.0), "it may be chance or not"
    small = msgspec.structs.replace(chance, grown=50)
    assert course.step([], small, 13) == Step("passed", "", 200.0)


def test_a_probe_goes_on_until_its_share_has_been_compared_with_the_goal() -> None:
    course = SearchCourse(rate=True, lowest=100, highest=1000, attain=0.9, point_s=1.0, budget_s=600.0)
    tried = [over(Point(level=100.0, seconds=1.0), "open")]
    good = Point(level=100.0, seconds=20.1, finished=2000, met=2000, due=2000, e2e_s=0.1, slack_s=1.8, to_judge=False)
    assert course.step(tried, good, 30) is None
    step = course.step(tried, msgspec.structs.replace(good, seconds=24.0, to_judge=True), 30)
    assert step is not None
    assert step.state == "passed"


def test_the_slack_is_that_of_the_lightest_load() -> None:
    course = SearchCourse(rate=True, lowest=100, highest=1000, attain=0.9, point_s=1.0, budget_s=600.0, spread=0.0)
    light = over(Point(level=100.0, seconds=10.0, finished=100, met=100, due=100, e2e_s=0.1, slack_s=0.9), "passed")
    tried = over(Point(level=110.0, seconds=1.0), "open")
    late = Point(level=110.0, seconds=9.9, finished=900, met=900, due=1089, e2e_s=0.1, slack_s=0.1)
    assert course.step([light, tried], late, 30) is None
    longer = msgspec.structs.replace(late, seconds=10.0)
    step = course.step([light, tried], longer, 30)
    assert step is not None
    assert step.state == "passed"


def test_requests_that_have_not_ended_count_as_missed_when_they_are_late() -> None:
    stuck = Point(level=1.0, seconds=8.0, finished=0, met=0, late=30, missed={"ttft<1s": 30})
    assert SEARCH.step([], stuck, 10) == Step("failed", "", 1.0)


def test_a_search_ends_at_its_budget() -> None:
    step = SEARCH.step([], Point(level=1.0, seconds=5.0, finished=5, met=5, e2e_s=1.0), 3600.0)
    assert step == Step("open", "the budget is used up", None, "the budget is used up")


def test_how_often_chance_decides_a_probe_whose_share_is_the_goal() -> None:
    """The share is compared with the goal about ten times in a probe; each comparison is a chance of an error."""
    course = SearchCourse(rate=False, lowest=100, highest=100, attain=0.95, point_s=25.0, budget_s=100_000.0)
    wrong, runs = 0, 400
    for seed in range(runs):
        server, seconds, point = Server(lambda _: 0.95, seed), 2.0, None
        while True:
            point = server.point(100, seconds, point, rate=False)
            step = course.step([], point, seconds)
            if step is not None:
                break
            seconds *= 1.2
        wrong += step.state == "passed"
    assert wrong / runs <= 0.05
