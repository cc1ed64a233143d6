"""A run as the text of a configuration file, with the origin of each value and without secrets. Pure functions."""

import re
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import tomli_w

from llmstress.coordinator.config.keys import FROM_ENVIRONMENT, is_secret, keys_in, variable_of
from llmstress.coordinator.config.merging import NOT_PRINTED
from llmstress.coordinator.config.settings import Given, Kind, Setting
from llmstress.coordinator.config.target_url import redact_url
from llmstress.engine.secrets import redact

_SHORTEST = 6
"""Fewest characters of a secret that is looked for in every value: a shorter one would be found everywhere."""


class Line(msgspec.Struct, frozen=True):
    """A setting with its value; None: it has none."""

    setting: Setting
    given: Given | None


class Table(msgspec.Struct, frozen=True):
    """A task, or a step of one, with the settings that it has for itself."""

    named: dict[str, Any]
    """Its own keys and their values: name, weight and the like."""
    origin: str
    lines: list[Line]
    steps: tuple["Table", ...] = ()


def config_text(lines: Iterable[Line], secrets: Collection[str], title: str, tasks: Iterable[Table] = ()) -> str:
    """The content of a configuration file.

    A header with a secret gets the form `Name: env:VARIABLE`, another value that holds one is replaced by stars, which
    are refused when the file is read and nothing else sets the value.

    Args:
        lines: the settings in their order.
        secrets: the texts that must not be printed.
        title: a comment on the first line.
        tasks: written last, because a table takes all keys that follow.

    Raises:
        ValueError: a value is not UTF-8 text; the message names the flag.
    """
    written = [f"# {title}"]
    section = ""
    for line in lines:
        if line.setting.section != section:
            section = line.setting.section
            written += ["", f"# {section}"]
        written += _written(line, secrets)
    for task in tasks:
        written += _table("task", task, secrets, task.named["name"])
        for step in task.steps:
            written += _table("task.step", step, secrets, f"{task.named['name']}_{step.named['name']}")
    return "\n".join(written) + "\n"


def _table(name: str, table: Table, secrets: Collection[str], place: str) -> list[str]:
    own = tomli_w.dumps(table.named).rstrip("\n").split("\n")
    settings = [text for line in table.lines for text in _written(line, secrets, place)]
    return ["", f"[[{name}]]  # {_one_line(table.origin)}", *own, *settings]


def _written(line: Line, secrets: Collection[str], place: str = "") -> list[str]:
    """`place`: the task, or task and step, whose line it is. No flag and no variable of llmstress sets its value."""
    setting, given = line.setting, line.given
    if given is None:
        return [f"# {setting.key} is not set"]
    value = _canonical(setting, given.value)
    value, needed = _without_secrets(setting, value, secrets, place)
    text = tomli_w.dumps({setting.key: value}).rstrip("\n")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{setting.flag} is not UTF-8 text, so a file can't hold it") from error
    if place and value == NOT_PRINTED:
        comments = [f"# the secret is not printed: write the value in place of {NOT_PRINTED}"]
    else:
        comments = [f"# the secret is not printed: set the variable {variable}" for variable in needed]
    return [*comments, f"{text}  # {_one_line(given.origin)}"]


def _canonical(setting: Setting, value: Any) -> Any:
    """A value as a file holds it: numbers of the command line are texts until click converts them."""
    match setting.kind:
        case Kind.WHOLE:
            return int(value)
        case Kind.NUMBER:
            return float(value)
        case _:
            return list(value) if setting.repeated else value


def _without_secrets(setting: Setting, value: Any, secrets: Collection[str], place: str) -> tuple[Any, list[str]]:
    """The value without secrets, and the variables that the file needs because of that."""
    if isinstance(value, list):
        shown, needed = list(value), []
        for at, text in enumerate(value):
            if _holds_secret(setting, text, secrets):
                name = text.partition(":")[0].strip()
                # tasks may have other values for the same header
                variable = "_".join(("HEADER", *filter(None, (place, name))))
                variable = re.sub(r"[^A-Z0-9]", "_", variable.upper())
                if variable in needed:
                    variable += f"_{at + 1}"
                shown[at] = f"{name}: {FROM_ENVIRONMENT}{variable}"
                needed.append(variable)
        return shown, needed
    if isinstance(value, str) and _holds_secret(setting, value, secrets):
        return NOT_PRINTED, [setting.variable]
    return value, []


def _holds_secret(setting: Setting, text: str, secrets: Collection[str]) -> bool:
    match setting.key:
        case "url" | "proxy":
            own = redact_url(text) != text
        case "header":
            name, _, value = (part.strip() for part in text.partition(":"))
            own = variable_of(value) is None and is_secret(name, value)
        case "body" | "extra-body":
            own = _json_holds_secret(text)
        case _:
            own = False
    return own or redact(text, [secret for secret in secrets if len(secret) >= _SHORTEST]) != text


def _json_holds_secret(text: str) -> bool:
    try:
        return any(value for _, value in keys_in(msgspec.json.decode(text)))
    except (ValueError, RecursionError):  # a body may be something other than JSON
        return False


def _one_line(origin: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in origin)
