"""What the JSON summary holds about thresholds."""

import msgspec

from llmstress.engine.telemetry.thresholds import State


class ThresholdRow(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold, and what was found. `value`, `low`, `high`, `limit` and `distance` are in `unit`: ms, share (from 0
    to 1) or number; they are null for the verdict, whose `unit` is status."""

    text: str
    """As given."""
    state: State
    """failed, undecided or passed; pending in a summary of a run that goes on."""
    says: str
    """Value, interval and distance in words."""
    subject: str
    scope: str
    """What was judged."""
    unit: str
    value: float | None
    low: float | None
    high: float | None
    """Limits of the 99 % confidence interval; null if there is no interval, or no limit on this side."""
    limit: float | None
    distance: float | None
    """From the limit; negative if the value lies beyond it."""
    why: str
    """Why it is undecided; empty otherwise."""
    at_s: float | None
    """With `over`: when the worst stretch began, in seconds after T0."""
    abort: bool
