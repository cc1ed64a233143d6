"""What becomes of a request by chance: its fault if it has one, and how long its answer is."""

import random
from typing import NamedTuple

from llmstress.engine.mock.faults import Fault, FaultShare


class Draw(NamedTuple):
    """What was drawn for one request."""

    fault: Fault | None
    position: float
    """How far through the answer a fault strikes: from 0 up to 1."""
    length: float
    """Where in the range of lengths the answer's lies: from 0 up to 1."""


NO_DRAW = Draw(None, 0.0, 0.0)
"""Nothing is left to chance."""


class Draws:
    """Draws by the number of the request alone: the same seed gives the same fates in the same order."""

    __slots__ = ("_seed", "_shares", "_until")

    def __init__(self, shares: tuple[FaultShare, ...], seed: str, until: int) -> None:
        """`until`: how many requests may have a fault, the first ones; 0 for all."""
        self._shares = shares
        self._seed = seed
        self._until = until

    def of(self, number: int) -> Draw:
        """The fate of request `number`, counted from 0."""
        # its own source, so that no other draw, of a delay for instance, comes in between
        draw = random.Random(f"{self._seed}/{number}").random
        lot, at, length = draw(), draw(), draw()
        if self._until and number >= self._until:
            return Draw(None, at, length)
        for each in self._shares:
            if lot < each.share:
                return Draw(each.fault, at, length)
            lot -= each.share
        return Draw(None, at, length)
