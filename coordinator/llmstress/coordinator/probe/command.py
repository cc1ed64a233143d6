"""`llmstress probe`: sends one request as a run would, and shows it in detail."""

import asyncio
import datetime
import os
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart, ExitCode, LlmstressError, UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import is_address
from llmstress.coordinator.config.target_url import Target, redact_url
from llmstress.coordinator.output.console import program_version
from llmstress.coordinator.output.outputs import write_out
from llmstress.coordinator.output.summary import host
from llmstress.coordinator.probe import text
from llmstress.coordinator.probe.hints import hint_of, remarks_of
from llmstress.coordinator.probe.observed import probe_of
from llmstress.coordinator.probe.refusal_hints import blames_model
from llmstress.coordinator.probe.report import Probe, Where
from llmstress.coordinator.processes.demo_mock import demo_options, demo_url, start_demo_mock
from llmstress.coordinator.run import ending
from llmstress.coordinator.run.plans import task_plan
from llmstress.coordinator.target import api_choice, model_listing
from llmstress.coordinator.target.auth import warning_of_plain_http
from llmstress.coordinator.target.network import describe_way, resolve
from llmstress.coordinator.target.resolved_target import ResolvedTarget, resolve_target
from llmstress.engine.connect.dialer import Dialer
from llmstress.engine.control import Network
from llmstress.engine.secrets import distinctive, redact
from llmstress.engine.witness import Evidence, WatchedLoop, Witness

PIPED_WIDTH = 100
"""Columns of the output if stdout is not a terminal."""

OWN_MOCK = "no --url given: this is the built-in mock LLM"

WAITING, ERASED = b"\n  (waiting; Ctrl-C shows what has come)", b"\r\x1b[K\x1b[A"
"""Shown on a terminal until the answer has come, and the sequence that removes it."""


class OutputForm(msgspec.Struct, frozen=True):
    """What a probe prints."""

    json: bool
    """JSON instead of text."""
    raw: bool
    """Include the bytes."""
    events: bool
    """Show all events."""
    task: str | None = None
    """Name of the task to probe; None: the first one."""


def probe_command(arguments: dict[str, Any]) -> int:
    """Send one request and print what happened; returns the exit code.

    `arguments`: fields of `Options` and of `OutputForm`.

    Raises:
        LlmstressError: the request could not be sent.
    """
    form = OutputForm(**{name: arguments.pop(name) for name in OutputForm.__struct_fields__})
    options = _of_task(Options(**arguments, procs=1, streams=1, requests=1), form.task)
    width = max(text.NARROWEST, shutil.get_terminal_size((PIPED_WIDTH, 0)).columns)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    left_on_terminal = b""

    def announce(where: Where) -> None:
        nonlocal left_on_terminal
        if form.json:
            return
        write_out(text.render(text.opening(where, width), colour=colour))
        if colour:
            write_out(WAITING)
            left_on_terminal = ERASED

    signals: list[int] = []
    try:
        with asyncio.Runner(loop_factory=WatchedLoop) as runner:
            probe = runner.run(_probe(options, announce, signals, raw=form.raw))
    finally:
        write_out(left_on_terminal)
    if form.json:
        write_out(msgspec.json.format(msgspec.json.encode(probe), indent=2) + b"\n")
    else:
        write_out(text.render(text.account(probe, width, all_events=form.events), colour=colour))
    if probe.outcome == "ok":
        return ExitCode.OK
    return ending.exit_code_of(signals[0]) if signals else ExitCode.NO_SUCCESS


def _of_task(options: Options, name: str | None) -> Options:
    """The options of the task of this name, or of the first one.

    Raises:
        UsageError: there is no such task.
    """
    if name is None and not options.tasks:
        return options
    for task, step, own in api_choice.tasks_of(options):
        if name in (None, task.name) and step is not None:
            raise UsageError(
                f"the task {task.name} is a flow, whose steps need the answers of others; name another task with "
                "--task, or try the flow with `llmstress --config FILE --total-streams 1 --requests 10`"
            )
        if name in (None, task.name):
            return own
    names = ", ".join(task.name for task in options.tasks) or "none: tasks are the [[task]] tables of a file"
    raise UsageError(f"--task {name}: there is no such task; there are {names}")


