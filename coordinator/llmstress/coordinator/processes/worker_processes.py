"""Starts the worker processes of a run, reports each exit, and makes sure that none stays behind."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.output.log import Follower
from llmstress.coordinator.processes.run_directory import SCREEN_LOG


class Exited(msgspec.Struct, frozen=True):
    """A worker process has exited."""

    worker: int
    reason: str
    """Signal or exit code, with the last line of stderr."""


class WorkerProcesses:
    """The worker processes. Each has a session of its own, so that Ctrl-C reaches only the coordinator."""

    def __init__(self, directory: Path, endpoint: str, environ: dict[str, str]) -> None:
        """
        Args:
            directory: the directory of the run; stderr of each process is written to a file in it.
            endpoint: address of the coordinator's socket.
            environ: environment of the workers.
        """
        self._directory = directory
        self._endpoint = endpoint
        self._environ = environ
        self._followed = {"screen": Follower(directory / SCREEN_LOG)}
        self._processes: list[asyncio.subprocess.Process] = []
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self, count: int, on_exit: Callable[[Exited], None]) -> None:
        """Start `count` workers; `on_exit` is called once for each when it exits.

        Raises:
            CouldNotStart: the system refuses to start a process.
        """
        for worker in range(count):
            try:
                process = await self._start_one(worker)
            except OSError as error:
                raise CouldNotStart(f"worker {worker} could not be started ({error}): use fewer --procs") from error
            self._followed[f"worker {worker}"] = Follower(self._log_of(worker))
            self._processes.append(process)
            self._watchers.append(asyncio.create_task(self._watch(worker, process, on_exit)))

    async def _start_one(self, worker: int) -> asyncio.subprocess.Process:
        with self._log_of(worker).open("wb") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "llmstress.engine.worker", self._endpoint, str(worker), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environ,
            )

    def kill(self, worker: int) -> None:
        """Kill one worker, if it is still running."""
        process = self._processes[worker]
        if process.returncode is None:
            process.kill()

    def new_lines(self, *, last: bool = False) -> Iterator[tuple[str, str]]:
        """Lines that workers and screen have written to stderr since the last call, each after the name of its writer.

        With `last` a line without a line end is included.
        """
        for name, follower in self._followed.items():
            for line in follower.lines(last=last):
                yield name, line

    async def shut_down(self, limit_s: float) -> None:
        """Wait up to `limit_s` for all workers to exit, then kill the others."""
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=limit_s)
        for worker in range(len(self._processes)):
            self.kill(worker)
        await asyncio.gather(*self._watchers)

    async def _watch(self, worker: int, process: asyncio.subprocess.Process, on_exit: Callable[[Exited], None]) -> None:
        code = await process.wait()
        on_exit(Exited(worker, self._reason(worker, code)))

    def _reason(self, worker: int, code: int) -> str:
        known = {number.value: number.name for number in signal.Signals}
        reason = f"killed by {known.get(-code, f'signal {-code}')}" if code < 0 else f"exit code {code}"
        if -code == signal.SIGKILL:
            reason += " (out of memory?)"
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self._log_of(worker).read_text("utf-8", "replace").strip().splitlines()
        errors = [line for line in lines if not line.startswith("INFO ")]  # an INFO line doesn't explain an exit
        return f"{reason}: {errors[-1]}" if errors else reason

    def _log_of(self, worker: int) -> Path:
        return self._directory / f"worker-{worker}.log"
