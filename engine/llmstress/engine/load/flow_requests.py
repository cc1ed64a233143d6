"""The requests of one step of a flow."""

from collections.abc import Callable, Mapping

from llmstress.engine.control import FlowStep, TaskPlan
from llmstress.engine.load.request_maker import NOTHING, RequestMaker
from llmstress.engine.prompts.synthetic import Drawn
from llmstress.engine.stream.extracting import Extractor
from llmstress.engine.stream.task import Request, Task


class FlowRequests:
    """Makes the requests of a step."""

    def __init__(self, plan: TaskPlan, task: Task, maker: RequestMaker, draw: Callable[[int], Drawn] | None) -> None:
        """plan: is a step of a flow. draw: gives prompts and limits that differ; None: they don't."""
        assert plan.flow is not None
        self.name = plan.step
        self.plan: FlowStep = plan.flow
        self.task = task
        self._maker = maker
        self._draw = draw

    def make(
        self, number: int, values: Mapping[str, str], secrets: tuple[str, ...] = ()
    ) -> tuple[Request, Extractor | None]:
        """The request of a number, and what takes values from its answer; None: nothing is taken.

        values: of the variables. secrets: see `Request`.
        """
        extractor = None
        if self.plan.extracts or self.plan.keeps_answer:
            extractor = Extractor(
                self.name,
                self.plan.extracts,
                self.task.api,
                keeps_answer=self.plan.keeps_answer,
                shows=not self.plan.hides_answer,
            )
        drawn = NOTHING if self._draw is None else self._draw(number)
        request = self._maker.make(self.task, number, drawn, values=values, observer=extractor)
        return request._replace(secrets=secrets) if secrets else request, extractor
