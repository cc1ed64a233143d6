"""The lines of the overview about SLOs and thresholds. Pure functions."""

from collections.abc import Sequence

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.threshold_words import judgement_words, short_words, states_words
from llmstress.engine.telemetry.thresholds import Judgement, worst
from llmstress.tui.format.headline import QUIET, StyledText, shortened
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import THRESHOLDS


def goodput_line(picture: Picture, width: int) -> list[StyledText]:
    """The share of requests that met every SLO, and how many missed each; empty without SLOs."""
    slos = picture.view.facts.objectives.slos
    if not slos:
        return []
    good = picture.figures.goodput
    if not good.finished:
        return [("goodput: ", ""), ("–", QUIET), (" no request has ended", QUIET)]
    met = f"{formatting.share_range(good.share, good.share_max)} of {formatting.count(good.finished)} requests"
    what = " met the SLO" if len(slos) == 1 else f" met all {len(slos)} SLOs"
    missed = [
        f"{slo.text} by {formatting.share(good.missed[slo.text], good.finished)}"
        for slo in slos
        if good.missed.get(slo.text)
    ]
    text = f"; missed: {', '.join(missed)}" if missed else ""
    room = width - len("goodput: ") - len(met) - len(what)
    return [("goodput: ", ""), (met, "bold"), (what, ""), (shortened(text, room), "")]


def threshold_lines(judgements: Sequence[Judgement], width: int | None = None) -> list[list[StyledText]]:
    """A line for each threshold, the worst first: its state, what it says, and what was measured so far.

    `width`: columns of a line, which is shortened where it does not fit; None: as long as need be.
    """
    lines: list[list[StyledText]] = []
    for each in worst(judgements):
        sign, colour = THRESHOLDS[each.state]
        begin = f"{sign} {each.state:<9} "
        text, words = each.threshold.text, f"  {judgement_words(each)}"
        if width is not None and len(begin) + len(text) + len(words) > width:
            words = f"  {short_words(each)}"
        lines.append([(begin, f"bold {colour}"), (text, "bold"), (words, "")])
    return lines


def threshold_block(judgements: Sequence[Judgement], most: int, width: int) -> list[list[StyledText]]:
    """The first `most` of these lines, at least 2; if there are more, the last one says how many."""
    lines = threshold_lines(judgements, width)
    if len(lines) <= most:
        return lines
    left = worst(judgements)[most - 1 :]
    return [*lines[: most - 1], [(f"  and {len(left)} more ({states_words(left)}): v shows all", QUIET)]]
