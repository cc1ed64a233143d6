"""The figures of single windows: what was asked for in each, and what was achieved."""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.broadcast import RunView, lasted_ns
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.histogram import Distribution, distribution_of
from llmstress.engine.telemetry.load_profile import Unit
from llmstress.engine.telemetry.messages import Counters, Part, Phase, Window


class WindowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One window. Rates are per second of the window and None while it has no length; latencies are in µs."""

    index: int
    label: str
    kind: Phase
    begin_s: float
    """Seconds after T0."""
    seconds: float
    """How long it has lasted so far."""
    unit: Unit
    """What `asked` is: streams, requests per second, or seconds of the trace per second."""
    asked: float
    """The mean level of the load that was asked for."""
    due: int
    """Requests that arrived in it (open model)."""
    started: int
    dropped: int
    """Requests that arrived, here or earlier, and were given up in this window before they started (open model)."""
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
    latency: Mapping[str, Distribution]
    """Metric -> its samples, without bins; `Aggregate.of_window` has the histograms."""
    counters: Counters
    """All sums of the window. Not to be changed."""

    def percentile(self, metric: str, name: str) -> int | None:
        """A percentile of `histogram.PERCENTILES`, in µs; None without enough samples."""
        found = self.latency.get(metric)
        return None if found is None else found.percentile(name)

    @property
    def interactivity(self) -> float | None:
        """Tokens per second that a user sees: 1 s ÷ the p50 of `tpot`."""
        tpot = self.percentile("tpot", "p50")
        return 1e6 / tpot if tpot else None


def steady_windows(view: RunView) -> list[WindowFigures]:
    """The figures of the steady windows that have begun, in order."""
    begun = [window for window in view.aggregate.windows if window.kind is Phase.STEADY and _lasted_s(view, window) > 0]
    return [figures_of(view, window) for window in begun]


def figures_of(view: RunView, window: Window) -> WindowFigures:
    """The figures of a window so far."""
    part = view.aggregate.of_window(window.index)
    seconds = _lasted_s(view, window)
    counters, ended = part.counters, part.ended
    unit, asked = _asked(view, window, seconds)

    def per_second(n: float) -> float | None:
        return n / seconds if seconds > 0 else None

    return WindowFigures(
        index=window.index,
        label=window.label,
        kind=window.kind,
        begin_s=(window.begin or 0) / 1e9,
        seconds=seconds,
        unit=unit,
        asked=asked,
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
        tokens_per_s=per_second(tokens_of(part, view.aggregate.counters().tokens_per_event)),
        input_per_s=per_second(counters.input),
        inputs_per_s=per_second(counters.inputs),
        latency={metric: distribution_of(histogram) for metric, histogram in part.latency.items()},
        counters=counters,
    )


def tokens_of(part: Part, per_event: float | None) -> float:
    """Output tokens whose stamp lies in this part of the run: its token events times the run's tokens per event (None:
    no stream has ended ok, so an event is assumed to be a token), and the tokens of answers that were not streamed."""
    counters = part.counters
    return counters.events * (per_event or 1.0) + counters.output - counters.output_streamed


def _lasted_s(view: RunView, window: Window) -> float:
    """How long a window has lasted so far, in seconds: none is longer than until the drain began."""
    aggregate = view.aggregate
    drain = aggregate.began(Phase.DRAIN)
    until = aggregate.elapsed_ns if drain is None or window.kind is Phase.DRAIN else min(drain, aggregate.elapsed_ns)
    return lasted_ns(window, until) / 1e9


def _asked(view: RunView, window: Window, seconds: float) -> tuple[Unit, float]:
    """Unit and mean of the level that was asked for while the window lasted."""
    if view.profile is None:
        streams = sum(worker.streams for worker in view.aggregate.workers if worker.state != "lost")
        return "streams", float(streams)
    begin = window.begin or 0
    return view.profile.unit, view.profile.mean(begin, begin + round(seconds * 1e9))
