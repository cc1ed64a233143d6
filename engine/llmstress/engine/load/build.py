"""Plan -> the task and the load model that carry it out."""

import random
import time
from collections.abc import Callable

from llmstress.engine.api import make_api
from llmstress.engine.control import Plan
from llmstress.engine.http.request import RequestBuilder
from llmstress.engine.load.closed import ClosedModel
from llmstress.engine.load.load import Load, MakeStream, Model
from llmstress.engine.load.open import OpenModel
from llmstress.engine.stream.failure_policy import FailurePolicy
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Task, fixed
from llmstress.engine.stream.transport_stream import TransportStream


def build_task(plan: Plan, recorder: Recorder, dials: Dials, uniform: Callable[[], float]) -> Task:
    """The plan's only task, whose requests are all the same.

    dials: opens connections to the target. uniform: random numbers in [0, 1).
    """
    api = make_api(plan.api, plan.ask)
    return Task(
        api=api,
        requests=fixed(RequestBuilder(plan, api).build(plan.ask)),
        dials=dials,
        failures=Failures(plan.retries, FailurePolicy(tuple(plan.on_status)), plan.secrets, recorder, uniform),
        recorder=recorder,
        timeouts=plan.timeouts,
        requests_per_connection=plan.requests_per_connection,
        require_finish=plan.require_finish,
        objectives=plan.objectives,
    )


def build_model(
    plan: Plan,
    recorder: Recorder,
    dials: Dials,
    clock: Callable[[], int] = time.monotonic_ns,
    make_stream: MakeStream = TransportStream,
) -> Model:
    """The load of the plan, under its model. To be called inside a running loop."""
    load = Load(
        recorder,
        dials=plan.dials,
        pause_s=plan.error_pause_s,
        requests=plan.requests if plan.open is None else None,  # the open model counts arrivals
        clock=clock,
        make_stream=make_stream,
    )
    numbers = random.Random(f"{plan.seed}/{plan.worker}")
    task = build_task(plan, recorder, dials, numbers.random)
    return ClosedModel(plan, load, task, numbers) if plan.open is None else OpenModel(plan, load, task)
