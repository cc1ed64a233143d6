"""Sparse histograms in HdrHistogram's layout: 1 µs to 1 h, three significant digits.

The layout is the one of HdrHistogram with lowest=1, highest=3_600_000_000 and 3 digits: below 2,048 µs every
microsecond has a bin of its own; above it each power of two is divided into 1,024 bins, so no bin is wider than 0.1 %
of its values. Only bins with samples are stored: a histogram of a quarter of a second takes a few kilobytes on the
wire, and merging is addition.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

HIGHEST_US = 3_600_000_000
"""Values above an hour are clamped to it and counted in `Histogram.overflow`."""

PERCENTILES: Mapping[str, int] = {"p50": 5_000, "p90": 9_000, "p95": 9_500, "p99": 9_900, "p99_9": 9_990}
"""Name of a percentile -> its p in parts per 10,000 (integers, because ceil(p·n) must not depend on float rounding)."""

THIN_BELOW: Mapping[str, int] = {"p50": 11, "p90": 64, "p95": 130, "p99": 662, "p99_9": 6_636}
"""A percentile of fewer samples is thin: two-sided 99 % order-statistic rule of MLPerf's early stopping."""


def bin_of(us: int) -> int:
    """Index of the bin that contains `us` (microseconds, 0 <= us <= HIGHEST_US)."""
    shift = us.bit_length() - 11
    return us if shift <= 0 else (shift << 10) + (us >> shift)


def bin_range(index: int) -> tuple[int, int]:
    """The lowest and the highest value of bin `index`, in microseconds."""
    if index < 2048:
        return index, index
    shift = (index >> 10) - 1
    low = (index - (shift << 10)) << shift
    return low, low + (1 << shift) - 1


_HIGHEST_BIN = bin_of(HIGHEST_US)


