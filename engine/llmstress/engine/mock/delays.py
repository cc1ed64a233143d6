"""Random delays with a given mean and distribution."""

import itertools
import math
import random
from collections.abc import Callable
from typing import Literal

DelayDistribution = Literal["uniform", "exponential", "lognormal"]

_BATCH = 256
"""Number of delays drawn at a time, which takes 25 µs."""


class Delays:
    """Random delays in whole µs. A call of `next` costs no more than a step of an iterator.

    With mean m, jitter j and u uniform in [0, 1):

    - uniform: m·(1 - j + 2·j·u), which is uniform from m·(1 - j) to m·(1 + j);
    - exponential: -m·ln(1 - u), the gaps of a Poisson process; jitter has no effect;
    - lognormal: exp(µ + σ·z) with z from the standard normal distribution, σ² = ln(1 + j²) and
      µ = ln(m) - σ²/2, which has mean m and standard deviation j·m.
    """

    __slots__ = ("next",)

    def __init__(self, shape: DelayDistribution, mean_us: float, jitter: float, source: random.Random) -> None:
        batches = iter(_batches(shape, mean_us, jitter, source), None)
        self.next: Callable[[], int] = itertools.chain.from_iterable(batches).__next__
        """The next delay."""

    def total(self, count: int) -> int:
        """The sum of the next `count` delays, in µs."""
        return sum([self.next() for _ in range(count)])


def _batches(
    shape: DelayDistribution, mean_us: float, jitter: float, source: random.Random
) -> Callable[[], list[int] | None]:
    draw, normal, batch = source.random, source.gauss, range(_BATCH)
    if mean_us == 0:
        return lambda: [0] * _BATCH
    match shape:
        case "uniform":
            least, spread = mean_us * (1 - jitter), mean_us * 2 * jitter
            return lambda: [int(least + spread * draw()) for _ in batch]
        case "exponential":
            log1p = math.log1p
            return lambda: [int(-mean_us * log1p(-draw())) for _ in batch]
        case "lognormal":
            exp, variance = math.exp, math.log1p(jitter * jitter)
            middle, deviation = math.log(mean_us) - variance / 2, math.sqrt(variance)
            return lambda: [int(exp(middle + deviation * normal(0, 1))) for _ in batch]
