"""Click types for our options, commands that accept a target without `--url`, and help pages in sections."""

import itertools
import os
import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click

from llmstress.coordinator.commands.other_tools import ANSWERS, unknown_flag
from llmstress.coordinator.commands.text_input import text_of, text_of_config, text_of_file
from llmstress.coordinator.config.band_text import parse_bands
from llmstress.coordinator.config.check_text import parse_abandon_after, parse_check
from llmstress.coordinator.config.load_text import (
    parse_bystander,
    parse_rate,
    parse_stage,
    parse_think_time,
    parse_turns,
)
from llmstress.coordinator.config.model_text import parse_models
from llmstress.coordinator.config.parsing import (
    parse_header,
    parse_json_object,
    parse_max_errors,
    parse_resolve,
    parse_share,
    parse_token_ids,
)
from llmstress.coordinator.config.prices import PriceTable, parse_money, parse_price, read_prices
from llmstress.coordinator.config.prompt_text import parse_lengths, parse_words_per_token
from llmstress.coordinator.config.slo_presets import parse_preset
from llmstress.coordinator.config.slo_text import parse_deadlines, parse_reading_speed, parse_slo
from llmstress.coordinator.config.sweep_text import parse_attain, parse_bound, parse_sweep
from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.checks.check import Check
from llmstress.engine.stream.failure_policy import parse_entry
from llmstress.engine.telemetry.durations import parse_duration

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Parsed = TypeVar("_Parsed")


