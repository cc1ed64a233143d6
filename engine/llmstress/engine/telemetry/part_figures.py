"""The figures of a part: of a window, of a task, or of a sum of several. Pure functions."""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.goodput import Goodput, goodput
from llmstress.engine.telemetry.histogram import Distribution, distribution_of
from llmstress.engine.telemetry.messages import Counters, Part


class PartFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Rates are per second of the time that the part covers, and None while that has no length; latencies are in µs."""

    seconds: float
    """How long the time has lasted so far."""
    due: int
    """Requests that arrived in it (open model)."""
    started: int
    dropped: int
    """Requests that arrived, here or earlier, and were given up in this time before they started (open model)."""
    due_per_s: float | None
    achieved_per_s: float | None
    """Started requests."""
    ok: int
    failed: int
    cancelled: int
    finished: int
    """All that ended, except the cancelled ones."""
    ended: Mapping[str, int]
    """Class of a request's end -> how many."""
    failed_by: Mapping[str, int]
    """The same, of the failures only."""
    requests_per_s: float | None
    """Requests that ended ok."""
    events_per_s: float | None
    tokens_per_s: float | None
    input_per_s: float | None
    inputs_per_s: float | None
    goodput: Goodput
    """By the SLOs; without any nothing is good."""
    latency: Mapping[str, Distribution]
    """Metric -> its samples, without bins."""
    counters: Counters
    """All sums. Not to be changed."""

    def percentile(self, metric: str, name: str) -> int | None:
        """A percentile of `histogram.PERCENTILES`, in µs; None without enough samples."""
        found = self.latency.get(metric)
        return None if found is None else found.percentile(name)

    @property
    def interactivity(self) -> float | None:
        """Tokens per second that a user sees: 1 s ÷ the p50 of `tpot`."""
        tpot = self.percentile("tpot", "p50")
        return 1e6 / tpot if tpot else None


def part_figures(part: Part, seconds: float, per_event: float | None) -> PartFigures:
    """The figures of a part that covers `seconds`; `per_event`: tokens of a token event, None: not known yet."""
    counters, ended = part.counters, part.ended

    def per_second(n: float) -> float | None:
        return n / seconds if seconds > 0 else None

    return PartFigures(
        seconds=seconds,
        due=counters.due,
        started=counters.started,
        dropped=counters.dropped,
        due_per_s=per_second(counters.due),
        achieved_per_s=per_second(counters.started),
        ok=ended.get("ok", 0),
        failed=sum(n for outcome, n in ended.items() if outcome not in NOT_FAILED),
        cancelled=ended.get("cancelled", 0),
        finished=sum(n for outcome, n in ended.items() if outcome != "cancelled"),
        ended=ended,
        failed_by={outcome: n for outcome, n in ended.items() if n and outcome not in NOT_FAILED},
        requests_per_s=per_second(ended.get("ok", 0)),
        events_per_s=per_second(counters.events),
        tokens_per_s=per_second(counters.output_of_all(per_event or 1.0)),
        input_per_s=per_second(counters.input),
        inputs_per_s=per_second(counters.inputs),
        goodput=goodput(part, seconds),
        latency={metric: distribution_of(histogram) for metric, histogram in part.latency.items()},
        counters=counters,
    )
