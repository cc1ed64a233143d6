"""The registry of what a threshold can judge: help, errors, docs/thresholds.md and the judgement itself read it.

To add a subject, write the function that reads its value from a stretch of the run and add a row to `SUBJECTS`, then
update the page: `UPDATE_DOCS=1 pytest tests/test_thresholds_page.py`.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from llmstress.engine.telemetry.classes import BY_NAME, NOT_ERRORS, NOT_FAILED, is_class
from llmstress.engine.telemetry.cost import Cost
from llmstress.engine.telemetry.flows import DURATION
from llmstress.engine.telemetry.goodput import goodput
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.intervals import least_samples, percentile_intervals, share_interval
from llmstress.engine.telemetry.messages import Counters, Part
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.engine.telemetry.thresholds import Reading, Unit

LEAST_RATE_S = 5.0
"""A rate per second that covers less time decides nothing before the end of the run: the first answers are still on
their way."""

LEAST_SAMPLES = 100
"""A mean of fewer samples, or a share of fewer arrivals, decides nothing before the end of the run."""

_PERCENTILE = re.compile(r"p(\d{1,2})(?:[._](\d{1,2}))?", re.ASCII)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged: what happened in a part of the run."""

    part: Part
    seconds: float
    """Its length, of the steady windows if it is the whole run."""
    per_event: float = 1.0
    """Tokens of a token event."""
    status: str = ""
    """Of the verdict."""
    cost: Cost | None = None
    """What its requests cost; None: nothing has a price, or the subject does not need it."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the registry."""

    name: str
    unit: Unit
    meaning: str
    covers: Literal["steady", "run"]
    """Without a suffix: the steady windows, or the whole run. The same as in the summary."""
    argument: Literal["", "statistic", "class"] = ""
    needs: Literal["", "SLOs", "arrivals", "prices", "flows"] = ""
    """What the run must have so that there is a value."""
    read: Callable[[Stretch, str], Reading]
    """The value in a stretch, from the argument."""


# --- latencies


def parts_of(statistic: str) -> int | None:
    """A percentile such as `p99`, `p99.9` or `p99_9` in parts per 10,000; None: it is none between p0 and p100."""
    match = _PERCENTILE.fullmatch(statistic)
    parts = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) if match else 0
    return parts or None


def _latency(name: str, *, aside: bool = False) -> Callable[[Stretch, str], Reading]:
    """`aside`: the samples are in `Part.aside`."""

    def read(stretch: Stretch, statistic: str) -> Reading:
        found = (stretch.part.aside if aside else stretch.part.latency).get(name)
        if found is None or not found.count:
            return Reading(value=None, why="no samples")
        match statistic:
            case "mean":
                return Reading(value=found.mean, early=found.count < LEAST_SAMPLES)
            case "min":
                return Reading(value=found.min, falls=True)
            case "max":
                return Reading(value=found.max, rises=True)
        return _percentile(found, statistic)

    return read


def _percentile(histogram: Histogram, statistic: str) -> Reading:
    parts = parts_of(statistic)
    assert parts is not None, "it was parsed"
    [value] = histogram.percentiles((parts,))
    [(low, high)] = percentile_intervals(histogram, (parts,))
    least = least_samples(parts)
    few = f"{histogram.count:,} samples, {statistic} needs {least:,}" if histogram.count < least else ""
    return Reading(value=value, low=low, high=high, interval=True, why=few)


# --- counts, shares and rates


def _failed(ended: Mapping[str, int]) -> int:
    return sum(n for outcome, n in ended.items() if outcome not in NOT_FAILED)


def _finished(ended: Mapping[str, int]) -> int:
    return sum(n for outcome, n in ended.items() if outcome != "cancelled")


def _share(part: int, whole: int) -> Reading:
    if not whole:
        return Reading(value=None, why="no request finished")
    low, high = share_interval(part, whole)
    return Reading(value=part / whole, low=low, high=high, interval=True)


def _count(of: Callable[[Part], int]) -> Callable[[Stretch, str], Reading]:
    return lambda stretch, _: Reading(value=of(stretch.part), rises=True)


def _rate(of: Callable[[Part, float], float]) -> Callable[[Stretch, str], Reading]:
    """`of`: the number in a part, with so many tokens in a token event."""

    def read(stretch: Stretch, _: str) -> Reading:
        if stretch.seconds <= 0:
            return Reading(value=None, why="no time was measured")
        value = of(stretch.part, stretch.per_event) / stretch.seconds
        return Reading(value=value, early=stretch.seconds < LEAST_RATE_S)

    return read


