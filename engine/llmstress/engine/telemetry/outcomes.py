"""The sentence about the outcome of a run: how many requests failed, and in which classes."""

from collections.abc import Mapping

from llmstress.engine.telemetry.classes import NOT_FAILED

_MOST_CLASSES = 3
"""The sentence names this many classes of failure, the most frequent ones."""


def describe_outcome(ended: Mapping[str, int]) -> str:
    """One sentence about the requests that have finished (cancelled ones have not).

    `ended`: class of a request's end -> how many.
    """
    finished = sum(n for outcome, n in ended.items() if outcome != "cancelled")
    if not finished:
        return "no request finished"
    failures = sorted(
        ((outcome, n) for outcome, n in ended.items() if n and outcome not in NOT_FAILED), key=lambda pair: -pair[1]
    )
    failed = sum(n for _, n in failures)
    requests = "1 request" if finished == 1 else f"{finished:,} requests"
    others = [f"{n:,} {name}" for name in ("filtered", "lost") if (n := ended.get(name, 0))]
    if not failed:
        if others:
            return f"none of {requests} failed, {' and '.join(others)}"
        return "1 request succeeded" if finished == 1 else f"all {requests} succeeded"
    named = [f"{outcome} {_share(n, finished)}" for outcome, n in failures[:_MOST_CLASSES]]
    if len(failures) > _MOST_CLASSES:
        rest = sum(n for _, n in failures[_MOST_CLASSES:])
        named.append(f"other classes {_share(rest, finished)}")
    return f"{_share(failed, finished)} of {requests} failed ({', '.join(named)}){''.join(f', {o}' for o in others)}"


def _share(part: int, whole: int) -> str:
    """A percentage; 0 and 100 are printed only if they are exact."""
    percent = 100 * part / whole
    if part == whole:
        return "100%"
    if percent < 0.1:
        return "under 0.1%"
    return f"{min(percent, 99.9):.1f}".removesuffix(".0") + "%"
