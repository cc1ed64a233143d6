"""Flows: one kind of request for each step, so that each step has statistics of its own. Pure functions."""

from collections.abc import Iterable

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.flow_check import answers_wanted, secret_variables
from llmstress.coordinator.config.keys import is_secret_name
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.tasks import OwnOptions, OwnStep
from llmstress.engine.api.base import Api
from llmstress.engine.control import FlowStep, TaskPlan
from llmstress.engine.stream.failure_policy import COUNT


def flow_step(task: OwnOptions, step: OwnStep, all_options: Iterable[Options], plan: TaskPlan, seed: int) -> TaskPlan:
    """The step of a flow whose requests are like those of `plan`. `all_options`: those of all steps of the task."""
    all_options = list(all_options)
    secret = secret_variables(all_options)
    has_setup = any(each.setup for each in task.steps)
    flow = FlowStep(
        setup=step.setup,
        extracts=tuple(
            msgspec.structs.replace(each, secret=each.name in secret or is_secret_name(each.name))
            for each in step.extracts
        ),
        keeps_answer=step.name in answers_wanted(all_options),
        think=step.think,
        seed=seed,
    )
    # a 401 leads to a new set-up; the user's own entries still count, because the last one that fits does
    renewed = [("401", COUNT)] if has_setup and not step.setup else []
    return msgspec.structs.replace(
        plan,
        step=step.name,
        steps=len(task.steps) if step is task.steps[0] else 1,
        flow=flow,
        on_status=[*renewed, *plan.on_status],
    )


def check_extractions(step: OwnStep | None, name: str, api: Api) -> None:
    """Check that a step can take what it wants from the answers of the API `name`.

    Raises:
        UsageError: its answers have no text.
    """
    for each in () if step is None else step.extracts:
        if each.kind != "header" and not api.reads_text:
            raise UsageError(f"extract {each.name} = {each}: the answers of {name} have no text; use header:NAME")
