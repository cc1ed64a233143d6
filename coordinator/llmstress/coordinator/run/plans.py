"""Options -> one plan per worker, with exact shares of streams and requests. Pure functions."""

import itertools
import math
import os
from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_options import MOST_PROCS, QUEUE_TIMEOUT_S
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prompt_options import AUTO
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run.flow_steps import flow_step
from llmstress.coordinator.run.prompt_files import order_of
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.run.turns import steps_of
from llmstress.coordinator.target.api_choice import ask_of
from llmstress.coordinator.target.resolved_target import ResolvedTarget
from llmstress.engine import schedule
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import (
    Abandonment,
    Bystander,
    Network,
    OpenLoad,
    Plan,
    Replay,
    Scenario,
    TaskPlan,
    Timeouts,
)
from llmstress.engine.prompts.file import FromFiles
from llmstress.engine.prompts.synthetic import Synthetic
from llmstress.engine.telemetry.load_profile import Profile
from llmstress.engine.telemetry.messages import Window
from llmstress.engine.telemetry.shares import share
from llmstress.engine.telemetry.slo import Objectives

DIALS, LEAST_DIALS = 256, 4
"""Connections that may be opened at the same time: in all processes together, and at least in each."""


def make_plans(
    options: Options,
    tasks: Sequence[RunTask],
    windows: tuple[Window, ...],
    profile: Profile | None = None,
    replay: Replay | None = None,
    salt: int = 0,
    prepared: Prepared = NOTHING_PREPARED,
) -> list[Plan]:
    """One plan per worker; the shares of streams and requests sum to those of the options.

    `tasks`: those of the run, with their models. `windows`: those of the run. `profile`: the load over time. `replay`:
    the trace, whose columns exist. `salt`: see `Synthetic`. `prepared`: what the prompts of the tasks need.
    """
    secrets = list(dict.fromkeys(secret for task in tasks for secret in task.resolved.secrets))
    divisor = math.gcd(*(task.weight for task in tasks))
    plans_of_tasks = [
        tuple(
            plan
            for number, task in enumerate(tasks)
            for plan in _kinds(
                task,
                tasks,
                msgspec.structs.replace(
                    task_plan(task.options, task.resolved, task.ask, task.networks[worker], salt + number, prepared),
                    name=task.name,
                    weight=task.weight // divisor,
                    objectives=_judged(task.options, options),
                ),
            )
        )
        for worker in range(options.procs)
    ]
    varied = any(plan.synthetic or plan.prompts or plan.abandonment for plan in plans_of_tasks[0])
    requests = _requests(options, total_requests(options, prepared), in_turns=options.open or varied)
    return [
        Plan(
            tasks=plans_of_tasks[worker],
            streams=streams,
            worker=worker,
            workers=options.procs,
            requests=requests[worker],
            ramp_ns=int(options.ramp_up_s * 1e9),
            windows=windows,
            grace_s=options.grace_s,
            interval_s=options.interval_s,
            error_pause_s=options.error_pause_s,
            connect_gap_ns=_connect_gap_ns(options, *(task.resolved.target.url for task in tasks)),
            dials=max(LEAST_DIALS, DIALS // options.procs),
            seed=options.seed,
            secrets=secrets,
            verbose=options.verbose or options.log_file is not None,
            think=options.think,
            pacing_ns=int(options.pacing_s * 1e9),
            profile=profile,
            open=None if not options.open else _open_load(options, worker),
            bystander=_bystander(options, plans_of_tasks[0]) if worker == 0 else None,
            replay=replay,
            bands=options.bands,
            scenario=_scenario(options, tasks, worker, prepared),
        )
        for worker, streams in enumerate(options.shares)
    ]


def _kinds(task: RunTask, tasks: Sequence[RunTask], plan: TaskPlan) -> tuple[TaskPlan, ...]:
    """The kinds of requests of a task: one for each turn of its conversations; the step itself for one of a flow."""
    if task.own.script:
        scripts = [each for each in tasks if each.own.script]
        number = len(scripts) if task is scripts[0] else 1
        return (msgspec.structs.replace(plan, script=task.own.script, steps=number),)
    if task.step is not None:
        steps = [each.options for each in tasks if each.name == task.name]
        return (flow_step(task.own, task.step, steps, plan, task.options.seed),)
    return steps_of(task.options, plan)


def _scenario(options: Options, tasks: Sequence[RunTask], worker: int, prepared: Prepared) -> Scenario | None:
    """What the tasks in Python need; None: there are none."""
    task = next((each for each in tasks if each.own.script), None)
    if task is None or options.scenario is None:
        return None
    kinds = {}
    for kind, (own, resolved) in task.kinds.items():
        ask = ask_of(own, resolved.target.url, task.model)
        plan = task_plan(own, resolved, ask, task.networks[worker], prepared=prepared)
        kinds[kind] = msgspec.structs.replace(plan, objectives=_judged(own, options))
    return Scenario(path=os.path.abspath(options.scenario), kinds=kinds, secrets=dict(task.script_secrets))


def _judged(own: Options, options: Options) -> Objectives:
    """What the requests of a task are judged by. One without SLOs is good if it ends ok, if any other has SLOs."""
    return msgspec.structs.replace(own.objectives, others=bool(options.is_mix and options.objectives.slos))


def total_requests(options: Options, prepared: Prepared) -> int | None:
    """Number of requests of all workers together; None: no limit."""
    known = prepared.file(options) if options.once else None
    return options.requests if known is None else known.rows


def _requests(options: Options, total: int | None, *, in_turns: bool) -> list[int | None]:
    """Number of requests of each worker; they sum to the total.

    in_turns: they are divided by `share`, as the streams are, so that the requests of a run are the same ones for any
    number of workers. Else they are in proportion to the streams.
    """
    if total is None:
        return [None] * options.procs
    if in_turns and (options.open or min(options.shares) > 0):
        return [share(total, options.procs, worker) for worker in range(options.procs)]
    upto = [0, *(total * end // options.total_streams for end in itertools.accumulate(options.shares))]
    return [after - before for before, after in itertools.pairwise(upto)]


def task_plan(
    options: Options,
    resolved: ResolvedTarget,
    ask: Ask,
    network: Network,
    salt: int = 0,
    prepared: Prepared = NOTHING_PREPARED,
) -> TaskPlan:
    """The one kind of request that the options describe. `salt`, `prepared`: as for `make_plans`."""
    return TaskPlan(
        api=resolved.api_name,
        url=resolved.target.url,
        network=network,
        headers=resolved.headers,
        ask=ask,
        retries=options.retries,
        on_status=list(options.on_status),
        timeouts=Timeouts(
            connect_s=options.timeout_connect_s,
            first_token_ns=int(options.timeout_first_token_s * 1e9),
            idle_ns=int(options.timeout_idle_s * 1e9),
            total_ns=int(options.timeout_total_s * 1e9),
        ),
        requests_per_connection=1 if not options.keepalive else options.requests_per_connection or 0,
        require_finish=options.require_finish,
        objectives=options.objectives,
        synthetic=_synthetic(options, salt, prepared),
        prompts=_from_files(options, salt, prepared),
        checks=options.checks,
        abandonment=_abandonment(options),
    )


def _abandonment(options: Options) -> Abandonment | None:
    if not options.abandon:
        return None
    return Abandonment(options.abandon, options.abandon_after, options.abandon_after_tokens, options.seed)


def _synthetic(options: Options, salt: int, prepared: Prepared) -> Synthetic | None:
    if options.prompt_tokens is None and options.output_tokens is None:
        return None
    vocabulary = prepared.vocabulary(options)
    return Synthetic(
        prompt=options.prompt_tokens,
        output=options.output_tokens,
        shared=options.shared_prefix_tokens,
        groups=options.prefix_groups,
        seed=options.seed,
        salt=salt,
        words=vocabulary.words if options.tokenizer is not None else (),
        ids=vocabulary.ids if options.token_ids else (),
        words_per_token=options.words_per_token or 1.0,
        corrected=options.words_per_token == AUTO and options.tokenizer is None and not options.token_ids,
    )


def _from_files(options: Options, salt: int, prepared: Prepared) -> FromFiles | None:
    known = prepared.file(options)
    if known is None:
        return None
    return FromFiles(
        files=known.files,
        order=order_of(options, known),
        seed=options.seed,
        salt=salt,
        salted=options.salt,
        limits=options.max_tokens is None,
        words=prepared.vocabulary(options).words if options.tokenizer is not None else (),
    )


def _open_load(options: Options, worker: int) -> OpenLoad:
    return OpenLoad(
        arrival=options.arrival_name,
        burstiness=options.burstiness if options.burstiness is not None else 1.0,
        max_queue=None if options.max_queue is None else share(options.max_queue, options.procs, worker),
        queue_timeout_ns=int((QUEUE_TIMEOUT_S if options.queue_timeout_s is None else options.queue_timeout_s) * 1e9),
    )


BYSTANDER_PROMPT, BYSTANDER_TOKENS = "Say hello.", 8
"""What the bystander asks, and its limit of output tokens."""


def _bystander(options: Options, tasks: Sequence[TaskPlan]) -> Bystander | None:
    """What the bystander sends: the request of the load's first task, but with a short prompt and a short answer. A
    flow is no such task: it has no request without the answers before."""
    if options.bystander is None:
        return None
    task = next((each for each in tasks if each.flow is None), None)
    if task is None:
        raise UsageError("--bystander needs a task without steps, whose requests it sends: add one, or drop it")
    short = msgspec.structs.replace(
        task.ask,
        prompt=BYSTANDER_PROMPT,
        prompt_ids=(),
        system=None,
        max_tokens=min(task.ask.limit, BYSTANDER_TOKENS),
        min_tokens=None,
        ignore_eos=False,
        batch=1,
    )
    return Bystander(
        options.bystander.per_s,
        msgspec.structs.replace(task, ask=short, synthetic=None, prompts=None, checks=(), abandonment=None),
    )


def default_procs(total: int | None, cores: int, most_streams: int) -> int:
    """The default of `--procs`: one for each core, but not more than streams, and enough that none has more than
    `most_streams`.

    Args:
        total: streams of all processes; None: `--streams` gives those of each process.
        cores: cores that may be used.
        most_streams: most streams of one process.
    """
    if total is None:
        return cores
    return max(1, min(cores, total), min(-(-total // most_streams), MOST_PROCS))


def default_ramp_s(options: Options) -> float:
    """The default of `--ramp-up`: the time needed to open all connections, in whole seconds.

    Without it thousands of streams would start within the steady window and be missing from its rates.
    """
    opening_s = _opening_s(options)
    return 0.0 if options.whole_run or opening_s < 1 else float(math.ceil(opening_s))


def warning_of_ramp(options: Options) -> str:
    """A warning if streams will still start within the steady window; else empty."""
    opening_s, before_s = _opening_s(options), options.ramp_up_s + options.warmup_s
    if options.open or options.stages or options.course or options.whole_run or options.warmup_requests is not None:
        return ""
    if opening_s < 1 or opening_s <= before_s:
        return ""
    return (
        f"opening {options.total_streams:,} connections takes {opening_s:.1f} s, so the first "
        f"{opening_s - before_s:.1f} s of the steady window run with fewer streams; use a longer --ramp-up or --warmup"
    )


def _opening_s(options: Options) -> float:
    return max(options.shares) * _connect_gap_ns(options, options.url or "") / 1e9


def _connect_gap_ns(options: Options, *urls: str) -> int:
    return schedule.connect_gap_ns(options.procs, tls=any(url.lower().startswith("https:") for url in urls))
