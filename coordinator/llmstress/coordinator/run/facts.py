"""The facts of a run for viewers, the summary and the log. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.shown_options import describe
from llmstress.coordinator.config.step_names import step_facts, turn_names
from llmstress.coordinator.config.target_url import Target, redact_url
from llmstress.coordinator.output.console import program_version, warmup
from llmstress.coordinator.output.schema import PhaseLengths, RunInfo
from llmstress.coordinator.output.summary import host
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run.plans import total_requests
from llmstress.coordinator.run.pricing import pricing_of
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.telemetry.broadcast import RunFacts, RunView, StepFacts, TaskFacts
from llmstress.engine.telemetry.formatting import duration
from llmstress.engine.telemetry.messages import LABELS, Phase, Window


def run_facts(
    options: Options,
    tasks: Sequence[RunTask],
    trace: TraceFacts | None = None,
    prepared: Prepared = NOTHING_PREPARED,
) -> RunFacts:
    """The facts that viewers get before the run starts."""
    requests, first = total_requests(options, prepared), _main_of(tasks)
    pricing = pricing_of([(task.options, task.resolved.target.url, _model_of(task)) for task in tasks])
    if trace is not None and options.whole_run and options.steady_s is None:
        requests = min(requests or trace.columns.rows, trace.columns.rows)
    return RunFacts(
        version=program_version(),
        api=first.resolved.api_name,
        url=redact_url(first.resolved.target.url),
        model=_model_of(first),
        procs=options.procs,
        streams=max(options.shares),
        total_streams=options.total_streams,
        ramp_s=0.0 if options.whole_run else options.ramp_up_s,
        warmup_s=options.warmup_s,
        steady_s=_steady_s(options),
        interval_s=options.interval_s,
        grace_s=options.grace_s,
        requests=requests,
        whole_run=options.whole_run,
        started_at="",
        warmup_requests=options.warmup_requests,
        arrival=options.arrival_name if options.open else "",
        objectives=options.objectives,
        points=0 if options.sweep is None else len(options.sweep.levels),
        pricing=msgspec.structs.replace(pricing, positions=_positions(tasks)),
        tasks=tuple(_task_facts(each, tasks) for each in tasks if each.begins) if options.is_mix else (),
        steps=_step_facts(tasks),
    )


def _model_of(task: RunTask) -> str:
    """Empty: not yet chosen, or not needed."""
    return task.model or task.options.model or ""


def _main_of(tasks: Sequence[RunTask]) -> RunTask:
    """What the first task is known by: of a flow, the first step that asks a model."""
    of_first = [each for each in tasks if each.name == tasks[0].name]
    return next((each for each in of_first if each.resolved.api.NEEDS_MODEL), tasks[0])


def _task_facts(first: RunTask, tasks: Sequence[RunTask]) -> TaskFacts:
    task = _main_of([each for each in tasks if each.name == first.name])
    return TaskFacts(
        name=task.name,
        weight=task.weight,
        api=task.resolved.api_name,
        url=redact_url(task.resolved.target.url),
        model=_model_of(task),
        group=task.group,
        slos=tuple(slo.text for slo in task.options.objectives.slos),
    )


def _positions(tasks: Sequence[RunTask]) -> tuple[int, ...]:
    """Task number -> position in `tasks`."""
    names = [turn_names(task.options.turns) or ("",) for task in tasks]
    return tuple(position for position, steps in enumerate(names) for _ in steps)


def _step_facts(tasks: Sequence[RunTask]) -> tuple[StepFacts, ...]:
    """What the task numbers of the run stand for; empty if no task has sessions."""
    if all(task.options.turns is None and task.step is None and not task.own.script for task in tasks):
        return ()
    return step_facts((task.own, task.step, task.options.turns) for task in tasks)


def _steady_s(options: Options) -> float | None:
    """The planned length of the steady window; if it is the whole run, it includes the ramp."""
    if options.steady_s is None or not options.whole_run:
        return options.steady_s
    return options.ramp_up_s + options.steady_s


def run_info(options: Options, target: Target, view: RunView) -> RunInfo:
    """The summary's description of the run with the state `view`."""
    known = view.facts
    return RunInfo(
        version=known.version,
        api=known.api,
        url=redact_url(target.url),
        model=known.model,
        procs=options.procs,
        streams=known.streams,
        total_streams=options.total_streams,
        phases_s=PhaseLengths(
            ramp=known.ramp_s,
            warmup=round(view.warmup_s, 6),
            steady=round(view.steady_s, 6),
            drain=view.ended.drain_s if view.ended is not None else 0.0,
        ),
        started_at=known.started_at,
        seed=options.seed,
        options=describe(options),
        host=host(),
    )


def window_begins(options: Options, window: Window) -> tuple[str, int | None]:
    """The line of the log for the begin of `window`, and its planned begin (ns after T0; None: it was open)."""
    length = {
        Phase.RAMP: ("ramp-up", duration(options.ramp_up_s)),
        Phase.WARMUP: ("warm-up", warmup(options)),
        Phase.STEADY: ("steady window", "" if options.steady_s is None else duration(options.steady_s)),
        Phase.DRAIN: ("drain", f"at most {duration(options.grace_s)}"),
    }
    if window.label != LABELS[window.kind]:
        name, lasts = window.label, ""
        if window.begin is not None and window.end is not None:
            lasts = duration((window.end - window.begin) / 1e9)
    else:
        name, lasts = length[window.kind]
    return f"{name} begins" + (f" ({lasts})" if lasts else ""), window.begin


def steady_ns(options: Options) -> int | None:
    """The length of the steady window as it was asked for; None: until the requests are used up."""
    return None if options.steady_s is None else int(options.steady_s * 1e9)


def row_ns(interval_s: float) -> int:
    """Step of the timeline: a second, or the next multiple of the interval."""
    interval_ns = int(interval_s * 1e9)
    return -(-1_000_000_000 // interval_ns) * interval_ns
