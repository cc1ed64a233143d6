"""A group of options: a decorator that adds them to a command, as a section of its help page."""

from collections.abc import Callable
from typing import Any, TypeVar

from llmstress.coordinator.commands.click_types import section

_Command = TypeVar("_Command", bound=Callable[..., Any])


def group(title: str, *options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """A decorator that adds `options` to a command, as the section `title` of its help page."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return section(title)(command)

    return add
