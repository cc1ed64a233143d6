"""The one place where the values of flags are merged: command line, environment, file, preset. A pure function.

For a value that is given in several of these, the first one in this order is used.
"""

import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping

import msgspec

from llmstress.coordinator.config.config_file import TaskTable, read_config
from llmstress.coordinator.config.environment import read_environment, unknown_variables
from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.presets import read_preset
from llmstress.coordinator.config.settings import Given, Setting, by_key

_FLAG = re.compile(r"--[a-z][a-z0-9-]*")

NOT_PRINTED = "***"
"""What `llmstress config` prints instead of a value that holds a secret; a file that still contains it is refused."""


class Merged(msgspec.Struct, frozen=True):
    """The values that were given for flags."""

    given: Mapping[str, Given]
    """Field -> the value that is used, and its origin."""
    settings: tuple[Setting, ...]
    """All flags that can be set elsewhere than on the command line."""
    warnings: tuple[str, ...] = ()
    tasks: tuple[TaskTable, ...] = ()
    """Those of the file."""


def merge(
    command_line: Mapping[str, Given],
    environ: Mapping[str, str],
    settings: Iterable[Setting],
    read: Callable[[str], str],
) -> Merged:
    """The values of all flags that are given anywhere.

    Args:
        command_line: field -> value of the flags on the command line.
        environ: the environment.
        settings: every flag that can be set elsewhere.
        read: reads the file of a name; raises ValueError if it can't.

    Raises:
        UsageError: file or environment are wrong.
    """
    settings = tuple(settings)
    keys = by_key(settings)
    given = ChainMap(dict(command_line), read_environment(environ, keys))
    tasks: tuple[TaskTable, ...] = ()
    if config := given.get("config"):
        try:
            text = read(config.value)
        except ValueError as error:
            raise UsageError(f"{config.origin}: {error}") from error
        content = read_config(text, "stdin" if config.value == "-" else config.value, keys)
        file, tasks = content.given, content.tasks
        given.maps.append(dict(file))
        _refuse_stars([each for each in settings if given.get(each.field, "") is file.get(each.field)], file)
        for task in tasks:
            for own in (task.given, *(step.given for step in task.steps)):
                _refuse_stars([each for each in settings if each.field in own], own, of_task=True)
    if preset := given.get("preset"):
        given.maps.append(read_preset(preset.value, keys, given))
    return Merged(dict(given), settings, tuple(unknown_variables(environ, keys)), tasks)


def _refuse_stars(used: Iterable[Setting], file: Mapping[str, Given], *, of_task: bool = False) -> None:
    """`of_task`: flags and variables are those of the run, so they can't give the value.

    Raises:
        UsageError: a setting that is used from the file has stars instead of its value.
    """
    for setting in used:
        if file[setting.field].value == NOT_PRINTED:
            way = f"write the value in place of {NOT_PRINTED}"
            raise UsageError(
                f"{file[setting.field].origin}: {setting.key} is {NOT_PRINTED}, which stands for a secret that was not "
                f"printed; {way if of_task else f'give the value with {setting.variable} or {setting.flag}'}"
            )


def origins_in(message: str, merged: Merged) -> str:
    """The origin of each flag that an error message names, unless it is the command line; empty if there is none.

    It is the end of a sentence: `; max-tokens comes from run.toml, line 3`.
    """
    named, places = set(_FLAG.findall(message)), ChainMap(*_tables_in(message, merged), dict(merged.given))
    return "".join(
        f"; {setting.key} comes from {given.origin}"
        for setting in merged.settings
        if setting.flag in named and (given := places.get(setting.field)) and given.origin != setting.flag
    )


def _tables_in(message: str, merged: Merged) -> list[dict[str, Given]]:
    """The values of the task and of the step that an error message is about, the step's first."""
    for task in merged.tasks:
        for step in task.steps:
            if message.startswith((f"{step.origin}: ", f"task {task.name}, step {step.name}: ")):
                return [dict(step.given), dict(task.given)]
        if message.startswith((f"{task.origin}: ", f"task {task.name}: ")):
            return [dict(task.given)]
    return []
