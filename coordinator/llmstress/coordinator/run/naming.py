"""Names that the code of users gives to requests: each worker numbers them as they come, and the run has one list."""

from collections.abc import Callable

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
            steps = (StepFacts(task=task, step=request, flow=True) for task, request in new)
            publish(msgspec.structs.replace(facts, steps=(*facts.steps, *steps)))
        parts: dict[int, Part] = {}
        for key, part in delta.parts.items():
            named = task_of(key) - planned
            known = 0 <= named < len(numbers)
            parts[key_of(window_of(key), numbers[named]) if known else key] = part
        return msgspec.structs.replace(delta, parts=parts, named=[])
