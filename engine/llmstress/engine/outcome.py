"""The classes that a request can end in: exactly one each, the first cause in time."""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.classes import NOT_FAILED

_QUOTA_WORDS = (
    # OpenAI: the type, and the codes that come with it
    b"insufficient_quota",
    b"credit_balance_exhausted",
    b"organization_spend_limit_exceeded",
    b"project_spend_limit_exceeded",
    b"organization_usage_limit_exceeded",
    b"billing_not_active",
    # Anthropic: enforced_, contract_
    b"_spend_limit_reached",
    # Gemini: GenerateRequestsPerDayPerProjectPerModel and the like
    b"PerDay",
)
"""What providers write into a 429 that means money or a daily quota, not a rate: names only, since the prose of a mere
rate limit speaks of quotas and billing as well."""

_AWS_THROTTLE = "ServiceQuotaExceededException"
"""Bedrock's 400 that is a rate limit."""


def class_of_status(status: int, body: bytes, headers: Mapping[str, str]) -> str:
    """The class of a request whose final status is no 2xx with a body of the API."""
    if status == 402:
        # with a time to come back it is a budget for what is in flight
        return "rate_limited" if "retry-after" in headers or "retry-after-ms" in headers else "quota"
    if status == 429:
        return "quota" if any(word in body for word in _QUOTA_WORDS) else "rate_limited"
    if status == 529 or (status == 400 and headers.get("x-amzn-errortype", "").startswith(_AWS_THROTTLE)):
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


UNEXPLAINED = frozenset({"truncated", "empty", "timeout_first_token", "timeout_idle", "timeout_total"})
"""Classes of ends that no words of the server come with."""

OK = End("ok")
FILTERED = End("filtered")
CANCELLED = End("cancelled")
