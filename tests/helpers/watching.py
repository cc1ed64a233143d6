"""Runs that a test looks at and steers from outside, as a screen does."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers.processes import DEADLINE_S, Run

from llmstress.coordinator.processes import run_directory
from llmstress.coordinator.processes.broadcaster import ASK, WATCH
from llmstress.coordinator.processes.viewer import LiveSource
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import Command, Frame, RunView


@contextlib.contextmanager
def run_of(*arguments: str, cwd: Path | None = None, nofile: int | None = None) -> Iterator[tuple[Run, Path]]:
    """A run, and its directory once its sockets are there."""
    run = Run(*arguments, cwd=cwd, nofile=nofile)
    try:
        for _ in range(DEADLINE_S * 100):
            ready = [path for path in run_directory.running() if (path / ASK).exists() and (path / WATCH).exists()]
            if ready or run.process.poll() is not None:
                break
            threading.Event().wait(0.01)
        assert ready, run.finish()
        yield run, ready[0]
    finally:
        run.end()


Reaction = Callable[[RunView, Frame], Command | None]


def follow(directory: Path, react: Reaction = lambda view, frame: None, *, controls: bool = True) -> RunView:
    """What a viewer has at the end of a run; `react` is asked after every frame what to send."""

    async def watch() -> RunView:
        source = LiveSource(directory, controls=controls)
        view: RunView | None = None
        try:
            async for frame in source.frames():
                if isinstance(frame, RunView):
                    view = frame
                else:
                    assert view is not None
                    view.apply(frame)
                if (command := react(view, frame)) is not None:
                    await source.send(command)
                if isinstance(frame, Notice) and frame.kind == "end":
                    return view
        finally:
            source.close()
        raise AssertionError("the run never ended")

    async def bounded() -> RunView:
        async with asyncio.timeout(DEADLINE_S):
            return await watch()

    return asyncio.run(bounded())


def once(commands: dict[float, Command]) -> Reaction:
    """Sends each command when the run has lasted so many seconds."""
    left = dict(commands)

    def react(view: RunView, frame: Frame) -> Command | None:
        due = next((at for at in left if view.aggregate.elapsed_ns >= at * 1e9), None)
        return None if due is None else left.pop(due)

    return react
