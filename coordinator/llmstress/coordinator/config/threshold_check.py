"""Checks that a run has what its thresholds judge, before anything starts. A pure function."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Protocol

from llmstress.coordinator.config.errors import UsageError
from llmstress.engine.telemetry.broadcast import StepFacts, numbers_named
from llmstress.engine.telemetry.flows import DURATION
from llmstress.engine.telemetry.slo import Objectives
from llmstress.engine.telemetry.subjects import SUBJECTS
from llmstress.engine.telemetry.thresholds import Threshold


class OfRun(Protocol):
    """What is needed of the options of the run."""

    @property
    def objectives(self) -> Objectives:
        """What requests are judged by."""

    @property
    def open(self) -> bool:
        """Requests arrive at a rate."""


def check_thresholds(flag: str, thresholds: Iterable[Threshold], run: OfRun, steps: Sequence[StepFacts]) -> None:
    """Check the thresholds of a flag. `steps`: what the task numbers of the run stand for.

    Raises:
        UsageError: a threshold names a task or a step that the run does not have, or judges what it does not measure.
    """
    for threshold in thresholds:
        said = f"{flag} {threshold.text}"
        numbers = numbers_named(steps, threshold.task) if threshold.task else frozenset(range(len(steps)))
        if not numbers and _is_named_later(threshold.task, steps):
            continue
        if not numbers:
            raise UsageError(f"{said}: {_unknown(threshold.task, steps)}")
        judged = [steps[number] for number in sorted(numbers)]
        step = judged[0] if threshold.task and threshold.task != judged[0].task else None
        needs = SUBJECTS[threshold.subject].needs
        if needs == "SLOs" and not run.objectives.slos:
            raise UsageError(f"{said} needs limits for good requests: --slo or --slo-preset")
        if needs == "arrivals" and not run.open:
            raise UsageError(f"{said} needs requests that arrive at a rate: --rate or --stage")
        if needs == "arrivals" and step is not None and step.flow:
            raise UsageError(f"{said}: flows arrive at a rate, and not their steps: name the task, {step.task}")
        if needs == "flows" and step is not None:
            raise UsageError(f"{said}: a step has no {DURATION}; name the task, or e2e instead of {DURATION}")
        if needs == "flows" and not any(each.flow for each in judged):
            raise UsageError(f"{said} needs a flow, which has steps ([[task.step]] in a file)")


def _is_named_later(name: str, steps: Sequence[StepFacts]) -> bool:
    """Whether it may be the name of a request that the code of a task gives."""
    task, slash, _ = name.partition("/")
    return bool(slash) and any(each.script and each.task == task for each in steps)


def _unknown(name: str, steps: Sequence[StepFacts]) -> str:
    """What is said of a name that stands for nothing in this run."""
    tasks = [*dict.fromkeys(each.task for each in steps if each.task)]
    head, slash, tail = name.rpartition("/")
    if slash and head in tasks:
        own = [each.path for each in steps if each.task == head and each.step]
        kind = "turn" if any(each.conversation for each in steps if each.task == head) else "step"
        if not own:
            return f"the task {head} has no steps; write {head} without {slash}{tail}"
        return f"the task {head} has no {kind} {tail!r}{_advice(name, own)}"
    paths = [each.path for each in steps if each.step]
    if not tasks:
        if paths:
            return f"there is no turn {name!r}{_advice(name, paths)}"
        return f"there is no task {name!r}: the run has none ([[task]] in a file)"
    return f"there is no task {name!r}{_advice(name, tasks, paths)}"


def _advice(name: str, listed: Sequence[str], more: Sequence[str] = ()) -> str:
    """The nearest name, and those that there are."""
    near = difflib.get_close_matches(name, [*listed, *more], 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{meant}{' There' if meant else '; there'} are {', '.join(listed)}"
