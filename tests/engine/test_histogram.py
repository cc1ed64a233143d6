"""Histograms: HdrHistogram's layout to the bin, exact sums, percentiles by their definition."""

import itertools
import math
from collections import Counter
from typing import Any

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.output.latencies import describe
from llmstress.coordinator.output.summary import encode_v2
from llmstress.engine.telemetry.histogram import (
    HIGHEST_US,
    PERCENTILES,
    THIN_BELOW,
    Histogram,
    bin_of,
    bin_range,
)

HDR = HdrHistogram(1, 3_600_000_000, 3)

EDGES = sorted(
    {power + near for bits in range(32) for power in [1 << bits] for near in (-1, 0, 1) if power + near <= HIGHEST_US}
    | {HIGHEST_US}
)
IN_RANGE = st.integers(0, 5000) | st.integers(0, HIGHEST_US) | st.sampled_from(EDGES)
ANY = IN_RANGE | st.integers(-(10**12), 10**12)
SAMPLES = st.lists(IN_RANGE, max_size=200)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@examples(300)
@given(us=IN_RANGE)
def test_a_value_has_the_bin_that_hdrhistogram_gives_it(us: int) -> None:
    assert bin_of(us) == HDR._counts_index_for(us)
    low, high = bin_range(bin_of(us))
    assert (low, high) == (HDR.get_lowest_equivalent_value(us), HDR.get_highest_equivalent_value(us))
    assert low <= us <= high
    assert high - low <= us / 1000


@pytest.mark.parametrize("us", EDGES)
def test_a_power_of_two_has_the_bin_that_hdrhistogram_gives_it(us: int) -> None:
    assert bin_of(us) == HDR._counts_index_for(us)


def test_the_bins_are_those_of_hdrhistogram_without_a_gap() -> None:
    last = bin_of(HIGHEST_US)
    assert last < HDR.counts_len
    assert bin_range(0)[0] == 0
    for index in range(last):
        assert bin_range(index)[1] + 1 == bin_range(index + 1)[0]


@examples(60)
@given(values=SAMPLES)
def test_what_is_written_is_what_hdrhistogram_reads(values: list[int]) -> None:
    histogram = histogram_of(values)
    read = HdrHistogram.decode(encode_v2(histogram))
    assert {index: n for index, n in enumerate(read.counts) if n} == histogram.counts
    assert read.get_total_count() == histogram.count == len(values)
    if any(values):
        assert bin_of(read.get_max_value()) == bin_of(max(values))


@examples(200)
@given(values=st.lists(ANY, max_size=100), cuts=st.lists(st.integers(0, 100), max_size=4))
def test_one_by_one_at_once_and_in_parts_are_the_same(values: list[int], cuts: list[int]) -> None:
    whole = histogram_of(values)
    at_once = Histogram()
    at_once.record_many(iter(values))
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    merged, in_batches = Histogram(), Histogram()
    for begin, end in itertools.pairwise(edges):
        part = values[begin:end]
        merged.merge(histogram_of(part))
        in_batches.record_many(part)
    assert whole == at_once == merged == in_batches


@examples(100)
@given(values=st.lists(st.integers(0, 140_000), max_size=50), far=st.lists(ANY, max_size=2))
def test_a_batch_of_small_values_is_no_different(values: list[int], far: list[int]) -> None:
    at_once = Histogram()
    at_once.record_many(values)
    at_once.record_many(values + far)
    assert at_once == histogram_of([*values, *values, *far])


@examples(200)
@given(values=st.lists(ANY, max_size=100))
def test_sums_and_extremes_are_exact(values: list[int]) -> None:
    clamped = [min(max(value, 0), HIGHEST_US) for value in values]
    histogram = histogram_of(values)
    assert histogram.counts == Counter(map(bin_of, clamped))
    assert (histogram.count, histogram.sum) == (len(values), sum(clamped))
    assert histogram.overflow == sum(value > HIGHEST_US for value in values)
    assert histogram.min == min(clamped, default=HIGHEST_US)
    assert histogram.max == max(clamped, default=0)
    assert histogram.mean == (sum(clamped) / len(clamped) if clamped else None)


@pytest.mark.parametrize(
    ("us", "kept", "overflow"),
    [
        pytest.param(-1, 0, 0, id="a negative value counts as 0"),
        pytest.param(0, 0, 0, id="0 is a value"),
        pytest.param(HIGHEST_US, HIGHEST_US, 0, id="an hour is a value"),
        pytest.param(HIGHEST_US + 1, HIGHEST_US, 1, id="more than an hour is clamped and counted"),
        pytest.param(10**30, HIGHEST_US, 1, id="so is any other value"),
    ],
)
def test_values_out_of_range_are_clamped(us: int, kept: int, overflow: int) -> None:
    one, many = histogram_of([us]), Histogram()
    many.record_many([us])
    assert one == many == Histogram({bin_of(kept): 1}, 1, kept, kept, kept, overflow)


@examples(200)
@given(kept=st.lists(ANY, max_size=60), taken=st.lists(ANY, max_size=60))
def test_subtract_takes_back_what_merge_added(kept: list[int], taken: list[int]) -> None:
    expected, other = histogram_of(kept), histogram_of(taken)
    histogram = expected.copy()
    histogram.merge(other)
    histogram.subtract(other)
    assert (histogram.counts, histogram.count, histogram.sum, histogram.overflow) == (
        expected.counts,
        expected.count,
        expected.sum,
        expected.overflow,
    )
    if kept:  # the extremes are known to within a bin
        assert bin_of(histogram.min) == bin_of(expected.min)
        assert bin_of(histogram.max) == bin_of(expected.max)
        assert histogram.min <= expected.min
        assert histogram.max >= expected.max
    else:
        assert histogram == Histogram()


