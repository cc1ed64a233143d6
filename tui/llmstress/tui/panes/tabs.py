"""The tabs of the screen: those that every run has, and those of some runs only."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from llmstress.engine.telemetry.broadcast import RunView
from llmstress.tui.panes.curve import has_curve
from llmstress.tui.panes.tasks import has_tasks

TABS = ("overview", "latency", "workers", "errors", "log")
CURVE, TASKS = "curve", "tasks"


class Further(NamedTuple):
    """A tab of some runs only."""

    offered: Callable[[RunView | None], bool]
    """Whether a run has it."""
    missing: str
    """Why a run does not have it."""


FURTHER: Mapping[str, Further] = {
    CURVE: Further(has_curve, "no curve: the run has neither several stages nor a sweep"),
    TASKS: Further(has_tasks, "no tasks: all requests of the run are of one kind"),
}

ALL_TABS = (*TABS, *FURTHER)
"""In the order of their keys, which are the same in every run: the first one has the key 1."""


def further_tabs(view: RunView | None) -> frozenset[str]:
    """Those of `FURTHER` that this run has; None: nothing is known of it yet."""
    return frozenset(tab for tab, each in FURTHER.items() if each.offered(view))
