"""Random decisions about each request: whether it has a fault, and how long its answer is."""

import random
from typing import NamedTuple

from llmstress.engine.mock.faults import Fault, FaultShare


class Draw(NamedTuple):
    """What was drawn for one request."""

    fault: Fault | None
    position: float
    """Where in the answer the fault takes effect, in [0, 1)."""
    length: float
    """Where in the range of answer lengths this answer's length lies, in [0, 1)."""


NO_DRAW = Draw(None, 0.0, 0.0)
"""The draw when no option is random."""


class Draws:
    """Draws that depend only on the seed and the request's number, so that a run can be repeated."""

    __slots__ = ("_seed", "_shares", "_until")

    def __init__(self, shares: tuple[FaultShare, ...], seed: str, until: int) -> None:
        """`until`: only the first so many requests may have a fault; 0 for all."""
        self._shares = shares
        self._seed = seed
        self._until = until

    def of(self, number: int) -> Draw:
        """The draw of request `number`, counted from 0."""
        # each request has a generator of its own, so that other random numbers, such as delays, don't change the result
        rand = random.Random(f"{self._seed}/{number}").random
        fault, position, length = rand(), rand(), rand()
        if self._until and number >= self._until:
            return Draw(None, position, length)
        for each in self._shares:
            if fault < each.share:
                return Draw(each.fault, position, length)
            fault -= each.share
        return Draw(None, position, length)
