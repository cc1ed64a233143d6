"""Plan -> the tasks and the load model that carry it out."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmstress.engine.api import make_api
from llmstress.engine.api.base import Api
from llmstress.engine.arrivals import POISSON, Arrivals, random_arrivals, trace_arrivals
from llmstress.engine.control import Bystander, OpenLoad, Plan, Replay, TaskPlan
from llmstress.engine.http.request import RequestBuilder
from llmstress.engine.http.templated import TemplatedRequests
from llmstress.engine.load.alarm import Alarm, MakeAlarm
from llmstress.engine.load.build_scripts import build_scripts
from llmstress.engine.load.closed import ClosedModel
from llmstress.engine.load.conversations import Conversations, MadeScript, Script
from llmstress.engine.load.file_script import FileScript
from llmstress.engine.load.flow_requests import FlowRequests
from llmstress.engine.load.flows import Flows, Users
from llmstress.engine.load.load import Load, MakeStream, Model
from llmstress.engine.load.mix import Entry, Mix
from llmstress.engine.load.open import OpenModel
from llmstress.engine.load.request_maker import RequestMaker
from llmstress.engine.load.sources import of_drawn, of_equal, of_lengths
from llmstress.engine.load.watching import observe_of
from llmstress.engine.prompts.blocks import BlockMaker
from llmstress.engine.prompts.file import FilePrompts
from llmstress.engine.prompts.lengths import MOST_TOKENS
from llmstress.engine.prompts.synthetic import Drawn, Maker
from llmstress.engine.prompts.words import WORDS
from llmstress.engine.stream.failure_policy import COUNT, DEFAULTS, FailurePolicy
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Source, Task, fixed
from llmstress.engine.stream.transport_stream import TransportStream
from llmstress.engine.telemetry.bands import Bounds
from llmstress.engine.telemetry.error_samples import BYSTANDER_NAME
from llmstress.engine.telemetry.load_profile import constant
from llmstress.engine.telemetry.messages import BYSTANDER
from llmstress.engine.telemetry.slo import NOT_JUDGED
from llmstress.engine.trace import UNKNOWN, Trace

BYSTANDER_IN_FLIGHT, BYSTANDER_WAIT_NS = 100, 60_000_000_000
"""The bystander has at most so many requests in flight, and drops those that have waited for so long."""

BYSTANDER_DIALS = 4


class Context(NamedTuple):
    """What the tasks of a worker have in common."""

    recorder: Recorder
    uniform: Callable[[], float]
    """Random numbers in [0, 1)."""
    secrets: Sequence[str] = ()
    """Strings that must not appear in error samples."""
    lengths: Callable[[int], int] | None = None
    """Gives the length of the answer to the request of a number; None: no trace has lengths."""
    make: Callable[[int], Drawn] | None = None
    """Makes the prompts of tasks that have none of their own; None: nothing does."""
    bands: Bounds | None = None
    """Where long prompts and answers begin; None: requests are not told apart by their tokens."""


def build_task(plan: TaskPlan, context: Context, dials: Dials, id: int = 0) -> Task:
    """A task. Its requests are all the same, unless its prompts are made or come from files, or a trace has lengths.

    dials: opens connections to the target. id: see `Task`.
    """
    api = make_api(plan.api, plan.ask)
    made = None if plan.synthetic is None else Maker(plan.synthetic)
    # the requests of a step come from its session
    requests = fixed(b"") if plan.step or plan.script else _source(plan, build_maker(plan, api), context, made)
    return Task(
        id=id,
        name=plan.name,
        api=api,
        requests=requests,
        dials=dials,
        failures=Failures(
            plan.retries,
            FailurePolicy(tuple(plan.on_status)),
            context.secrets,
            context.recorder,
            context.uniform,
            name=plan.name,
        ),
        recorder=context.recorder,
        timeouts=plan.timeouts,
        requests_per_connection=plan.requests_per_connection,
        require_finish=plan.require_finish,
        objectives=plan.objectives,
        bands=context.bands,
        correct=None if made is None else made.correct,
    )


def build_maker(plan: TaskPlan, api: Api) -> RequestMaker:
    """What puts the requests of the plan together."""
    observe = observe_of(plan, api)
    if plan.flow is not None:
        templated = TemplatedRequests(plan, api)
        return RequestMaker(api, templated.build, observe, varies=bool(templated.names))
    build = RequestBuilder(plan, api).build
    return RequestMaker(api, lambda ask, _: build(ask), observe)


def _source(plan: TaskPlan, maker: RequestMaker, context: Context, made: Maker | None) -> Source:
    length = context.lengths
    draw = _draw(plan, made) or context.make
    if draw is not None:
        return of_drawn(maker, draw, length)
    return of_equal(maker) if length is None else of_lengths(maker, length)


def _draw(plan: TaskPlan, maker: Maker | None = None) -> Callable[[int], Drawn] | None:
    """What gives prompts and limits of the task's requests; None: nothing of the task does. `maker`: of its made
    prompts; None: one of its own."""
    made = None if plan.synthetic is None else (maker or Maker(plan.synthetic)).make
    if plan.prompts is None:
        return made
    rows = FilePrompts(plan.prompts).make
    if made is None:
        return rows
    return lambda number: msgspec.structs.replace(rows(number), output=made(number).output)


def _of_trace(trace: Trace, replay: Replay, seed: int) -> Callable[[int], Drawn] | None:
    """What makes the prompts of a trace; None: it makes none."""
    if not replay.block:
        return None
    blocks = BlockMaker(replay.block, seed, replay.salt, replay.words or WORDS)

    def make(number: int) -> Drawn:
        given, _ = trace.shape(number)
        if given == UNKNOWN:
            return Drawn(None, None)
        tokens = min(MOST_TOKENS, max(1, given))
        return Drawn(blocks.make(number, tokens, trace.hash_ids(number)), None, input=tokens)

    return make


MakeDials = Callable[[TaskPlan], Dials]
"""Gives what opens connections to the origin of a task: the same for all tasks of an origin."""


def build_model(
    plan: Plan,
    recorder: Recorder,
    dials: MakeDials,
    clock: Callable[[], int] = time.monotonic_ns,
    make_stream: MakeStream = TransportStream,
    make_alarm: MakeAlarm = Alarm,
) -> Model:
    """The load of the plan, under its model. To be called inside a running loop."""
    load = Load(
        recorder,
        dials=plan.dials,
        pause_s=plan.error_pause_s if plan.open is None else 0.0,  # the open model tries for each arrival
        requests=plan.requests if plan.open is None else None,  # the open model counts arrivals
        clock=clock,
        make_stream=make_stream,
    )
    numbers = random.Random(f"{plan.seed}/{plan.worker}")
    trace = None if plan.replay is None else Trace(Path(plan.replay.directory))
    mix = build_mix(plan, recorder, dials, numbers.random, trace)
    if plan.open is None:
        return ClosedModel(plan, load, mix, numbers)
    return OpenModel(plan, load, mix, _arrivals(plan, plan.open, trace), make_alarm)


def build_mix(
    plan: Plan, recorder: Recorder, dials: MakeDials, uniform: Callable[[], float], trace: Trace | None = None
) -> Mix:
    """The tasks of the plan and the kinds of its sessions, mixed. Opens no connection and needs no loop.

    uniform: random numbers in [0, 1). trace: that of `plan.replay`.
    """
    context = Context(recorder, uniform, plan.secrets, bands=plan.bands)
    if trace is not None and plan.replay is not None:
        lengths = (lambda number: trace.shape(number)[1]) if plan.replay.lengths else None
        context = context._replace(lengths=lengths, make=_of_trace(trace, plan.replay, plan.seed))
    tasks = [build_task(each, context, dials(each), id) for id, each in enumerate(plan.tasks)]
    firsts = list(_firsts(plan.tasks))
    users = Users(plan.worker, plan.workers)
    slices = [slice(each, each + plan.tasks[each].steps) for each in firsts]
    entries = [
        build_scripts(plan, tasks[each], recorder, lambda own, id: build_task(own, context, dials(own), id))
        if plan.tasks[each.start].script
        else build_entry(plan.tasks[each], tasks[each], users)
        for each in slices
    ]
    weights = [
        sum(own.weight for own in plan.tasks[each]) if plan.tasks[each.start].script else plan.tasks[each.start].weight
        for each in slices
    ]
    return Mix(entries, weights, plan.worker, plan.workers)


def _firsts(plans: Sequence[TaskPlan]) -> Iterator[int]:
    """The positions of the single tasks, and of the first step of each kind of session."""
    position = 0
    while position < len(plans):
        yield position
        position += plans[position].steps


def build_entry(plans: Sequence[TaskPlan], tasks: Sequence[Task], users: Users) -> Entry:
    """What the mix has of a task, or of the tasks of one kind of session. `users`: those of the worker."""
    plan = plans[0]
    if plan.flow is not None:
        steps = zip(plans, tasks, strict=True)
        return Flows(
            [FlowRequests(each, task, build_maker(each, task.api), _draw(each)) for each, task in steps], users
        )
    if plan.conversation is None:
        return tasks[0]
    script: Script = MadeScript(plan.ask, plan.synthetic, seed=plan.conversation.seed)
    if plan.prompts is not None:
        script = FileScript(FilePrompts(plan.prompts), script)
    return Conversations(plan.conversation, tasks, build_maker(plan, tasks[0].api), script)


def _arrivals(plan: Plan, kind: OpenLoad, trace: Trace | None = None) -> Arrivals:
    if trace is not None:
        return trace_arrivals(trace, plan.worker, plan.workers)
    return random_arrivals(kind.arrival, kind.burstiness, plan.seed, plan.worker, plan.workers)


def build_bystander(
    plan: Plan,
    beside: Load,
    dials: MakeDials,
    clock: Callable[[], int] = time.monotonic_ns,
    make_stream: MakeStream = TransportStream,
    make_alarm: MakeAlarm = Alarm,
) -> Model | None:
    """The bystander of the plan, with a load of its own beside that of the plan; None: it has none. To be called
    inside a running loop."""
    if plan.bystander is None:
        return None
    own = bystander_plan(plan, plan.bystander)
    load = Load(beside.recorder, dials=own.dials, pause_s=0.0, beside=beside, clock=clock, make_stream=make_stream)
    uniform = random.Random(f"{own.seed}/{own.worker}").random
    [task_plan] = own.tasks
    task = build_task(task_plan, Context(beside.recorder, uniform, own.secrets), dials(task_plan), BYSTANDER)
    assert own.open is not None
    return OpenModel(own, load, Mix([task], [1], 0, 1), _arrivals(own, own.open), make_alarm)


def bystander_plan(plan: Plan, bystander: Bystander) -> Plan:
    """The plan of the bystander, which is the only one of its kind: other requests, a rate of its own, and no failure
    that ends the run."""
    task = msgspec.structs.replace(
        bystander.task,
        name=BYSTANDER_NAME,
        weight=1,
        retries=0,
        on_status=[(what, COUNT) for what in DEFAULTS],
        objectives=NOT_JUDGED,
        step="",
        steps=1,
        conversation=None,
        flow=None,
        script="",
    )
    return msgspec.structs.replace(
        plan,
        tasks=(task,),
        streams=BYSTANDER_IN_FLIGHT,
        worker=0,
        workers=1,
        requests=None,
        dials=BYSTANDER_DIALS,
        seed=plan.seed + (1 << 63),  # no run has such a seed: the arrivals are independent of those of the load
        profile=constant("requests", bystander.per_s),
        open=OpenLoad(POISSON, 1.0, None, BYSTANDER_WAIT_NS),
        bystander=None,
        replay=None,
    )
