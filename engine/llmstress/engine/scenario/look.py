"""Says what a scenario file has: `python -m llmstress.engine.scenario.look FILE`.

It runs in a process of its own, so that the code of the file runs in no process that decides anything. The last line of
stdout is a `Look` as JSON; what the file prints goes to stderr.
"""

import contextlib
import inspect
import sys
from pathlib import Path

import msgspec

from llmstress.engine.scenario.files import ScenarioError, user_classes
from llmstress.engine.scenario.tasks import tasks_of
from llmstress.engine.scenario.user import User
from llmstress.engine.scenario.waits import Wait

HEAVIEST = 10_000


class FoundTask(msgspec.Struct, frozen=True):
    """A task of a user class."""

    user: str
    """Name of the class."""
    method: str
    weight: int
    line: int
    user_weight: int
    """Weight of the class."""


class Look(msgspec.Struct, frozen=True):
    """What a scenario file has."""

    tasks: tuple[FoundTask, ...] = ()
    error: str = ""
    """Why it can't be used; empty: it can."""


def look_at(path: Path) -> Look:
    """Run the file and see what it has."""
    try:
        classes = user_classes(path)
        found = [
            FoundTask(cls.__name__, each.name, each.weight, _line(each.method), weight)
            for cls, weight in [(cls, _checked_weight(cls, path)) for cls in classes]
            for each in tasks_of(cls)
        ]
    except ScenarioError as error:
        return Look(error=str(error))
    return Look(tuple(found))


def _line(method: object) -> int:
    code = getattr(inspect.unwrap(method), "__code__", None)  # type: ignore[arg-type]
    return getattr(code, "co_firstlineno", 0)


def _checked_weight(cls: type[User], path: Path) -> int:
    weight = cls.weight
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= HEAVIEST:
        raise ScenarioError(
            f"{path}: {cls.__name__}.weight is {weight!r}; expected a whole number from 1 to {HEAVIEST:,}"
        )
    if not isinstance(cls.wait_time, Wait):
        raise ScenarioError(
            f'{path}: {cls.__name__}.wait_time is {cls.wait_time!r}; expected a wait, like between("1s", "3s") or '
            'constant("2s")'
        )
    return weight


def main() -> None:
    """Entry point of the process."""
    with contextlib.redirect_stdout(sys.stderr):
        look = look_at(Path(sys.argv[1]))
    sys.stdout.write(msgspec.json.encode(look).decode() + "\n")


if __name__ == "__main__":
    main()
