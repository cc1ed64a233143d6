"""`llmstress attach`: the screen of a run that is in progress, in another terminal."""

import sys
import time
from pathlib import Path

from llmstress.coordinator.config.errors import CouldNotStart, ExitCode, UsageError
from llmstress.coordinator.processes import run_directory
from llmstress.coordinator.processes.screen_process import require_terminal
from llmstress.engine.telemetry.formatting import duration


def attach_command(pid: int | None, *, control: bool, only_list: bool) -> int:
    """Show one of this user's runs, or list them; returns the exit code.

    Args:
        pid: process id of the run's coordinator; None: the only run.
        control: the screen may control the run.
        only_list: list the runs.

    Raises:
        CouldNotStart: there is no such run.
        UsageError: several runs are in progress and `pid` is None, or there is no terminal.
    """
    from llmstress.coordinator.processes.viewer import watch

    runs = run_directory.running()
    if only_list:
        for path in runs:
            print(_line(path))
        return ExitCode.OK
    if not runs:
        raise CouldNotStart("you have no run in progress on this machine")
    chosen = [path for path in runs if pid in (None, run_directory.coordinator_of(path))]
    if not chosen:
        raise CouldNotStart(f"you have no run with the process id {pid}; `llmstress attach --list` lists your runs")
    if len(chosen) > 1:
        for path in chosen:
            print(_line(path), file=sys.stderr)
        raise UsageError("several runs are in progress; choose one by its process id: `llmstress attach PID`")
    require_terminal()
    watch(chosen[0], controls=control)
    return ExitCode.OK


def _line(path: Path) -> str:
    try:
        about = (path / run_directory.ABOUT).read_text("utf-8")
    except FileNotFoundError:
        about = "starting, or just ended"
    since = duration(round(time.time() - run_directory.began(path)))
    return f"{run_directory.coordinator_of(path):>8}  since {since}  {about}"
