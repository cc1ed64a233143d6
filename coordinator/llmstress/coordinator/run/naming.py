"""Names that the code of users gives to requests: each worker numbers them as they come, and the run has one list."""

import msgspec

from llmstress.engine.telemetry.broadcast import RunFacts, StepFacts
from llmstress.engine.telemetry.messages import Delta, Part, key_of, task_of, window_of


class Names:
    """The task numbers of the names of a run."""

    def __init__(self, planned: int) -> None:
        """planned: number of the tasks that are known before the run; names have the numbers after them."""
        self._planned = planned
        self._numbers: dict[tuple[str, str], int] = {}

    def of_run(self, delta: Delta) -> Delta:
        """The delta of a worker, with the task numbers of the run."""
        if not delta.named:
            return delta
        numbers = [self._planned + self._numbers.setdefault(name, len(self._numbers)) for name in delta.named]
        parts: dict[int, Part] = {}
        for key, part in delta.parts.items():
            named = task_of(key) - self._planned
            known = 0 <= named < len(numbers)
            parts[key_of(window_of(key), numbers[named]) if known else key] = part
        return msgspec.structs.replace(delta, parts=parts, named=[])

    def added_to(self, facts: RunFacts) -> RunFacts | None:
        """The facts of the run with the names that are new; None: none is."""
        new = [*self._numbers][len(facts.steps) - self._planned :]
        if not new:
            return None
        steps = tuple(StepFacts(task=task, step=request, flow=True) for task, request in new)
        return msgspec.structs.replace(facts, steps=facts.steps + steps)
