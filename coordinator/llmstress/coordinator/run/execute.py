"""Sets up a run: resolves the target, checks the machine, opens sockets and processes, and closes all of them again."""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from llmstress.coordinator.config.errors import LlmstressError, UsageError, naming
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.host import preflight
from llmstress.coordinator.output.console import Console, size_of
from llmstress.coordinator.output.redaction import child_environment
from llmstress.coordinator.processes.broadcaster import Broadcaster
from llmstress.coordinator.processes.hub import Hub
from llmstress.coordinator.processes.run_directory import ABOUT
from llmstress.coordinator.processes.worker_processes import WorkerProcesses
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run import facts, load_plan, replay
from llmstress.coordinator.run.announcer import Announcer
from llmstress.coordinator.run.conductor import Conductor, Result
from llmstress.coordinator.run.courses.plan import windows_to_come
from llmstress.coordinator.run.gate import check_thresholds
from llmstress.coordinator.run.plans import warning_of_ramp
from llmstress.coordinator.run.pricing import check_pricing
from llmstress.coordinator.run.prompt_files import check_prompt_file, prompt_warnings
from llmstress.coordinator.run.repeated import digest_of, warning_of_repeated
from llmstress.coordinator.run.run_tasks import RunTask, find_networks, resolve_tasks
from llmstress.coordinator.target.auth import key_variables, warning_of_plain_http
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.secrets import redact
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView


async def execute(
    options: Options,
    url_of: Callable[[Options], str],
    console: Console,
    asked_at: float,
    directory: Path,
    trace: TraceFacts | None = None,
    prepared: Prepared = NOTHING_PREPARED,
    *,
    screen: bool,
    deliver: Callable[[Result], Path | None],
) -> Result:
    """Run `options`.

    Args:
        options: the options of the run.
        url_of: gives the target of the options of a task: their own, or that of the built-in mock.
        console: gets the banner, progress lines and warnings; it holds its output back while a screen is open.
        asked_at: `time.monotonic()` when the command was started.
        directory: that of the run, for its sockets.
        trace: that of the options.
        prepared: what the prompts of the options need.
        screen: open a screen.
        deliver: is called with the result as soon as it is final, and returns the path of the written summary, or None
            if there is none. A screen may stay open after that.

    Raises:
        UsageError, CouldNotStart: a check failed; no request was sent.
    """
    tasks = resolve_tasks(options, url_of, os.environ)
    secrets = list(dict.fromkeys(secret for task in tasks for secret in task.resolved.secrets))
    console.hide(secrets)
    try:
        windows = load_plan.windows_of(options)
        check_thresholds(options.thresholds, windows_to_come(options, windows))
        tasks = await find_networks(tasks, options.shares)
        warnings = _of_all(
            preflight.check_machine(options, task.resolved.target, task.networks, task.addresses) for task in tasks
        )
        if warning := warning_of_ramp(options):
            warnings.append(warning)
        if trace is not None:
            warnings += replay.trace_warnings(options, trace)
        warnings += _of_all(_prompt_warnings(task, prepared) for task in tasks)
        warnings += _of_all(
            filter(None, [warning_of_plain_http(task.resolved.target, task.resolved.headers)])
            for task in tasks
            if task.options.unix_socket is None
        )
        variables = {variable for task in tasks for variable in key_variables(task.options)}
        environ = child_environment(os.environ, secrets, variables)
        target = tasks[0].resolved.target
        async with contextlib.AsyncExitStack() as stack:
            (directory / ABOUT).write_text(f"{redact_url(target.url)}  {size_of(options)}", "utf-8")
            hub = await stack.enter_async_context(Hub(directory, options.procs))
            view = RunView(
                facts.run_facts(options, tasks, trace, prepared),
                Aggregate.over(options.shares, facts.row_ns(options.interval_s), windows),
            )
            if all(task.options.model for task in tasks):  # others are known once their targets have listed them
                check_pricing(options, view.facts.pricing)
            try:
                record_to = Path(options.record) if options.record is not None else None
                broadcaster = await stack.enter_async_context(Broadcaster(directory, view, record_to))
            except OSError as error:
                raise UsageError(f"--record {options.record}: {error.strerror or error}") from error
            announcer = Announcer(broadcaster, console, secrets)
            workers = WorkerProcesses(directory, hub.endpoint, environ)
            conductor = Conductor(options, tasks, hub, workers, broadcaster, announcer, asked_at, trace, prepared)
            try:
                if screen:
                    await conductor.open_screen(directory, environ)
                for warning in warnings:
                    announcer.warn(warning)
                result = await conductor.conduct()
                if (path := deliver(result)) is not None:
                    announcer.show(f"summary: {path}")
                await conductor.wait_for_screen()
                return result
            finally:
                await workers.shut_down(0)
                await conductor.close()
    except LlmstressError as error:
        error.args = (redact(str(error), secrets),)
        raise


def _of_all(warnings: Iterable[Iterable[str]]) -> list[str]:
    """The warnings about all tasks, each once."""
    return list(dict.fromkeys(each for found in warnings for each in found))


def _prompt_warnings(task: RunTask, prepared: Prepared) -> list[str]:
    """What is to be said about the prompts of a task before the run.

    Raises:
        UsageError: its requests can't ask with the rows of its file.
    """
    found = []
    file = prepared.file(task.options)
    if file is not None:
        with naming(task.label):
            check_prompt_file(file, task.resolved.api, task.options)
        found += prompt_warnings(file, task.options)
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    target = f"{task.label} {task.resolved.target.url}"
    if warning := warning_of_repeated(target, digest_of(task.options, prepared), now, os.environ):
        found.append(warning)
    return found
