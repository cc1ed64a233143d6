"""The variables of the environment that set flags. Pure functions."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.settings import PREFIX, Entry, Given, Kind, Setting, gather, nearest, variable_of_key

_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def read_environment(environ: Mapping[str, str], keys: Mapping[str, Setting]) -> dict[str, Given]:
    """Field -> value of the settings in the environment. An empty variable counts as not set.

    Raises:
        UsageError: a switch is neither on nor off, or two variables set the same field.
    """

    def entries() -> Iterator[Entry]:
        for key, setting in keys.items():
            if text := environ.get(variable := variable_of_key(key)):
                yield Entry(key, _value_of(variable, text, setting), variable)

    return gather(entries(), keys)


def _value_of(variable: str, text: str, setting: Setting) -> Any:
    if setting.repeated:
        return [line for line in text.split("\n") if line.strip()]
    if setting.kind is not Kind.SWITCH:
        return text
    if (word := text.strip().lower()) not in _SWITCH:
        raise UsageError(f"{variable}: expected one of {', '.join(_SWITCH)}, not {text[:60]!r}")
    return _SWITCH[word]


def unknown_variables(environ: Mapping[str, str], keys: Mapping[str, Setting]) -> list[str]:
    """A sentence for each variable that looks like one of llmstress and isn't."""
    known = [variable_of_key(key) for key in keys]
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return [
        f"the variable {_shown(name)} has no effect: no flag has this name{nearest(name, known)}" for name in unknown
    ]


def _shown(name: str) -> str:
    return name[:60] if name.isprintable() else ascii(name[:60])