@examples(100)
@given(values=SAMPLES, more=st.lists(IN_RANGE, min_size=1, max_size=3))
def test_what_was_never_recorded_cannot_be_taken_back(values: list[int], more: list[int]) -> None:
    histogram = histogram_of(values)
    before = histogram.copy()
    with pytest.raises(ValueError, match="never recorded"):
        histogram.subtract(histogram_of(values + more))
    assert histogram == before


def test_a_copy_is_independent() -> None:
    histogram = histogram_of([5])
    copy = histogram.copy()
    copy.record(7)
    assert histogram == histogram_of([5])
    assert copy == histogram_of([5, 7])


def smallest_with_enough_below(values: list[int], parts: int) -> int | None:
    """The definition, literally: the smallest value with at least ceil(p·n) samples at or below it."""
    n = len(values)
    if n * (10_000 - parts) < 10_000:
        return None
    needed = math.ceil(parts * n / 10_000) if parts * n % 10_000 else parts * n // 10_000
    return next(value for value in sorted(values) if sum(other <= value for other in values) >= needed)


@examples(200)
@given(values=SAMPLES, parts=st.sampled_from([*PERCENTILES.values(), 1, 2_500, 9_000, 9_999]))
def test_a_percentile_is_the_one_of_the_definition(values: list[int], parts: int) -> None:
    (found,) = histogram_of(values).percentiles([parts])
    expected = smallest_with_enough_below(values, parts)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert bin_of(found) == bin_of(expected)
        assert expected <= found <= max(values)


@pytest.mark.parametrize("n", [1, 10, 99, 100, 101, 1000, 1001, 10_000])
def test_percentiles_of_the_numbers_from_one_on_are_their_ranks(n: int) -> None:
    histogram = Histogram()
    histogram.record_many(range(1, n + 1))
    for name, parts in PERCENTILES.items():
        found = histogram.percentile(name)
        if n * (10_000 - parts) < 10_000:
            assert found is None
        else:
            rank = -(-parts * n // 10_000)
            assert found is not None
            assert bin_of(found) == bin_of(rank)


@pytest.mark.parametrize(("name", "least"), [("p50", 2), ("p90", 10), ("p95", 20), ("p99", 100), ("p99_9", 1000)])
def test_a_percentile_is_null_only_below_its_least_sample(name: str, least: int) -> None:
    histogram = histogram_of([7] * (least - 1))
    assert histogram.percentile(name) is None
    histogram.record(7)
    assert histogram.percentile(name) == 7


@pytest.mark.parametrize(("name", "enough"), [("p50", 11), ("p90", 64), ("p95", 130), ("p99", 662), ("p99_9", 6_636)])
def test_a_percentile_is_marked_while_its_sample_is_thin(name: str, enough: int) -> None:
    histogram = histogram_of([7] * (enough - 1))
    assert name in histogram.low_sample()
    histogram.record(7)
    assert name not in histogram.low_sample()


@examples(50)
@given(n=st.integers(0, 8000))
def test_what_is_null_is_also_thin(n: int) -> None:
    histogram = Histogram({5: n}, n, 5 * n, 5, 5) if n else Histogram()
    thin = histogram.low_sample()
    assert thin == [name for name in PERCENTILES if n < THIN_BELOW[name]]
    assert {name for name in PERCENTILES if histogram.percentile(name) is None} <= set(thin)


@examples(100)
@given(values=st.lists(ANY, max_size=50))
def test_a_histogram_survives_its_message(values: list[int]) -> None:
    histogram = histogram_of(values)
    packed = msgspec.msgpack.encode(histogram)
    assert msgspec.msgpack.decode(packed, type=Histogram) == histogram


@examples(100)
@given(values=SAMPLES)
def test_the_summary_of_a_histogram_is_in_order(values: list[int]) -> None:
    shown = describe(histogram_of(values))
    row: list[Any] = [shown.min, shown.p50, shown.p90, shown.p95, shown.p99, shown.p99_9, shown.max]
    known = [value for value in row if value is not None]
    assert known == sorted(known)
    assert (shown.min is None) == (shown.mean is None) == (not values)
    if values:
        assert (shown.count, shown.min, shown.max) == (len(values), min(values) / 1000, max(values) / 1000)


@given(st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=300))
def test_a_coarse_histogram_holds_the_same_samples_in_wider_bins(values: list[int]) -> None:
    exact = Histogram()
    exact.record_many(values)
    coarse = exact.coarse()
    assert (coarse.count, coarse.sum, coarse.min, coarse.max) == (exact.count, exact.sum, exact.min, exact.max)
    assert sum(coarse.counts.values()) == exact.count
    assert all(index <= bin_of(HIGHEST_US) for index in coarse.counts)
    for parts in (5_000, 9_000, 9_900):
        (right,), (wide,) = exact.percentiles((parts,)), coarse.percentiles((parts,))
        assert (right is None) == (wide is None)
        if right is not None and wide is not None:
            assert right <= wide <= max(right + 7, 1.009 * right)
