"""When requests arrive in the open model. Pure functions, without clock or loop.

All workers draw the same sequence from the same seed, and each takes every n-th arrival of it. Together they make
exactly the sequence that one worker would: a constant rate stays evenly spaced, and a gamma process stays a gamma
process. (Independent gamma processes do not add up to one.) The sequence is in amounts: the integral of the rate at
which an arrival comes. A profile turns amounts into times, so a rate that changes moves the arrivals and draws none
anew. A trace has its arrivals already: the amounts are its own seconds, and the level is the speed of the replay.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmstress.engine.trace import Trace

CONSTANT, POISSON, GAMMA = "constant", "poisson", "gamma"


def amounts(arrival: str, burstiness: float, seed: int) -> Iterator[float]:
    """The amount at which each request of the run arrives; the mean difference is 1.

    Args:
        arrival: `constant`: the first one at 0, evenly spaced. `poisson`: exponential differences. `gamma`:
            gamma-distributed differences.
        burstiness: shape of the gamma distribution. Its scale is 1 / burstiness, so the squared coefficient of
            variation of the differences is 1 / burstiness (the definition of vLLM's benchmark).
        seed: of the random numbers.
    """
    if arrival == CONSTANT:
        yield from map(float, itertools.count())
        return
    numbers = random.Random(f"{seed}/arrivals")
    total = 0.0
    while True:
        if arrival == POISSON:
            total += numbers.expovariate(1.0)
        else:
            total += numbers.gammavariate(burstiness, 1 / burstiness)
        yield total


def own(arrivals: Iterator[float], worker: int, workers: int) -> Iterator[float]:
    """The arrivals of one worker: every n-th one."""
    return itertools.islice(arrivals, worker, None, workers)


def spread(arrival: str, burstiness: float) -> float:
    """Standard deviation of the number of arrivals in a long time, divided by the square root of the mean number."""
    if arrival == CONSTANT:
        return 0.0
    return 1 / math.sqrt(burstiness) if arrival == GAMMA else 1.0


class Arrivals(NamedTuple):
    """The requests that arrive at one worker: every n-th one of the run."""

    amounts: Iterator[float]
    """The amount at which each of them arrives."""
    between: Callable[[float, float], float]
    """How many requests of the run are to be expected from one amount to another one."""
    spread: float = 0.0
    """Standard deviation of that number, divided by its square root."""


def random_arrivals(arrival: str, burstiness: float, seed: int, worker: int, workers: int) -> Arrivals:
    """The share of one worker of the requests that `amounts` describes."""
    every_nth = own(amounts(arrival, burstiness, seed), worker, workers)
    return Arrivals(every_nth, lambda begin, end: end - begin, spread(arrival, burstiness))


def trace_arrivals(trace: Trace, worker: int, workers: int) -> Arrivals:
    """The share of one worker of the rows of a trace. Its amounts are seconds of the trace after the first row."""
    return Arrivals(
        (trace.at(row) / 1e9 for row in range(worker, len(trace), workers)),
        lambda begin, end: trace.before(round(end * 1e9)) - trace.before(round(begin * 1e9)),
    )
