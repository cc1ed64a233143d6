"""The requests of one step of a flow."""

from collections.abc import Callable, Mapping

import msgspec

from llmstress.engine.control import FlowStep, TaskPlan
from llmstress.engine.http.templated import TemplatedRequests
from llmstress.engine.load.sources import changes_by, takes_lengths
from llmstress.engine.load.watching import observe_of
from llmstress.engine.prompts.synthetic import Drawn
from llmstress.engine.stream.extracting import Extractor
from llmstress.engine.stream.observer import both
from llmstress.engine.stream.task import Request, Task

_NOTHING = Drawn(None, None)


class FlowRequests:
    """Makes the requests of a step. One without variables whose prompt is always the same is encoded once."""

    def __init__(self, plan: TaskPlan, task: Task, make: Callable[[int], Drawn] | None) -> None:
        """plan: is a step of a flow. make: gives prompts and limits that differ; None: they don't."""
        assert plan.flow is not None
        self.name = plan.step
        self.plan: FlowStep = plan.flow
        self.task = task
        self._ask = plan.ask
        self._templated = TemplatedRequests(plan, task.api)
        self._make = make
        self._limited = takes_lengths(task.api.body, plan.ask)
        self._observe = observe_of(plan, task.api)
        changes = self._make is not None or self._templated.names
        self._fixed = None if changes else self._templated.build(plan.ask, {})

    def make(self, number: int, values: Mapping[str, str]) -> tuple[Request, Extractor | None]:
        """The request of a number, and what takes values from its answer; None: nothing is taken.

        values: of the variables.
        """
        ask, data, drawn, output = self._ask, self._fixed, _NOTHING, 0
        if data is None:
            if self._make is not None:
                drawn = self._make(number)
                changes = changes_by(drawn, ask)
                ask = msgspec.structs.replace(ask, **changes)
                output = ask.limit if self._limited and "max_tokens" in changes else 0
            data = self._templated.build(ask, values)
        extractor = None
        if self.plan.extracts or self.plan.keeps_answer:
            extractor = Extractor(
                self.name,
                self.plan.extracts,
                self.task.api,
                keeps_answer=self.plan.keeps_answer,
                shows=not self.plan.setup,
            )
        observer = None if self._observe is None else self._observe(number)
        observers = both(observer, extractor)
        asked, made_words = drawn.input * ask.batch, drawn.words * ask.batch
        return Request(self.task, data, ask.least_output, asked, output, observers, made_words), extractor
