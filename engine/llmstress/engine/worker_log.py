"""What a worker logs to stderr with --verbose: its plan, its first connection, the first failure of each class, its
totals.

Nothing of this is on the hot path: failures are taken from the samples of a delta, four times a second.
"""

import logging
import os
import sys
from collections import Counter

from llmstress.engine.connect.dialer import Dialer, TakenOver
from llmstress.engine.connect.tcpinfo import ends_of, tls_of
from llmstress.engine.control import Plan, TaskPlan
from llmstress.engine.secrets import distinctive, redact
from llmstress.engine.telemetry.messages import Delta

_log = logging.getLogger("worker")


class WorkerLog:
    """The log of one worker. It is empty unless `plan.verbose` is set."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._logged: set[str] = set()
        self._ended: Counter[str] = Counter()
        self._deltas = 0
        if plan.verbose:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_RedactingFormatter(plan.secrets))
            logging.basicConfig(level=logging.INFO, handlers=[handler])
            for task in plan.tasks:
                network = task.network
                _log.info(
                    "pid %d: %d streams%s to %s from %s%s%s",
                    os.getpid(),
                    plan.streams,
                    f", task {task.name}," if task.name else "",
                    task.url,
                    ", ".join(network.sources) or "any address",
                    f" through proxy {network.proxy}" if network.proxy else "",
                    f" over {network.unix_socket}" if network.unix_socket else "",
                )

    def dialer(self, task: TaskPlan) -> Dialer:
        """A dialer for the origin of a task, which logs its first connection."""
        make = _LoggingDialer if self._plan.verbose else Dialer
        return make(task.url, task.network, task.timeouts)

    def delta_sent(self, delta: Delta) -> None:
        """To be called when a delta has been sent: logs failures of classes that had no failure before."""
        if not self._plan.verbose:
            return
        self._deltas += 1
        for part in delta.parts.values():
            self._ended.update(part.ended)
        for sample in delta.samples:
            if sample.error not in self._logged:
                self._logged.add(sample.error)
                status = f" (status {sample.status})" if sample.status else ""
                _log.warning("first %s%s: %s", sample.error, status, " ".join(sample.text.split()))

    def run_ended(self) -> None:
        """To be called when the run has ended: logs the totals."""
        if self._plan.verbose:
            ends = ", ".join(f"{n} {outcome}" for outcome, n in sorted(self._ended.items())) or "none"
            _log.info("ended: requests %s; %d deltas", ends, self._deltas)


class _RedactingFormatter(logging.Formatter):
    """`LEVEL name: text`. Secrets are redacted, in tracebacks as well."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = distinctive(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, redacted."""
        return redact(super().format(record), self._secrets)


class _LoggingDialer(Dialer):
    """Logs the first connection."""

    _logged = False

    async def open(self) -> TakenOver:
        """Open a connection.

        Raises:
            ConnectError: it failed.
        """
        link = await super().open()
        if not self._logged:
            self._logged = True
            (local, peer), tls = ends_of(link.transport), tls_of(link.transport)
            if peer:
                _log.info("first connection: %s to %s%s", local, peer, f", {tls}" if tls else "")
        return link
