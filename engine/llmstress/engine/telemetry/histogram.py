"""Sparse histograms in HdrHistogram's layout: 1 µs to 1 h, three significant digits.

The layout is the one of HdrHistogram with lowest=1, highest=3_600_000_000 and 3 digits: below 2,048 µs every
microsecond has a bin of its own; above it each power of two is divided into 1,024 bins, so no bin is wider than 0.1 %
of its values. Only bins with samples are stored: a histogram of a quarter of a second takes a few kilobytes on the
wire, and merging is addition.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

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


_Bins = tuple[list[int], list[int]]
"""The first index and the distances between the others; the counts."""

_encoder = msgspec.msgpack.Encoder()
_bins = msgspec.msgpack.Decoder(_Bins)


class Packed(msgspec.Struct, array_like=True, frozen=True):
    """The bins of a histogram in about 2 bytes each (in a dictionary a bin takes 100), and its percentiles."""

    bins: bytes
    """`_Bins` in msgpack."""
    values: list[int | None]
    """The percentiles of `PERCENTILES`."""


class Histogram(msgspec.Struct, array_like=True):
    """Samples counted by bin, with exact count, sum, minimum and maximum (all in microseconds).

    After `subtract` minimum and maximum are limits of the remaining bins: within 0.1 % instead of exact.
    """

    counts: dict[int, int] = msgspec.field(default_factory=dict)
    """Index of a bin -> number of its samples. Empty if `packed` contains them."""
    count: int = 0
    sum: int = 0
    min: int = HIGHEST_US
    max: int = 0
    overflow: int = 0
    packed: Packed | None = None
    """The bins of a histogram that hardly changes any more."""

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
        self.unpack()
        counts = self.counts
        for index, n in other.bins().items():
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
        self.unpack()
        counts, taken = self.counts, other.bins()
        if any(counts.get(index, 0) < n for index, n in taken.items()):
            raise ValueError("samples taken back that were never recorded")
        for index, n in taken.items():
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
        return Histogram(dict(self.counts), self.count, self.sum, self.min, self.max, self.overflow, self.packed)

    def bins(self) -> Mapping[int, int]:
        """Index of a bin -> number of its samples; not to be changed.

        Raises:
            ValueError: `packed` is damaged.
        """
        if self.packed is None:
            return self.counts
        if len(self.packed.values) != len(PERCENTILES):
            raise ValueError("a packed histogram with another number of percentiles")
        steps, counts = _bins.decode(self.packed.bins)
        return dict(zip(accumulate(steps), counts, strict=True))

    def pack(self) -> None:
        """Keep the bins in little memory."""
        if self.packed is None:
            values = self.percentiles(PERCENTILES.values())
            indices = sorted(self.counts)
            steps = [*indices[:1], *(later - index for index, later in pairwise(indices))]
            self.packed = Packed(_encoder.encode((steps, [self.counts[index] for index in indices])), values)
            self.counts = {}

    def unpack(self) -> None:
        """Keep the bins so that they can be changed.

        Raises:
            ValueError: `packed` is damaged.
        """
        if self.packed is not None:
            self.counts, self.packed = dict(self.bins()), None

    def unpacked(self) -> "Histogram":
        """The same samples with their bins in `counts`: this histogram, or a copy."""
        if self.packed is None:
            return self
        copy = self.copy()
        copy.unpack()
        return copy

    def coarse(self) -> "Histogram":
        """The same samples in bins eight times as wide: percentiles are up to 0.8 % (below 1 ms up to 7 µs) too high,
        and a busy second takes a few hundred bytes. Count, sum, minimum and maximum stay exact."""
        counts: dict[int, int] = {}
        for index, n in self.bins().items():
            wide = index | 7
            counts[wide] = counts.get(wide, 0) + n
        if beyond := counts.pop(_HIGHEST_BIN | 7, 0):  # no bin lies above the highest
            counts[_HIGHEST_BIN] = beyond
        return Histogram(counts, self.count, self.sum, self.min, self.max, self.overflow)

    def ranges_at(self, ranks: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Rank (1: the smallest sample, at most `count`) -> the lowest and the highest value (µs) of its bin, but not
        beyond the exact minimum and maximum."""
        wanted = sorted(set(ranks), reverse=True)
        found: dict[int, tuple[int, int]] = {}
        counts, seen = self.bins(), 0
        for index in sorted(counts) if wanted else ():
            seen += counts[index]
            while wanted and wanted[-1] <= seen:
                low, high = bin_range(index)
                found[wanted.pop()] = max(low, self.min), max(self.min, min(high, self.max))
            if not wanted:
                break
        return found

    def percentiles(self, parts_per_10k: Iterable[int]) -> list[int | None]:
        """For each p (in parts per 10,000) the smallest value, in µs, with at least ceil(p·n) samples at or below it.

        The result is the highest value of the bin, but not more than the exact maximum. None where the sample is too
        small for the percentile: n < 1 / (1 - p).
        """
        n = self.count
        ranks = [None if n * (10_000 - parts) < 10_000 else max(1, -(-parts * n // 10_000)) for parts in parts_per_10k]
        ranges = self.ranges_at(rank for rank in ranks if rank is not None)
        return [None if rank is None or rank not in ranges else ranges[rank][1] for rank in ranks]

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
    """Count, sum, extremes and percentiles of a histogram; a packed one stays packed."""
    packed = histogram.packed
    found = histogram.percentiles(PERCENTILES.values()) if packed is None else packed.values
    values = dict(zip(PERCENTILES, found, strict=True))
    return Distribution(histogram.count, histogram.sum, histogram.min, histogram.max, histogram.overflow, values)
