"""Sets up a run: resolves the target, checks the machine, opens sockets and processes, and closes all of them again."""

import contextlib
import datetime
import os
from collections.abc import Callable
from pathlib import Path

from llmstress.coordinator.config.errors import LlmstressError, UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.host import preflight
from llmstress.coordinator.host.machine import local_ports
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
from llmstress.coordinator.run.prompt_files import check_prompt_file, prompt_warnings
from llmstress.coordinator.run.repeated import digest_of, warning_of_repeated
from llmstress.coordinator.target.auth import key_variables, warning_of_plain_http
from llmstress.coordinator.target.network import resolve, with_sources
from llmstress.coordinator.target.resolved_target import resolve_target
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.secrets import redact
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView


async def execute(
    options: Options,
    url: str,
    console: Console,
    asked_at: float,
    directory: Path,
    trace: TraceFacts | None = None,
    prepared: Prepared = NOTHING_PREPARED,
    *,
    screen: bool,
    deliver: Callable[[Result], Path | None],
) -> Result:
    """Run `options` against `url`.

    Args:
        options: the options of the run.
        url: the target: that of the options, or that of the built-in mock.
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
    resolved = resolve_target(options, url, os.environ)
    target, network, secrets = resolved.target, resolved.network, resolved.secrets
    console.hide(secrets)
    try:
        windows = load_plan.windows_of(options)
        check_thresholds(options.thresholds, windows_to_come(options, windows))
        addresses = await resolve(network, target)
        networks = with_sources(network, addresses, options.shares, local_ports())
        warnings = preflight.check_machine(options, target, networks, addresses)
        if warning := warning_of_ramp(options):
            warnings.append(warning)
        if trace is not None:
            warnings += replay.trace_warnings(options, trace)
        for facts_of_file in prepared.files.values():
            check_prompt_file(facts_of_file, resolved.api, options)
            warnings += prompt_warnings(facts_of_file, options)
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        if warning := warning_of_repeated(target.url, digest_of(options, prepared), now, os.environ):
            warnings.append(warning)
        if options.unix_socket is None and (warning := warning_of_plain_http(target, resolved.headers)):
            warnings.append(warning)
        environ = child_environment(os.environ, secrets, key_variables(options))
        async with contextlib.AsyncExitStack() as stack:
            (directory / ABOUT).write_text(f"{redact_url(target.url)}  {size_of(options)}", "utf-8")
            hub = await stack.enter_async_context(Hub(directory, options.procs))
            view = RunView(
                facts.run_facts(options, resolved.api_name, target, options.model or "", trace, prepared),
                Aggregate.over(options.shares, facts.row_ns(options.interval_s), windows),
            )
            try:
                record_to = Path(options.record) if options.record is not None else None
                broadcaster = await stack.enter_async_context(Broadcaster(directory, view, record_to))
            except OSError as error:
                raise UsageError(f"--record {options.record}: {error.strerror or error}") from error
            announcer = Announcer(broadcaster, console, secrets)
            workers = WorkerProcesses(directory, hub.endpoint, environ)
            conductor = Conductor(options, resolved, hub, workers, broadcaster, announcer, asked_at, trace, prepared)
            try:
                if screen:
                    await conductor.open_screen(directory, environ)
                for warning in warnings:
                    announcer.warn(warning)
                result = await conductor.conduct(networks)
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