async def _probe(options: Options, announce: Callable[[Where], None], signals: list[int], *, raw: bool) -> Probe:
    """Probe the target; without one, start the built-in mock and probe that."""
    if options.url is not None:
        return await probe_target(options, options.url, announce, signals, raw=raw)
    mock = await start_demo_mock(options, procs=1)
    adapted = msgspec.structs.replace(demo_options(options), model=options.model)
    try:
        return await probe_target(adapted, demo_url(options, mock.url), announce, signals, raw=raw)
    finally:
        await mock.stop()


async def probe_target(
    options: Options, url: str, announce: Callable[[Where], None], signals: list[int], *, raw: bool
) -> Probe:
    """Send one request to `url` and describe what happened.

    Args:
        options: content of the request, and how it is sent.
        url: the target.
        announce: is called with the target and the API before the request is sent.
        signals: the number of a signal that cancels the request is added here.
        raw: include the bytes.

    Raises:
        UsageError, CouldNotStart: a check failed; no request was sent.
    """
    resolved = resolve_target(options, url, os.environ)
    api, target, network, secrets = resolved.api, resolved.target, resolved.network, resolved.secrets
    try:
        addresses = await resolve(network, target)
        model, because = await _choose_model(options, resolved)
        plain_http = "" if network.unix_socket else warning_of_plain_http(target, resolved.headers)
        where = Where(
            version=program_version(),
            host=host(),
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            method=api.method,
            url=redact_url(target.url),
            api=resolved.api_name,
            api_because=api_choice.why_this_api(options, url),
            model=redact(model, distinctive(secrets)),
            model_because=because,
            streamed=api.streamed,
            addresses=tuple(addresses),
            way=describe_way([network]),
            proxied=bool(network.proxy),
            notes=tuple(note for note in ("" if options.url else OWN_MOCK, target.note, plain_http) if note),
        )
        announce(where)
        ask = api_choice.ask_of(options, url, model)
        task = task_plan(options, resolved, ask, network)
        async with Dialer(task.url, task.network, task.timeouts) as dialer:
            seen = await _watched(Witness(task, secrets), dialer, signals)
    except LlmstressError as error:
        error.args = (redact(str(error), secrets),)
        raise
    probe = probe_of(where, seen, api, secrets, by_name=_asks_dns(network, target), raw=raw)
    models = [redact(model, secrets) for model in await _listed_models(resolved, probe)]
    return msgspec.structs.replace(probe, hint=hint_of(probe, models), remarks=remarks_of(probe))


async def _listed_models(resolved: ResolvedTarget, probe: Probe) -> tuple[str, ...]:
    """The models that the target lists, if it refused the request because of the model; else empty."""
    if not (resolved.target.models_url and blames_model(probe)):
        return ()
    try:
        return (await model_listing.list_models(resolved, resolved.network)).models
    except CouldNotStart:
        return ()


async def _choose_model(options: Options, resolved: ResolvedTarget) -> tuple[str, str]:
    """The model to request, and the reason for it.

    Raises:
        CouldNotStart: `--model` was not given, and the target does not list exactly one model.
    """
    if options.model is not None:
        return options.model, "named with --model"
    if not resolved.api.NEEDS_MODEL:
        return "", ""
    listing = model_listing.ModelListing()
    if resolved.target.models_url:
        try:
            listing = await model_listing.list_models(resolved, resolved.network)
        except CouldNotStart:  # the probe's own request will fail for the same reason, and show it in detail
            return "", "unknown, because the target cannot be asked for its models; set it with --model"
    model, _ = model_listing.choose_model(options, listing)
    return model, "the only one that the target lists"


def _asks_dns(network: Network, target: Target) -> bool:
    host = urlsplit(network.proxy or target.url).hostname or ""
    return not (network.addresses or network.unix_socket or is_address(host))


async def _watched(witness: Witness, dialer: Dialer, signals: list[int]) -> Evidence:
    """What the witness has observed; a signal cancels the request, and the witness returns what has come until then."""
    loop = asyncio.get_running_loop()
    watching = loop.create_task(witness.watch(dialer))

    def cut(number: int) -> None:
        signals.append(number)
        watching.cancel()

    handled = (signal.SIGINT, signal.SIGTERM)
    for number in handled:
        loop.add_signal_handler(number, cut, number)
    try:
        return await watching
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