class ParsedText(click.ParamType[_Parsed]):
    """A click type whose values are parsed by a function of `config/parsing.py` or the like."""

    def __init__(self, name: str, parse: Callable[[str], _Parsed]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Parsed:
        """Parse a text, or fail with a message that names the flag; a value of another type is returned as it is."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TextInput(ParsedText[_Parsed]):
    """A click type for texts that may also be read from a file or from stdin."""

    def __init__(self, name: str, parse: Callable[[str], _Parsed]) -> None:
        super().__init__(name, lambda given: parse(text_of(given)))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Parsed:
        """As in `ParsedText`; for the completion of a shell, nothing is read, because stdin is the terminal."""
        return value if ctx is not None and ctx.resilient_parsing else super().convert(value, param, ctx)


class CheckText(ParsedText[Check]):
    """A check of answers. For the completion of a shell, no file is read."""

    def __init__(self) -> None:
        super().__init__("check", lambda text: parse_check(text, text_of_file))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Check:
        """As in `ParsedText`."""
        return value if ctx is not None and ctx.resilient_parsing else super().convert(value, param, ctx)


CHECK = CheckText()
ABANDON_AFTER = ParsedText("time", parse_abandon_after)


def _prices_in(path: str) -> PriceTable:
    return read_prices(text_of_config(path), path)


MONEY = ParsedText("amount", parse_money)
PRICE = ParsedText("input=p,output=p", parse_price)
PRICES = ParsedText("file", _prices_in)
LENGTHS = ParsedText("n|distribution", parse_lengths)
WORDS_PER_TOKEN = ParsedText("auto|n", parse_words_per_token)
MODELS = ParsedText("name=n,name=n", parse_models)
BANDS = ParsedText("n,n", parse_bands)
MAX_ERRORS = ParsedText("n|p%", parse_max_errors)
RATE = ParsedText("rate", parse_rate)
TURNS = ParsedText("n|n..n", parse_turns)
THINK_TIME = ParsedText("time", parse_think_time)
BYSTANDER = ParsedText("rate", parse_bystander)
STAGE = ParsedText("time:load", parse_stage)
SWEEP = ParsedText("loads", parse_sweep)
BOUND = ParsedText("load", parse_bound)
ATTAIN = ParsedText("p%", parse_attain)
ON_STATUS = ParsedText("what=action", parse_entry)
THRESHOLD = ParsedText("threshold", parse_threshold)
SHARE = ParsedText("p%", parse_share)
SLO = ParsedText("metric<limit", parse_slo)
SLO_PRESET = ParsedText("name", parse_preset)
DEADLINES = ParsedText("first=d,token=d", parse_deadlines)
READING_SPEED = ParsedText("n", parse_reading_speed)
RESOLVE = ParsedText("host:port:addr[,addr]", parse_resolve)
HEADER = ParsedText("header", lambda text: parse_header(text, os.environ))
TEXT = TextInput("text", str)
TOKEN_IDS = TextInput("id,id", parse_token_ids)
JSON_OBJECT = TextInput("json", parse_json_object)


_BARE_NUMBER = re.compile(r"(?!0+$)\d{1,12}(?:\.\d{1,9})?", re.ASCII)
"""A number without unit, but not 0, which needs none."""


class Duration(ParsedText[float]):
    """A duration (`500ms`, `2s`, `1m30s`) in seconds, at most `longest_s`."""

    def __init__(self, longest_s: float | None = None) -> None:
        super().__init__("duration", parse_duration)
        self._longest_s = longest_s

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As in `ParsedText`; a number without unit fails with the corrected text."""
        if isinstance(value, str) and param is not None and _BARE_NUMBER.fullmatch(value.strip()):
            raise click.UsageError(f"{param.opts[0]} needs a unit, e.g. {value.strip()}s", ctx)
        seconds = super().convert(value, param, ctx)
        if self._longest_s is not None and seconds > self._longest_s:
            self.fail(f"{value} is longer than {self._longest_s:g} s", param, ctx)
        return seconds


def section(title: str) -> Callable[[_Command], _Command]:
    """A decorator that puts the options below it, up to the next such decorator, into a section of the help page."""

    def mark(command: _Command) -> _Command:
        parameters = command.__dict__.setdefault("__click_params__", [])
        # decorators run from the bottom up: the parameters without a section are those below this decorator
        for parameter in parameters:
            if not hasattr(parameter, "section"):
                parameter.section = title
        return command

    return mark


_URL_LIKE = re.compile(r"[:/.]|localhost$|\d+$")
"""Matches words that may be a target; a word without any of these is taken for the name of a command."""


class SectionedCommand(click.Command):
    """A command whose help page shows the options in the sections of `section`.

    An unknown flag is refused with a suggestion.
    """

    takes_url: bool = False
    """Whether the target may be given without `--url`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; a target without `--url` becomes the parameter `url`.

        Raises:
            click.UsageError: a flag is unknown, or there are two targets.
        """
        if ctx.resilient_parsing:  # shell completion: the command line is not complete yet
            return super().parse_args(ctx, args)
        url, args = _take_url(self, ctx, args)
        self.prepare(ctx, args, url)
        rest = super().parse_args(ctx, args)
        if url is not None:
            flagged = ctx.get_parameter_source("url") is click.core.ParameterSource.COMMANDLINE
            if flagged and ctx.params["url"] != url:
                raise click.UsageError("two targets are given, one with --url and one without: drop one of them", ctx)
            ctx.params["url"] = url
            ctx.set_parameter_source("url", click.core.ParameterSource.COMMANDLINE)
        return rest

    def prepare(self, ctx: click.Context, args: list[str], url: str | None) -> None:
        """Called before click parses `args`, which no longer contain the target that was given without `--url`."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The parts of the usage line."""
        return [*(["[URL]"] if self.takes_url else []), *super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section; those without a section come last."""
        _write_sections(self, ctx, formatter)


class TargetCommand(SectionedCommand):
    """A command with a target that may be given without `--url`: `llmstress probe http://localhost:8000`."""

    takes_url = True


class SectionedGroup(TargetCommand, click.Group):
    """A group of commands that is a `TargetCommand` itself."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _write_sections(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def _take_url(command: SectionedCommand, ctx: click.Context, args: list[str]) -> tuple[str | None, list[str]]:
    """The target without `--url` in `args` (None: there is none), and the other arguments.

    Arguments after the name of a subcommand are not examined.

    Raises:
        click.UsageError: a flag is unknown, or there are two targets.
    """
    options = {name: each for each in command.get_params(ctx) for name in (*each.opts, *each.secondary_opts)}
    commands = command.commands if isinstance(command, click.Group) else {}
    url, rest, left = None, [], iter(args)
    for arg in left:
        if arg == "--" or arg in commands:
            rest += [arg, *left]
        elif arg.startswith("-") and arg != "-":
            flag, equals, _ = arg.partition("=")
            option = options.get(flag)
            if option is None:
                raise click.UsageError(_unknown(command, ctx, flag, options), ctx)
            rest.append(arg)
            if not equals and not getattr(option, "is_flag", False):
                rest += itertools.islice(left, 1)  # the value of the flag, even if it looks like a flag
        elif not command.takes_url or not _URL_LIKE.search(arg):
            rest.append(arg)
            if commands:  # an unknown command: the arguments after it are its own
                rest += left
        elif url not in (None, arg):
            raise click.UsageError("two targets are given: drop one of them", ctx)
        else:
            url = arg
    return url, rest


def _unknown(command: SectionedCommand, ctx: click.Context, flag: str, known: Collection[str]) -> str:
    root = ctx.find_root().command
    others = [root, *(root.commands.values() if isinstance(root, click.Group) else ())]
    elsewhere = {
        name: "a run" if other is root else f"llmstress {other.name}"
        for other in reversed(others)
        for parameter in other.params
        for name in parameter.opts
    }
    return unknown_flag(flag, known, elsewhere, ANSWERS if command.takes_url else {})


def _write_sections(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            sections.setdefault(getattr(parameter, "section", "Other"), []).append(record)
    for title, records in sections.items():
        with formatter.section(title):
            formatter.write_dl(records)
