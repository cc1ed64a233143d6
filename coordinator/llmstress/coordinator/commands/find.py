"""`llmstress find`: searches the capacity. It is a run whose load the search decides."""

from collections.abc import Mapping
from typing import Any

from llmstress.coordinator.commands.run import run_command
from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.settings import Given
from llmstress.coordinator.config.sweep_text import Search
from llmstress.coordinator.host import preflight
from llmstress.coordinator.host.machine import available_cores

HIGHEST = 5_000.0
"""The default of `--to`."""


def find_command(arguments: dict[str, Any]) -> int:
    """Search the capacity with `arguments` (those of the command) and report it; returns the exit code.

    Raises:
        LlmstressError: the run could not be started.
    """
    given = dict(arguments)
    search = search_of(given, most_streams=preflight.most_streams() * (given["procs"] or available_cores()))
    unset: dict[str, Any] = {"streams": None, "duration_s": None, "requests": None, "ramp_up_s": None, "warmup_s": 0.0}
    unset |= {"warmup_requests": None, "rate": None, "stages": (), "sweep": None}
    unset |= {"trace": None, "scenario": None, "speed": 1.0, "skip_bad_rows": False}
    return run_command({**given, **unset, "search": search})


def refuse_scenario(given: Mapping[str, Given]) -> None:
    """Refuse a scenario in the file or in the environment. `given`: field -> the value that is given anywhere.

    Raises:
        UsageError: there is one.
    """
    if (scenario := given.get("scenario")) is not None:
        raise UsageError(
            f"{scenario.origin}: find takes no scenario in this version: measure one load after the other with "
            "--stage, or with a run for each"
        )


def search_of(given: dict[str, Any], *, most_streams: int) -> Search:
    """The search; takes its arguments out of `given`.

    Raises:
        UsageError: there is no SLO, or a load contradicts its unit.
    """
    if not any(
        each.get("slos") or each.get("slo_preset") for each in (given, *(task.own for task in given.get("tasks", ())))
    ):
        raise UsageError("find needs an SLO that requests should meet: add --slo, e.g. --slo 'ttft<1s'")
    rate = given.pop("unit") == "rate"
    bounds: dict[str, float] = {}
    for flag, name in (("--from", "lowest"), ("--to", "highest")):
        level, is_rate = given.pop(name) or (min(HIGHEST, HIGHEST if rate else most_streams), rate)
        if is_rate and not rate:
            raise UsageError(f"{flag} is a rate, but the load is in streams: add --unit rate")
        if not rate and level != round(level):
            raise UsageError(f"{flag} must be a whole number of streams, not {level:g}")
        bounds[name] = level
    return Search(rate=rate, attain=given.pop("attain"), budget_s=given.pop("budget_s"), **bounds)
