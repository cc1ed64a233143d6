"""The registry of metrics: recorder, summary, schema, console, probe, screen and docs/metrics.md read it.

All values are recorded in microseconds and printed in milliseconds. To add a metric, add its name to `MetricName`
and an entry to `METRICS`, record it (`engine/stream/samples.py`), and update what is made from the registry:
`UPDATE_SCHEMAS=1 pytest tests/coordinator/test_schemas.py` and `UPDATE_DOCS=1 pytest tests/test_metrics_page.py`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

MetricName = Literal[
    "queue", "connect", "ttfb", "ttft", "ttft_due", "ttfa", "itl", "tpot", "stall", "e2e", "e2e_due", "loop_lag"
]
"""Names of the histograms. A name that is not in here does not pass mypy."""

Stamp = Literal["due", "start", "sent", "head", "first_token", "first_answer", "token", "last_token", "end", "timer"]

STAMPS: Mapping[Stamp, str] = {
    "due": "closed model: the stream is free and its pause (ramp-up, `--think-time`, `--pacing`, `--error-pause`) is "
    "over; open model: the request arrives by the schedule",
    "start": "the worker begins the attempt, before it takes or opens a connection; never before `due`",
    "sent": "just before the bytes of the request are written; the connection is open",
    "head": "status line and headers of the final response are complete (1xx responses are skipped)",
    "first_token": "the first token event",
    "first_answer": "the first token event with a payload that a user sees: reasoning does not count",
    "token": "any token event",
    "last_token": "the last token event",
    "end": "the protocol's end event (`[DONE]`, `message_stop`, `response.completed`), else the event with the last "
    "finish reason; for an answer that is not streamed, its body is complete",
    "timer": "a kernel timer fires (a timerfd, at random moments)",
}
"""Stamp -> when it is taken."""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One latency."""

    name: MetricName
    label: str
    """What the screen calls it."""
    meaning: str
    """One line: from when to when."""
    start: Stamp
    end: Stamp
    formula: str = ""
    """Where it is not `end − start`."""
    completed_by: Stamp | None = None
    """The stamp that decides which window the sample belongs to, where it is not `end`."""
    requests: Literal["all", "ok", "none"] = "all"
    """Whose samples there are. `all`: those of failed requests are kept in a set of their own. `ok`: only requests that
    ended ok have one. `none`: it is the client's own health, not a latency of requests."""
    per_request: bool = True
    """A request has at most one sample."""
    without_waits: MetricName | None = None
    """The metric that measures the same from `start` instead of `due`."""

    unit = "ms"

    @property
    def difference(self) -> str:
        """How a sample is calculated from the stamps."""
        return self.formula or f"{self.end} − {self.start}"

    @property
    def window_stamp(self) -> Stamp:
        """The stamp that decides which window a sample belongs to."""
        return self.completed_by or self.end

    @property
    def has_waits(self) -> bool:
        """It contains the time in which a request waits for its turn: here, or at the target."""
        return self.start in ("due", "start", "sent") and self.end != "sent"


