"""The sentence about the outcome of a run: how many requests failed, and in which classes."""

from llmstress.engine.telemetry.classes import NOT_FAILED
from llmstress.engine.telemetry.messages import Part

UNAUTHORIZED = "http_401"

_MOST_CLASSES = 3
"""The sentence names this many classes of failure, the most frequent ones."""


def describe_outcome(part: Part) -> str:
    """One sentence about the requests that have finished. Cancelled ones have not; those whose users walked away are
    named beside them, and so are the refusals that only made flows log in again."""
    ended, abandoned = part.ended, part.counters.abandoned
    finished = sum(n for outcome, n in ended.items() if outcome != "cancelled")
    others = [f"{n:,} {name}" for name in ("filtered", "lost") if (n := ended.get(name, 0))]
    others += [f"{abandoned:,} abandoned"] if abandoned else []
    if not finished:
        return ", ".join(["no request finished", *others])
    failures = sorted(
        ((outcome, n) for outcome, n in ended.items() if n and outcome not in NOT_FAILED), key=lambda pair: -pair[1]
    )
    failed = sum(n for _, n in failures)
    requests = f"{finished:,} {'finished ' if abandoned else ''}request{'' if finished == 1 else 's'}"
    if not failed:
        if finished > ended.get("ok", 0):
            return f"none of {requests} failed, {' and '.join(others)}"
        return ", ".join([f"{requests} succeeded" if finished == 1 else f"all {requests} succeeded", *others])
    named = [f"{outcome} {_share(n, finished)}" for outcome, n in failures[:_MOST_CLASSES]]
    if len(failures) > _MOST_CLASSES:
        rest = sum(n for _, n in failures[_MOST_CLASSES:])
        named.append(f"other classes {_share(rest, finished)}")
    if again := part.counters.set_up_again:
        others.append(f"{again:,} of the {ended.get(UNAUTHORIZED, 0):,} {UNAUTHORIZED} led to a new set-up of the flow")
    return ", ".join([f"{_share(failed, finished)} of {requests} failed ({', '.join(named)})", *others])


def _share(part: int, whole: int) -> str:
    """A percentage; 0 and 100 are printed only if they are exact."""
    percent = 100 * part / whole
    if part == whole:
        return "100%"
    if percent < 0.1:
        return "under 0.1%"
    return f"{min(percent, 99.9):.1f}".removesuffix(".0") + "%"
