"""When requests arrive: the same sequence in any number of workers, of the distribution that was asked for."""

import itertools
import math
import statistics
from collections.abc import Callable, Sequence

import pytest

from llmstress.engine import arrivals
from llmstress.engine.telemetry.load_profile import Piece, Profile, constant, stamps

NUMBER = 20_000

KINDS = [("constant", 1.0), ("poisson", 1.0), ("gamma", 1.0), ("gamma", 0.25), ("gamma", 4.0)]


def first(arrival: str, burstiness: float, number: int, seed: int = 0) -> list[float]:
    return list(itertools.islice(arrivals.amounts(arrival, burstiness, seed), number))


def gamma_cdf(shape: float) -> Callable[[float], float]:
    """That of a gamma distribution with mean 1: the regularised lower incomplete gamma function, by its series."""

    def cdf(value: float) -> float:
        x = value * shape
        if x <= 0:
            return 0.0
        term = total = 1 / shape
        n = shape
        while term > total * 1e-15:
            n += 1
            term *= x / n
            total += term
        return min(1.0, total * math.exp(-x + shape * math.log(x) - math.lgamma(shape)))

    return cdf


def ks_distance(values: Sequence[float], cdf: Callable[[float], float]) -> float:
    """The largest distance of the empirical distribution from `cdf`."""
    n = len(values)
    steps = enumerate(sorted(values))
    return max(max(cdf(value) - index / n, (index + 1) / n - cdf(value)) for index, value in steps)


KS_LIMIT = 1.6276
"""A sample of n values is farther than this ÷ √n from its distribution once in a hundred times."""


def test_the_formulas_of_the_tests_are_right() -> None:
    assert gamma_cdf(1.0)(0.7) == pytest.approx(1 - math.exp(-0.7))
    assert gamma_cdf(0.5)(1.0) == pytest.approx(math.erf(math.sqrt(0.5)))
    assert ks_distance([0.25, 0.75], lambda x: x) == 0.25
    exponential = [-math.log(1 - (k + 0.5) / 1000) for k in range(1000)]
    assert ks_distance(exponential, gamma_cdf(1.0)) < 0.001
    assert ks_distance(exponential, gamma_cdf(0.6)) > KS_LIMIT / math.sqrt(1000), "it tells shapes apart"


@pytest.mark.parametrize("shape", [1.0, 0.25, 0.5, 2.0, 4.0, 50.0])
def test_the_differences_of_gamma_arrivals_are_gamma_distributed_with_mean_1(shape: float) -> None:
    differences = [b - a for a, b in itertools.pairwise([0.0, *first("gamma", shape, NUMBER)])]
    assert ks_distance(differences, gamma_cdf(shape)) < KS_LIMIT / math.sqrt(NUMBER)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_the_differences_of_poisson_arrivals_are_exponential_with_mean_1(seed: int) -> None:
    differences = [b - a for a, b in itertools.pairwise([0.0, *first("poisson", 1.0, NUMBER, seed)])]
    assert ks_distance(differences, gamma_cdf(1.0)) < KS_LIMIT / math.sqrt(NUMBER)


def test_constant_arrivals_are_the_whole_numbers() -> None:
    assert first("constant", 1.0, 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(("arrival", "burstiness"), KINDS)
def test_workers_together_make_exactly_the_one_sequence(arrival: str, burstiness: float, workers: int) -> None:
    whole = first(arrival, burstiness, 7 * 40)
    shares = [
        list(itertools.islice(arrivals.own(arrivals.amounts(arrival, burstiness, 0), worker, workers), 280 // workers))
        for worker in range(workers)
    ]
    assert sorted(itertools.chain(*shares)) == whole[: 280 // workers * workers]


def test_a_seed_is_a_sequence() -> None:
    assert first("poisson", 1.0, 9, seed=1) == first("poisson", 1.0, 9, seed=1)
    assert first("poisson", 1.0, 9, seed=1) != first("poisson", 1.0, 9, seed=2)


@pytest.mark.parametrize(("arrival", "burstiness"), KINDS)
def test_the_spread_is_that_of_counts_in_long_times(arrival: str, burstiness: float) -> None:
    window = 100
    counts = [0] * (NUMBER // window)
    for amount in first(arrival, burstiness, 2 * NUMBER):
        if amount < NUMBER:
            counts[int(amount // window)] += 1
    measured = statistics.pstdev(counts) / math.sqrt(window)
    assert measured == pytest.approx(arrivals.spread(arrival, burstiness), rel=0.15, abs=0.01)


# --- as times


def times(profile: Profile, amounts: Sequence[float]) -> list[int]:
    return list(stamps(profile, iter(amounts)))


@pytest.mark.parametrize("rate", [0.5, 50, 500, 2_000, 33.3])
def test_a_constant_rate_neither_drifts_nor_jumps(rate: float) -> None:
    found = times(constant("requests", rate), first("constant", 1.0, 10_000))
    assert found == [round(number / rate * 1e9) for number in range(10_000)]


def test_the_distribution_is_that_of_the_rate_at_any_rate() -> None:
    found = times(constant("requests", 500), first("poisson", 1.0, NUMBER))
    gaps = [(b - a) / 1e9 * 500 for a, b in itertools.pairwise(found)]
    assert ks_distance(gaps, gamma_cdf(1.0)) < KS_LIMIT / math.sqrt(NUMBER)


def test_a_rate_that_changes_changes_no_count() -> None:
    """As many arrive by any moment as the integral of the rate says."""
    rising = Profile("requests", (Piece(0, 10_000_000_000, 0, 100), Piece(10_000_000_000, 12_000_000_000, 10, 10)))
    found = times(rising, first("constant", 1.0, 10_000))
    assert len(found) == 520
    for second in (1, 4, 9, 10, 11, 12):
        assert sum(t < second * 1e9 for t in found) == math.ceil(rising.amount(0, second * 1_000_000_000))


def test_nothing_arrives_at_a_rate_of_0() -> None:
    pause = Profile("requests", (Piece(0, 1_000_000_000, 0, 0), Piece(1_000_000_000, 2_000_000_000, 2, 2)))
    assert times(pause, first("constant", 1.0, 100)) == [1_000_000_000, 1_500_000_000]
    assert times(constant("requests", 0), first("constant", 1.0, 100)) == []
