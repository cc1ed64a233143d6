"""The command that runs a load test: checks, run, summary, table, exit code."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from llmstress.coordinator.commands.defaults import mock_procs, options_of
from llmstress.coordinator.config.errors import ExitCode, LlmstressError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.host import preflight
from llmstress.coordinator.host.machine import available_cores
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.outputs import check_outputs, keep_summary, open_log, write_out
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import encode, histograms_of, write_atomically
from llmstress.coordinator.processes import screen_process
from llmstress.coordinator.processes.demo_mock import demo_options, demo_url, start_demo_mock
from llmstress.coordinator.processes.run_directory import PROMPTS, TRACE, own_directory
from llmstress.coordinator.prompts.prepared import Prepared, prepare
from llmstress.coordinator.run.conductor import Result
from llmstress.coordinator.run.dry_run import dry_run
from llmstress.coordinator.run.ending import exit_code_reason
from llmstress.coordinator.run.execute import execute
from llmstress.coordinator.run.reports import write_reports
from llmstress.coordinator.scenarios.read import with_scenario
from llmstress.coordinator.target.api_choice import check_apis, label_of
from llmstress.coordinator.traces.read import TraceFacts, read_trace
from llmstress.engine.mock.options import MockOptions

LARGE_TRACE = 20_000_000
"""Bytes of a trace from which on a line says that it is being read: a million rows of CSV have 40 MB and take 3 s."""


MOCK = "the built-in mock LLM"
"""The target of a run without a URL."""


class Saved(msgspec.Struct, frozen=True):
    """How the summary was written to files."""

    path: Path | None = None
    """The file with the summary; None: it could not be written anywhere."""
    output_failed: bool = False
    """The file of `--output` could not be written."""


def run_command(arguments: dict[str, Any]) -> int:
    """Run a load test with `arguments` (the fields of `Options`) and report it; returns the exit code.

    Raises:
        LlmstressError: the run could not be started.
    """
    asked_at = time.monotonic()
    options = options_of(with_scenario(arguments, os.environ), available_cores(), preflight.most_streams())
    check_apis(options)
    check_outputs(options)
    if options.dry_run:
        return _dry_run(options)
    screen = screen_process.wanted(
        options,
        os.environ,
        terminal=screen_process.has_terminal(),
        piped=not sys.stdout.isatty(),
        foreground=screen_process.in_foreground(),
    )
    console = Console(sys.stderr, open_log(options), verbose=options.verbose, quiet=options.quiet)
    saved = Saved()

    def deliver(result: Result) -> Path | None:
        nonlocal saved
        saved = _save(options, encode(_with_histograms(result)), console)
        return saved.path

    try:
        with own_directory() as directory:
            trace = _trace(options, console, directory / TRACE)  # before there is a loop, so that Ctrl-C ends it
            prepared = prepare(_labelled(options), os.environ, directory / PROMPTS, console.say)
            result, truth = asyncio.run(_run(options, console, asked_at, screen, directory, trace, prepared, deliver))
        if saved.path is not None:  # before the table: the explanation of the exit code must be the last line
            console.say()
            console.say(f"summary: {saved.path}")
        console.table(result.summary, intervals=options.intervals)
        if truth:
            console.truth(truth)
        reported = write_reports(options, result, os.environ, console)
        if reason := exit_code_reason(options, result.summary, result.exit_code):
            console.warn(reason)
    except LlmstressError as error:
        console.note(f"llmstress: {error}")  # only for the log: the command line prints it
        raise
    finally:
        console.close()
    if options.headless or not sys.stdout.isatty():
        write_out(encode(_with_histograms(result) if options.histograms else result.summary))
    return ExitCode.INTERNAL if saved.output_failed or not reported else result.exit_code


def _labelled(options: Options) -> list[tuple[str, Options]]:
    """The options of each task, or of its steps, with their names for messages."""
    return [(label_of(task, step), own) for task, step, own in options.each_step]


def _dry_run(options: Options) -> int:
    """Print what the run would do, and send nothing."""
    with own_directory() as directory:
        console = Console(sys.stderr)
        trace = _trace(options, console, directory / TRACE)
        prepared = prepare(_labelled(options), os.environ, directory / PROMPTS, console.say)
        if options.has_target:
            text = dry_run(options, lambda own: own.url or "", os.environ, trace, prepared)
        else:
            base = f"http://127.0.0.1:{MockOptions().port}"
            port = "the run starts the built-in mock LLM at a free port"
            notes = [f"no --url given: {port}; `llmstress mock` starts it at {base}, for the commands below"]
            own_options = demo_options(options)
            text = dry_run(own_options, lambda own: demo_url(own, base), os.environ, trace, prepared, MOCK, notes)
    write_out(text.encode("utf-8", "replace"))
    return ExitCode.OK


def _trace(options: Options, console: Console, directory: Path) -> TraceFacts | None:
    """What is known of the trace of a run, whose columns are in `directory` then; None: there is none."""
    if options.trace is None:
        return None
    if os.path.isfile(options.trace) and os.path.getsize(options.trace) >= LARGE_TRACE:
        console.say(f"reading {options.trace}")
    return read_trace(options.trace, directory, speed=options.speed, skip_bad_rows=options.skip_bad_rows)


async def _run(
    options: Options,
    console: Console,
    asked_at: float,
    screen: bool,
    directory: Path,
    trace: TraceFacts | None,
    prepared: Prepared,
    deliver: Callable[[Result], Path | None],
) -> tuple[Result, dict[str, Any]]:
    """The result of the run, and what the built-in mock reports to have sent (empty for another target)."""

    async def load(options: Options, url_of: Callable[[Options], str]) -> Result:
        return await execute(
            options, url_of, console, asked_at, directory, trace, prepared, screen=screen, deliver=deliver
        )

    if options.has_target:
        return await load(options, lambda own: own.url or ""), {}
    procs = mock_procs(available_cores())
    mock = await start_demo_mock(options, procs)
    console.say(
        f"no --url given: loading the built-in mock LLM, {procs} process{'es' if procs > 1 else ''} at {mock.url}"
    )
    try:
        result = await load(demo_options(options), lambda own: demo_url(own, mock.url))
    finally:
        truth = await mock.stop()
    return result, truth


def _save(options: Options, data: bytes, console: Console) -> Saved:
    """Write the summary to the file of `--output`. Without `--output`, or if that fails, write it to the state
    directory, so that the figures of a long run are not lost."""
    output_failed = False
    if options.output is not None:
        try:
            write_atomically(Path(options.output), data)
            return Saved(Path(os.path.abspath(options.output)))
        except OSError as error:
            console.warn(f"--output {options.output}: {error}")
            output_failed = True
    try:
        return Saved(keep_summary(data, os.environ), output_failed)
    except OSError as error:
        console.warn(f"the summary could not be saved: {error}; use --output FILE to choose another place")
        return Saved(None, output_failed)


def _with_histograms(result: Result) -> Summary:
    return msgspec.structs.replace(result.summary, histograms=histograms_of(result.aggregate))
