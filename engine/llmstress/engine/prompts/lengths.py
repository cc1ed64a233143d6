"""How many tokens a prompt or an answer has: a number, or a distribution. Pure functions."""

import math
import random
from typing import Literal

import msgspec

MOST_TOKENS = 10_000_000

Shape = Literal["fixed", "normal", "uniform", "lognormal"]


class Lengths(msgspec.Struct, array_like=True, frozen=True):
    """A distribution of numbers of tokens, each at least 1."""

    shape: Shape
    first: float
    """The number itself, the mean, or the lowest one (uniform)."""
    second: float = 0.0
    """The standard deviation, or the highest one (uniform)."""

    def draw(self, numbers: random.Random) -> int:
        """One of them."""
        match self.shape:
            case "fixed":
                return int(self.first)
            case "uniform":
                return numbers.randint(int(self.first), int(self.second))
            case "normal":
                drawn = numbers.gauss(self.first, self.second)
            case "lognormal":
                drawn = numbers.lognormvariate(*self.log_parameters)
        return min(MOST_TOKENS, max(1, round(drawn)))

    @property
    def log_parameters(self) -> tuple[float, float]:
        """Mean and standard deviation of the logarithm, for a lognormal distribution with this mean m and standard
        deviation s: σ² = ln(1 + s²/m²), μ = ln m − σ²/2."""
        variance = math.log1p((self.second / self.first) ** 2)
        return math.log(self.first) - variance / 2, math.sqrt(variance)

    @property
    def mean(self) -> float:
        """The mean, but for values that are raised to 1."""
        return (self.first + self.second) / 2 if self.shape == "uniform" else self.first

    @property
    def least(self) -> int:
        """The lowest possible number."""
        return int(self.first) if self.shape in ("fixed", "uniform") else 1

    def __str__(self) -> str:
        """As it is given on the command line."""
        match self.shape:
            case "fixed":
                return f"{self.first:g}"
            case "uniform":
                return f"uniform:{self.first:g}..{self.second:g}"
            case "normal":
                return f"{self.first:g}±{self.second:g}"
            case "lognormal":
                return f"lognormal:{self.first:g}±{self.second:g}"
