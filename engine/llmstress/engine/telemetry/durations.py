"""Durations as users write them."""

import re

LONGEST_S = 366 * 86_400.0
"""The longest duration: a year. Timers overflow with much longer ones."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `2s`, `1m30s`, `1h` or `0`.

    Raises:
        ValueError: the text has another form (e.g. a number without unit), or the duration is longer than a year.
    """
    match = _DURATION.fullmatch(text.strip())
    if text.strip() == "0":
        return 0.0
    if match is None or not text.strip():
        raise ValueError(f"{text!r} is not a duration; write it like 500ms, 2s or 1m30s")
    hours, minutes, seconds, milliseconds = (float(group or 0) for group in match.groups())
    total = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    if total > LONGEST_S:
        raise ValueError(f"{text!r} is longer than a year")
    return total
