"""The processes of a run: starts them, notices when one ends, and leaves none behind."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.output.log import Follower
from llmstress.coordinator.processes.run_directory import SCREEN_LOG


class Exited(msgspec.Struct, frozen=True):
    """A worker process has ended."""

    worker: int
    reason: str
    """Why, in plain words, with the last line that it wrote to stderr."""


class Crew:
    """The worker processes, each in a session of its own so that Ctrl-C reaches the coordinator alone."""

    def __init__(self, directory: Path, endpoint: str, environ: dict[str, str]) -> None:
        """`environ`: what the workers' environment is to be."""
        self._directory = directory
        self._endpoint = endpoint
        self._environ = environ
        self._followed = {"screen": Follower(directory / SCREEN_LOG)}
        self._processes: list[asyncio.subprocess.Process] = []
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self, count: int, on_exit: Callable[[Exited], None]) -> None:
        """Start `count` workers; `on_exit` is called once for each that ends, whenever that is.

        Raises:
            CouldNotStart: there can't be so many processes.
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
        """End one worker at once."""
        process = self._processes[worker]
        if process.returncode is None:
            process.kill()

    def news(self, *, last: bool = False) -> Iterator[tuple[str, str]]:
        """Who has written which line to stderr since this was last asked; `last`: ended or not."""
        for who, follower in self._followed.items():
            for line in follower.lines(last=last):
                yield who, line

    async def leave(self, patience_s: float) -> None:
        """Wait for all to end by themselves, and kill those that don't within `patience_s`."""
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=patience_s)
        for worker in range(len(self._processes)):
            self.kill(worker)
        await asyncio.gather(*self._watchers)

    async def _watch(self, worker: int, process: asyncio.subprocess.Process, on_exit: Callable[[Exited], None]) -> None:
        code = await process.wait()
        on_exit(Exited(worker, self._explain(worker, code)))

    def _explain(self, worker: int, code: int) -> str:
        known = {number.value: number.name for number in signal.Signals}
        how = f"killed by {known.get(-code, f'signal {-code}')}" if code < 0 else f"exit code {code}"
        if -code == signal.SIGKILL:
            how += " (out of memory?)"
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self._log_of(worker).read_text("utf-8", "replace").strip().splitlines()
        words = [line for line in lines if not line.startswith("INFO ")]  # what went well is no reason
        return f"{how}: {words[-1]}" if words else how

    def _log_of(self, worker: int) -> Path:
        return self._directory / f"worker-{worker}.log"


class Mock:
    """The built-in mock server, as a process of its own for the length of a run."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    @classmethod
    async def start(cls, procs: int, seed: int, environ: dict[str, str]) -> "Mock":
        """Start it on a free port, with `environ` as its environment.

        Raises:
            CouldNotStart: it ended instead of listening.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "llmstress.engine.mock", "--port", "0", "--procs", str(procs), "--seed", str(seed)),
                *("--parent-pid", str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                env=environ,
            )
        except OSError as error:
            raise CouldNotStart(
                f"the built-in mock could not be started ({error}): name a server with --url"
            ) from error
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise CouldNotStart(f"the built-in mock ended with exit code {await process.wait()} before it listened")
        return cls(process, msgspec.json.decode(line)["listening"])

    async def stop(self) -> dict[str, Any]:
        """End it; gives what it says was the truth (empty if it can't any more)."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(10):
                out, _ = await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            out, _ = await self._process.communicate()
        try:
            truth: dict[str, Any] = msgspec.json.decode(out)
        except ValueError:
            return {}
        return truth
