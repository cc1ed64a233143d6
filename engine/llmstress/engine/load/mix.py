"""Which task each request of a worker is of, or which kind each session: as often as its weight says."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from llmstress.engine.load.sessions import SessionKind
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.task import Task

Entry = Task | SessionKind

Next = tuple[Entry, int]
"""A task, and the number of its next request; or a kind of session, and the number of the next one."""


class Mix:
    """The tasks of a worker, and the order of their requests. A session takes one place in that order, however many
    requests it has.

    Each worker follows the weights by itself: after any number of its requests, the number of those of a task differs
    from its share of them by less than one. Request j of a task (from 0) has a window of places in the order, from
    j / share rounded down to (j + 1) / share rounded up. Of the tasks whose window has begun, the one whose window ends
    first is next (the earliest deadline first, as for fair shares of a processor). A smooth weighted round-robin would
    be simpler, but it is off by up to 1.26 requests among ten tasks. The order repeats after as many requests as the
    sum of the weights, and workers begin it at different places, so that they do not all begin with the same task.

    The requests of a task are numbered from 0 over the whole run. Worker w of n has the numbers w, w + n, w + 2n, ...
    of each task. What was taken and never began is given back and taken again first, so no number is left out.
    """

    def __init__(self, entries: Sequence[Entry], weights: Sequence[int], worker: int, workers: int) -> None:
        """weights: of each entry, whole numbers from 1 on."""
        self.entries = tuple(entries)
        self.tasks = tuple(
            task for entry in entries for task in (entry.tasks if isinstance(entry, SessionKind) else [entry])
        )
        """Also those of the requests of sessions."""
        self._weights = list(weights)
        self._total = sum(weights)
        self._chosen = [0] * len(entries)
        self._place = 0
        self._numbers = [count(worker, workers) for _ in entries]
        self._returned: deque[Next] = deque()
        self._next: Callable[[], Next] = self._take if len(entries) > 1 else self._take_only
        if len(entries) > 1:
            for _ in range(self._total * worker // workers):
                self._choose()

    def take(self) -> Next:
        """The next request or session of this worker: its task or kind, and its number."""
        return self._returned.popleft() if self._returned else self._next()

    def give_back(self, taken: Next) -> None:
        """What was taken has not begun: it is to be taken again. What is given back first is taken first."""
        self._returned.append(taken)

    def _take_only(self) -> Next:
        return self.entries[0], next(self._numbers[0])

    def _take(self) -> Next:
        chosen = self._choose()
        return self.entries[chosen], next(self._numbers[chosen])

    def _choose(self) -> int:
        total, place = self._total, self._place
        best, first_end = 0, math.inf
        for index, (weight, chosen) in enumerate(zip(self._weights, self._chosen, strict=True)):
            if chosen * total // weight <= place and (end := -(-(chosen + 1) * total // weight)) < first_end:
                best, first_end = index, end
        self._chosen[best] += 1
        self._place += 1
        return best

    @property
    def origins(self) -> dict[Dials, float]:
        """What opens connections to each origin, and the share of what is taken that begins there: later requests of a
        session have the connection of the first one, or open one when they need it."""
        shares = dict.fromkeys((task.dials for task in self.tasks), 0.0)
        for entry, weight in zip(self.entries, self._weights, strict=True):
            shares[entry.dials] += weight / self._total
        return shares
