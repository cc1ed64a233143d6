"""Notes about answers that failed a check, and about requests whose users walked away."""

from collections.abc import Iterator

from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.rules import Measured, Rule, Values

MOST_OF_FAILURES = 0.5
"""Share of the failures from which on they are said to be failed checks."""


def failed_checks(measured: Measured) -> Iterator[Values]:
    """Failures most of which are answers that failed a check."""
    ended = measured.whole.ended
    invalid = ended.get("validation", 0)
    failed = sum(n for outcome, n in ended.items() if outcome not in NOT_FAILED)
    if invalid and invalid >= MOST_OF_FAILURES * failed:
        which = "all failures" if invalid == failed else f"{invalid:,} of {failed:,} failures"
        yield {"which": which if failed > 1 else "the only failure"}


def abandoned(measured: Measured) -> Iterator[Values]:
    """Requests whose users walked away."""
    counters = measured.whole.counters
    if counters.abandoned:
        yield {"abandoned": counters.abandoned, "started": counters.started}


NOTES = (
    Rule(
        id="failed-checks",
        status="note",
        looks_at="requests of class `validation`",
        limit=f"{MOST_OF_FAILURES:.0%} of the failed requests or more",
        sentence="the server answered, but not as --check expects: {which} are of class validation, and their "
        "latencies are among those of failed requests",
        advice="look at the samples of validation",
        applies=failed_checks,
    ),
    Rule(
        id="abandoned",
        status="note",
        looks_at="requests that were abandoned (`--abandon`)",
        limit="any",
        sentence="{abandoned:,} of {started:,} requests were abandoned: ttft and itl include them, tpot and e2e do "
        "not, so these show only the answers that came in time",
        applies=abandoned,
    ),
)
"""In the order in which they are printed."""
