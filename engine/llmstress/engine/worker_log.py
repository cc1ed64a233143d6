"""What a worker says on stderr when it is asked to: its plan, its first connection, the first failures, its totals.

Nothing of this is on the hot path: failures are taken from the samples of a delta, four times a second.
"""

import logging
import os
import sys
from collections import Counter

from llmstress.engine.connect.dialer import Dialer, TakenOver
from llmstress.engine.connect.tcpinfo import ends_of, tls_of
from llmstress.engine.control import Plan
from llmstress.engine.secrets import blank_out, unmistakable
from llmstress.engine.telemetry.messages import Delta

_log = logging.getLogger("worker")


class WorkerLog:
    """Speaks for one worker; says nothing unless its plan wants it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._told: set[str] = set()
        self._ended: Counter[str] = Counter()
        self._deltas = 0
        if plan.verbose:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_WithoutSecrets(plan.secrets))
            logging.basicConfig(level=logging.INFO, handlers=[handler])
            network = plan.network
            _log.info(
                "pid %d: %d streams to %s from %s%s%s",
                os.getpid(),
                plan.streams,
                plan.url,
                ", ".join(network.sources) or "any address",
                f" through proxy {network.proxy}" if network.proxy else "",
                f" over {network.unix_socket}" if network.unix_socket else "",
            )

    def dialer(self) -> Dialer:
        """A dialer for the plan; it tells of its first connection."""
        make = _LoggingDialer if self._plan.verbose else Dialer
        return make(self._plan.url, self._plan.network, self._plan.timeouts)

    def delta_sent(self, delta: Delta) -> None:
        """A delta is on its way: tell of failures of a class that there was none of before."""
        if not self._plan.verbose:
            return
        self._deltas += 1
        for part in delta.parts.values():
            self._ended.update(part.ended)
        for sample in delta.samples:
            if sample.error not in self._told:
                self._told.add(sample.error)
                status = f" (status {sample.status})" if sample.status else ""
                _log.warning("first %s%s: %s", sample.error, status, " ".join(sample.text.split()))

    def run_ended(self) -> None:
        """The run is over."""
        if self._plan.verbose:
            ends = ", ".join(f"{n} {outcome}" for outcome, n in sorted(self._ended.items())) or "none"
            _log.info("ended: requests %s; %d deltas", ends, self._deltas)


class _WithoutSecrets(logging.Formatter):
    """`LEVEL name: text`, tracebacks included, without secrets."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = unmistakable(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        return blank_out(super().format(record), self._secrets)


class _LoggingDialer(Dialer):
    """Tells of the first connection."""

    _told = False

    async def open(self) -> TakenOver:
        """Make a connection.

        Raises:
            ConnectError: none could be made.
        """
        link = await super().open()
        if not self._told:
            self._told = True
            (here, there), tls = ends_of(link.transport), tls_of(link.transport)
            if there:
                _log.info("first connection: %s to %s%s", here, there, f", {tls}" if tls else "")
        return link
