"""The figures of single windows: what was asked for in each, and what was achieved."""

from bisect import bisect_right
from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.aggregate import sum_of
from llmstress.engine.telemetry.broadcast import RunView, lasted_ns
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.goodput import Goodput, goodput
from llmstress.engine.telemetry.histogram import Distribution, distribution_of
from llmstress.engine.telemetry.load_profile import RATES, Profile, Unit
from llmstress.engine.telemetry.messages import Counters, Phase, Window


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
    """What `asked` is: see `load_profile.Unit`."""
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
    goodput: Goodput
    """By the SLOs; without any nothing is good."""
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
    until, per_event = measured_until(view), view.aggregate.counters().tokens_per_event
    steady = [window for window in view.aggregate.windows if window.kind is Phase.STEADY]
    return [_figures(view, window, until, per_event) for window in steady if lasted_ns(window, until)]


def figures_of(view: RunView, window: Window) -> WindowFigures:
    """The figures of a window so far."""
    until = view.aggregate.elapsed_ns if window.kind is Phase.DRAIN else measured_until(view)
    return _figures(view, window, until, view.aggregate.counters().tokens_per_event)


def asked_of(view: RunView, begin: int, end: int) -> tuple[Unit, float]:
    """Unit and mean of the level that was asked for from `begin` to `end` (ns after T0)."""
    if view.profile is None:
        streams = sum(worker.streams for worker in view.aggregate.workers if worker.state != "lost")
        return "streams", float(streams)
    pieces = view.profile.pieces
    first = max(0, bisect_right(pieces, begin, key=lambda piece: piece.begin) - 1)
    last = bisect_right(pieces, end, lo=first, key=lambda piece: piece.begin)
    return view.profile.unit, Profile(view.profile.unit, pieces[first:last]).mean(begin, end)


def asked_lately(view: RunView, window_s: float) -> float | None:
    """The mean rate (per second, of requests or sessions) that was asked for in the last `window_s` seconds; None: the
    run has none."""
    if view.profile is None or view.profile.unit not in RATES:
        return None
    now = view.aggregate.elapsed_ns
    return asked_of(view, max(0, now - int(window_s * 1e9)), now)[1]


def _figures(view: RunView, window: Window, until: int, per_event: float | None) -> WindowFigures:
    parts = view.aggregate.parts_of_window(window.index)
    part = parts[0] if len(parts) == 1 else sum_of(parts)
    begin, lasted = window.begin or 0, lasted_ns(window, until)
    seconds = lasted / 1e9
    counters, ended = part.counters, part.ended
    unit, asked = asked_of(view, begin, begin + lasted)

    def per_second(n: float) -> float | None:
        return n / seconds if seconds > 0 else None

    return WindowFigures(
        index=window.index,
        label=window.label,
        kind=window.kind,
        begin_s=begin / 1e9,
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
        tokens_per_s=per_second(counters.output_of_all(per_event or 1.0)),
        input_per_s=per_second(counters.input),
        inputs_per_s=per_second(counters.inputs),
        goodput=goodput(part, seconds),
        latency={metric: distribution_of(histogram) for metric, histogram in part.latency.items()},
        counters=counters,
    )


def measured_until(view: RunView) -> int:
    """No window before the drain lasts longer than this (ns after T0). The begin of a drain is known from the first
    report after it; at the end of the run, from the length of the steady windows that the workers measured."""
    aggregate = view.aggregate
    drain = aggregate.began(Phase.DRAIN)
    until = aggregate.elapsed_ns if drain is None else min(drain, aggregate.elapsed_ns)
    if view.ended is not None and view.ended.steady_s:
        steady = sum(lasted_ns(window, until) for window in aggregate.windows if window.kind is Phase.STEADY)
        until += round(view.ended.steady_s * 1e9) - steady
    return until
