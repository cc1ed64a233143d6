"""Reads a scenario file in a process of its own, and makes tasks of what it has."""

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.tasks import HEAVIEST, OwnOptions
from llmstress.engine.scenario.look import FoundTask, Look

LIMIT_S = 60
"""Time for the file to be imported."""


def read_scenario(path: str, environ: Mapping[str, str]) -> Look:
    """What the file has. Its code runs, in a process of its own.

    Raises:
        UsageError: it can't be used; the message says why, with file and line.
    """
    if not Path(path).is_file():
        raise UsageError(f"--scenario {path}: there is no such file")
    command = [sys.executable, "-m", "llmstress.engine.scenario.look", path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=dict(environ), check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"--scenario {path}: it is not imported after {LIMIT_S} s; do what takes long in on_start"
        ) from None
    try:
        look = msgspec.json.decode(done.stdout.rstrip().rpartition("\n")[2], type=Look)
    except msgspec.MsgspecError:
        why = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise UsageError(f"--scenario {path}: it could not be imported: {why}") from None
    if look.error:
        raise UsageError(f"--scenario: {look.error}")
    return look


def with_scenario(arguments: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a run, the fields of `Options`, with the tasks of its scenario among its tasks.

    Raises:
        UsageError: as for `read_scenario`.
    """
    path = arguments.get("scenario")
    if path is None:
        return dict(arguments)
    return {**arguments, "tasks": (*arguments["tasks"], *tasks_of_scenario(path, read_scenario(path, environ)))}


def tasks_of_scenario(path: str, look: Look) -> tuple[OwnOptions, ...]:
    """The tasks of the file. A task is called as its method, or, where several user classes have methods of one name,
    as class and method.

    Raises:
        UsageError: the weights have no common measure that is small enough.
    """
    of_class: dict[str, list[FoundTask]] = {}
    for each in look.tasks:
        of_class.setdefault(each.user, []).append(each)
    sums = {user: sum(each.weight for each in tasks) for user, tasks in of_class.items()}
    whole = math.lcm(*sums.values())
    weights = [each.user_weight * each.weight * whole // sums[each.user] for each in look.tasks]
    divisor = math.gcd(*weights)
    if max(weights) // divisor > HEAVIEST:
        raise UsageError(
            f"--scenario {path}: the weights of classes and tasks are too different; use smaller whole numbers"
        )
    methods = Counter(each.method for each in look.tasks)
    return tuple(
        OwnOptions(
            name=each.method.lstrip("_") if methods[each.method] == 1 else f"{each.user}-{each.method}",
            weight=weight // divisor,
            origin=f"{path}, line {each.line}",
            script=f"{each.user}.{each.method}",
        )
        for each, weight in zip(look.tasks, weights, strict=True)
    )
