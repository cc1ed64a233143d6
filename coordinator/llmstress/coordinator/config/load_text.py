"""Parsers for the texts that say how much load is asked for: rates, pauses, stages. Pure functions."""

import re

import msgspec

from llmstress.engine.control import Think
from llmstress.engine.telemetry.durations import parse_duration

MOST_PER_S = 1e6
"""The highest rate of requests, per second: beyond any machine."""

MOST_TOKENS_PER_S = 1e12

LEAST_PER_S = 1 / 86_400
"""The lowest rate above 0: one request a day."""

_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}

_SCALES = {"": 1, "k": 1_000, "M": 1_000_000}

_RATE = re.compile(r"(\d+(?:\.\d+)?)(k|M)?(?:[- ]?(tokens|requests))?/([a-z]+)", re.ASCII)


_TURNS = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?", re.ASCII)


class Rate(msgspec.Struct, frozen=True):
    """A rate of requests, or of tokens."""

    per_s: float
    tokens: bool
    """Tokens per second: input and output together."""
    text: str
    """As given."""

    def __str__(self) -> str:
        """As it is given on the command line."""
        return self.text


class Stage(msgspec.Struct, frozen=True):
    """One stage of the load: how long it lasts, and its load."""

    seconds: float
    target: float
    """Streams, or requests per second."""
    rate: bool
    """`target` is requests per second."""
    shape: str
    """linear: evenly from the level before to the target. step: the target at once. spike: the same, and the next stage
    begins at the level before. sine: a wave from the level before to the target and back."""
    period_s: float
    """Of a sine; else 0."""
    text: str
    """As given."""

    def __str__(self) -> str:
        """As it is given on the command line."""
        return self.text


MOST_TURNS = 1_000


class Turns(msgspec.Struct, frozen=True):
    """How many turns conversations have: each number from `fewest` to `most` is equally likely."""

    fewest: int
    most: int

    def __str__(self) -> str:
        """As it is given on the command line."""
        return f"{self.fewest}" if self.fewest == self.most else f"{self.fewest}..{self.most}"


def parse_turns(text: str) -> Turns:
    """The turns of `8`, or `2..10`.

    Raises:
        ValueError: the text has another form, or a number is out of range.
    """
    match = _TURNS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number of turns; write it like 8, or 2..10")
    fewest, most = int(match[1]), int(match[2] or match[1])
    if fewest > most:
        raise ValueError(f"{text!r}: the first number is higher than the second one")
    if not 1 <= fewest <= most <= MOST_TURNS:
        raise ValueError(f"{text!r}: a conversation has from 1 to {MOST_TURNS:,} turns")
    return Turns(fewest, most)


