"""Parsers for `--slo`, `--deadline` and `--reading-speed`. Pure functions."""

import difflib
import re

from llmstress.engine.telemetry.durations import parse_duration
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.engine.telemetry.slo import JUDGED, Deadlines, Slo

_FASTEST = 10_000.0
"""The highest reading speed, in tokens per second: it allows 100 µs for a token."""

_SLO = re.compile(r"([a-z0-9_]+)\s*(<=?)\s*([^\s,<>=]+)", re.ASCII)
_PERCENTILE = re.compile(r"[_.(@ ]?p(50|9\d|99[._]?9+)\b|\b(mean|avg|max|min)\b", re.ASCII)


def parse_slo(text: str) -> Slo:
    """The SLO of `ttft<500ms` or `tpot<=40ms`.

    Raises:
        ValueError: the text has another form, or no SLO can limit the metric.
    """
    if _PERCENTILE.search(text):
        raise ValueError(f"{text!r}: an SLO limits each single request, not a percentile; write it like ttft<500ms")
    match = _SLO.fullmatch(text.strip())
    if match is None:
        several = "; for several SLOs, repeat the flag" if "," in text or text.count("<") > 1 else ""
        raise ValueError(f"{text!r} is not a metric with an upper limit like 'ttft<500ms' or 'tpot<=40ms'{several}")
    metric, comparison, limit = match.groups()
    return make_slo(_metric(metric), comparison, limit)


def make_slo(metric: str, comparison: str, limit: str) -> Slo:
    """The SLO from its three parts, of which `metric` and `comparison` are correct.

    Raises:
        ValueError: the limit is not a duration, or is below 1 µs.
    """
    text = f"{metric}{comparison}{limit}"
    return Slo(METRICS[metric].name, _microseconds(limit), comparison == "<", text)


def _metric(name: str) -> str:
    if name in JUDGED:
        return name
    known = ", ".join(JUDGED)
    if name == "itl":
        raise ValueError("itl has a value for each gap, not one for each request: use stall, the longest gap, or tpot")
    if name == "tps_user":
        raise ValueError("tps_user is 1000 / tpot: limit tpot, e.g. tpot<50ms for more than 20 tokens per second")
    close = difflib.get_close_matches(name[:60], JUDGED, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise ValueError(f"{name!r} is not a latency of a request: {meant}An SLO can limit {known}")


def parse_deadlines(text: str) -> Deadlines:
    """The deadlines of `first=500ms,token=50ms`, in any order.

    Raises:
        ValueError: the text has another form, one of the two is missing, or a time is below 1 µs.
    """
    parts = [re.fullmatch(r"\s*(first|token)\s*=\s*(\S+)\s*", part, re.ASCII) for part in text.split(",")]
    times = {match[1]: match[2] for match in parts if match is not None}
    if len(parts) != 2 or len(times) != 2:
        raise ValueError(f"{text!r} does not have the form first=500ms,token=50ms")
    return Deadlines(_microseconds(times["first"]), _microseconds(times["token"]))


def parse_reading_speed(text: str) -> float:
    """The tokens per second of `20` or `4.5`.

    Raises:
        ValueError: the text is not a number, or the number is out of range.
    """
    number = text.strip()
    speed = float(number) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number, re.ASCII) else 0.0
    if not 0 < speed <= _FASTEST:
        raise ValueError(f"{text!r} is not a number of tokens per second above 0 and up to {_FASTEST:,.0f}, like 20")
    return speed


def deadlines_text(deadlines: Deadlines) -> str:
    """`deadlines` as they are written on the command line."""
    return f"first={deadlines.first_us / 1000:g}ms,token={deadlines.token_us / 1000:g}ms"


def _microseconds(text: str) -> int:
    us = round(parse_duration(text) * 1_000_000)
    if us < 1:
        raise ValueError(f"{text!r} is too short for a limit: no request can meet it")
    return us
