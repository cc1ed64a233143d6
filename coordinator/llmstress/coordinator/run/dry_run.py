"""What a run would do, as a text: its plan, and the first requests of each task. Sends nothing and starts nothing.

The requests come from the engine's own tasks, made of the plans that workers would get, so they are what a run sends.
"""

import io
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.errors import LlmstressError, naming
from llmstress.coordinator.config.keys import from_environment, variable_of
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.host import preflight
from llmstress.coordinator.host.machine import local_ports
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.curl import Blanks, curl_command
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run import facts, load_plan, replay, token_rate
from llmstress.coordinator.run.courses.plan import windows_to_come
from llmstress.coordinator.run.gate import check_thresholds
from llmstress.coordinator.run.plan_text import plan_lines
from llmstress.coordinator.run.plans import make_plans, warning_of_ramp
from llmstress.coordinator.run.pricing import check_pricing
from llmstress.coordinator.run.prompt_files import check_prompt_file, describe_prompts, prompt_warnings
from llmstress.coordinator.run.run_tasks import RunTask, resolve_tasks
from llmstress.coordinator.target.auth import find_key_variable, warning_of_plain_http
from llmstress.coordinator.target.model_listing import ModelListing, choose_model
from llmstress.coordinator.target.network import describe_way, with_sources
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.control import Plan
from llmstress.engine.load.build import build_mix
from llmstress.engine.load.flows import Flows
from llmstress.engine.load.mix import Entry
from llmstress.engine.load.sessions import SessionKind
from llmstress.engine.secrets import distinctive, redact
from llmstress.engine.stream.link import Link
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Request
from llmstress.engine.telemetry.broadcast import RunFacts
from llmstress.engine.telemetry.sanitize import MAX_TEXT, sanitize_text
from llmstress.engine.trace import Trace

SHOWN = 3
"""Requests of each task that are shown."""

PLACEHOLDER = "MODEL"
"""Stands for the model where a run would ask the target for it."""


class _NoDials:
    """Opens no connection."""

    async def open(self) -> Link:
        raise NotImplementedError("a dry run opens no connection")


def dry_run(
    options: Options,
    url_of: Callable[[Options], str],
    environ: Mapping[str, str],
    trace: TraceFacts | None = None,
    prepared: Prepared = NOTHING_PREPARED,
    stand_in: str = "",
    notes: Sequence[str] = (),
) -> str:
    """The plan of a run with `options`, as a text without secrets, after the checks that need no connection.

    Args:
        options: those of the run.
        url_of: gives the target of the options of a task.
        environ: the environment.
        trace: that of the options, whose columns exist.
        prepared: what the prompts of the options need.
        stand_in: what the target is, in words, if it has no URL before the run; empty: it has one.
        notes: said before all others.

    Raises:
        UsageError, CouldNotStart: a check failed.
    """
    tasks = resolve_tasks(options, url_of, environ)
    hidden = list(dict.fromkeys(secret for task in tasks for secret in task.resolved.secrets))
    try:
        return _text(options, tasks, hidden, environ, trace, prepared, stand_in, notes)
    except LlmstressError as error:
        error.args = (redact(str(error), hidden),)
        raise


def _text(
    options: Options,
    tasks: Sequence[RunTask],
    hidden: list[str],
    environ: Mapping[str, str],
    trace: TraceFacts | None,
    prepared: Prepared,
    stand_in: str,
    notes: Sequence[str],
) -> str:
    windows = load_plan.windows_of(options)
    check_thresholds(options.thresholds, windows_to_come(options, windows))
    tasks = [_with_networks(task, options.shares) for task in tasks]
    remarks = [*notes, *_warnings(options, tasks, trace, prepared)]
    tasks, of_models = _with_models(tasks)
    run = _with_target(facts.run_facts(options, tasks, trace, prepared), stand_in)
    if not of_models:
        check_pricing(options, run.pricing)
    per_request = token_rate.expected_in_mix(
        [(task.weight, task.ask, task.options.prompt_tokens, prepared.file(task.options)) for task in tasks]
    )
    profile = load_plan.profile_of(options, per_request)
    salt = secrets.randbits(64)
    replayed = replay.replay_of(tasks, trace, salt, prepared)
    plans = make_plans(options, tasks, windows, profile, replayed, salt, prepared)
    asking = _without_scripts(plans[0])
    mix = build_mix(
        asking,
        Recorder(0),
        lambda _: _NoDials(),
        random.random,
        None if plans[0].replay is None else Trace(Path(plans[0].replay.directory)),
    )
    kept = io.StringIO()
    console = Console(kept)
    console.hide(hidden)
    ways = []
    for task in tasks:
        file = prepared.file(task.options)
        ways += [task.resolved.target.note, describe_way(task.networks), describe_prompts(task.options, file)]
    more = replay.describe_replay(options, trace, replayed)
    console.banner(options, run, list(dict.fromkeys(filter(None, ways))), more)
    lines = kept.getvalue().splitlines()
    lines += [f"  note: {each}" for each in dict.fromkeys([*remarks, *of_models])]
    described = plan_lines(options, tasks, plans, mix.entries, run.pricing, trace, prepared)
    others = iter(mix.entries)
    lines = [redact(sanitize_text(line, 4 * MAX_TEXT), distinctive(hidden)) for line in [*lines, *described.run]]
    wholes = [task for task in tasks if task.begins]
    for task, about, number in zip(wholes, described.tasks, described.numbers, strict=True):
        lines += ["", *(redact(sanitize_text(line, 4 * MAX_TEXT), distinctive(hidden)) for line in about)]
        if task.own.script:
            continue
        blanks = Blanks(hidden, _variables(task, environ))
        proxies = any(name.lower().endswith("_proxy") for name in environ)
        most = SHOWN if number is None else min(SHOWN, number)
        lines += _requests(next(others), asking, blanks, most, proxies=proxies)
    return "\n".join([*lines, "", "nothing was sent (--dry-run)", ""])


