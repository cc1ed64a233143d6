"""Answers whose `tpot` cannot be determined: how many, why, and the two bounds between which it lies."""

from collections.abc import Mapping
from types import MappingProxyType

from llmstress.engine.telemetry.messages import Part

BOUNDS = ("tpot_by_usage", "tpot_by_events")
"""Names of the bounds in `Part.aside`."""

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "few pieces": "came at once or in a few large pieces, as very short answers often do",
        "bundled first event": "had many tokens in the first event",
        "hidden tokens": "had more tokens by usage than the text has room for",
        "fewer tokens than events": "had fewer tokens by usage than token events",
        "usage that stops": "had token events after the last usage",
    }
)
"""Reason -> what such answers did, for the sentence of the verdict."""


def median_of(part: Part, name: str) -> int | None:
    """The median of what `Part.aside` holds under this name, in its own unit, also of a single value; None: nothing."""
    found = part.aside.get(name)
    if found is None or found.count < 2:
        return found.max if found is not None else None
    return found.percentiles((5_000,))[0]


def answers_words(n: int, ok: int, *, share: bool = False) -> str:
    """`n` of the `ok` good answers, in words; the only one is `the answer`, which is what a probe has."""
    if ok == 1:
        return "the answer"
    return f"{n:,} of {ok:,} answers" + (f" ({n / ok:.0%})" if share else "")


def undetermined_values(part: Part) -> Mapping[str, object]:
    """Values for `SENTENCE`; at least one answer of `part` has no `tpot`."""
    count, ok = sum(part.undetermined.values()), part.ended.get("ok", 0)
    reasons = sorted(part.undetermined.items(), key=lambda pair: -pair[1])
    why = ", ".join(f"{n:,} {WORDS.get(reason, reason)}" for reason, n in reasons)
    by_usage, by_events = (median_of(part, name) for name in BOUNDS)
    bounds = ""
    if by_usage is not None and by_events is not None:
        bounds = f": {by_usage / 1000:.3g} ms by usage, {by_events / 1000:.3g} ms by events"
    if ok == 1:
        why = f"it {WORDS.get(reasons[0][0], reasons[0][0])}"
    return {"answers": answers_words(count, ok), "why": why, "bounds": bounds}


SENTENCE = "the tpot of {answers} can't be determined ({why}){bounds}"
"""Of the rules of the verdict."""
