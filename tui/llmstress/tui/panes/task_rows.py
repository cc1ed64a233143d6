"""The rows of the tasks pane: the tasks, and below each one its steps or turns. Pure functions."""

from collections.abc import Container, Sequence
from typing import NamedTuple

from llmstress.engine.telemetry.by_task import NamedFigures, StepFigures, TaskFigures

MOST_TURNS = 5
"""Turns of a task that are all shown; of more the numbers 1, 2, 4, 8 and so on, and the last one."""


class TaskRow(NamedTuple):
    """A row of the table."""

    key: str
    """As in thresholds: `rag`, or `rag/search`."""
    label: str
    task: str
    """Name of the task; empty: there is no mix."""
    figures: NamedFigures


def rows_of(tasks: Sequence[TaskFigures], steps: Sequence[StepFigures], opened: Container[str]) -> list[TaskRow]:
    """The rows in their order.

    Args:
        tasks: none if there is no mix.
        steps: of all tasks.
        opened: the tasks of which all turns are shown.
    """
    found = []
    for task in tasks:
        found.append(TaskRow(task.name, task.name, task.name, task))
        found += _steps_of(task.name, steps, opened, "  ")
    return found or _steps_of("", steps, opened, "")


def _steps_of(task: str, steps: Sequence[StepFigures], opened: Container[str], indent: str) -> list[TaskRow]:
    own = [step for step in steps if step.facts.task == task]
    if task not in opened and any(step.facts.conversation for step in own):
        own = [own[at] for at in shown_turns(len(own))]
    return [TaskRow(step.facts.path, f"{indent}{step.name}", task, step) for step in own]


def shown_turns(count: int) -> list[int]:
    """Positions of the turns that are shown of so many if not all are."""
    if count <= MOST_TURNS:
        return list(range(count))
    powers = [1 << power for power in range(count.bit_length()) if 1 << power <= count]
    return [number - 1 for number in dict.fromkeys([*powers, count])]


def has_more(task: str, steps: Sequence[StepFigures]) -> bool:
    """Whether a task has more turns than are shown unless it is opened."""
    turns = sum(step.facts.conversation for step in steps if step.facts.task == task)
    return len(shown_turns(turns)) < turns


def compared(
    chosen: TaskRow, tasks: Sequence[TaskFigures], steps: Sequence[StepFigures]
) -> tuple[Sequence[NamedFigures], str]:
    """What the charts compare while this row is selected, and by what: the tasks; or the steps of a task if one of
    them is selected, or if there is no other task."""
    own = [step for step in steps if step.facts.task == chosen.task]
    if not own or (isinstance(chosen.figures, TaskFigures) and len(tasks) > 1):
        return tasks, "by task"
    by = "by turn" if own[0].facts.conversation else "by step"
    return own, f"{by} of {chosen.task}" if len(tasks) > 1 else by
