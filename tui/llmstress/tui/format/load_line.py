"""The lines of the overview about the load, and about the requests beside it. Pure functions."""

from collections.abc import Sequence

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.load_profile import Profile
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.metrics import METRICS
from llmstress.tui.format.headline import QUIET, StyledText, shortened
from llmstress.tui.format.load import asked_mean, level_words, rate_number
from llmstress.tui.format.picture import Picture

_SO_FAR = " since the begin"

_LEVEL_COLUMNS = 24
"""Columns that are kept free for the present level."""


def load_line(picture: Picture, width: int) -> list[StyledText]:
    """What is asked for beside what is achieved; empty for a number of streams that stays, which the target line
    has."""
    view, figures = picture.view, picture.figures
    profile = view.profile
    if profile is None:
        return []
    if profile.unit == "streams":
        return _streams_asked(picture, profile)
    aggregate = view.aggregate
    asked = figures.due_per_s if profile.unit == "trace" else _asked_per_s(picture)
    pieces: list[StyledText] = []
    if asked is not None and figures.seconds > 0:
        achieved = f"achieved {rate_number(figures.started_per_s)}/s"
        rate = level_words(asked, "sessions" if profile.unit == "sessions" else "requests")
        pieces += [(f"asked {rate}, ", ""), (achieved, "bold"), (" · ", QUIET)]
    waiting, dropped = aggregate.waiting, aggregate.counters().dropped
    pieces += [(f"{formatting.count(waiting)} waiting", "bold $text-warning" if waiting else ""), (" · ", QUIET)]
    pieces += [(f"{formatting.count(dropped)} dropped", "bold $text-error" if dropped else "")]
    most = f" · at most {formatting.count(aggregate.waiting_max)} waited"
    if waiting < aggregate.waiting_max and _length(pieces) + len(most) + _LEVEL_COLUMNS < width:
        pieces.append((most, ""))
    now = level_words(profile.level_at(aggregate.elapsed_ns), profile.unit)
    if picture.paused:
        now = f"{level_words(0.0, profile.unit)} (paused)"
    steady = asked is not None and now == level_words(asked, profile.unit)
    if asked is None or steady or picture.stage in ("drain", "done"):
        return [("load: ", ""), *pieces]
    before = f"now {now} · "
    return [("load: ", ""), *([(before, "")] if _length(pieces) + len(before) + 6 <= width else []), *pieces]


def bystander_line(picture: Picture, width: int) -> list[StyledText]:
    """What the requests beside the load have seen, since the begin or, if `whole`, as in the summary; empty without a
    bystander."""
    aggregate = picture.view.aggregate
    if not aggregate.apart:
        return []
    all_of_it = aggregate.bystander()
    measured = aggregate.bystander(Phase.STEADY) if picture.whole else all_of_it
    failed = sum(n for outcome, n in all_of_it.ended.items() if outcome not in NOT_FAILED)
    name = "ttft" if "ttft" in measured.latency else "e2e"
    found = measured.latency.get(name, Histogram())
    values = (f"{each} {_percentile(found, each)}" for each in ("p50", "p99"))
    ends = f"{formatting.count(all_of_it.ended.get('ok', 0))} ok, {formatting.count(failed)} failed"
    text = f" · {METRICS[name].label} {', '.join(values)}"
    room = width - len("bystander: ") - len(ends)
    span = "" if picture.whole or len(text) + len(_SO_FAR) > room else _SO_FAR
    return [
        ("bystander: ", ""),
        (ends, "bold $text-error" if failed else "bold"),
        (shortened(text, room) + span, ""),
    ]


def _percentile(found: Histogram, name: str) -> str:
    us = found.percentile(name)
    return f"{'~' if us is not None and name in found.low_sample() else ''}{formatting.latency(us)}"


def _length(pieces: Sequence[StyledText]) -> int:
    return sum(len(text) for text, _ in pieces)


def _streams_asked(picture: Picture, profile: Profile) -> list[StyledText]:
    aggregate = picture.view.aggregate
    if picture.stage in ("drain", "done"):
        most = max((level for piece in profile.pieces for level in (piece.first, piece.last)), default=0.0)
        asked, found = f"at most {level_words(most, 'streams')}", f"at most {formatting.count(aggregate.peak)} open"
    else:
        asked, found = level_words(picture.wanted, "streams"), f"{formatting.count(aggregate.open)} open"
    return [("load: ", ""), (f"asked {asked}, ", ""), (found, "bold")]


def _asked_per_s(picture: Picture) -> float | None:
    """The mean rate that was asked for in the time that the figures cover."""
    view, now = picture.view, picture.view.aggregate.elapsed_ns
    if not picture.whole:
        return asked_mean(view, now - round(picture.figures.seconds * 1e9), now)
    steady = [each for each in view.aggregate.windows if each.kind is Phase.STEADY and each.begin is not None]
    spans = [(each.begin or 0, now if each.end is None else min(each.end, now)) for each in steady]
    amounts = [(end - begin) / 1e9 * (asked_mean(view, begin, end) or 0.0) for begin, end in spans if end > begin]
    return sum(amounts) / picture.figures.seconds if picture.figures.seconds > 0 else None
