"""How a request ended: its class (`telemetry/classes.py`), and the class of a final status."""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.classes import ANSWERED, NOT_FAILED

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
"""Identifiers that providers put into a 429 for used-up credit or a daily quota. Only identifiers count: the sentences
of an ordinary rate limit mention quotas and billing as well."""

_AWS_THROTTLE = "ServiceQuotaExceededException"
"""With this error type a 400 of Bedrock is a rate limit."""


def class_of_status(status: int, body: bytes, headers: Mapping[str, str]) -> str:
    """The class of a request whose final status is no 2xx with a body of the API."""
    if status == 402:
        # with a time to wait it is a limit on what is in flight, and not used-up credit
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

    @property
    def pauses(self) -> bool:
        """Whether a stream pauses after it (`--error-pause`): not if the server has answered as it should."""
        return self.outcome not in ANSWERED


UNEXPLAINED = frozenset({"truncated", "empty", "timeout_first_token", "timeout_idle", "timeout_total"})
"""Classes that the server does not explain: what it said outside of its API is looked for instead."""

OK = End("ok")
FILTERED = End("filtered")
CANCELLED = End("cancelled")
ABANDONED = End("cancelled", "abandoned")
"""The user has walked away (`--abandon`)."""
