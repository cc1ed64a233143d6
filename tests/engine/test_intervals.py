"""Confidence intervals cover the true value at least as often as they say, for every size of a sample."""

import math
import random

import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.telemetry import intervals
from llmstress.engine.telemetry.histogram import PERCENTILES, THIN_BELOW, Histogram, bin_range
from llmstress.engine.telemetry.intervals import (
    CONFIDENCE,
    least_samples,
    percentile_intervals,
    percentile_ranks,
    share_interval,
)

SIZES = (1, 2, 7, 8, 11, 64, 100, 130, 527, 528, 662, 3000, 6636)
PARTS = (1, 1_000, 5_000, 9_000, 9_500, 9_900, 9_990)


def mass(k: int, n: int, p: float) -> float:
    """P(B = k), from logarithms of factorials."""
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log(1 - p))


def between(low: int, high: int, n: int, p: float) -> float:
    """P(low <= B <= high)."""
    return math.fsum(mass(k, n, p) for k in range(max(0, low), min(n, high) + 1))


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("n", SIZES)
def test_the_ranks_enclose_a_percentile_with_the_confidence_and_not_with_less(n: int, parts: int) -> None:
    """The percentile lies between the samples of ranks l and u if l to u - 1 samples are below it."""
    p, tail = parts / 10_000, (1 - CONFIDENCE) / 2
    low, high = percentile_ranks(n, parts)
    # the sums of the test have rounding errors of their own
    assert between(0, (low or 0) - 1, n, p) <= tail + 1e-9
    assert between(high or n + 1, n, n, p) <= tail + 1e-9
    if n * p * (1 - p) < 1000:  # else the ranks are approximated, to the safe side
        assert between(0, low or 0, n, p) > tail - 1e-9, "a higher rank would have been possible"
        assert between((high or n + 1) - 1, n, n, p) > tail - 1e-9


def exact_rank(n: int, p: float) -> int:
    """The rank by the sum that the approximation replaces."""
    below = 0.0
    for k, each in intervals._masses(n, p):
        below += each
        if below > intervals._TAIL:
            return k
    return n


@pytest.mark.parametrize("seed", range(8))
def test_the_approximation_for_many_samples_is_never_narrower_and_at_most_one_sample_wider(seed: int) -> None:
    draw = random.Random(seed)
    p = draw.choice([0.5, 0.9, 0.95, 0.99, 0.999, 0.01, 0.001, draw.random()])
    n = math.ceil(10 ** draw.uniform(3, 5) / (p * (1 - p)))
    assert 0 <= exact_rank(n, p) - intervals._rank(n, p) <= 1


@pytest.mark.parametrize("n", [10, 100, 700])
def test_intervals_of_drawn_samples_cover_the_true_percentiles(n: int) -> None:
    """Of an exponential distribution with a mean of 100 ms, whose percentiles are known; 400 runs."""
    draw = random.Random(n)
    covered = dict.fromkeys(PERCENTILES, 0)
    runs = 400
    for _ in range(runs):
        histogram = Histogram()
        histogram.record_many([round(draw.expovariate(1e-5)) for _ in range(n)])
        for (name, parts), (low, high) in zip(
            PERCENTILES.items(), percentile_intervals(histogram, list(PERCENTILES.values())), strict=True
        ):
            true = -1e5 * math.log(1 - parts / 10_000)
            covered[name] += (low is None or low <= true) and (high is None or true <= high)
    # with a coverage of exactly 99 %, fewer than 387 of 400 have a probability of 1 in 10,000
    assert min(covered.values()) >= 387, covered


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300), st.sampled_from(PARTS))
def test_an_interval_lies_between_measured_values_and_encloses_the_percentile(samples: list[int], parts: int) -> None:
    histogram = Histogram()
    histogram.record_many(samples)
    [(low, high)] = percentile_intervals(histogram, (parts,))
    [value] = histogram.percentiles((parts,))
    ordered = sorted(samples)
    ranks = percentile_ranks(len(samples), parts)
    assert low is None or low <= ordered[(ranks[0] or 1) - 1]
    assert high is None or high >= ordered[(ranks[1] or len(ordered)) - 1]
    assert (low is None, high is None) == (ranks[0] is None, ranks[1] is None)
    if value is not None:
        assert low is None or low <= value
        assert high is None or value <= high


def test_the_limits_are_the_edges_of_bins() -> None:
    """All samples lie somewhere in one bin: so does the percentile."""
    low, high = bin_range(10_000)
    histogram = Histogram({10_000: 50}, 50, 50 * low, low, high)
    assert percentile_intervals(histogram, (5_000,)) == [(low, high)]


def test_the_samples_of_an_empty_histogram_give_no_limits() -> None:
    assert percentile_intervals(Histogram(), (5_000, 9_990)) == [(None, None), (None, None)]
    assert share_interval(0, 0) == (None, None)


def test_least_samples_are_those_of_the_table_that_console_and_summary_use() -> None:
    assert {name: least_samples(parts) for name, parts in PERCENTILES.items()} == THIN_BELOW
    assert least_samples(100) == least_samples(9_900), "below the median it is the same from the other end"


@pytest.mark.parametrize("n", [1, 2, 5, 20, 100, 200])
def test_intervals_of_shares_cover_the_true_share_at_least_as_often_as_they_say(n: int) -> None:
    limits = [share_interval(k, n) for k in range(n + 1)]
    for share in (0.0001, 0.0011, 0.01, 0.05, 0.3, 0.5, 0.77, 0.99, 0.9995):
        covering = [k for k, (low, high) in enumerate(limits) if (low or 0) <= share <= (high or 0)]
        assert math.fsum(mass(k, n, share) for k in covering) >= CONFIDENCE - 1e-9


@examples(50)
@given(st.integers(1, 10**7), st.floats(0, 1))
def test_an_interval_of_a_share_encloses_it_and_is_symmetrical(n: int, share: float) -> None:
    part = round(share * n)
    low, high = share_interval(part, n)
    assert low is not None
    assert high is not None
    assert 0 <= low <= part / n <= high <= 1
    mirrored = share_interval(n - part, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize(("part", "n"), [(2_000, 4_000), (5_000, 100_000), (99_000, 100_000), (10**6, 10**7)])
def test_the_interval_for_many_requests_differs_little_from_the_exact_one(
    part: int, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = share_interval(part, n)
    monkeypatch.setattr(intervals, "_MOST_EXACT", math.inf)
    exact_low, exact_high = share_interval(part, n)
    assert low is not None
    assert high is not None
    assert exact_low is not None
    assert exact_high is not None
    width = exact_high - exact_low
    assert abs(low - exact_low) < width / 100
    assert abs(high - exact_high) < width / 100


@pytest.mark.parametrize(("part", "n"), [(0, 100), (1, 100), (10, 10), (3, 500), (400, 1000)])
def test_intervals_of_shares_are_those_of_clopper_and_pearson(part: int, n: int) -> None:
    """At the lower limit so many successes or more have the probability of an error, at the upper one so many or
    fewer."""
    low, high = share_interval(part, n)
    assert low is not None
    assert high is not None
    tail = (1 - CONFIDENCE) / 2
    assert low == 0 if part == 0 else between(part, n, n, low) == pytest.approx(tail, rel=1e-6)
    assert high == 1 if part == n else between(0, part, n, high) == pytest.approx(tail, rel=1e-6)
