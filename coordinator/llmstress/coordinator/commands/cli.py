"""The command line: parses arguments, calls the command, reports errors, returns the exit code."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from llmstress.coordinator.commands.arguments.checks import check_options
from llmstress.coordinator.commands.arguments.configuration import configuration_options, probed_task_option
from llmstress.coordinator.commands.arguments.connection import connection_options
from llmstress.coordinator.commands.arguments.conversations import conversation_options
from llmstress.coordinator.commands.arguments.cost import cost_options
from llmstress.coordinator.commands.arguments.judging import judging_options
from llmstress.coordinator.commands.arguments.limits import limit_options, timeout_options
from llmstress.coordinator.commands.arguments.load import load_options
from llmstress.coordinator.commands.arguments.output import output_options, view_options
from llmstress.coordinator.commands.arguments.prompts import prompt_options
from llmstress.coordinator.commands.arguments.request import api_options, request_options
from llmstress.coordinator.commands.arguments.scenario import scenario_options
from llmstress.coordinator.commands.arguments.search import SET_BY_SEARCH, search_options, sweep_options
from llmstress.coordinator.commands.arguments.slo import slo_options
from llmstress.coordinator.commands.arguments.target import model_listing_options, target_options
from llmstress.coordinator.commands.arguments.trace import trace_options
from llmstress.coordinator.commands.click_types import SectionedCommand, section
from llmstress.coordinator.commands.completion import completion_command
from llmstress.coordinator.commands.config import config_command
from llmstress.coordinator.commands.configurable import ConfigurableCommand, ConfigurableGroup
from llmstress.coordinator.commands.mock import mock
from llmstress.coordinator.config.errors import ExitCode, LlmstressError, UsageError
from llmstress.coordinator.config.keys import without_keys

SETTINGS = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}

LONGEST = 600
"""Most characters of an error message, which may quote an argument of any length."""


@click.group(cls=ConfigurableGroup, invoke_without_command=True, context_settings=SETTINGS)
@target_options
@model_listing_options
@load_options
@sweep_options
@scenario_options
@trace_options
@request_options
@prompt_options
@conversation_options
@api_options
@connection_options
@timeout_options
@limit_options
@check_options
@cost_options
@slo_options
@judging_options
@output_options
@configuration_options
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
    from llmstress.coordinator.commands.run import run_command  # importing the engine would slow down --help

    return run_command(arguments)


def _refuse_misplaced(context: click.Context, command: str) -> None:
    """Refuse options before the name of a command: they belong to a run, and no run is started.

    Raises:
        UsageError: there is such an option.
    """
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(f"{parameter.opts[0]} stands before {command!r}: options must follow the command's name")


@cli.command(cls=ConfigurableCommand)
@target_options
@request_options
@api_options
@connection_options
@timeout_options
@view_options
@configuration_options
@probed_task_option
def probe(**arguments: Any) -> int:
    """Send one request and show in detail what happens.

    \b
    llmstress probe                                       the built-in mock
    llmstress probe http://localhost:8000                 a server with the only model that it lists
    llmstress probe http://... --raw                      with the bytes
    """
    from llmstress.coordinator.probe.command import probe_command

    return probe_command(arguments)


@cli.command(cls=ConfigurableCommand)
@target_options
@model_listing_options
@search_options
@slo_options
@load_options
@request_options
@prompt_options
@conversation_options
@api_options
@connection_options
@timeout_options
@limit_options
@check_options
@cost_options
@judging_options
@output_options
@configuration_options
def find(**arguments: Any) -> int:
    """Search the capacity: the highest load at which enough requests meet the SLOs.

    \b
    llmstress find http://localhost:8000 --slo 'ttft<1s' --slo 'tpot<50ms'
    llmstress find http://localhost:8000 --slo 'ttft_due<1s' --unit rate --from 10 --to 500
    """
    from llmstress.coordinator.commands.find import find_command, refuse_scenario

    refuse_scenario(click.get_current_context().obj.given)
    return find_command(arguments)


find.params = [parameter for parameter in find.params if parameter.name not in SET_BY_SEARCH]

cli.add_command(mock)
cli.add_command(config_command(cli.params))
cli.add_command(completion_command(cli))


@cli.command(cls=SectionedCommand)
@click.argument("pid", type=int, required=False)
@click.option("--control", is_flag=True, help="Allow the screen to control the run; by default it only shows the run.")
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


_START_COMMANDS = ("run", "start", "bench", "benchmark", "load", "test", "profile", "stress")
"""Commands by which other tools start a run."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run the command line and exit with its exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command line `argv`, print a one-line message for a known error, and return the exit code."""
    try:
        return int(cli.main(list(argv), prog_name="llmstress", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        return ExitCode.SIGINT
    except click.ClickException as error:
        return _report(UsageError(_message_of(error)))
    except LlmstressError as error:
        return _report(error)


def _message_of(error: click.ClickException) -> str:
    """Click's message; for an unknown command with an example of a target."""
    message = error.format_message()
    if any(message.startswith(f"No such command '{word}'") for word in _START_COMMANDS):
        return f"{message.rstrip('.')}; a run needs no command: llmstress http://localhost:8000"
    if message.startswith("No such command") and "Did you mean" not in message:
        return f"{message.rstrip('.')}; a target is a URL like http://localhost:8000"
    return message


def _report(error: LlmstressError) -> int:
    text = without_keys(" ".join(str(error).split()))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 150]} … {text[-150:]}"
    print(f"llmstress: {text}", file=sys.stderr)
    return error.exit_code
