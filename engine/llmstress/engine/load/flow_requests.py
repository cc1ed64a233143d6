"""The requests of one step of a flow."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmstress.engine.control import FlowStep, TaskPlan
from llmstress.engine.http.templated import TemplatedRequests
from llmstress.engine.load.watching import observe_of
from llmstress.engine.prompts.synthetic import Maker
from llmstress.engine.stream.extracting import Extractor
from llmstress.engine.stream.observer import Both
from llmstress.engine.stream.task import Request, Task


class FlowRequests:
    """Makes the requests of a step. One without variables whose prompt is always the same is encoded once."""

    def __init__(self, plan: TaskPlan, task: Task) -> None:
        """plan: is a step of a flow."""
        assert plan.flow is not None
        self.name = plan.step
        self.plan: FlowStep = plan.flow
        self.task = task
        self._ask = plan.ask
        self._templated = TemplatedRequests(plan, task.api)
        self._make = None if plan.synthetic is None else Maker(plan.synthetic).make
        self._observe = observe_of(plan, task.api)
        changes = self._make is not None or self._templated.names
        self._fixed = None if changes else self._templated.build(plan.ask, {})

    def make(self, number: int, values: Mapping[str, str]) -> tuple[Request, Extractor | None]:
        """The request of a number, and what takes values from its answer; None: nothing is taken.

        values: of the variables.
        """
        ask, data = self._ask, self._fixed
        if data is None:
            if self._make is not None:
                drawn = self._make(number)
                changes: dict[str, Any] = {}
                if drawn.prompt is not None:
                    changes["prompt"] = drawn.prompt
                if drawn.output is not None:
                    changes["max_tokens"] = drawn.output
                ask = msgspec.structs.replace(ask, **changes)
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
        if observer is None or extractor is None:
            return Request(self.task, data, ask.least_output, observer or extractor), extractor
        return Request(self.task, data, ask.least_output, Both(observer, extractor)), extractor
