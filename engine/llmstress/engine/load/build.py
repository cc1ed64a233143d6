"""Plan -> the task and the load model that carry it out."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from llmstress.engine.api import make_api
from llmstress.engine.arrivals import random_arrivals, trace_arrivals
from llmstress.engine.control import Plan
from llmstress.engine.http.request import RequestBuilder
from llmstress.engine.load.closed import ClosedModel
from llmstress.engine.load.load import Load, MakeStream, Model
from llmstress.engine.load.open import OpenModel
from llmstress.engine.load.sources import of_lengths
from llmstress.engine.stream.failure_policy import FailurePolicy
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Source, Task, fixed
from llmstress.engine.stream.transport_stream import TransportStream
from llmstress.engine.trace import Trace


def build_task(
    plan: Plan, recorder: Recorder, dials: Dials, uniform: Callable[[], float], trace: Trace | None = None
) -> Task:
    """The plan's only task. Its requests are all the same, except that those of a trace may have its output lengths.

    dials: opens connections to the target. uniform: random numbers in [0, 1). trace: that of the plan.
    """
    api = make_api(plan.api, plan.ask)
    return Task(
        api=api,
        requests=_source(plan, RequestBuilder(plan, api), trace),
        dials=dials,
        failures=Failures(plan.retries, FailurePolicy(tuple(plan.on_status)), plan.secrets, recorder, uniform),
        recorder=recorder,
        timeouts=plan.timeouts,
        requests_per_connection=plan.requests_per_connection,
        require_finish=plan.require_finish,
        objectives=plan.objectives,
    )


def _source(plan: Plan, builder: RequestBuilder, trace: Trace | None) -> Source:
    if trace is not None and plan.replay is not None and plan.replay.lengths:
        return of_lengths(builder.build, plan.ask, lambda number: trace.shape(number)[1])
    return fixed(builder.build(plan.ask), plan.ask.least_output)


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
    trace = None if plan.replay is None else Trace(Path(plan.replay.directory))
    task = build_task(plan, recorder, dials, numbers.random, trace)
    if plan.open is None:
        return ClosedModel(plan, load, task, numbers)
    if trace is not None:
        arrivals = trace_arrivals(trace, plan.worker, plan.workers)
    else:
        kind = plan.open
        arrivals = random_arrivals(kind.arrival, kind.burstiness, plan.seed, plan.worker, plan.workers)
    return OpenModel(plan, load, task, arrivals)
