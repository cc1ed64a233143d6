"""Confidence intervals of percentiles and shares, without an assumption about the distribution. Pure functions.

A percentile of a run is an estimate: another run against the same server gives another value. The interval of a
percentile lies between two of the measured values. It contains the true percentile with a probability of at least
`CONFIDENCE`, whatever the distribution, if the samples are independent of each other (David and Nagaraja, Order
Statistics, 3rd edition, section 7.1).

The interval of a share is the one of Clopper and Pearson (Biometrika 26, 1934). It contains the true share with at
least this probability for every number of requests. Wilson's shorter interval does not if a share is small: if 0.11 %
of all requests fail, it would exclude this share after one failure in 100 requests, which 10 % of such runs have.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

from llmstress.engine.telemetry.histogram import Histogram

CONFIDENCE = 0.99
"""Probability with which an interval contains the true value."""

_TAIL = (1 - CONFIDENCE) / 2
"""Probability of an error on each side of an interval."""

_Z = NormalDist().inv_cdf(1 - _TAIL)

_MOST_EXACT = 1_000
"""Variance of a binomial distribution, n·p·(1 − p), from which on its sum of more than 600 terms is replaced by an
approximation. `tests/engine/test_intervals.py` compares both: intervals of percentiles get wider by at most one sample
on each side, intervals of shares change by less than a hundredth of their width."""

_BISECTIONS = 50

Interval = tuple[float | None, float | None]
"""Lower and upper limit; None: the samples give no limit on this side."""


def percentile_intervals(histogram: Histogram, parts_per_10k: Sequence[int]) -> list[Interval]:
    """The interval (µs) of each percentile, given in parts per 10,000.

    The limits include the width of the bins: the lower one is the lowest value of its bin, the upper one the highest.
    """
    ranks = [percentile_ranks(histogram.count, parts) for parts in parts_per_10k]
    ranges = histogram.ranges_at(rank for pair in ranks for rank in pair if rank is not None)
    return [
        (None if low is None else float(ranges[low][0]), None if high is None else float(ranges[high][1]))
        for low, high in ranks
    ]


def percentile_ranks(n: int, parts_per_10k: int) -> tuple[int | None, int | None]:
    """The ranks (from 1) of the two of `n` ordered samples between which the percentile lies.

    The number of samples below a percentile has a binomial distribution. None: not even the lowest or the highest
    sample is a limit with this confidence.
    """
    low = _rank(n, parts_per_10k / 10_000)
    # the upper rank for p is the lower one for 1 - p, counted from the other end
    high = n + 1 - _rank(n, 1 - parts_per_10k / 10_000)
    return low or None, high if high <= n else None


def least_samples(parts_per_10k: int) -> int:
    """The least number of samples for which a percentile is not thin, by the rule of MLPerf's early stopping that
    `histogram.THIN_BELOW` contains for the usual percentiles: with a probability of at least `CONFIDENCE`, two samples
    or more lie beyond the percentile."""
    p = max(parts_per_10k, 10_000 - parts_per_10k) / 10_000
    low, high = 2, 2
    while _beyond(high, p) > 1 - CONFIDENCE:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _beyond(middle, p) <= 1 - CONFIDENCE else (middle + 1, high)
    return low


def _beyond(n: int, p: float) -> float:
    """The probability that at most one of `n` samples lies beyond the percentile p."""
    return float(p**n + n * (1 - p) * p ** (n - 1))


def share_interval(part: int, whole: int) -> Interval:
    """The interval of the share of which `part` of `whole` is a sample, from 0 to 1; without a sample no limits."""
    if not whole:
        return None, None
    return _lowest_share(part, whole), 1 - _lowest_share(whole - part, whole)


def _lowest_share(part: int, whole: int) -> float:
    """The highest share for which `part` or more of `whole` have a probability of at most `_TAIL`."""
    if not part:
        return 0.0
    if part * (whole - part) / whole >= _MOST_EXACT:
        # Wilson's interval with a correction for continuity (Newcombe, Statistics in Medicine 17, 1998, method 4)
        share, z = part / whole, _Z
        root = math.sqrt(z * z - 2 - 1 / whole + 4 * share * (whole * (1 - share) + 1))
        return (2 * part + z * z - 1 - z * root) / (2 * (whole + z * z))
    high = part / whole
    low = max(0.0, high - 20 * math.sqrt(high * (1 - high) / whole) - 20 / whole)  # certainly too low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - _at_most(part - 1, whole, middle) <= _TAIL else (low, middle)
    return low


def _rank(n: int, p: float) -> int:
    """The highest rank r with P(B < r) <= `_TAIL` for a binomial B of `n` and `p`; 0: there is none. If it is
    approximated, it may be one rank too low, never too high."""
    variance = n * p * (1 - p)
    if variance >= _MOST_EXACT:
        # Cornish-Fisher expansion with two terms; half a rank of continuity is left out to be on the safe side
        return math.floor(n * p - _Z * math.sqrt(variance) + (1 - 2 * p) * (_Z * _Z - 1) / 6)
    below = 0.0
    for k, mass in _masses(n, p):
        below += mass
        if below > _TAIL:
            return k
    return n


def _at_most(most: int, n: int, p: float) -> float:
    """P(B <= most)."""
    total = 0.0
    for k, mass in _masses(n, p):
        if k > most:
            break
        total += mass
    return total


def _masses(n: int, p: float) -> Iterator[tuple[int, float]]:
    """k and P(B = k), from a k on below which B has no weight (less than 1e-15)."""
    if not 0 < p < 1:
        yield (n if p else 0), 1.0
        return
    first = max(0, math.floor(n * p - 10 * math.sqrt(n * p * (1 - p)) - 20))
    log = math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
    mass, odds = math.exp(log + first * math.log(p) + (n - first) * math.log1p(-p)), p / (1 - p)
    for k in range(first, n + 1):
        yield k, mass
        mass *= (n - k) / (k + 1) * odds
