"""Click's view of our option types, and a help page in sections."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmstress.coordinator.texts import (
    parse_duration,
    parse_header,
    parse_json_object,
    parse_max_errors,
    parse_resolve,
    parse_share,
    parse_token_ids,
)
from llmstress.engine.statuses import parse_entry

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Parsed = TypeVar("_Parsed")


class Worded(click.ParamType[_Parsed]):
    """What a parser makes of some words."""

    def __init__(self, name: str, parse: Callable[[str], _Parsed]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Parsed:
        """Parse, or fail with a sentence that names the flag; what isn't words is parsed already."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


MAX_ERRORS = Worded("n|p%", parse_max_errors)
ON_STATUS = Worded("what=meaning", parse_entry)
SHARE = Worded("p%", parse_share)
RESOLVE = Worded("host:port:addr[,addr]", parse_resolve)
HEADER = Worded("header", lambda text: parse_header(text, os.environ))
TOKEN_IDS = Worded("id,id", parse_token_ids)
JSON_OBJECT = Worded("json", parse_json_object)


class Duration(Worded[float]):
    """Seconds from `500ms`, `2s`, `1m30s`."""

    def __init__(self, longest_s: float | None = None) -> None:
        super().__init__("duration", parse_duration)
        self._longest_s = longest_s

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `Worded`."""
        seconds = super().convert(value, param, ctx)
        if self._longest_s is not None and seconds > self._longest_s:
            self.fail(f"{value} is longer than {self._longest_s:g} s", param, ctx)
        return seconds


def section(title: str) -> Callable[[_Command], _Command]:
    """Marks where a section of the help page begins: the options below it, up to the next mark."""

    def mark(command: _Command) -> _Command:
        parameters = command.__dict__.setdefault("__click_params__", [])
        # decorators run from the bottom up: the parameters so far that have no section yet are those below the mark
        for parameter in parameters:
            if not hasattr(parameter, "section"):
                parameter.section = title
        return command

    return mark


class SectionedCommand(click.Command):
    """A command whose help page shows its options in the sections that `section` marked."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section, those without one last."""
        _write_sections(self, ctx, formatter)


class SectionedGroup(click.Group):
    """The same for a group, with its commands behind."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _write_sections(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def _write_sections(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            sections.setdefault(getattr(parameter, "section", "Other"), []).append(record)
    for title, records in sections.items():
        with formatter.section(title):
            formatter.write_dl(records)