def _without_scripts(plan: Plan) -> Plan:
    """The plan without its users in Python: only their code knows their requests, and it does not run here."""
    return msgspec.structs.replace(plan, tasks=[each for each in plan.tasks if not each.script], scenario=None)


def _with_target(run: RunFacts, stand_in: str) -> RunFacts:
    """The facts of a run whose target is known by other words than its URL."""
    if not stand_in:
        return run
    tasks = tuple(msgspec.structs.replace(task, url=stand_in) for task in run.tasks)
    return msgspec.structs.replace(run, url=stand_in, tasks=tasks)


def _with_networks(task: RunTask, shares: list[int]) -> RunTask:
    """The task with the network of each worker, as far as it is known without DNS."""
    network = task.resolved.network
    addresses = list(network.addresses)
    networks = with_sources(network, addresses, shares, local_ports())
    return msgspec.structs.replace(task, addresses=addresses, networks=networks)


def _with_models(tasks: Sequence[RunTask]) -> tuple[list[RunTask], list[str]]:
    """The tasks with their models, and notes about those that a run would ask a target for.

    Raises:
        CouldNotStart: a run would not know the model of a task.
    """
    found, notes = [], []
    for task in tasks:
        options, resolved, model = task.options, task.resolved, task.options.model or ""
        if not model and resolved.api.NEEDS_MODEL:
            if not (options.probe and resolved.target.models_url):
                with naming(task.label):
                    choose_model(options, ModelListing())
            model = PLACEHOLDER
            notes.append(f"{PLACEHOLDER} stands for the model, for which the run asks the target; --model names it")
        found.append(msgspec.structs.replace(task, model=model))
    return found, notes


def _warnings(options: Options, tasks: Sequence[RunTask], trace: TraceFacts | None, prepared: Prepared) -> list[str]:
    """The warnings of a run that need no connection.

    Raises:
        UsageError: the requests of a task can't ask with the rows of its file.
        CouldNotStart: this machine does not suffice.
    """
    found = []
    for task in tasks:
        found += preflight.check_machine(options, task.resolved.target, task.networks, task.addresses)
    found.append(warning_of_ramp(options))
    if trace is not None:
        found += replay.trace_warnings(options, trace)
    for task in tasks:
        if (file := prepared.file(task.options)) is not None:
            with naming(task.label):
                check_prompt_file(file, task.resolved.api, task.options)
            found += prompt_warnings(file, task.options)
        if task.options.unix_socket is None:
            found.append(warning_of_plain_http(task.resolved.target, task.resolved.headers))
    return [each for each in found if each]


def _variables(task: RunTask, environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """For `Blanks`: the headers of a task whose secrets come from the environment."""
    found = {}
    host = urlsplit(task.resolved.target.url).hostname or ""
    if (name := find_key_variable(task.options, host, environ)) is not None:
        key = environ[name].strip()
        found.update({header.lower(): (key, name) for header, _ in task.resolved.api.headers(key)})
    for header, value in task.options.headers:
        found.pop(header.lower(), None)
        if (name := variable_of(value)) is not None:
            found[header.lower()] = (from_environment(name, environ), name)
    return found


def _requests(entry: Entry, plan: Plan, blanks: Blanks, number: int, *, proxies: bool) -> list[str]:
    """The first requests of a task, or the first ones of sessions, as commands."""
    lines: list[str] = []
    shown: list[tuple[str, Request]] = []
    if isinstance(entry, Flows):
        shown = [(f"# step {name} of the first flow", request) for name, request in entry.examples()]
    for index in range(0 if shown else number):
        if isinstance(entry, SessionKind):
            if (first := entry.begin(index, index).first()) is not None:
                shown.append((f"# session {index + 1}, first request", first))
        else:
            shown.append((f"# request {index + 1}", entry.request(index)))
    for title, request in shown:
        of_task = plan.tasks[request.task.id]
        streamed = request.task.api.streamed
        command = curl_command(request.data, of_task.url, of_task.network, blanks, streamed=streamed, proxies=proxies)
        lines += ["", title, *command.split("\n")]
    return lines
