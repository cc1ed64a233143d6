"""What the figures are called and mean, in words for the person before the screen."""

from llmstress.tui.figures import duration
from llmstress.tui.picture import Picture

METRICS = {
    "queue": "from when a request was due to its start: this client's own delay",
    "connect": "from the start of a request to its connection, for those that opened one",
    "ttfb": "from the sending of a request to the head of its answer",
    "ttft": "from the start of a request to its first token, thoughts included",
    "ttft_due": "from when a request was due to its first token: waits and earlier attempts included",
    "ttfa": "from the start of a request to the first token that a user sees",
    "itl": "from one token event to the next",
    "tpot": "from the first token to the last one, per token after the first",
    "stall": "the longest gap within an answer",
    "e2e": "from the start of a request to the end of its answer",
    "e2e_due": "from when a request was due to the end of its answer: waits and earlier attempts included",
}
"""Every latency and what it is the time of, in the order of a request."""


VERDICTS = {
    "none yet": ("·", "$foreground 65%"),
    "valid": ("✔", "$text-success"),
    "degraded": ("▲", "$text-warning"),
    "invalid": ("✖", "$text-error"),
}
"""Status of a verdict -> its sign and colour."""


def window_words(picture: Picture) -> str:
    """Which stretch of time the figures of `picture` are of."""
    seconds = picture.figures.seconds
    if not picture.whole:
        return f"last {duration(max(1, round(seconds)))}"
    return f"steady window {duration(round(seconds))}" if seconds > 0 else "steady window (not begun)"
