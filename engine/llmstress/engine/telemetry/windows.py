"""The figures of single windows: what was asked for in each, and what was achieved."""

from bisect import bisect_right

from llmstress.engine.telemetry.aggregate import sum_of
from llmstress.engine.telemetry.broadcast import RunView, lasted_ns
from llmstress.engine.telemetry.load_profile import RATES, Profile, Unit
from llmstress.engine.telemetry.messages import Phase, Window
from llmstress.engine.telemetry.part_figures import PartFigures, part_figures


class WindowFigures(PartFigures, frozen=True, kw_only=True):
    """One window; its rates are per second of it. `Aggregate.of_window` has the histograms."""

    index: int
    label: str
    kind: Phase
    begin_s: float
    """Seconds after T0."""
    unit: Unit
    """What `asked` is: see `load_profile.Unit`."""
    asked: float
    """The mean level of the load that was asked for."""


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
    unit, asked = asked_of(view, begin, begin + lasted)
    figures = part_figures(part, lasted / 1e9, per_event)
    return WindowFigures(
        **{name: getattr(figures, name) for name in figures.__struct_fields__},
        index=window.index,
        label=window.label,
        kind=window.kind,
        begin_s=begin / 1e9,
        unit=unit,
        asked=asked,
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
