"""Start times, phases and shares of the load. Pure functions, without clock and event loop."""


def share(total: int, parts: int, index: int) -> int:
    """The exact share of part `index` (0-based) if `total` is divided among `parts`. The shares sum to the total."""
    return total * (index + 1) // parts - total * index // parts


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


Edges = tuple[int, int | None, int | None]
"""Nanoseconds after T0 at which warm-up, steady window and drain begin. None: when told."""


def phase_edges(*, ramp_ns: int, warmup_ns: int | None, steady_ns: int | None, whole_run: bool) -> Edges:
    """The edges of a run with phases of these lengths; None: as long as it takes.

    A whole-run window (a run counted in requests, without a warm-up) is steady from T0 on.
    """
    if whole_run:
        return 0, 0, None if steady_ns is None else ramp_ns + steady_ns
    if warmup_ns is None:
        return ramp_ns, None, None
    steady = ramp_ns + warmup_ns
    return ramp_ns, steady, None if steady_ns is None else steady + steady_ns


def after_failure(pause_ns: int, uniform: float) -> int:
    """The pause of a stream after a failure, in ns. `uniform` in [0, 1) spreads it over 50 % to 150 % of `pause_ns`, so
    that streams that failed together don't begin their next requests together."""
    return int(pause_ns * (0.5 + uniform))
