"""The figures of the tasks of a mix, each by itself."""

from collections.abc import Container, Sequence

import msgspec

from llmstress.engine.telemetry.aggregate import sum_of
from llmstress.engine.telemetry.broadcast import RunView, TaskFacts
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.messages import Part, Phase, task_of, window_of
from llmstress.engine.telemetry.metrics import LATENCIES
from llmstress.engine.telemetry.part_figures import PartFigures, part_figures


class TaskFigures(PartFigures, frozen=True, kw_only=True):
    """One task over the steady windows; its rates are per second of them."""

    facts: TaskFacts
    steady: Part
    """The part that the figures are of, with its histograms. Not to be changed."""
    whole: Part
    """What happened to its requests in the whole run, without latencies. Not to be changed."""
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

    @property
    def whole_failed_by(self) -> dict[str, int]:
        """Class of failure -> how many, in the whole run."""
        return {outcome: n for outcome, n in self.whole.ended.items() if n and outcome not in NOT_FAILED}


def task_figures(view: RunView, latencies: Container[str] = LATENCIES) -> list[TaskFigures]:
    """The figures of each task, in the order of the mix; none if all requests are of one kind. Merging histograms takes
    most of the time, so who needs few of the `latencies` should ask for those only."""
    tasks = view.facts.tasks
    weights = sum(task.weight for task in tasks) or 1  # 0 only in a damaged record
    parts = _parts_by_task(view)
    wholes = [sum_of(_light(part) for _, part in of_task) for of_task in parts]
    started = sum(_begun(whole) for whole in wholes)
    found = []
    for task, of_task, whole in zip(tasks, parts, wholes, strict=True):
        part = sum_of(_light(part, latencies) for kind, part in of_task if kind is Phase.STEADY)
        figures = part_figures(part, view.steady_s, whole.counters.tokens_per_event)
        found.append(
            TaskFigures(
                **{name: getattr(figures, name) for name in figures.__struct_fields__},
                facts=task,
                steady=part,
                whole=whole,
                asked_share=task.weight / weights,
                started_share=_begun(whole) / started if started else None,
            )
        )
    return found


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
    """A part with these latencies, and with no other histogram."""
    kept = {name: histogram for name, histogram in part.latency.items() if name in latencies}
    return msgspec.structs.replace(part, latency=kept, latency_failed={}, aside={}, retracted={})


def _begun(whole: Part) -> int:
    """What the weights share out: requests, or the sessions of a task that has sessions."""
    return whole.counters.sessions or whole.counters.started


def fairness(values: Sequence[float]) -> float | None:
    """Jain's fairness index of values from 0 on: (sum)² ÷ (n × sum of squares). 1: all are equal; 1/n: one has
    everything. None: there are none, or all are 0.

    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness and discrimination", DEC-TR-301, 1984.
    """
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None
