"""When windows, streams and connections begin, and which worker has which share: pure functions, no clock, no loop."""

from collections.abc import Sequence

from llmstress.engine.telemetry.messages import LABELS, Phase, Window, consecutive


def share(total: int, parts: int, index: int) -> int:
    """The exact share of part `index` (0-based) when `total` is divided among `parts`: shares sum to the total."""
    return total * (index + 1) // parts - total * index // parts


CONNECTS_PER_S = 6_000.0
"""New connections per second over all processes: a server that accepts from its listen queue of 128 every 20 ms loses
none, and 64,000 connections are open in 11 s."""

CONNECTS_PER_S_EACH, TLS_CONNECTS_PER_S_EACH = 2_000.0, 400.0
"""The same for one process: a connection takes 0.2 ms of CPU, one with TLS 1.3 ms, and half of the CPU time is kept for
what arrives meanwhile."""


def connect_gap_ns(procs: int, *, tls: bool) -> int:
    """Nanoseconds between two new connections of one process while many streams begin."""
    each = TLS_CONNECTS_PER_S_EACH if tls else CONNECTS_PER_S_EACH
    return int(1e9 / min(each, CONNECTS_PER_S / procs))


def ramp_start(stream: int, streams: int, worker: int, workers: int, ramp_ns: int) -> int:
    """Nanoseconds after T0 at which stream `stream` of the `streams` of `worker` starts.

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
    """The window that begins at T0: those of length 0 before it are passed over."""
    return max((window for window in windows if window.begin == 0), key=lambda window: window.index)


def steady_from(windows: Sequence[Window], begin: int, steady_ns: int | None) -> tuple[Window, ...]:
    """`windows` whose open warm-up ends: the first steady window begins `begin` ns after T0, and the drain `steady_ns`
    later (None: when it is ordered, or the requests are used up)."""
    first = next(window.index for window in windows if window.kind is Phase.STEADY)
    begins = {first: begin, len(windows) - 1: None if steady_ns is None else begin + steady_ns}
    return consecutive([(window.kind, window.label, begins.get(window.index, window.begin)) for window in windows])


def after_failure(pause_ns: int, uniform: float) -> int:
    """Nanoseconds that a stream pauses after a failure; `uniform` in [0, 1) spreads them over 50 % to 150 % of
    `pause_ns`, so that streams that failed together do not resume together."""
    return int(pause_ns * (0.5 + uniform))
