"""The figures of the tasks of a mix, and of the steps of flows and the turns of conversations, each by itself."""

from collections.abc import Container, Sequence
from typing import Any, Literal

import msgspec

from llmstress.engine.telemetry.aggregate import sum_of
from llmstress.engine.telemetry.broadcast import RunView, StepFacts, TaskFacts
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.flows import DURATION
from llmstress.engine.telemetry.messages import Part, Phase, task_of, window_of
from llmstress.engine.telemetry.metrics import LATENCIES
from llmstress.engine.telemetry.part_figures import PartFigures, part_figures

Unit = Literal["requests", "conversations", "flows"]
"""What the weights of a mix share out: a conversation or a flow has several requests."""


class NamedFigures(PartFigures, frozen=True, kw_only=True):
    """A task or a step over the steady windows; its rates are per second of them."""

    name: str
    """Without that of the task, if it is a step."""
    steady: Part
    """The part that the figures are of, with its histograms. Not to be changed."""
    whole: Part
    """What happened to its requests in the whole run, without latencies. Not to be changed."""

    @property
    def whole_failed_by(self) -> dict[str, int]:
        """Class of failure -> how many, in the whole run."""
        return {outcome: n for outcome, n in self.whole.ended.items() if n and outcome not in NOT_FAILED}


class StepFigures(NamedFigures, frozen=True, kw_only=True):
    """A step of the flows of a task, or a turn of its conversations."""

    facts: StepFacts


class TaskFigures(NamedFigures, frozen=True, kw_only=True):
    """One task."""

    facts: TaskFacts
    unit: Unit
    """What `begun` counts, and its shares are shares of."""
    begun: int
    """How many have started in the whole run."""
    asked_share: float
    """Its share by the weights: of the requests, of which a session counts as one."""
    started_share: float | None
    """Its share of what has started in the whole run; a session counts as one request. None: nothing has."""

    @property
    def speed(self) -> float | None:
        """What one user of it gets: output tokens per second of ok requests, from start to end; requests per second if
        they have no tokens. None: none has ended ok."""
        e2e = self.steady.latency.get("e2e")
        if e2e is None or not e2e.sum:
            return None
        return (self.counters.output or e2e.count) / (e2e.sum / 1e6)


def task_figures(view: RunView, latencies: Container[str] = LATENCIES) -> list[TaskFigures]:
    """The figures of each task, in the order of the mix; none if all requests are of one kind. Merging histograms takes
    most of the time, so who needs few of the `latencies` should ask for those only."""
    tasks = view.facts.tasks
    weights = sum(task.weight for task in tasks) or 1  # 0 only in a damaged record
    parts = _parts_by_task(view)
    wholes = [sum_of(_light(part) for _, part in of_task) for of_task in parts]
    units = [_unit(task, view.facts.steps) for task in tasks]
    begun = [
        whole.counters.started if unit == "requests" else whole.counters.sessions
        for whole, unit in zip(wholes, units, strict=True)
    ]
    started = sum(begun)
    return [
        TaskFigures(
            **_figures(of_task, whole, view, latencies),
            name=task.name,
            facts=task,
            unit=unit,
            begun=number,
            asked_share=task.weight / weights,
            started_share=number / started if started else None,
        )
        for task, of_task, whole, unit, number in zip(tasks, parts, wholes, units, begun, strict=True)
    ]


def step_figures(view: RunView, latencies: Container[str] = LATENCIES) -> list[StepFigures]:
    """The figures of each step of flows and each turn of conversations, in the order of the tasks; none if all requests
    stand for themselves. `latencies`: as for `task_figures`."""
    steps, aggregate = view.facts.steps, view.aggregate
    parts: list[list[tuple[Phase, Part]]] = [[] for _ in steps]
    for key, part in aggregate.parts.items():
        if task_of(key) < len(steps):
            parts[task_of(key)].append((aggregate.kind_of(window_of(key)), part))
    found = []
    for facts, of_step in zip(steps, parts, strict=True):
        if facts.step:
            whole = sum_of(_light(part) for _, part in of_step)
            found.append(StepFigures(**_figures(of_step, whole, view, latencies), name=facts.step, facts=facts))
    return found


def _figures(
    parts: Sequence[tuple[Phase, Part]], whole: Part, view: RunView, latencies: Container[str]
) -> dict[str, Any]:
    """The figures of `parts`, which are given with the kinds of their windows: field of `NamedFigures` -> value.
    `whole`: their sum."""
    steady = sum_of(_light(part, latencies) for kind, part in parts if kind is Phase.STEADY)
    figures = part_figures(steady, view.steady_s, whole.counters.tokens_per_event)
    known = {name: getattr(figures, name) for name in figures.__struct_fields__}
    return {**known, "steady": steady, "whole": whole}


def _unit(task: TaskFacts, steps: Sequence[StepFacts]) -> Unit:
    own = [step for step in steps if step.task == task.name]
    if any(step.flow for step in own):
        return "flows"
    return "conversations" if any(step.conversation for step in own) else "requests"


def fairness_of(tasks: Sequence[TaskFigures]) -> dict[str, float]:
    """For each list of models, its name -> how equal the models are in the `speed` that their users get. A list with a
    model that has not answered yet is left out."""
    found = {}
    for group in dict.fromkeys(task.facts.group for task in tasks if task.facts.group):
        speeds = [task.speed for task in tasks if task.facts.group == group]
        known = [speed for speed in speeds if speed is not None]
        if len(known) == len(speeds) and (index := fairness(known)) is not None:
            found[group] = index
    return found


def _parts_by_task(view: RunView) -> list[list[tuple[Phase, Part]]]:
    """The parts of each task, with the kinds of their windows."""
    found: list[list[tuple[Phase, Part]]] = [[] for _ in view.facts.tasks]
    of_number = {
        number: of_task
        for task, of_task in zip(view.facts.tasks, found, strict=True)
        for number in view.facts.numbers_of(task.name)
    }
    for key, part in view.aggregate.parts.items():
        if (of_task := of_number.get(task_of(key))) is not None:
            of_task.append((view.aggregate.kind_of(window_of(key)), part))
    return found


def _light(part: Part, latencies: Container[str] = ()) -> Part:
    """A part with these latencies, the durations of flows if there are any, and with no other histogram."""
    kept = {name: histogram for name, histogram in part.latency.items() if name in latencies}
    aside = {DURATION: part.aside[DURATION]} if latencies and DURATION in part.aside else {}
    return msgspec.structs.replace(part, latency=kept, latency_failed={}, aside=aside, retracted={})


def fairness(values: Sequence[float]) -> float | None:
    """Jain's fairness index of values from 0 on: (sum)² ÷ (n × sum of squares). 1: all are equal; 1/n: one has
    everything. None: there are none, or all are 0.

    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness and discrimination", DEC-TR-301, 1984.
    """
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None
