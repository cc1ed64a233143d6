"""How exact the figures of a point are: the interval of a share, and that of a mean rate. Pure functions."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.99
"""Probability with which an interval contains the true value."""

LEAST_BATCHES, MOST_BATCHES = 10, 20
"""Batches of a mean rate. More than 20 to 30 make the interval hardly narrower, and the batches less independent
(Schmeiser, Operations Research 30, 1982)."""

SHORTEST_BATCH_S = 1.0
"""Four reports of a worker: when a report was cut, to some milliseconds, does not matter."""


def wilson(met: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of the share of which `met` of `n` independent requests are a sample (Wilson, Journal of
    the American Statistical Association 22, 1927). Without a request: 0 to 1."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = met / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    # without rounding errors where the limits are known
    return (middle - half) / whole if met else 0.0, (middle + half) / whole if met < n else 1.0


def wilson_between(low: int, high: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval if between `low` and `high` of the `n` requests met their SLOs: for some of them it is unknown."""
    return wilson(low, n, confidence)[0], wilson(high, n, confidence)[1]


def requests_to_show(share: float, confidence: float = CONFIDENCE) -> int:
    """How many requests must all be good until the interval lies above `share`."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return math.floor(share / (1 - share) * z * z) + 1


def relative_half_width(readings: Sequence[tuple[float, float]], confidence: float = CONFIDENCE) -> float | None:
    """Half of the interval of a mean rate, as a share of it, by the method of batch means; None: too few batches.

    `readings`: seconds, and the amount by then; the first is the begin of the point.
    """
    if len(readings) < 2:
        return None
    seconds = readings[-1][0] - readings[0][0]
    batch_s = max(SHORTEST_BATCH_S, seconds / MOST_BATCHES)
    rates: list[float] = []
    begin, amount = readings[0]
    for t, by_then in readings[1:]:
        if t - begin >= batch_s - 0.1:  # a reading comes some milliseconds sooner or later
            rates.append((by_then - amount) / (t - begin))
            begin, amount = t, by_then
    if len(rates) < LEAST_BATCHES or not (mean := fmean(rates)):
        return None
    return t_quantile((1 + confidence) / 2, len(rates) - 1) * stdev(rates) / math.sqrt(len(rates)) / mean


def t_quantile(p: float, freedom: int) -> float:
    """The quantile of Student's distribution, from that of the normal distribution: expansion 26.7.5 of Abramowitz and
    Stegun, Handbook of Mathematical Functions. For p = 0.995 its error is below 0.1 % from 9 degrees of freedom on."""
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return math.fsum([z, *(term / freedom**power for power, term in enumerate(terms, 1))])
