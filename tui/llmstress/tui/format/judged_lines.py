"""The lines of the overview about what requests are judged by: the SLOs. Pure functions."""

from llmstress.engine.telemetry import formatting
from llmstress.tui.format.headline import QUIET, StyledText, shortened
from llmstress.tui.format.picture import Picture


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
