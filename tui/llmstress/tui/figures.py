"""Figures as a person reads them: pure functions, the same for the headless line and for any screen."""


def count(n: float) -> str:
    """A count: `950`, `12,345`, `1.23M`."""
    if abs(n) >= 1_000_000:
        return f"{n / 1_000_000:.2f}M"
    return f"{n:,.0f}"


def rate(per_second: float) -> str:
    """A rate: `0.42`, `85.3`, `1,234`, `71.2k`."""
    if per_second >= 100_000:
        return f"{per_second / 1000:.0f}k"
    if per_second >= 10_000:
        return f"{per_second / 1000:.1f}k"
    if per_second >= 100:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 10 else f"{per_second:.2f}"


def latency(us: float | None) -> str:
    """A latency given in microseconds: `–`, `0.42 ms`, `85.3 ms`, `203 ms`, `2.51 s`."""
    if us is None:
        return "–"
    ms = us / 1000
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    if ms >= 1_000:
        return f"{ms / 1000:.2f} s"
    if ms >= 100:
        return f"{ms:.0f} ms"
    return f"{ms:.1f} ms" if ms >= 10 else f"{ms:.2f} ms"


def duration(seconds: float) -> str:
    """A length of time: `0.25s`, `10s`, `1m30s`, `2h05m`."""
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"


def share(part: float, whole: float) -> str:
    """A share in per cent: `0 %`, `0.3 %`, `12 %`."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
