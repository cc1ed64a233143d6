"""Think times: how long a stream waits after an answer."""

import random
from collections.abc import Iterator

from llmstress.engine.control import Think


def think_times(think: Think, numbers: random.Random) -> Iterator[int]:
    """One think time after the other, in ns."""
    while True:
        if think.exponential:
            yield round(numbers.expovariate(1 / think.low_ns)) if think.low_ns else 0
        else:
            yield round(numbers.uniform(think.low_ns, think.high_ns))
