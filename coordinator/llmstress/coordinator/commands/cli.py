"""The command line: arguments -> options -> run -> report -> exit code."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from llmstress.coordinator.commands.arguments import (
    api_options,
    connection_options,
    limit_options,
    load_options,
    model_listing_options,
    output_options,
    request_options,
    target_options,
    timeout_options,
    view_options,
)
from llmstress.coordinator.commands.click_types import SectionedCommand, SectionedGroup, TargetCommand, section
from llmstress.coordinator.commands.mock import mock
from llmstress.coordinator.config.errors import ExitCode, LlmstressError, UsageError
from llmstress.coordinator.config.keys import without_keys

SETTINGS = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}

LONGEST = 600
"""Characters of a sentence that says what is wrong: it may quote what was given."""


@click.group(cls=SectionedGroup, invoke_without_command=True, context_settings=SETTINGS)
@target_options
@model_listing_options
@load_options
@request_options
@api_options
@connection_options
@timeout_options
@limit_options
@output_options
@section("Other")
@click.version_option(package_name="llmstress", prog_name="llmstress")
@click.pass_context
def cli(context: click.Context, /, **arguments: Any) -> int:
    """Load-test an LLM API with thousands of concurrent streams.

    \b
    llmstress                                             a demonstration against the built-in mock LLM
    llmstress probe http://localhost:8000                 one request in detail
    llmstress http://localhost:8000 --model m             100 streams for 60 s
    llmstress http://... --procs 16 --streams 4000        16 × 4000 = 64,000 streams
    """
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context, context.invoked_subcommand)
        return ExitCode.OK
    from llmstress.coordinator.commands.run import run_command  # the engine's imports take longer than --help may

    return run_command(arguments)


def _refuse_misplaced(context: click.Context, command: str) -> None:
    """Options before the name of a command would be a run's, which there won't be.

    Raises:
        UsageError: there are some.
    """
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(f"{parameter.opts[0]} stands before {command!r}: the options of a command follow its name")


@cli.command(cls=TargetCommand)
@target_options
@request_options
@api_options
@connection_options
@timeout_options
@view_options
def probe(**arguments: Any) -> int:
    """Send one request and show in detail what happens.

    \b
    llmstress probe                                       the built-in mock
    llmstress probe http://localhost:8000                 a server, and the only model that it lists
    llmstress probe http://... --raw                      with the bytes
    """
    from llmstress.coordinator.probe.command import probe_command

    return probe_command(arguments)


cli.add_command(mock)


@cli.command(cls=SectionedCommand)
@click.argument("pid", type=int, required=False)
@click.option("--control", is_flag=True, help="Allow the screen to control the run; without this it only shows it.")
@click.option("--list", "only_list", is_flag=True, help="List the runs and exit.")
def attach(pid: int | None, *, control: bool, only_list: bool) -> int:
    """Open the screen of a run that was started elsewhere.

    The run must be yours and on this machine. PID selects one if there are several.
    """
    from llmstress.coordinator.commands.attach import attach_command

    return attach_command(pid, control=control, only_list=only_list)


@cli.command(cls=SectionedCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--speed", type=click.FloatRange(0.25, 64), default=1.0, show_default=True, help="Playback speed.")
def replay(file: str, speed: float) -> int:
    """Replay a run that was recorded with --record."""
    from llmstress.coordinator.commands.replay import replay_command

    return replay_command(file, speed)


_STARTERS = ("run", "start", "bench", "benchmark", "load", "test", "profile", "stress")
"""Words before the target by which other tools start a run."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run the command, print one sentence for a known error, exit with its code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command line `argv`; gives the exit code."""
    try:
        return int(cli.main(list(argv), prog_name="llmstress", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        return ExitCode.SIGINT
    except click.ClickException as error:
        return _report(UsageError(_words_of(error)))
    except LlmstressError as error:
        return _report(error)


def _words_of(error: click.ClickException) -> str:
    """What click says; of a word that is neither command nor target, what a target looks like."""
    said = error.format_message()
    if any(said.startswith(f"No such command '{word}'") for word in _STARTERS):
        return f"{said.rstrip('.')}; a run needs none: llmstress http://localhost:8000"
    if said.startswith("No such command") and "Did you mean" not in said:
        return f"{said.rstrip('.')}; a target is a URL like http://localhost:8000"
    return said


def _report(error: LlmstressError) -> int:
    text = without_keys(" ".join(str(error).split()))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 150]} … {text[-150:]}"
    print(f"llmstress: {text}", file=sys.stderr)
    return error.exit_code
