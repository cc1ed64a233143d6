"""Plan -> the users in Python."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from llmstress.engine.control import Plan, TaskPlan
from llmstress.engine.load.mix import Mix
from llmstress.engine.load.script_requests import ScriptRequests
from llmstress.engine.load.scripted import Person, Scripts, Surroundings, UserClass
from llmstress.engine.load.turns import Turns
from llmstress.engine.scenario.files import place_of, user_classes
from llmstress.engine.scenario.tasks import tasks_of
from llmstress.engine.scenario.user import User
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Task
from llmstress.engine.telemetry.error_samples import SCENARIO
from llmstress.engine.telemetry.messages import ErrorSample

BuildTask = Callable[[TaskPlan, int], Task]


def build_scripts(plan: Plan, tasks: Sequence[Task], recorder: Recorder, build_task: BuildTask) -> Scripts:
    """The users of the plan's scenario. To be called inside a running loop.

    tasks: those that are Python, in the order of the plan. build_task: builds the task of a name.

    Raises:
        ScenarioError: the file can't be used any more.
    """
    scenario = plan.scenario
    assert scenario is not None
    path = Path(scenario.path)
    loop = asyncio.get_running_loop()
    by_script = {plan.tasks[task.id].script: task for task in tasks}
    classes, weights = [], []
    for cls in user_classes(path):
        methods = {f"{cls.__name__}.{each.name}": each for each in tasks_of(cls)}
        own = [(by_script[name], each) for name, each in methods.items() if name in by_script]
        if not own:
            continue
        mix = Mix([task for task, _ in own], [each.weight for _, each in own], plan.worker, plan.workers)
        classes.append(UserClass(_maker(cls), {task.id: each.method for task, each in own}, mix))
        weights.append(cls.weight)
    recorder.name_from(len(plan.tasks))
    order = Mix([each.mix.tasks[0] for each in classes], weights, plan.worker, plan.workers)
    seen: set[str] = set()

    def failed(error: BaseException, task: Task) -> None:
        task.samples.counters.user_errors += 1
        text = f"{place_of(error, path)}: {type(error).__name__}: {_words(error)}"
        if text not in seen and len(seen) < 100:
            seen.add(text)
            recorder.keep_error_sample(ErrorSample(f"{task.name} {SCENARIO}", 0, text[:200], ""))

    def secret(name: str) -> str:
        if name not in scenario.secrets:
            raise LookupError(f"secret({name!r}): the environment variable {name} is not set, or its name is computed")
        return scenario.secrets[name]

    surroundings = Surroundings(loop, Turns(loop), plan.seed, secret, failed)
    requests = ScriptRequests(scenario.kinds, build_task, recorder.number_of)
    return Scripts(tasks, classes, order, count(plan.worker, plan.workers), requests, surroundings)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # `__str__` is code of the user, too
        return "it can't be put into words"


def _maker(cls: type[User]) -> Callable[[Person], User]:
    return lambda person: cls(person)
