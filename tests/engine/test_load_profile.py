"""The load over time: integrals, times, streams, and what changes make of it."""

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmstress.engine.telemetry.load_profile import Piece, Profile, constant, sine, stamps, steps

S = 1_000_000_000

MOST = 1_000
"""Arrivals that are looked at."""

levels = st.one_of(st.just(0.0), st.integers(0, 60).map(float), st.floats(0.01, 60))


@st.composite
def profiles(draw: st.DrawFn, *, endless: bool | None = None) -> Profile:
    """Up to six pieces without gaps, some level, some not, some with jumps between them."""
    pieces: list[Piece] = []
    begin = 0
    for length in draw(st.lists(st.integers(1_000_000, 20 * S), min_size=1, max_size=6)):
        first = draw(levels)
        last = draw(st.one_of(st.just(first), levels))
        pieces.append(Piece(begin, begin + length, first, last))
        begin += length
    if draw(st.booleans()) if endless is None else endless:
        level = draw(levels)
        pieces.append(Piece(begin, None, level, level))
    return Profile("requests", tuple(pieces))


times = st.integers(0, 130 * S)


@given(profiles(), times, times, times)
def test_amounts_add_up(profile: Profile, a: int, b: int, c: int) -> None:
    a, b, c = sorted((a, b, c))
    assert profile.amount(a, b) + profile.amount(b, c) == pytest.approx(profile.amount(a, c), abs=1e-6)
    assert profile.amount(a, a) == 0


@given(profiles(), times)
def test_an_amount_is_the_area_below_the_level(profile: Profile, t: int) -> None:
    """By the trapezoids between all moments at which a piece begins."""
    edges = sorted({0, t, *(piece.begin for piece in profile.pieces), *(piece.end or 0 for piece in profile.pieces)})
    area = 0.0
    for begin, end in itertools.pairwise(edge for edge in edges if edge <= t):
        middle = profile.level_at((begin + end) // 2)
        area += middle * (end - begin) / 1e9
    assert profile.amount(0, t) == pytest.approx(area, rel=1e-6, abs=1e-6)


@given(profiles(), st.integers(1, 4))
def test_as_many_arrive_as_the_area_says(profile: Profile, workers: int) -> None:
    whole = list(itertools.islice(stamps(profile, map(float, itertools.count())), MOST))
    assert whole == sorted(whole)
    assert all(max(map(profile.level_at, (t - 1, t, t + 1))) > 0 for t in whole)
    end = profile.pieces[-1].begin if profile.pieces[-1].end is None else profile.pieces[-1].end
    area = profile.amount(0, end)
    assume(min(area % 1, 1 - area % 1) > 1e-6 and area < MOST)
    assert sum(t < end for t in whole) == math.ceil(area)
    shares = [
        list(itertools.islice(stamps(profile, map(float, itertools.count(worker, workers))), MOST))
        for worker in range(workers)
    ]
    together = sorted(itertools.chain(*shares))
    assert together[: len(whole)] == whole


@given(profiles(), st.integers(1, 5), times)
def test_streams_of_all_workers_are_the_level_rounded_up(profile: Profile, workers: int, t: int) -> None:
    for each in profile.pieces:
        assume(abs(t - each.begin) > 10 and (each.end is None or abs(t - each.end) > 10))
    level = profile.level_at(t)
    assume(level == round(level) or min(level % 1, 1 - level % 1) > 1e-4)
    if level == round(level):  # on a slope a stream comes and goes exactly where the level crosses a whole number
        assume(profile.level_at(t - 1) == level == profile.level_at(t + 1))
    found = 0
    for worker in range(workers):
        changes = list(steps(profile, worker, workers))
        assert [at for at, _ in changes] == sorted(at for at, _ in changes)
        before = [number for at, number in changes if at <= t]
        found += before[-1] if before else 0
    assert found == math.ceil(level)


def test_streams_come_one_by_one_and_in_turns() -> None:
    rising = Profile("streams", (Piece(0, 4 * S, 0, 4), Piece(4 * S, 6 * S, 4, 0)))
    assert list(steps(rising, 0, 2)) == [(0, 1), (2 * S, 2), (5 * S, 1), (6 * S, 0)]
    assert list(steps(rising, 1, 2)) == [(1 * S, 1), (3 * S, 2), (round(4.5 * S), 1), (round(5.5 * S), 0)]


def test_a_step_is_a_jump_at_its_moment() -> None:
    jump = Profile("streams", (Piece(0, S, 3, 3), Piece(S, 2 * S, 10, 10)))
    assert list(steps(jump, 0, 1)) == [(0, 3), (S, 10), (2 * S, 0)]


@given(profiles(endless=False), times, levels, times)
def test_a_level_that_is_held(profile: Profile, at: int, level: float, length: int) -> None:
    assume(length > 0)
    held = profile.held(at, level, at + length)
    assert held.level_at(at) == held.level_at(at + length - 1) == level
    for t in (0, at // 2, at - 1, at + length, at + length + S):
        if not at <= t < at + length and t >= 0:
            assert held.level_at(t) == pytest.approx(profile.level_at(t), abs=1e-6)
    assert profile.held(at, level).level_at(at + 1000 * S) == level


@given(profiles(), times, times)
def test_time_that_is_left_out(profile: Profile, a: int, b: int) -> None:
    begin, end = sorted((a, b))
    without = profile.without(begin, end)
    for t in (0, begin // 2, begin - 1):
        if 0 <= t < begin:
            assert without.level_at(t) == pytest.approx(profile.level_at(t), abs=1e-6)
    for t in (begin, begin + S // 3, begin + 7 * S):
        assert without.level_at(t) == pytest.approx(profile.level_at(t + end - begin), abs=1e-6)
    kept = profile.amount(0, 200 * S) - profile.amount(begin, end)
    assert without.amount(0, 200 * S - (end - begin)) == pytest.approx(kept, abs=1e-6)


@pytest.mark.parametrize("periods", [1, 2.5, 10])
def test_a_sine_is_a_sine(periods: float) -> None:
    period = 10 * S
    end = int(periods * period)
    wave = Profile("requests", sine(0, end, 20.0, 100.0, period))
    assert wave.pieces[-1].end == end
    assert all(a.end == b.begin for a, b in itertools.pairwise(wave.pieces))
    for t in range(0, end, end // 997):
        exact = 20 + 80 * (1 - math.cos(2 * math.pi * t / period)) / 2
        assert abs(wave.level_at(t) - exact) < 0.003 * 80
    assert wave.level_at(period // 2) == pytest.approx(100)


def test_the_mean_of_a_time_without_length_is_the_level() -> None:
    assert constant("requests", 7).mean(S, S) == 7
    assert constant("requests", 7).mean(0, 3 * S) == pytest.approx(7)
    assert Profile("requests", (Piece(0, S, 0, 10),)).mean(0, 2 * S) == pytest.approx(2.5)


@given(profiles(), times)
def test_joining_a_profile_with_itself_changes_nothing(profile: Profile, at: int) -> None:
    joined = profile.joined(at, profile)
    for t in (0, at // 2, at, at + 1, at + 3 * S, 200 * S):
        assert joined.level_at(t) == pytest.approx(profile.level_at(t), abs=1e-6)