def parse_rate(text: str) -> Rate:
    """The rate of `200/s`, `50/m`, `10/h` or `600k-tokens/m`.

    Raises:
        ValueError: the text has another form, or the rate is out of range.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or match[4] not in _UNITS:
        raise ValueError(f"{text!r} is not a rate; write it like 200/s, 50/m, 10/h or 600k-tokens/m")
    per_s = float(match[1]) * _SCALES[match[2] or ""] / _UNITS[match[4]]
    tokens = match[3] == "tokens"
    most = MOST_TOKENS_PER_S if tokens else MOST_PER_S
    if not LEAST_PER_S <= per_s <= most:
        least = "at least one a day" if per_s < LEAST_PER_S else f"at most {most:,.0f}/s"
        raise ValueError(f"the rate {text!r} is out of range: {least}")
    return Rate(per_s, tokens, text.strip())


def parse_bystander(text: str) -> Rate:
    """The rate of requests of `1/s`, `10/m`.

    Raises:
        ValueError: the text has another form, or the rate is out of range.
    """
    rate = parse_rate(text)
    if rate.tokens:
        raise ValueError(f"{text!r} is a rate of tokens; write requests, like 1/s")
    if rate.per_s > BYSTANDER_MOST_PER_S:
        raise ValueError(f"the rate {text!r} is out of range: at most {BYSTANDER_MOST_PER_S:g}/s")
    return rate


def parse_think_time(text: str) -> Think:
    """The think time of `2s`, `1s..3s` (uniform) or `exp:2s` (exponential with this mean).

    Raises:
        ValueError: the text has another form.
    """
    stripped = text.strip()
    if stripped.startswith("exp:"):
        mean_s = parse_duration(stripped.removeprefix("exp:"))
        if not mean_s:
            raise ValueError(f"{text!r} has a mean of 0")
        return Think(exponential=True, low_ns=_ns(mean_s))
    low, dots, high = stripped.partition("..")
    try:
        low_s = parse_duration(low)
        high_s = parse_duration(high) if dots else low_s
    except ValueError:
        raise ValueError(f"{text!r} is not a pause; write it like 2s, 1s..3s or exp:2s") from None
    if high_s < low_s:
        raise ValueError(f"{text!r} ends before it begins: write the shorter time first")
    return Think(low_ns=_ns(low_s), high_ns=_ns(high_s))


_SHAPES = ("linear", "step", "spike", "sine")

MOST_PERIODS = 1_000
"""Of the sine waves of all stages together: each period is 48 straight lines, which every process keeps."""

SHORTEST_S = 0.1
"""Of a stage, and of the period of a sine: workers report every 50 ms at most."""

BYSTANDER_MOST_PER_S = 100.0
"""The highest rate of the bystander: above, it is no light user."""


def parse_stage(text: str) -> Stage:
    """The stage of `DURATION:TARGET[:SHAPE]`: `30s:100`, `2m:50/s`, `1m:1000:step`, `10m:500:sine/2m`.

    Raises:
        ValueError: the text has another form, or a number is out of range.
    """
    parts = text.strip().split(":")
    if not 2 <= len(parts) <= 3:
        raise ValueError(f"{text!r} is not a stage; write it like 30s:100, 2m:50/s or 1m:1000:step")
    try:
        seconds = parse_duration(parts[0])
    except ValueError as error:
        raise ValueError(f"in the stage {text!r}: {error}") from None
    if seconds < SHORTEST_S:
        raise ValueError(f"the stage {text!r} is too short: it must last at least 100ms")
    target, rate = parse_level(parts[1], f"the stage {text!r}")
    shape, slash, period = (parts[2] if len(parts) == 3 else "linear").partition("/")
    if shape not in _SHAPES or (slash and shape != "sine"):
        raise ValueError(f"the stage {text!r} has an unknown shape; shapes are linear, step, spike, sine, sine/PERIOD")
    period_s = 0.0
    if shape == "sine":
        try:
            period_s = parse_duration(period) if slash else seconds
        except ValueError as error:
            raise ValueError(f"in the stage {text!r}: {error}") from None
        if not SHORTEST_S <= period_s <= seconds:
            raise ValueError(f"the period of the stage {text!r} must lie between 100ms and the length of the stage")
    return Stage(seconds, target, rate, shape, period_s, text.strip())


def parse_level(text: str, where: str) -> tuple[float, bool]:
    """A level of load: of `100` 100 streams, of `50/s` 50 requests per second. Gives the number, and whether it is a
    rate. Both may be 0.

    Raises:
        ValueError: the text has another form; the message begins with `where`.
    """
    stripped = text.strip()
    if re.fullmatch(r"\d{1,9}", stripped, re.ASCII):
        return float(stripped), False
    if re.fullmatch(r"0+(\.0+)?/[smh]", stripped, re.ASCII):
        return 0.0, True
    try:
        rate = parse_rate(stripped)
    except ValueError as error:
        if "/" in stripped:
            raise ValueError(f"{where}: {error}") from None
        raise ValueError(f"{where}: {text!r} is neither a number of streams like 100 nor a rate like 50/s") from None
    if rate.tokens:
        raise ValueError(f"{where}: a rate of tokens can't change; write requests per second")
    return rate.per_s, True


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
