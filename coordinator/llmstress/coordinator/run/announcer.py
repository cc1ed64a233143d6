"""Announces what happens in a run: messages for viewers and record, lines for stderr and log. Secrets are redacted."""

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


class Announcer:
    """The only place from which a run publishes messages and writes lines."""

    def __init__(self, broadcaster: Broadcaster, console: Console, secrets: list[str]) -> None:
        self.console = console
        self.t0 = 0
        """Stamp (ns) of the start of the run; 0 before it is known."""
        self._broadcaster = broadcaster
        self._secrets = secrets

    def now(self) -> int:
        """Nanoseconds after T0; 0 before it."""
        return max(0, time.monotonic_ns() - self.t0) if self.t0 else 0

    def publish(self, message: Message) -> None:
        """Redact a message, apply it to the state of the run, and publish it."""
        self._warn_of_record(self._broadcaster.publish(scrub(message, self._secrets), self.now()))

    def flush_record(self) -> None:
        """Write what the record holds back."""
        self._warn_of_record(self._broadcaster.flush_record())

    def notice(self, kind: str, text: str, t: int | None = None) -> None:
        """Add a line to the log of the run, with the time `t` (ns after T0; None: now)."""
        self.publish(Notice(self.now() if t is None else t, kind, text))
        self.console.relay("run", f"{kind}: {text}")

    def show(self, text: str) -> None:
        """Add a note that only viewers see; the console reports the same in its own format."""
        self.publish(Notice(self.now(), "note", text))

    def warn(self, text: str) -> None:
        """Warn viewers and the console."""
        self.publish(Notice(self.now(), "warning", text))
        self.console.warn(text)

    def finish(self) -> None:
        """Close the record: nothing is published after this."""
        self._warn_of_record(self._broadcaster.finish_record())

    def save(self, summarise: Callable[[], Summary]) -> None:
        """Write the current summary to a new file, named after the time, in the working directory."""
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
