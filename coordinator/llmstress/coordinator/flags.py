"""Click's view of our option types, and a help page in sections."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from llmstress.coordinator.texts import (
    MaxErrors,
    Resolve,
    parse_duration,
    parse_header,
    parse_max_errors,
    parse_resolve,
    parse_share,
    parse_token_ids,
)
from llmstress.engine.statuses import parse_entry

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds from `500ms`, `2s`, `1m30s`."""

    name = "duration"

    def __init__(self, longest_s: float | None = None) -> None:
        self._longest_s = longest_s

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with a sentence that names the flag."""
        seconds = value if isinstance(value, float) else _parsed(self, parse_duration, value, param, ctx)
        if self._longest_s is not None and seconds > self._longest_s:
            self.fail(f"{value} is longer than {self._longest_s:g} s", param, ctx)
        return seconds


class MaxErrorsType(click.ParamType[MaxErrors]):
    """`250` or `5%`."""

    name = "n|p%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> MaxErrors:
        """Parse, or fail with a sentence that names the flag."""
        return value if isinstance(value, MaxErrors) else _parsed(self, parse_max_errors, value, param, ctx)


class OnStatus(click.ParamType[tuple[str, str]]):
    """`529=count`, `quota=end-first`."""

    name = "what=meaning"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Parse, or fail with a sentence that names the flag."""
        return value if isinstance(value, tuple) else _parsed(self, parse_entry, value, param, ctx)


class Share(click.ParamType[float]):
    """`20%` or `0.2`, from 0 to 1."""

    name = "p%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with a sentence that names the flag."""
        return value if isinstance(value, float) else _parsed(self, parse_share, value, param, ctx)


class ResolveType(click.ParamType[Resolve]):
    """`host:port:address[,address...]`."""

    name = "host:port:addr[,addr]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Resolve:
        """Parse, or fail with a sentence that names the flag."""
        return value if isinstance(value, Resolve) else _parsed(self, parse_resolve, value, param, ctx)


class Worded(click.ParamType[Any]):
    """What a parser makes of some words."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse, or fail with a sentence that names the flag."""
        return _parsed(self, self._parse, value, param, ctx) if isinstance(value, str) else value


class Header(click.ParamType[tuple[str, str]]):
    """`Name: value` or `Name: env:VARIABLE`."""

    name = "header"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Parse, or fail with a sentence that names the flag."""
        if isinstance(value, tuple):
            return value
        return _parsed(self, lambda text: parse_header(text, os.environ), value, param, ctx)


class TokenIds(click.ParamType[tuple[int, ...]]):
    """`101,2023,2003`."""

    name = "id,id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse, or fail with a sentence that names the flag."""
        return value if isinstance(value, tuple) else _parsed(self, parse_token_ids, value, param, ctx)


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Parse, or fail with a sentence that names the flag."""
        if isinstance(value, dict):
            return value
        try:
            body = msgspec.json.decode(value, type=dict[str, Any])
            msgspec.json.encode(body)  # an integer over 64 bits can be read, and not written
        except (ValueError, OverflowError, RecursionError) as error:
            self.fail(f"that is no JSON object that can be sent: {error}", param, ctx)
        return body


_Parsed = TypeVar("_Parsed")


def _parsed(
    kind: click.ParamType[_Parsed],
    parse: Callable[[str], _Parsed],
    text: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> _Parsed:
    try:
        return parse(text)
    except ValueError as error:
        kind.fail(str(error), param, ctx)


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
