"""Parsers for the loads of a sweep and of a search for the capacity. Pure functions."""

import itertools
import math
import re

import msgspec

from llmstress.coordinator.config.load_text import MOST_PER_S, parse_level

MOST_POINTS = 200

_RANGE = re.compile(r"([^.]+(?:\.\d+)?(?:/[a-z]+)?)\.\.(.+?)([x+])(\d{1,9}(?:\.\d{1,6})?)", re.ASCII)

EXAMPLES = "write it like 1,10,100,1000 or 1..1000x2, or as rates like 10/s..200/s+10"


class Sweep(msgspec.Struct, frozen=True):
    """The loads of a sweep, one after the other."""

    rate: bool
    """The levels are requests per second; else streams."""
    levels: tuple[float, ...]
    """Each higher than the one before."""
    text: str
    """As given."""

    @property
    def highest(self) -> float:
        """The highest load."""
        return self.levels[-1]

    def __str__(self) -> str:
        """As it is given on the command line."""
        return self.text


class Search(msgspec.Struct, frozen=True):
    """A search for the capacity: the highest load at which enough requests meet the SLOs."""

    rate: bool
    """Levels are requests per second; else streams."""
    lowest: float
    highest: float
    attain: float
    """Share of the requests that must meet every SLO."""
    budget_s: float


def level_text(level: float, *, rate: bool) -> str:
    """A level as it is shown: `100` streams, `12.5/s`."""
    number = f"{level:.0f}" if level == round(level) else f"{level:.4g}"
    return f"{number}/s" if rate else number


def level_words(level: float, *, rate: bool) -> str:
    """A level in a sentence: `100 streams`, `1 stream`, `12.5/s`."""
    if rate:
        return level_text(level, rate=True)
    return f"{level:,.0f} stream{'' if level == 1 else 's'}"


def parse_sweep(text: str) -> Sweep:
    """The loads of `1,10,100`, of `1..1000x2` (each twice the one before), of `10/s..200/s+10` (each 10/s more), or of
    several of these with commas between them. The end of a range is always a point.

    Raises:
        ValueError: the text has another form, a number is out of range, or the loads don't rise.
    """
    levels: list[float] = []
    rates: set[bool] = set()
    for part in text.split(","):
        found, rate = _range(part, text)
        levels += found
        rates.add(rate)
    if len(rates) > 1:
        raise ValueError(f"{text!r}: give all loads in streams (100), or all as rates (50/s)")
    if len(levels) > MOST_POINTS:
        raise ValueError(f"{text!r} has {len(levels):,} loads; a sweep has at most {MOST_POINTS}")
    for before, after in itertools.pairwise(levels):
        if after <= before:
            raise ValueError(f"{text!r}: each load must be higher than the one before")
    return Sweep(rates.pop(), tuple(levels), text.strip())


def _range(part: str, text: str) -> tuple[list[float], bool]:
    """The loads of one part of the text, and whether they are rates."""
    if ".." not in part:
        level, rate = _level(part, text)
        return [level], rate
    match = _RANGE.fullmatch(part.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a list of loads: {EXAMPLES}")
    (first, first_rate), (last, rate) = _level(match[1], text), _level(match[2], text)
    if first_rate and not rate:
        raise ValueError(f"{text!r}: give both ends of a range in streams (100), or both as rates (50/s)")
    if rate and not first_rate:  # 10..200/s: the unit of the end counts for both
        first, _ = _level(match[1] + match[2][match[2].index("/") :], text)
    step, factor = float(match[4]), match[3] == "x"
    if last <= first:
        raise ValueError(f"{text!r}: a range must end above its begin")
    if step <= (1 if factor else 0):
        raise ValueError(f"{text!r}: {'a factor must be above 1' if factor else 'a step must be above 0'}")
    if not rate and not factor and not step.is_integer():
        raise ValueError(f"{text!r}: a step must be a whole number of streams")
    count = math.log(last / first) / math.log(step) if factor else (last - first) / step
    if count > MOST_POINTS:
        raise ValueError(f"{text!r} has more than {MOST_POINTS} loads")
    levels = [first * step**index if factor else first + step * index for index in range(math.ceil(count - 1e-9))]
    rounded = [float(f"{level:.6g}") if rate else float(round(level)) for level in [*levels, last]]
    return list(dict.fromkeys(rounded)), rate


def _level(text: str, whole: str) -> tuple[float, bool]:
    level, rate = parse_level(text, f"in {whole!r}")
    if not level:
        raise ValueError(f"{whole!r}: a load must be above 0")
    return level, rate


def parse_bound(text: str) -> tuple[float, bool]:
    """The lowest or highest load of a search, `100` or `50/s`, and whether a unit was given.

    Raises:
        ValueError: the text has another form, or the load is 0.
    """
    if re.fullmatch(r"\d{1,9}\.\d{1,6}", text.strip(), re.ASCII):  # 0.5: a rate, as --unit says
        level, unit = float(text), False
    else:
        level, unit = parse_level(text, "the load")
    if not 0 < level <= max(MOST_PER_S, 10**9):
        raise ValueError(f"{text!r}: a load must be above 0")
    return level, unit


def parse_attain(text: str) -> float:
    """The share of `99%` or `0.99`.

    Raises:
        ValueError: the text has another form, or is not a share that can be shown: from 50 % to 99.9 %.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s?(%?)", text.strip(), re.ASCII)
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0.5 <= share <= 0.999:
        raise ValueError(f"{text!r} is not a share of the requests from 50% to 99.9%, like 99%")
    return share
