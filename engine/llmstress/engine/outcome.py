"""The classes that a request can end in: exactly one each, the first cause in time."""

import msgspec

from llmstress.engine.telemetry.messages import NOT_FAILED

_QUOTA_WORDS = (
    b"insufficient_quota",
    b"credit_balance",
    b"spend_limit",
    b"usage_limit_exceeded",
    b"billing",
)
"""What providers write into a 429 that means money or a daily quota, not a rate."""


def class_of_status(status: int, body: bytes) -> str:
    """The class of a request whose final status is no 2xx with a body of the API."""
    if status == 402:
        return "quota"
    if status == 429:
        return "quota" if any(word in body for word in _QUOTA_WORDS) else "rate_limited"
    if status == 529:
        return "rate_limited"
    return f"http_{status}"


class End(msgspec.Struct, frozen=True):
    """How a request ended: its class, and for a failure the words that explain it."""

    outcome: str
    text: str = ""

    @property
    def failed(self) -> bool:
        """Whether the request counts as failed."""
        return self.outcome not in NOT_FAILED


OK = End("ok")
FILTERED = End("filtered")
CANCELLED = End("cancelled")
