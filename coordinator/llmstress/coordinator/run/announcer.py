"""Tells everybody what happens: viewers and record by messages, stderr and log by lines. Secrets end here."""

import datetime
import time
from collections.abc import Callable
from pathlib import Path

from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.redaction import scrub
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import encode, write_atomically
from llmstress.coordinator.processes.broadcaster import Broadcaster
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import Message


class Herald:
    """Speaks for one run."""

    def __init__(self, broadcaster: Broadcaster, console: Console, secrets: list[str]) -> None:
        self.console = console
        self.t0 = 0
        """Stamp (ns) of the run's start; 0 before."""
        self._broadcaster = broadcaster
        self._secrets = secrets

    def now(self) -> int:
        """Nanoseconds after T0."""
        return max(0, time.monotonic_ns() - self.t0) if self.t0 else 0

    def tell(self, message: Message) -> None:
        """Apply a message to the state of the run, and publish it."""
        self._warn_of_record(self._broadcaster.publish(scrub(message, self._secrets), self.now()))

    def tell_all(self) -> None:
        """Publish the whole state."""
        self._warn_of_record(self._broadcaster.publish_keyframe())

    def notice(self, kind: str, text: str, t: int | None = None) -> None:
        """A line of the run's log, of the moment `t` (ns after T0; None: now)."""
        self.tell(Notice(self.now() if t is None else t, kind, text))
        self.console.hear("run", f"{kind}: {text}")

    def show(self, text: str) -> None:
        """A note for the viewers alone: the console has its own words for it."""
        self.tell(Notice(self.now(), "note", text))

    def warn(self, text: str) -> None:
        """A warning for all."""
        self.tell(Notice(self.now(), "warning", text))
        self.console.warn(text)

    def finish(self) -> None:
        """Nothing more is published: the record is whole."""
        self._warn_of_record(self._broadcaster.finish_record())

    def save(self, summarise: Callable[[], Summary]) -> None:
        """Write the summary as it is now into a file of its own."""
        path = Path(f"llmstress-{datetime.datetime.now():%Y%m%d-%H%M%S}.json").resolve()
        try:
            write_atomically(path, encode(summarise()))
        except OSError as error:
            self.notice("warning", f"the summary could not be saved: {error}")
        else:
            self.notice("note", f"summary saved as {path}")

    def _warn_of_record(self, error: OSError | None) -> None:
        if error is not None:
            self.warn(f"--record: {error}; the record ends here")
