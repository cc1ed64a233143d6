"""When things start and whose share they are: pure functions, no clock, no loop."""


def share(total: int, parts: int, index: int) -> int:
    """The exact share of part `index` (0-based) when `total` is divided among `parts`: shares sum to the total."""
    return total * (index + 1) // parts - total * index // parts


def ramp_start(stream: int, streams: int, ramp_ns: int) -> int:
    """Nanoseconds after T0 at which stream `stream` of all `streams` starts: evenly spread over the ramp."""
    return ramp_ns * stream // streams


def phase_edges(*, ramp_ns: int, warmup_ns: int, steady_ns: int | None, whole_run: bool) -> tuple[int, int, int | None]:
    """Nanoseconds after T0 at which warm-up, steady window and drain begin.

    A whole-run window (a run counted in requests) is steady from T0 on. None: the drain begins when told.
    """
    if whole_run:
        return 0, 0, None if steady_ns is None else ramp_ns + steady_ns
    steady = ramp_ns + warmup_ns
    return ramp_ns, steady, None if steady_ns is None else steady + steady_ns


def after_failure(pause_ns: int, uniform: float) -> int:
    """Nanoseconds a stream rests after a failure; `uniform` in [0, 1) spreads it over 50 % to 150 % of the pause,
    so that streams that failed together don't come back together."""
    return int(pause_ns * (0.5 + uniform))
