"""`llmstress replay`: the screen of a recorded run."""

import asyncio
from pathlib import Path

from llmstress.coordinator.config.errors import ExitCode, UsageError
from llmstress.coordinator.processes.screen_process import require_terminal


def replay_command(file: str, speed: float) -> int:
    """Show the run that was recorded in `file`; returns the exit code.

    Raises:
        UsageError: `file` is not a record, or there is no terminal.
    """
    from llmstress.tui.app import StressApp  # importing Textual takes 0.2 s
    from llmstress.tui.sources.replay import Replay

    if not 0.25 <= speed <= 64:  # NaN passes the range check of click
        raise UsageError(f"replay: --speed must be between 0.25 and 64, not {speed}")
    if not Path(file).is_file():  # opening a pipe would wait for a writer
        raise UsageError(f"replay: {file} is not a recorded run")
    try:
        source = Replay(Path(file), speed=speed)
    except (OSError, ValueError) as error:
        raise UsageError(f"replay: {error}") from error
    require_terminal()
    asyncio.run(StressApp(source).run_async())
    return ExitCode.OK