_ALL = (
    Metric(
        name="queue",
        label="QUEUE",
        meaning="from when a request was due to its start: the client's delay, waits for a stream or a place to dial",
        start="due",
        end="start",
    ),
    Metric(
        name="connect",
        label="CONNECT",
        meaning="from the start of a request to its connection, for those that opened one",
        start="start",
        end="sent",
    ),
    Metric(
        name="ttfb",
        label="TTFB",
        meaning="from the sending of a request to the head of its answer",
        start="sent",
        end="head",
    ),
    Metric(
        name="ttft",
        label="TTFT",
        meaning="from the start of a request to its first token, reasoning tokens included",
        start="start",
        end="first_token",
    ),
    Metric(
        name="ttft_due",
        label="TTFT_DUE",
        meaning="from when a request was due to its first token: waits and earlier attempts included",
        start="due",
        end="first_token",
        without_waits="ttft",
    ),
    Metric(
        name="ttfa",
        label="TTFA",
        meaning="from the start of a request to the first token that a user sees",
        start="start",
        end="first_answer",
    ),
    Metric(
        name="itl",
        label="ITL",
        meaning="from one token event to the next",
        start="token",
        end="token",
        formula="token − the token before it, of the same choice",
        per_request=False,
    ),
    Metric(
        name="tpot",
        label="TPOT",
        meaning="from the first token to the last one, per token after the first",
        start="first_token",
        end="last_token",
        formula="(last_token − first_token) ÷ tokens generated after the first token event",
        completed_by="end",
        requests="ok",
    ),
    Metric(
        name="stall",
        label="stall",
        meaning="the longest gap within an answer",
        start="token",
        end="token",
        formula="largest `itl` of the request",
        completed_by="end",
        requests="ok",
    ),
    Metric(
        name="e2e",
        label="E2E",
        meaning="from the start of a request to the end of its answer",
        start="start",
        end="end",
        requests="ok",
    ),
    Metric(
        name="e2e_due",
        label="E2E_DUE",
        meaning="from when a request was due to the end of its answer: waits and earlier attempts included",
        start="due",
        end="end",
        requests="ok",
        without_waits="e2e",
    ),
    Metric(
        name="loop_lag",
        label="loop lag",
        meaning="from when a timer fired to when the event loop of a worker served it: the error that a stamp can have",
        start="timer",
        end="timer",
        formula="when the event loop serves the timer − timer",
        requests="none",
        per_request=False,
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every histogram that a worker records."""

LATENCIES: Mapping[str, Metric] = {metric.name: metric for metric in _ALL if metric.requests != "none"}
"""The latencies of requests, in the order of a request: `latency_ms` in the summary has each of them."""


OF_ONE_REQUEST: tuple[str, ...] = tuple(
    each.name for each in LATENCIES.values() if each.per_request and each.start != "due"
)
"""The latencies that `probe` shows: a single request has no queue, and its gaps are shown one by one."""


class Selection(msgspec.Struct, frozen=True):
    """Latencies that are shown together."""

    streams: tuple[MetricName, ...]
    whole_answers: tuple[MetricName, ...]
    """Instead of these, where no answer of the run was streamed."""

    def of(self, *, whole_answers: bool) -> tuple[MetricName, ...]:
        """Those of a run whose answers are streamed, or come as a whole."""
        return self.whole_answers if whole_answers else self.streams


TABLE = Selection(("ttft", "ttft_due", "itl", "tpot", "e2e", "e2e_due"), ("ttfb", "e2e", "e2e_due"))
"""The table on the console."""

TILES = Selection(("ttft", "itl"), ("e2e", "ttfb"))
"""The big figures of the screen."""

PROGRESS = Selection(("ttft", "itl"), ("e2e",))
"""The progress line."""

BESIDE: tuple[MetricName, ...] = ("queue", "connect", "ttfb", "ttft", "ttft_due", "e2e", "e2e_due")
"""The bystander. Its answers of a few tokens say nothing about the time between tokens."""

BESIDE_LINE: tuple[MetricName, ...] = ("ttft", "e2e")
"""The bystander's line on the console."""

COMPARED: tuple[MetricName, ...] = ("ttft", "tpot", "e2e")
"""Those of each token band, each turn of conversations and each step of flows."""

TASKS_CHARTED: tuple[MetricName, ...] = ("ttft", "e2e", "tpot")
"""What the screen compares the tasks in, the first chart first."""

CHARTED: tuple[MetricName, ...] = ("itl", "tpot", "e2e")
"""What a row of the timeline keeps in coarse bins (`Histogram.coarse`), besides `ttft`."""

EXPLAINED: tuple[MetricName, ...] = ("ttft", "itl", "tpot", "stall", "e2e")
"""The help page of the screen; the latency pane explains all."""
