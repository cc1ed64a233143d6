"""The line of the overview about cost. Pure function."""

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.spending import spending_of
from llmstress.tui.format.headline import QUIET, StyledText, shortened
from llmstress.tui.format.picture import Picture


def cost_line(picture: Picture, width: int) -> list[StyledText]:
    """What the whole run has cost so far, and a request and an hour in the steady windows; empty if no price is
    known."""
    pricing = picture.view.facts.pricing
    found = spending_of(picture.view.aggregate, pricing, picture.view.steady_s)
    if found is None:
        return []
    least = "≥ " if found.total.unknown else "~" if found.total.unfinished else ""
    total = f"{least}{formatting.money(found.total.value, found.currency)}"
    rates = [
        f"{formatting.money(amount, found.currency)} per {name}"
        for amount, name in (
            (found.per_request, "request"),
            (found.per_good_request, "good request"),
            (found.per_hour if not pricing.per_hour else None, "hour"),
            (found.per_million_output, "million output tokens"),
        )
        if amount is not None
    ]
    origins = dict.fromkeys(tariff.origin for tariff in pricing.tariffs if tariff.origin)
    text = f" so far{''.join(f' · {rate}' for rate in rates)}"
    origin = f" ({'; '.join(origins)})" if origins else ""
    room = width - len("cost: ") - len(total) - len(text)
    return [
        ("cost: ", ""),
        (total, "bold"),
        (shortened(text, max(0, room + len(text))), ""),
        (shortened(origin, max(0, room)), QUIET),
    ]
