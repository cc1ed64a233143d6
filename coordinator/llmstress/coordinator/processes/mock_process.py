"""The built-in mock server as a child process, for the length of a run."""

import asyncio
import os
import sys
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart

EXIT_LIMIT_S = 10.0
"""Time limit for the mock to exit after SIGTERM; then it is killed."""


class MockProcess:
    """A running mock server."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    @classmethod
    async def start(cls, procs: int, seed: int, environ: dict[str, str]) -> "MockProcess":
        """Start a mock server on a free port, with `environ` as its environment.

        Raises:
            CouldNotStart: it exited before it listened.
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
        """Stop it, and return what it reports to have sent; empty if it reports nothing."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(EXIT_LIMIT_S):
                out, _ = await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            out, _ = await self._process.communicate()
        try:
            truth: dict[str, Any] = msgspec.json.decode(out)
        except ValueError:
            return {}
        return truth