class Histogram(msgspec.Struct, array_like=True):
    """Samples counted by bin, with exact count, sum, minimum and maximum (all in microseconds).

    After `subtract` minimum and maximum are limits of the remaining bins: within 0.1 % instead of exact.
    """

    counts: dict[int, int] = msgspec.field(default_factory=dict)
    count: int = 0
    sum: int = 0
    min: int = HIGHEST_US
    max: int = 0
    overflow: int = 0

    def record(self, us: int) -> None:
        """Count one value. A negative one counts as 0, one above `HIGHEST_US` is clamped to it."""
        if us > HIGHEST_US or us < 0:
            self.overflow += us > HIGHEST_US
            us = min(max(us, 0), HIGHEST_US)
        index = bin_of(us)
        self.counts[index] = self.counts.get(index, 0) + 1
        self.count += 1
        self.sum += us
        if us < self.min:
            self.min = us
        if us > self.max:
            self.max = us

    def record_many(self, values: Iterable[int]) -> None:
        """Count many values (microseconds) at once: ~200 ns each in batches, against ~500 ns one by one."""
        us = values if isinstance(values, list) else list(values)
        if not us:
            return
        low, high = min(us), max(us)
        if high > HIGHEST_US or low < 0:
            self.overflow += sum(v > HIGHEST_US for v in us)
            us = [min(max(v, 0), HIGHEST_US) for v in us]
            low, high = min(us), max(us)
        counts = self.counts
        # bin_of() inlined: a call for each value would double the cost of this line
        bins = Counter([v if v < 2048 else ((b := v.bit_length() - 11) << 10) + (v >> b) for v in us])
        for index, n in bins.items():
            counts[index] = counts.get(index, 0) + n
        self.count += len(us)
        self.sum += sum(us)
        self.min = min(self.min, low)
        self.max = max(self.max, high)

    def merge(self, other: "Histogram") -> None:
        """Add the samples of `other`."""
        counts = self.counts
        for index, n in other.counts.items():
            counts[index] = counts.get(index, 0) + n
        self.count += other.count
        self.sum += other.sum
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        self.overflow += other.overflow

    def subtract(self, other: "Histogram") -> None:
        """Take back samples that were recorded here before.

        Raises:
            ValueError: `other` contains a sample that this histogram does not.
        """
        counts = self.counts
        if any(counts.get(index, 0) < n for index, n in other.counts.items()):
            raise ValueError("samples taken back that were never recorded")
        for index, n in other.counts.items():
            counts[index] -= n
            if not counts[index]:
                del counts[index]
        self.count -= other.count
        self.sum -= other.sum
        self.overflow -= other.overflow
        self.min = max(self.min, bin_range(min(counts))[0]) if counts else HIGHEST_US
        self.max = min(self.max, bin_range(max(counts))[1]) if counts else 0

    def copy(self) -> "Histogram":
        """An independent histogram with the same samples."""
        return Histogram(dict(self.counts), self.count, self.sum, self.min, self.max, self.overflow)

    def coarse(self) -> "Histogram":
        """The same samples in bins eight times as wide: percentiles are up to 0.8 % (below 1 ms up to 7 µs) too high,
        and a busy second takes a few hundred bytes. Count, sum, minimum and maximum stay exact."""
        counts: dict[int, int] = {}
        for index, n in self.counts.items():
            wide = index | 7
            counts[wide] = counts.get(wide, 0) + n
        if beyond := counts.pop(_HIGHEST_BIN | 7, 0):  # no bin lies above the highest
            counts[_HIGHEST_BIN] = beyond
        return Histogram(counts, self.count, self.sum, self.min, self.max, self.overflow)

    def percentiles(self, parts_per_10k: Iterable[int]) -> list[int | None]:
        """For each p (in parts per 10,000) the smallest value, in µs, with at least ceil(p·n) samples at or below it.

        The result is the highest value of the bin, but not more than the exact maximum. None where the sample is too
        small for the percentile: n < 1 / (1 - p).
        """
        n = self.count
        ordered = sorted(self.counts.items())
        result: list[int | None] = []
        for parts in parts_per_10k:
            if n * (10_000 - parts) < 10_000:
                result.append(None)
                continue
            rank = -(-parts * n // 10_000)
            seen = 0
            for index, k in ordered:
                seen += k
                if seen >= rank:
                    result.append(max(self.min, min(bin_range(index)[1], self.max)))
                    break
        return result

    def percentile(self, name: str) -> int | None:
        """A percentile by its name in `PERCENTILES`, in µs; None where n < 1 / (1 - p)."""
        return self.percentiles((PERCENTILES[name],))[0]

    def low_sample(self) -> list[str]:
        """Names of the percentiles for which there are too few samples (`THIN_BELOW`)."""
        return [name for name, least in THIN_BELOW.items() if self.count < least]

    @property
    def mean(self) -> float | None:
        """Exact mean in µs; None without samples."""
        return self.sum / self.count if self.count else None


class Distribution(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a histogram without its bins; values in microseconds."""

    count: int
    sum: int
    min: int
    max: int
    overflow: int
    values: dict[str, int | None]
    """Percentile of `PERCENTILES` -> its value; None where n < 1 / (1 - p)."""

    def percentile(self, name: str) -> int | None:
        """A percentile by its name in `PERCENTILES`, in µs; None where n < 1 / (1 - p)."""
        return self.values[name]

    def low_sample(self) -> list[str]:
        """Names of the percentiles for which there are too few samples (`THIN_BELOW`)."""
        return [name for name, least in THIN_BELOW.items() if self.count < least]

    @property
    def mean(self) -> float | None:
        """Exact mean in µs; None without samples."""
        return self.sum / self.count if self.count else None


def distribution_of(histogram: Histogram) -> Distribution:
    """Count, sum, extremes and percentiles of a histogram."""
    values = dict(zip(PERCENTILES, histogram.percentiles(PERCENTILES.values()), strict=True))
    return Distribution(histogram.count, histogram.sum, histogram.min, histogram.max, histogram.overflow, values)