def _good_share(stretch: Stretch, _: str) -> Reading:
    found = goodput(stretch.part, stretch.seconds)
    if not found.finished:
        return Reading(value=None, why="no request finished")
    low, high = found.share_interval
    return Reading(value=found.share, value_max=found.share_max, low=low, high=high, interval=True)


def _of_arrivals(of: Callable[[Counters], float], *, rises: bool = False) -> Callable[[Stretch, str], Reading]:
    """`of`: a value of the open model, whose requests arrive by a schedule. It counts all arrivals, so it is exact."""

    def read(stretch: Stretch, _: str) -> Reading:
        counters = stretch.part.counters
        if not counters.due:
            return Reading(value=None, why="no request arrived at a rate (open model)")
        return Reading(value=of(counters), rises=rises, early=not rises and counters.due < LEAST_SAMPLES)

    return read


def _cost_total(stretch: Stretch, _: str) -> Reading:
    cost = stretch.cost
    if cost is None:
        return Reading(value=None, why="no price is known")
    return Reading(value=cost.value, low=cost.low, high=cost.high, interval=cost.low != cost.high, rises=True)


def _cost_per_request(stretch: Stretch, _: str) -> Reading:
    cost = stretch.cost
    if cost is None or not cost.ok:
        return Reading(value=None, why="no price is known" if cost is None else "no request ended ok")
    value, is_exact = cost.of_ok / cost.ok, not cost.unknown
    high = value if is_exact else None
    return Reading(value=value, low=value, high=high, interval=not is_exact, early=cost.ok < LEAST_SAMPLES)


_ALL = (
    *(
        Subject(
            name=metric.name,
            unit="latency",
            meaning=metric.meaning,
            covers="steady",
            argument="statistic",
            read=_latency(metric.name),
        )
        for metric in METRICS.values()
    ),
    Subject(
        name=DURATION,
        unit="latency",
        meaning="duration of a completed [flow](flows.md), from when its first request was due to the end of its last",
        covers="steady",
        argument="statistic",
        needs="flows",
        read=_latency(DURATION, aside=True),
    ),
    Subject(
        name="errors.rate",
        unit="share",
        meaning="failed requests, as a share of the finished ones",
        covers="run",
        read=lambda stretch, _: _share(_failed(stretch.part.ended), _finished(stretch.part.ended)),
    ),
    Subject(
        name="errors.CLASS",
        unit="number",
        meaning="requests that ended in this class, such as `errors.http_503` or `errors.timeout_idle`",
        covers="run",
        argument="class",
        read=lambda stretch, outcome: Reading(value=stretch.part.ended.get(outcome, 0), rises=True),
    ),
    Subject(
        name="errors.CLASS.rate",
        unit="share",
        meaning="the same, as a share of the finished requests",
        covers="run",
        argument="class",
        read=lambda stretch, outcome: _share(stretch.part.ended.get(outcome, 0), _finished(stretch.part.ended)),
    ),
    Subject(
        name="requests.per_s",
        unit="number",
        meaning="requests that ended ok, per second",
        covers="steady",
        read=_rate(lambda part, _: part.ended.get("ok", 0)),
    ),
    Subject(
        name="requests.started",
        unit="number",
        meaning="requests that were started",
        covers="run",
        read=_count(lambda part: part.counters.started),
    ),
    Subject(
        name="requests.ok",
        unit="number",
        meaning="requests that ended ok",
        covers="run",
        read=_count(lambda part: part.ended.get("ok", 0)),
    ),
    Subject(
        name="requests.failed",
        unit="number",
        meaning="requests that failed",
        covers="run",
        read=_count(lambda part: _failed(part.ended)),
    ),
    Subject(
        name="requests.retries",
        unit="number",
        meaning="how often a request was sent again after a failure",
        covers="run",
        read=_count(lambda part: sum(part.retried.values())),
    ),
    Subject(
        name="tokens.output_per_s",
        unit="number",
        meaning="output tokens per second",
        covers="steady",
        read=_rate(lambda part, per_event: part.counters.output_of_all(per_event)),
    ),
    Subject(
        name="tokens.input_per_s",
        unit="number",
        meaning="input tokens per second, of ok requests",
        covers="steady",
        read=_rate(lambda part, _: part.counters.input),
    ),
    Subject(
        name="tokens.total_per_s",
        unit="number",
        meaning="output and input tokens per second",
        covers="steady",
        read=_rate(lambda part, per_event: part.counters.output_of_all(per_event) + part.counters.input),
    ),
    Subject(
        name="events.per_s",
        unit="number",
        meaning="token events per second",
        covers="steady",
        read=_rate(lambda part, _: part.counters.events),
    ),
    Subject(
        name="inputs.per_s",
        unit="number",
        meaning="inputs of embeddings per second, of ok requests",
        covers="steady",
        read=_rate(lambda part, _: part.counters.inputs),
    ),
    Subject(
        name="dropped",
        unit="number",
        meaning="requests that arrived and were never started (open model)",
        covers="run",
        needs="arrivals",
        read=_of_arrivals(lambda counters: counters.dropped, rises=True),
    ),
    Subject(
        name="dropped.rate",
        unit="share",
        meaning="the same, as a share of the requests that arrived",
        covers="run",
        needs="arrivals",
        read=_of_arrivals(lambda counters: counters.dropped / counters.due),
    ),
    Subject(
        name="load.achieved",
        unit="share",
        meaning="requests that started, as a share of those that arrived in the same time (open model)",
        covers="steady",
        needs="arrivals",
        read=_of_arrivals(lambda counters: counters.started / counters.due),
    ),
    Subject(
        name="goodput.share",
        unit="share",
        meaning="good requests (`--slo`), as a share of the finished ones",
        covers="steady",
        needs="SLOs",
        read=_good_share,
    ),
    Subject(
        name="goodput.per_s",
        unit="number",
        meaning="good requests per second",
        covers="steady",
        needs="SLOs",
        read=_rate(lambda part, _: part.counters.slo_met),
    ),
    Subject(
        name="goodput.tokens_per_s",
        unit="number",
        meaning="output tokens of good requests per second",
        covers="steady",
        needs="SLOs",
        read=_rate(lambda part, _: part.counters.good_output),
    ),
    Subject(
        name="cost.total",
        unit="money",
        meaning="money for all requests, in the currency of the prices ([cost](cost.md))",
        covers="run",
        needs="prices",
        read=_cost_total,
    ),
    Subject(
        name="cost.per_request",
        unit="money",
        meaning="money for an ok request, on average",
        covers="steady",
        needs="prices",
        read=_cost_per_request,
    ),
    Subject(
        name="verdict",
        unit="status",
        meaning="status of the measurement: `verdict=invalid`; `verdict=degraded` means degraded or worse",
        covers="run",
        read=lambda stretch, _: Reading(value=None, status=stretch.status),
    ),
)

