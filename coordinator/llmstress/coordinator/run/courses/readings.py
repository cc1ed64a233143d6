"""What is known of a run at a moment at which every worker has reported. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.engine.telemetry.slo import Slo


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of the whole run, over all windows."""

    t: int
    """ns after T0."""
    started: int
    ended: int
    answered: int
    """Requests that have had their first token, or have ended without one."""
    open: int
    """Requests that have started and not ended."""
    waiting: int
    """Requests that wait for a stream (open model)."""
    events: int
    """Token events."""


def read(view: RunView) -> Reading:
    """The totals of now."""
    aggregate = view.aggregate
    started = ended = answered = events = 0
    for part in aggregate.parts.values():
        started += part.counters.started
        ended += sum(part.ended.values())
        events += part.counters.events
        # `latency` has requests in flight and those that ended well; the others that have ended come on top
        answered += sum(part.ended.values()) - part.ended.get("ok", 0)
        answered += part.latency["ttft"].count if "ttft" in part.latency else 0
    return Reading(
        t=aggregate.elapsed_ns,
        started=started,
        ended=ended,
        answered=answered,
        open=started - ended,
        waiting=aggregate.waiting,
        events=events,
    )


def overdue(readings: Sequence[Reading], slos: Sequence[Slo]) -> dict[str, int]:
    """Text of an SLO -> at least how many requests are older than its limit and in flight, at the last reading; for an
    SLO of the first token, those that have none.

    Of the requests that had started when a limit of L began, all that are not over now have taken longer than L. Which
    they are is unknown, so this is the least number there can be.

    Args:
        readings: in the order of time, back to the longest limit.
        slos: those of the run; a limit of `tpot` or `stall` is known to be missed only when the answer has ended.
    """
    now = readings[-1]
    found: dict[str, int] = {}
    for slo in slos:
        metric = METRICS[slo.metric]
        over = (
            {"first_token": now.answered, "end": now.ended}.get(metric.end)
            if metric.start in ("start", "due")
            else None
        )
        began = now.t - slo.limit_us * 1000
        before = next((reading for reading in reversed(readings) if reading.t <= began), None)
        if over is not None and before is not None:
            found[slo.text] = max(0, before.started - over)
    return found


def quiet_s(readings: Sequence[Reading]) -> float:
    """For how long nothing has come: neither a token event nor the end of a request."""
    now = readings[-1]
    since = now.t
    for reading in reversed(readings):
        if (reading.events, reading.ended) != (now.events, now.ended):
            break
        since = reading.t
    return (now.t - since) / 1e9
