"""When windows, streams and connections begin. Pure functions, without clock or loop."""

from collections.abc import Sequence

from llmstress.engine.telemetry.messages import LABELS, Phase, Window, consecutive

CONNECTS_PER_S = 6_000.0
"""New connections a second of all processes together. At this rate a server that empties a listen queue of 128 every
20 ms loses none, and 64,000 connections are open after 11 s."""

CONNECTS_PER_S_EACH, TLS_CONNECTS_PER_S_EACH = 2_000.0, 400.0
"""New connections a second of one process. A connection costs 0.2 ms of CPU without TLS and 1.3 ms with it, and half
of the process's time must be left for the data that arrives."""


def connect_gap_ns(procs: int, *, tls: bool) -> int:
    """Least time in ns between two streams of one process that begin with a new connection, when many do."""
    each = TLS_CONNECTS_PER_S_EACH if tls else CONNECTS_PER_S_EACH
    return int(1e9 / min(each, CONNECTS_PER_S / procs))


def ramp_start(stream: int, streams: int, worker: int, workers: int, ramp_ns: int) -> int:
    """The start of stream `stream` of the `streams` of `worker`, in ns after T0.

    The streams of each worker are spread evenly over the ramp, and the workers take turns.
    """
    return ramp_ns * (stream * workers + worker) // (streams * workers)


def windows(
    *, ramp_ns: int = 0, warmup_ns: int | None = 0, steady_ns: int | None = None, whole_run: bool = False
) -> tuple[Window, ...]:
    """The windows of a run: ramp, warm-up, steady window, drain. One of no length contains no stamp.

    Args:
        ramp_ns: length of the ramp.
        warmup_ns: length of the warm-up; None: its end is decided while it lasts.
        steady_ns: length of the steady window; None: it lasts until the requests are used up.
        whole_run: the steady window begins at T0 and contains the ramp (a run counted in requests, without a warm-up).
    """
    if whole_run:
        warmup, steady, drain = 0, 0, None if steady_ns is None else ramp_ns + steady_ns
    elif warmup_ns is None:
        warmup, steady, drain = ramp_ns, None, None
    else:
        warmup, steady = ramp_ns, ramp_ns + warmup_ns
        drain = None if steady_ns is None else steady + steady_ns
    begins = ((Phase.RAMP, 0), (Phase.WARMUP, warmup), (Phase.STEADY, steady), (Phase.DRAIN, drain))
    return consecutive([(kind, LABELS[kind], begin) for kind, begin in begins])


def first_window(windows: Sequence[Window]) -> Window:
    """The window that begins at T0: windows of length 0 before it are skipped."""
    return max((window for window in windows if window.begin == 0), key=lambda window: window.index)


def steady_from(windows: Sequence[Window], begin: int, steady_ns: int | None) -> tuple[Window, ...]:
    """`windows` whose open warm-up ends: the first steady window begins `begin` ns after T0, and the drain `steady_ns`
    later (None: when it is ordered, or the requests are used up)."""
    first = next(window.index for window in windows if window.kind is Phase.STEADY)
    begins = {first: begin, len(windows) - 1: None if steady_ns is None else begin + steady_ns}
    return consecutive([(window.kind, window.label, begins.get(window.index, window.begin)) for window in windows])


def ended_early(windows: Sequence[Window], index: int, at: int) -> tuple[Window, ...]:
    """`windows` of which the one at `index` ends `at` ns after T0, before its time: those after it come earlier."""
    end = windows[index].end
    earlier = 0 if end is None else end - at

    def begin(window: Window) -> int | None:
        if window.index == index + 1:
            return at
        return window.begin if window.begin is None or window.index <= index else window.begin - earlier

    return consecutive([(window.kind, window.label, begin(window)) for window in windows])


def after_failure(pause_ns: int, uniform: float) -> int:
    """The pause of a stream after a failure, in ns. `uniform` in [0, 1) spreads it over 50 % to 150 % of `pause_ns`, so
    that streams that failed together don't begin their next requests together."""
    return int(pause_ns * (0.5 + uniform))
