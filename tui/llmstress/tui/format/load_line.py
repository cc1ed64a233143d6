"""The line of the overview about the load: what is asked for beside what is achieved. Pure functions."""

from collections.abc import Sequence

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.load_profile import Profile
from llmstress.engine.telemetry.messages import Phase
from llmstress.tui.format.headline import QUIET, StyledText
from llmstress.tui.format.load import asked_mean, level_words, rate_number
from llmstress.tui.format.picture import Picture

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
        pieces += [(f"asked {rate_number(asked)}/s, ", ""), (achieved, "bold"), (" · ", QUIET)]
    waiting, dropped = aggregate.waiting, aggregate.counters().dropped
    pieces += [(f"{formatting.count(waiting)} waiting", "bold $text-warning" if waiting else ""), (" · ", QUIET)]
    pieces += [(f"{formatting.count(dropped)} dropped", "bold $text-error" if dropped else "")]
    most = f" · at most {formatting.count(aggregate.waiting_max)} waited"
    if waiting < aggregate.waiting_max and _length(pieces) + len(most) + _LEVEL_COLUMNS < width:
        pieces.append((most, ""))
    now = level_words(profile.level_at(aggregate.elapsed_ns), profile.unit)
    if asked is None or now == f"{rate_number(asked)}/s" or picture.stage in ("drain", "done"):
        return [("load: ", ""), *pieces]
    before = f"now {now} · "
    return [("load: ", ""), *([(before, "")] if _length(pieces) + len(before) + 6 <= width else []), *pieces]


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
