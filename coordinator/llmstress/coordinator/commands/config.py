"""`llmstress config`: prints the run that the flags, the environment, a file and a preset ask for, as a file."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from llmstress.coordinator.commands.configurable import ConfigurableCommand, settings_of
from llmstress.coordinator.config.config_file import StepTable
from llmstress.coordinator.config.errors import ExitCode, UsageError
from llmstress.coordinator.config.merging import Merged
from llmstress.coordinator.config.presets import PRESETS
from llmstress.coordinator.config.settings import Given, Setting

if TYPE_CHECKING:
    from llmstress.coordinator.config.config_text import Line

_HELP = """Print a run as a file for --config.

It takes the flags of a run, sends nothing, and prints each value that differs from the default, with its origin.

\b
llmstress config http://localhost:8000 --max-tokens 256 > run.toml
llmstress --config run.toml
"""


def config_command(parameters: Sequence[click.Parameter]) -> click.Command:
    """The command that prints a run with these parameters."""
    everything = click.Option(["--all", "everything"], is_flag=True, help="Print all flags, also those with defaults.")
    everything.section = "Other"  # type: ignore[attr-defined]
    everything.is_eager = True  # it is a flag of this command, not of a run
    of_run = [parameter for parameter in parameters if not parameter.is_eager]
    return ConfigurableCommand("config", callback=_print, params=[*of_run, everything], help=_HELP)


@click.pass_context
def _print(context: click.Context, /, **arguments: Any) -> int:
    from llmstress.coordinator.output.outputs import write_out  # importing it would slow down --help

    write_out(text_of_run(context).encode())
    return ExitCode.OK


def text_of_run(context: click.Context) -> str:
    """The file for the run that the context of this command asks for, after the checks that need no connection.

    Raises:
        UsageError: an option is wrong, or a file can't hold its value.
    """
    from llmstress.coordinator.commands.defaults import options_of  # importing these would slow down --help
    from llmstress.coordinator.config.config_text import Line, Table, config_text
    from llmstress.coordinator.config.shown_options import secrets_in_tasks
    from llmstress.coordinator.host import preflight
    from llmstress.coordinator.host.machine import available_cores
    from llmstress.coordinator.output.console import program_version
    from llmstress.coordinator.run.run_tasks import resolve_tasks
    from llmstress.coordinator.target.api_choice import check_apis

    arguments = dict(context.params)
    everything = arguments.pop("everything")
    options = options_of(arguments, available_cores(), preflight.most_streams())
    if options.has_target:
        resolve_tasks(options, lambda own: own.url or "", os.environ)
    else:
        check_apis(options)
    merged: Merged = context.obj
    defaults = click.Command("defaults", params=context.command.params).make_context("defaults", []).params
    of_preset = PRESETS[options.preset].choices if options.preset else {}
    # a default that replaces a value of the preset is printed, because the printed file names the preset, too
    given = {
        setting.field: merged.given[setting.field]
        for setting in settings_of(context.command)
        if setting.field in merged.given
        and (setting.key in of_preset or arguments.get(setting.field) != defaults.get(setting.field))
    }
    if everything:
        given = {**_defaults(context.command), **given}
    lines = [
        Line(setting, given.get(setting.field))
        for setting in settings_of(context.command)
        if setting.key not in ("config", "dry-run") and (everything or setting.field in given)
    ]
    settings = settings_of(context.command)
    tables = [
        Table(
            {"name": task.name, "weight": task.weight},
            task.origin,
            _lines(settings, task.given),
            tuple(Table(_own_keys(step), step.origin, _lines(settings, step.given)) for step in task.steps),
        )
        for task in merged.tasks
    ]
    title = f"llmstress {program_version()}; `llmstress --config FILE` runs this again"
    try:
        return config_text(lines, secrets_in_tasks(options), title, tables)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _lines(settings: Iterable[Setting], given: Mapping[str, Given]) -> "list[Line]":
    from llmstress.coordinator.config.config_text import Line

    return [Line(each, given[each.field]) for each in settings if each.field in given]


def _own_keys(step: StepTable) -> dict[str, Any]:
    return {
        "name": step.name,
        **({"setup": True} if step.setup else {}),
        **({"extract": list(step.extract)} if step.extract else {}),
    }


def _defaults(command: click.Command) -> dict[str, Given]:
    """Field -> default as a file would hold it, of the flags that have one."""
    found = {option.name or "": option.to_info_dict()["default"] for option in command.params}
    return {field: Given(value, "default") for field, value in found.items() if value not in (None, ())}
