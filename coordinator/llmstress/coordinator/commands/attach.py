"""Looking at a run from elsewhere: another terminal while it lasts, or its record afterwards."""

import asyncio
import sys
import time
from pathlib import Path

from llmstress.coordinator.config.errors import CouldNotStart, ExitCode, UsageError
from llmstress.coordinator.processes import run_directory, screen_process
from llmstress.engine.telemetry.formatting import duration


def attach_command(pid: int | None, *, control: bool, only_list: bool) -> int:
    """Show one of this user's runs, or list them; gives the exit code.

    Raises:
        CouldNotStart: there is no such run.
        UsageError: it must be said which one, or there is no terminal.
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
    _need_terminal()
    watch(chosen[0], controls=control)
    return ExitCode.OK


def replay_command(file: str, speed: float) -> int:
    """Show a recorded run; gives the exit code.

    Raises:
        UsageError: it is no record, or there is no terminal.
    """
    from llmstress.tui.app import StressApp
    from llmstress.tui.sources.replay import Replay

    if not 0.25 <= speed <= 64:  # a number that is none passes every range
        raise UsageError(f"replay: --speed must be between 0.25 and 64, not {speed}")
    if not Path(file).is_file():  # a pipe would be waited for
        raise UsageError(f"replay: {file} is not a recorded run")
    try:
        source = Replay(Path(file), speed=speed)
    except (OSError, ValueError) as error:
        raise UsageError(f"replay: {error}") from error
    _need_terminal()
    asyncio.run(StressApp(source).run_async())
    return ExitCode.OK


def _line(path: Path) -> str:
    try:
        words = (path / run_directory.ABOUT).read_text("utf-8")
    except FileNotFoundError:
        words = "starting, or just ended"
    since = duration(round(time.time() - run_directory.began(path)))
    return f"{run_directory.coordinator_of(path):>8}  since {since}  {words}"


def _need_terminal() -> None:
    if not screen_process.has_terminal():
        raise UsageError("a screen needs a terminal as stdin and stderr")
