"""The options of a run: its arguments, with defaults that depend on the machine and on other arguments."""

import math
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_options import DEFAULT_IN_FLIGHT, default_total
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.tasks import has_url
from llmstress.coordinator.run.plans import default_procs, default_ramp_s

DEMO_WARMUP_S, DEMO_STEADY_S = 2.0, 8.0
"""A run against the built-in mock takes ten seconds; the warm-up keeps connecting out of its figures."""


def options_of(arguments: dict[str, Any], cores: int, most_streams: int) -> Options:
    """The options of a run.

    Args:
        arguments: the fields of `Options`; a `ramp_up_s` of None asks for the default.
        cores: cores that this machine may use.
        most_streams: most streams of one process.

    Raises:
        UsageError: an option is out of range, or options contradict each other.
    """
    given = dict(arguments)
    targeted = bool(given["url"]) or any(map(has_url, given.get("tasks", ())))
    stages, sweep, search = given["stages"], given.get("sweep"), given.get("search")
    course = sweep or search
    arriving = given["rate"] is not None or given["trace"] is not None or any(stage.rate for stage in stages)
    arriving = arriving or (course is not None and course.rate)
    in_streams = [] if arriving else [math.ceil(stage.target) for stage in stages]
    if course is not None and not arriving:
        in_streams.append(math.ceil(course.highest))
    if in_streams and given["total"] is not None:
        flag = "--sweep" if sweep is not None else "find" if search is not None else "--stage"
        raise UsageError(f"--total-streams and {flag} in streams can't be used together: drop one of them")
    if given["streams"] is None and given["total"] is None:
        if arriving:
            given["total"] = min(DEFAULT_IN_FLIGHT, most_streams * (given["procs"] or cores))
        else:
            given["total"] = max(1, *in_streams) if in_streams else default_total(given["procs"])
    if given["procs"] is None:
        free = cores if targeted else max(1, cores - mock_procs(cores))
        given["procs"] = default_procs(given["total"], free, most_streams)
    ends = given["duration_s"] or given["requests"] or given["trace"] or given.get("once") or stages or course
    if not (targeted or ends):
        given["duration_s"] = DEMO_STEADY_S
        if given["warmup_requests"] is None:
            given["warmup_s"] = given["warmup_s"] or DEMO_WARMUP_S
    asked_ramp_s = given.pop("ramp_up_s")
    options = Options(**given, ramp_up_s=asked_ramp_s or 0.0)
    if asked_ramp_s is None and not (options.open or stages or options.course):
        options = msgspec.structs.replace(options, ramp_up_s=default_ramp_s(options))
    return options


def mock_procs(cores: int) -> int:
    """Processes of the built-in mock: half of the cores, at least one."""
    return max(1, cores // 2)
