"""Names that the code of users gives to requests: each worker numbers them as they come, and the run has one list."""

from collections.abc import Callable, Sequence

import msgspec

from llmstress.engine.telemetry.broadcast import RunFacts, StepFacts
from llmstress.engine.telemetry.messages import Delta, Part, key_of, task_of, window_of


class Names:
    """The task numbers of the names of a run: they follow those that are known before it."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def of_run(self, delta: Delta, facts: RunFacts, publish: Callable[[RunFacts], None]) -> Delta:
        """The delta of a worker, with the task numbers of the run. If it has new names, the facts of the run with these
        are published first."""
        if not delta.named:
            return delta
        planned = len(facts.steps) - len(self._numbers)
        new = [name for name in delta.named if name not in self._numbers]
        numbers = [planned + self._numbers.setdefault(name, len(self._numbers)) for name in delta.named]
        if new:
            publish(_with_names(facts, new))
        parts: dict[int, Part] = {}
        for key, part in delta.parts.items():
            named = task_of(key) - planned
            known = 0 <= named < len(numbers)
            parts[key_of(window_of(key), numbers[named]) if known else key] = part
        return msgspec.structs.replace(delta, parts=parts, named=[])


def _with_names(facts: RunFacts, names: Sequence[tuple[str, str]]) -> RunFacts:
    """The facts with these further names. What their requests cost is priced as their task's."""
    steps = (StepFacts(task=task, step=request, flow=True) for task, request in names)
    tasks = [each.name for each in facts.tasks]
    positions = (tasks.index(task) if task in tasks else 0 for task, _ in names)
    pricing = msgspec.structs.replace(facts.pricing, positions=(*facts.pricing.positions, *positions))
    return msgspec.structs.replace(facts, steps=(*facts.steps, *steps), pricing=pricing)
