"""Formats figures for people. Pure functions, used by the screen, the console and the probe."""

import math
from collections.abc import Mapping

from llmstress.engine.telemetry.messages import RateLimit
from llmstress.engine.telemetry.metrics import METRICS


def count(n: float) -> str:
    """A count: `950`, `12,345`, `1.23M`."""
    if abs(n) >= 999_999.5:
        return f"{n / 1_000_000:.2f}M"
    return f"{n:,.0f}"


def rate(per_second: float) -> str:
    """A rate: `0.42`, `85.3`, `1,234`, `71.2k`, `1.23M`."""
    if per_second >= 999_500:
        return f"{_three_digits(per_second / 1_000_000)}M"
    if per_second >= 9_999.5:
        return f"{_three_digits(per_second / 1000)}k"
    return f"{per_second:,.0f}" if per_second >= 999.5 else _three_digits(per_second)


_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
"""Currency -> its sign, which stands before an amount."""


def money(amount: float, currency: str) -> str:
    """An amount of money, with three digits or to the cent: `$1,234.50`, `$0.0123`, `€0`, `CHF 12.00`."""
    sign = _SIGNS.get(currency, f"{currency} ")
    if not amount:
        return f"{sign}0"
    if amount >= 0.995:
        return f"{sign}{amount:,.2f}"
    decimals = 2 - math.floor(math.log10(amount))
    return f"{sign}{amount:.{min(decimals, 12)}f}"


def latency(us: float | None) -> str:
    """A latency given in microseconds: `–`, `0.42 ms`, `85.3 ms`, `203 ms`, `2.51 s`."""
    if us is None:
        return "–"
    return f"{_three_digits(us / 1000)} ms" if us < 999_500 else f"{_three_digits(us / 1_000_000)} s"


def duration(seconds: float) -> str:
    """A duration: `0.25s`, `10s`, `1m30s`, `2h05m`."""
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"


def share(part: float, whole: float) -> str:
    """A share in percent: `0 %`, `0.3 %`, `12 %`."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"


def share_range(low: float | None, high: float | None) -> str:
    """A share that is known within bounds: `92.1 %`, `90.4–92.1 %`, `–` if it is unknown. 0 and 100 only if exact."""
    if low is None or high is None:
        return "–"
    texts = dict.fromkeys(_percent(each) for each in (low, high))
    return f"{'–'.join(texts)} %"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share in (0.0, 1.0) else f"{min(max(100 * share, 0.1), 99.9):.1f}"


def rate_limit_left(rate_limits: Mapping[str, RateLimit]) -> str:
    """The remainder of the most used rate limit: `1,200 of 5,000 requests`; empty if no limit is known."""
    if not rate_limits:
        return ""
    kind, limit = min(
        sorted(rate_limits.items()), key=lambda item: item[1].remaining / item[1].limit if item[1].limit else 1.0
    )
    of = f" of {count(limit.limit)}" if limit.limit else ""
    return f"{count(limit.remaining)}{of} {kind}"


MIN_WAITS = 1.05
"""From this ratio of the means on, a latency from `due` is shown beside the same latency from `start`."""


def worth_a_line(metric: str, means: Mapping[str, float | None]) -> bool:
    """Whether a latency is shown. `means`: the mean of each latency.

    A latency counted from the due time is shown only if its mean is more than 5 % above that of the same latency
    counted from the start.
    """
    without_waits = METRICS[metric].without_waits
    if without_waits is None:
        return True
    due, plain = means.get(metric), means.get(without_waits)
    return due is not None and plain is not None and due > MIN_WAITS * plain


def axis_latency(us: float) -> str:
    """The label of a round latency (µs) on an axis: `0`, `0.5 ms`, `200 ms`, `1.5 s`."""
    if not us:
        return "0"
    return f"{us / 1000:.4g} ms" if us < 1_000_000 else f"{us / 1_000_000:.4g} s"


def axis_rate(per_second: float) -> str:
    """The label of a round rate on an axis: `0`, `0.5`, `250`, `2.5k`, `1M`."""
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if per_second >= unit:
            return f"{per_second / unit:.4g}{name}"
    return f"{per_second:.4g}"


def axis_share(share: float) -> str:
    """The label of a round share on an axis: `0`, `50 %`."""
    return f"{100 * share:.4g} %" if share else "0"


def elapsed(seconds: float) -> str:
    """A duration that is still growing, without fractions from 1 s on: `0.3s`, `32s`, `1m30s`."""
    return duration(int(seconds) if seconds >= 1 else round(max(0.0, seconds), 1))


def _three_digits(value: float) -> str:
    """`value` with three significant digits; the limits are the values at which rounding would add a digit."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
