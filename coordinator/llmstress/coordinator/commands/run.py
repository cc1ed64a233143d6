"""What a run is asked for, once its arguments are parsed, and what is given back."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import ExitCode, LlmstressError
from llmstress.coordinator.config.options import DEFAULT_STREAMS, Options
from llmstress.coordinator.host import preflight
from llmstress.coordinator.host.machine import available_cores
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.outputs import check_outputs, keep_summary, open_log, write_out
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import encode, histograms_of, write_atomically
from llmstress.coordinator.processes import screen_process
from llmstress.coordinator.processes.demo import of_demo, start_demo, url_of_demo
from llmstress.coordinator.run import conductor as runs
from llmstress.coordinator.run.ending import last_words
from llmstress.coordinator.run.plans import default_procs, own_ramp_s
from llmstress.coordinator.target.api_choice import ask_of, choose_api, name_of_api

DEMO_WARMUP_S, DEMO_STEADY_S = 2.0, 8.0
"""Ten seconds in all against the built-in mock; the warm-up keeps the opening of connections out of the figures."""


def run_command(arguments: dict[str, Any]) -> int:
    """Run what `arguments` (the fields of `Options`) say, report it, and give the exit code.

    Raises:
        LlmstressError: it could not be run.
    """
    asked_at = time.monotonic()
    cores = available_cores()
    if arguments["streams"] is None and arguments["total"] is None:
        arguments["total"] = max(DEFAULT_STREAMS, arguments["procs"] or 0)
    if arguments["procs"] is None:
        free = cores if arguments["url"] else max(1, cores - cores // 2)
        arguments["procs"] = default_procs(arguments["total"], free, preflight.most_streams())
    if not arguments["url"] and arguments["duration_s"] is None and arguments["requests"] is None:
        arguments["duration_s"] = DEMO_STEADY_S
        if arguments["warmup_requests"] is None:
            arguments["warmup_s"] = arguments["warmup_s"] or DEMO_WARMUP_S
    asked_ramp = arguments.pop("ramp_up_s")
    options = Options(**arguments, ramp_up_s=asked_ramp or 0.0)
    if asked_ramp is None:
        options = msgspec.structs.replace(options, ramp_up_s=own_ramp_s(options))
    choose_api(name_of_api(options, options.url or ""), ask_of(options, options.url or "", options.model or ""))
    check_outputs(options)
    show = screen_process.wanted(
        options,
        os.environ,
        terminal=screen_process.has_terminal(),
        piped=not sys.stdout.isatty(),
        foreground=screen_process.in_foreground(),
    )
    console = Console(sys.stderr, open_log(options), verbose=options.verbose, quiet=options.quiet)
    failures: list[OSError] = []
    written: list[Path] = []

    def deliver(result: runs.Result) -> Path | None:
        data = encode(_full(result))
        if options.output is not None:
            try:
                write_atomically(Path(options.output), data)
            except OSError as error:
                console.warn(f"--output {options.output}: {error}")
                failures.append(error)
            else:
                written.append(Path(os.path.abspath(options.output)))
        if not written:  # also if --output failed: the figures of a long run are worth a second place
            try:
                written.append(keep_summary(data, os.environ))
            except OSError as error:
                console.warn(f"the summary could not be saved: {error}; use --output FILE to choose another place")
        return next(iter(written), None)

    try:
        result, truth = asyncio.run(_run(options, console, asked_at, show, deliver))
        for path in written:  # before the table: its last line says what went wrong, and is to be the last of all
            console.say()
            console.say(f"summary: {path}")
        console.table(result.summary)
        if truth:
            console.truth(truth)
        if words := last_words(options, result.summary, result.exit_code):
            console.warn(words)
    except LlmstressError as error:
        console.note(f"llmstress: {error}")  # whoever catches it says it
        raise
    finally:
        console.close()
    if options.headless or not sys.stdout.isatty():
        write_out(encode(_full(result) if options.histograms else result.summary))
    return ExitCode.INTERNAL if failures else result.exit_code


async def _run(
    options: Options, console: Console, asked_at: float, show: bool, deliver: Callable[[runs.Result], Path | None]
) -> tuple[runs.Result, dict[str, Any]]:
    """The run, and what the built-in mock says it sent (empty if another target was loaded)."""
    if options.url is not None:
        return await runs.execute(options, options.url, console, asked_at, screen=show, deliver=deliver), {}
    procs = max(1, available_cores() // 2)
    mock = await start_demo(options, procs)
    console.say(
        f"no --url given: loading the built-in mock LLM, {procs} process{'es' if procs > 1 else ''} at {mock.url}"
    )
    try:
        url = url_of_demo(options, mock)
        result = await runs.execute(of_demo(options), url, console, asked_at, screen=show, deliver=deliver)
    finally:
        truth = await mock.stop()
    return result, truth


def _full(result: runs.Result) -> Summary:
    return msgspec.structs.replace(result.summary, histograms=histograms_of(result.aggregate))
