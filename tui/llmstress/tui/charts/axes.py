"""The range and the labels of axes. Pure functions."""

import math
from collections.abc import Iterable

_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` evenly spaced round numbers from `low` to `high`."""
    if high <= low or most < 2:
        return [low]
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 2.5, 5, 10, 20, 50, 100):
        step = factor * unit
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [round(n * step, 9) for n in range(first, last + 1)]
    return [low]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Numbers of the series 1, 2, 5, 10, ... from `low` to `high`; if too many, 1, 3, 10, ... or powers of ten."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        found = [each for each in found if low * 0.999 <= each <= high * 1.001]
        if len(found) <= most:
            break
    return found


def time_ticks(seconds: float, columns: int, begin: float = 0.0) -> list[int]:
    """Round times from `begin` to `seconds` for an axis of `columns` columns; a label takes about 6 columns plus space
    between labels."""
    most, length = max(1, columns // 12), seconds - begin
    step = next((each for each in _TIME_STEPS if length / each <= most), None)
    if step is None:
        step = 86_400 * math.ceil(length / 86_400 / most)
    return list(range(step * math.ceil(begin / step), math.floor(seconds) + 1, step))


def nice_ceiling(value: float) -> float:
    """The smallest round number at or above `value`, as the end of an axis."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(each for factor in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if (each := factor * unit) >= value * 0.999)


def ceiling_of(values: Iterable[float]) -> float:
    """The end of an axis that begins at 0."""
    highest = max(values, default=0.0)
    return nice_ceiling(highest) if highest > 0 else 1.0


def decade_below(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten at or below `value`."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(factor * unit for factor in (5, 2, 1) if factor * unit <= value * 1.001)
