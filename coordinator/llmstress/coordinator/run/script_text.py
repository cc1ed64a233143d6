"""What users in Python are like, in words: for the plan of a run. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.run.request_text import limit_lines
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.engine.telemetry.formatting import share


def user_lines(options: Options, tasks: Sequence[RunTask]) -> list[str]:
    """A line with the user classes of the scenario and their shares of its tasks; nothing if there is no scenario.

    tasks: all tasks of the run.
    """
    weights: dict[str, int] = {}
    for task in tasks:
        if task.own.script:
            name = _class_of(task)
            weights[name] = weights.get(name, 0) + task.weight
    total = sum(weights.values())
    named = ", ".join(f"{share(weight, total)} {name}" for name, weight in weights.items())
    return [f"  users of {options.scenario}: {named}"] if weights else []


def script_lines(task: RunTask) -> list[str]:
    """What is known of a task in Python before it runs, a line for each thing."""
    return [
        f"a task of the users {_class_of(task)}: {task.own.origin}",
        *limit_lines(task.options),
        "its requests are those that its code makes, so none are shown",
    ]


def _class_of(task: RunTask) -> str:
    return task.own.script.partition(".")[0]
