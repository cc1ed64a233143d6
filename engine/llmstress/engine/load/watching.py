"""The observers of a task's requests: those that check answers, and those that abandon requests."""

import random
from collections.abc import Callable

from llmstress.engine.api.base import Api
from llmstress.engine.checks.judge import Judge
from llmstress.engine.control import Abandonment, TaskPlan
from llmstress.engine.load.think import think_times
from llmstress.engine.stream.checking import Checked, CheckedText
from llmstress.engine.stream.leaving import Leaver
from llmstress.engine.stream.observer import Observer, both

Observe = Callable[[int], Observer | None]
"""Gives the observer of the request of a number; None: it has none."""


def observe_of(plan: TaskPlan, api: Api) -> Observe | None:
    """Gives the observers that the plan asks for; None: it asks for none."""
    shows = plan.flow is None or not plan.flow.hides_answer
    observe: Observe | None = _checking(Judge(plan.checks, shows=shows), api) if plan.checks else None
    if plan.abandonment is not None:
        leaving = leavers(plan.abandonment, f"{plan.name}/{plan.step}" if plan.step else plan.name)
        observe = leaving if observe is None else _both(observe, leaving)
    return observe


def leavers(plan: Abandonment, name: str) -> Observe:
    """The observers of the requests that are abandoned. Which ones, and when, depends on the seed, the name of the task
    and the number of the request alone, so it is the same in any process."""
    numbers = random.Random()
    times = think_times(plan.after, numbers) if plan.after is not None else None

    def leaver(number: int) -> Observer | None:
        numbers.seed(f"{plan.seed}/{name}/abandon/{number}")
        if numbers.random() >= plan.share:
            return None
        return Leaver(next(times) if times is not None else None, plan.tokens)

    return leaver


def _checking(judge: Judge, api: Api) -> Observe:
    return lambda _: CheckedText(judge, api) if judge.reads else Checked(judge)


def _both(first: Observe, second: Observe) -> Observe:
    return lambda number: both(first(number), second(number))
