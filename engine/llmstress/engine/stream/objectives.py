"""Judges a request that has ended ok: its SLOs, the deadlines of its tokens, the wait of its reader. Pure functions.

Everything is calculated once, at the end of a request, from its samples and its log of gaps, and only for a task with
objectives. No event costs more than without them.

Sources: the fluidity index is that of Etalon (arXiv 2407.07000), smooth goodput that of arXiv 2410.14257.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, count
from operator import sub
from typing import Protocol

import msgspec

from llmstress.engine.stream.pace import Pace
from llmstress.engine.telemetry.goodput import FLUID, IDLE, MISSED
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.slo import OF_STREAMS, Deadlines, Objectives, Slo

Bounds = tuple[int, int]
"""The lowest and the highest value (µs) that a request can have in a metric: equal where the value is known."""

_NEVER = sys.maxsize
UNKNOWN: Bounds = (0, _NEVER)
NEVER: Bounds = (_NEVER, _NEVER)
"""What the metric measures never came."""


class Answered(Protocol):
    """What judging needs of a request that has ended ok. Stamps are monotonic nanoseconds, 0: the moment never came."""

    due: int
    start: int
    first_token: int
    first_answer: int

    @property
    def single_choice(self) -> bool:
        """All token events are of choice 0."""

    @property
    def output(self) -> tuple[int, bool]:
        """Output tokens, and whether the server's usage says so."""


class Judged(msgspec.Struct, frozen=True):
    """Whether a request met its SLOs: yes, unless it missed one or that is unknown."""

    missed: tuple[str, ...] = ()
    """Texts of the SLOs that it missed for certain."""
    unknown: bool = False
    """It missed none for certain, but may have missed one."""

    @property
    def met(self) -> bool:
        """It met all of them."""
        return not self.missed and not self.unknown


def judge(slos: Iterable[Slo], values: Mapping[str, Bounds]) -> Judged:
    """Compare values with SLOs; a metric that is not in `values` is one that the request does not have, which meets
    every limit."""
    compared = [(slo, *values[slo.metric]) for slo in slos if slo.metric in values]
    missed = tuple(slo.text for slo, low, _ in compared if not slo.met_by(low))
    return Judged(missed, not missed and not all(slo.met_by(high) for slo, _, high in compared))


def values_of(request: Answered, samples: Mapping[str, int], pace: Pace | None) -> dict[str, Bounds]:
    """The values of a request in all metrics that it has.

    samples: metric -> µs, as they are recorded at the end of the request. pace: its time per token; None: no token
    followed the first one.
    """
    values = {metric: (us, us) for metric, us in samples.items()}
    if request.first_token:
        for metric, since in (("ttft", request.start), ("ttft_due", request.due)):
            values[metric] = ((request.first_token - since) // 1000,) * 2
        shown = request.first_answer
        values["ttfa"] = ((shown - request.start) // 1000,) * 2 if shown else NEVER
        if pace is not None and pace.why:
            low, high = sorted((pace.by_usage // 1000, pace.by_events // 1000))
            values["tpot"] = (low, high) if low else UNKNOWN
        return values
    values |= {metric: UNKNOWN for metric in OF_STREAMS if metric not in values}
    if request.output[0] == 1:  # no token followed the first one
        del values["tpot"], values["stall"]
    return values


def missed_deadlines(first_us: int, gaps: Sequence[int], deadlines: Deadlines) -> tuple[int, int]:
    """How many deadlines an answer had, and how many of them it missed. All times are µs.

    The first token is due after `deadlines.first_us`, each later one `deadlines.token_us` after the token before it was
    due: a token that comes early leaves slack for the next ones. A token that comes late has missed its own deadline
    and those that pass until it comes; they start anew from there, without slack.
    """
    allowed = deadlines.token_us
    if first_us <= deadlines.first_us and (not gaps or max(gaps) <= allowed):
        return 1 + len(gaps), 0
    met = missed = slack = 0
    if first_us <= deadlines.first_us:
        met, slack = 1, deadlines.first_us - first_us
    else:
        missed = 1 + (first_us - deadlines.first_us) // allowed
    for gap in gaps:
        if gap <= allowed + slack:
            met += 1
            slack += allowed - gap
        else:
            missed += (gap - slack) // allowed
            slack = 0
    return met + missed, missed


def idle_us(gaps: Sequence[int], reading_speed: float) -> int:
    """How long a reader waits in all for the tokens after the first one, in µs.

    Token i is due i ÷ `reading_speed` seconds after the first one. A reader who has to wait reads on later, so the sum
    of the waits is the largest lateness of a token.
    """
    per_token = 1_000_000 / reading_speed
    if not gaps or max(gaps) <= per_token:
        return 0
    # in C: 10 µs for an answer of 128 tokens, against 14 in a loop
    latest: float = max(map(sub, accumulate(gaps), count(per_token, per_token)))
    return max(0, round(latest))


def benefit(tokens: int, idle: int, reading_speed: float) -> float:
    """The tokens of an answer without those that its reader could have read while waiting `idle` µs; at least 0."""
    return max(0.0, tokens - idle / 1_000_000 * reading_speed)


def count_judged(
    objectives: Objectives,
    request: Answered,
    samples: Mapping[str, int],
    pace: Pace | None,
    gaps: Sequence[int],
    part: Part,
) -> None:
    """Count in `part` how a request that ended ok did; `gaps`: all of its gaps in µs, without marks."""
    counters = part.counters
    if objectives.slos or objectives.others:
        judged = judge(objectives.slos, values_of(request, samples, pace))
        for text in judged.missed:
            part.missed[text] = part.missed.get(text, 0) + 1
        counters.slo_unknown += judged.unknown
        if judged.met:
            counters.slo_met += 1
            counters.good_output += request.output[0]
    if not request.first_token or not request.single_choice:
        return  # gaps of several choices are in one log
    if (deadlines := objectives.deadlines) is not None:
        total, missed = missed_deadlines((request.first_token - request.start) // 1000, gaps, deadlines)
        counters.deadlines += total
        counters.deadlines_missed += missed
        counters.fluid += total - missed >= FLUID * total
        part.aside.setdefault(MISSED, Histogram()).record(-(-10_000 * missed // total))
    if speed := objectives.reading_speed:
        idle = idle_us(gaps, speed)
        counters.benefit_milli += round(1000 * benefit(1 + len(gaps), idle, speed))
        part.aside.setdefault(IDLE, Histogram()).record(idle)
