"""Commands whose flags can also be set in a file, by variables of the environment and by a preset."""

import os
from collections.abc import Mapping
from typing import Any

import click

from llmstress.coordinator.commands.click_types import (
    JSON_OBJECT,
    TEXT,
    Duration,
    ParsedText,
    SectionedCommand,
    SectionedGroup,
    TargetCommand,
)
from llmstress.coordinator.commands.text_input import text_of_config
from llmstress.coordinator.config.config_file import StepTable
from llmstress.coordinator.config.errors import LlmstressError, UsageError
from llmstress.coordinator.config.merging import Merged, merge, origins_in
from llmstress.coordinator.config.settings import Given, Kind, Setting
from llmstress.coordinator.config.tasks import OwnOptions, OwnStep
from llmstress.engine.control import Think
from llmstress.engine.flows.extraction import parse_extraction


class Configurable(SectionedCommand):
    """A command that merges the values of its flags from all places.

    Values that are not on the command line go into click's `default_map`, so click converts and checks them as it does
    those of the command line. `context.obj` is the `Merged`.
    """

    def prepare(self, ctx: click.Context, args: list[str], url: str | None) -> None:
        """Merge the values, before click parses `args`. A group whose subcommand is called merges nothing, and neither
        does a command that only prints, as with `--help`."""
        given, rest, _ = self.make_parser(ctx).parse_args(list(args))
        printing = {each.name for each in self.get_params(ctx) if each.is_eager and not each.expose_value}
        if printing & given.keys() or (rest and isinstance(self, click.Group)):
            return
        settings = _settings_around(self, ctx)
        command_line = {each.field: Given(given[each.field], each.flag) for each in settings if each.field in given}
        if url is not None:
            command_line["url"] = Given(url, "--url")
        merged = merge(command_line, os.environ, settings, text_of_config)
        for warning in merged.warnings:
            click.echo(f"llmstress: {warning}", err=True)
        ctx.obj = merged
        ctx.default_map = {field: each.value for field, each in merged.given.items()}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As `SectionedCommand`; an error ends with the origins of values that are not on the command line."""
        try:
            rest = super().parse_args(ctx, args)
            ctx.params["tasks"] = _tasks(self, ctx)
            return rest
        except click.ClickException as error:
            if origins := _origins_in(error.format_message(), ctx):
                raise click.UsageError(error.format_message().rstrip(".") + origins, ctx) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """As `SectionedCommand`; an error ends with the origins of values that are not on the command line."""
        try:
            return super().invoke(ctx)
        except LlmstressError as error:
            error.args = (f"{error}{_origins_in(str(error), ctx)}",)
            raise


class ConfigurableCommand(Configurable, TargetCommand):
    """A configurable command with a target."""


class ConfigurableGroup(Configurable, SectionedGroup):
    """A configurable command with a target that has subcommands."""


def _tasks(command: click.Command, ctx: click.Context) -> tuple[OwnOptions, ...]:
    """The tasks of the file, with values as the flags of this command have them. What it has no flag for is left out.

    Raises:
        UsageError: a value is wrong; the message has its place.
    """
    if not isinstance(ctx.obj, Merged):
        return ()
    flags = {each.name or "": each for each in command.get_params(ctx)}
    return tuple(
        OwnOptions(
            name=table.name,
            weight=table.weight,
            own=_own(table.given, flags, ctx),
            origin=table.origin,
            steps=tuple(_step(step, flags, ctx) for step in table.steps),
        )
        for table in ctx.obj.tasks
    )


def _step(table: StepTable, flags: Mapping[str, click.Parameter], ctx: click.Context) -> OwnStep:
    own = _own(table.given, flags, ctx)
    think = own.pop("think", None) or Think()
    try:
        extracts = tuple(map(parse_extraction, table.extract))
    except ValueError as error:
        raise UsageError(f"{table.extract_origin}: extract: {error}") from error
    return OwnStep(
        name=table.name,
        own=own,
        setup=table.setup,
        extracts=extracts,
        think=think,
        origin=table.origin,
        origins={field: each.origin for field, each in table.given.items()},
    )


def _own(given: Mapping[str, Given], flags: Mapping[str, click.Parameter], ctx: click.Context) -> dict[str, Any]:
    return {field: _converted(flags[field], ctx, each) for field, each in given.items() if field in flags}


def _converted(flag: click.Parameter, ctx: click.Context, given: Given) -> Any:
    try:
        return flag.process_value(ctx, given.value)
    except click.ClickException as error:
        raise UsageError(f"{given.origin}: {error.format_message()}") from error


def _origins_in(message: str, ctx: click.Context) -> str:
    return origins_in(message, ctx.obj) if isinstance(ctx.obj, Merged) else ""


def _settings_around(command: click.Command, ctx: click.Context) -> list[Setting]:
    """The settings of all configurable commands, this one's first: one file may serve several of them."""
    root = ctx.find_root().command
    others = [root, *(root.commands.values() if isinstance(root, click.Group) else ())]
    found: dict[str, Setting] = {}
    for each in (command, *others):
        if isinstance(each, Configurable):
            for setting in settings_of(each):
                found.setdefault(setting.key, setting)
    return [*found.values()]


def settings_of(command: click.Command) -> list[Setting]:
    """The flags of a command as settings. Eager ones (`--help`, `--version`) are none: they print and exit."""
    return [
        Setting(
            field=option.name,
            flag=max(option.opts, key=len),
            kind=_kind_of(option),
            repeated=option.multiple,
            section=getattr(option, "section", ""),
            negative=bool(option.is_flag and option.flag_value is False),
        )
        for option in command.params
        if isinstance(option, click.Option) and not option.is_eager and option.name
    ]


def _kind_of(option: click.Option) -> Kind:
    match option.type:
        case _ if option.is_flag:
            return Kind.SWITCH
        case click.types.IntParamType():
            return Kind.WHOLE
        case click.types.FloatParamType():
            return Kind.NUMBER
        case Duration():
            return Kind.DURATION
        case ParsedText() as parsed if parsed is JSON_OBJECT:
            return Kind.JSON
        case ParsedText() as parsed if parsed is not TEXT:
            return Kind.NUMBER_OR_TEXT
        case _:
            return Kind.TEXT