SUBJECTS: Mapping[str, Subject] = {subject.name: subject for subject in _ALL}
"""Name -> subject; `CLASS` in a name stands for a class of endings."""


FIRST_WORDS = frozenset(name.partition(".")[0] for name in SUBJECTS)
"""What names of subjects begin with. No task may be called so."""


def find(name: str) -> tuple[Subject, str]:
    """The subject that `name` names, and its argument.

    Raises:
        ValueError: there is none; the text says which names there are.
    """
    first, _, rest = name.partition(".")
    if (subject := SUBJECTS.get(name)) is not None and subject.argument == "":
        return subject, ""
    if (subject := SUBJECTS.get(first)) is not None and subject.argument == "statistic":
        if rest in ("mean", "min", "max") or parts_of(rest) is not None:
            return subject, rest
        raise ValueError(f"{name!r} needs a statistic: {first}.p50, {first}.p99.9, {first}.mean, .min or .max")
    if first == "errors" and rest:
        outcome, dot, rate = rest.partition(".")
        if is_class(outcome) and outcome not in NOT_ERRORS and (not dot or rate == "rate"):
            return SUBJECTS[f"errors.CLASS{dot}{rate}"], outcome
    raise ValueError(f"{name!r} is not known{_suggestion(name)}")


def _suggestion(name: str) -> str:
    names = [each.name for each in SUBJECTS.values() if each.argument == ""]
    latencies = [each.name for each in SUBJECTS.values() if each.argument == "statistic"]
    names += [f"{each}.{statistic}" for each in latencies for statistic in ("p50", "p99", "mean", "min", "max")]
    names += [f"errors.{outcome}" for outcome in (*BY_NAME, "http_503")]
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(subject.name for subject in SUBJECTS.values())}"
