"""What has statistics of its own within a task: the turns of conversations and the steps of flows. Pure functions."""

from collections.abc import Iterable

from llmstress.coordinator.config.load_text import Turns
from llmstress.coordinator.config.tasks import OwnOptions, OwnStep
from llmstress.engine.telemetry.broadcast import StepFacts

MOST_NAMED = 20
"""Turns with statistics of their own; the last of them stands for all that follow."""


def turn_names(turns: Turns | None) -> tuple[str, ...]:
    """`turn 1`, `turn 2` and so on, at most `MOST_NAMED`; none without conversations."""
    if turns is None:
        return ()
    names = [f"turn {number}" for number in range(1, min(turns.most, MOST_NAMED) + 1)]
    if turns.most > MOST_NAMED:
        names[-1] += "+"
    return tuple(names)


def step_facts(tasks: Iterable[tuple[OwnOptions, OwnStep | None, Turns | None]]) -> tuple[StepFacts, ...]:
    """What the task numbers of a run stand for. `tasks`: each task with its step and turns, of a flow once for each of
    its steps."""
    return tuple(
        fact
        for task, step, turns in tasks
        for fact in (
            [StepFacts(task=task.name, step="" if step is None else step.name, flow=True, script=bool(task.script))]
            if step is not None or task.script
            else [StepFacts(task=task.name, step=turn, conversation=bool(turn)) for turn in turn_names(turns) or ("",)]
        )
    )
