"""What each way to fail means for the run, and which class a status is."""

import pytest

from llmstress.engine.outcome import class_of_status
from llmstress.engine.stream.failure_policy import ACTIONS, DEFAULTS, FailurePolicy, parse_entry
from llmstress.engine.telemetry.classes import BY_NAME


@pytest.mark.parametrize(
    ("status", "body", "headers", "outcome"),
    [
        (429, b"", {}, "rate_limited"),
        (429, b'{"error":{"code":"slow_down"}}', {}, "rate_limited"),
        (529, b'{"type":"error","error":{"type":"overloaded_error"}}', {}, "rate_limited"),
        (429, b'{"error":{"type":"insufficient_quota","code":"credit_balance_exhausted"}}', {}, "quota"),
        (429, b'{"error":{"code":"organization_spend_limit_exceeded"}}', {}, "quota"),
        (429, b'{"error":{"code":"project_spend_limit_exceeded"}}', {}, "quota"),
        (429, b'{"error":{"code":"organization_usage_limit_exceeded"}}', {}, "quota"),
        (429, b'{"error":{"details":{"error_code":"enforced_spend_limit_reached"}}}', {}, "quota"),
        (429, b'{"error":{"details":{"error_code":"contract_spend_limit_reached"}}}', {}, "quota"),
        (429, b'{"error":{"details":{"error_code":"ramp_limit_exceeded"}}}', {}, "rate_limited"),
        (429, b'{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}', {}, "quota"),
        (429, b'{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}', {}, "rate_limited"),
        (429, b'{"error":{"message":"You exceeded your current quota, check your billing"}}', {}, "rate_limited"),
        (429, b"Rate limit reached. Add a payment method at /account/billing", {}, "rate_limited"),
        (402, b"", {}, "quota"),
        (402, b"", {"retry-after": "3"}, "rate_limited"),
        (402, b"", {"retry-after-ms": "300"}, "rate_limited"),
        (400, b"", {"x-amzn-errortype": "ServiceQuotaExceededException:http://x/"}, "rate_limited"),
        (400, b"insufficient_quota", {"x-amzn-errortype": "ValidationException"}, "http_400"),
        (503, b"insufficient_quota", {"retry-after": "3"}, "http_503"),
    ],
)
def test_the_class_of_a_status(status: int, body: bytes, headers: dict[str, str], outcome: str) -> None:
    assert class_of_status(status, body, headers) == outcome


@pytest.mark.parametrize(
    ("action", "outcomes"),
    [
        ("end", ["quota"]),
        ("end-first", [f"http_{status}" for status in (400, 401, 403, 404, 413, 415, 422, 501)]),
        ("retry", ["rate_limited", *(f"http_{status}" for status in (408, 409, 424, 498, 500, 502, 503, 504))]),
        ("count", ["http_405", "http_505", "http_307", "reset", "dns", "connect_refused", "tls", "timeout_idle"]),
        ("count", ["stream_error", "truncated", "malformed", "empty"]),
    ],
)
def test_what_a_failure_means_unless_the_user_says(action: str, outcomes: list[str]) -> None:
    for outcome in outcomes:
        assert FailurePolicy().action(0, outcome) == action
        assert FailurePolicy().is_retryable(0, outcome, None) == (action == "retry")


def test_the_table_is_made_of_entries_that_a_user_could_write() -> None:
    for what, action in DEFAULTS.items():
        assert parse_entry(f"{what}={action}") == (what, action)


@pytest.mark.parametrize(
    ("given", "status", "outcome", "action"),
    [
        (["529=count"], 529, "rate_limited", "count"),
        (["529=count"], 429, "rate_limited", "retry"),
        (["404=retry"], 404, "http_404", "retry"),
        (["http_404=retry"], 404, "http_404", "retry"),
        (["quota=count"], 429, "quota", "count"),
        (["402=count"], 402, "quota", "count"),
        (["429=end"], 429, "quota", "end"),
        (["rate_limited=end"], 429, "rate_limited", "end"),
        (["rate_limited=end", "529=count"], 529, "rate_limited", "count"),
        (["529=count", "rate_limited=end"], 529, "rate_limited", "end"),
        (["429=count", "quota=end"], 429, "quota", "end"),
        (["429=count", "quota=end"], 429, "rate_limited", "count"),
        (["503=count", "503=end-first"], 503, "http_503", "end-first"),
        (["reset=retry"], 0, "reset", "retry"),
        (["stream_error=end"], 200, "stream_error", "end"),
        (["404=retry"], 405, "http_405", "count"),
    ],
)
def test_the_user_s_last_word_that_fits_holds(given: list[str], status: int, outcome: str, action: str) -> None:
    assert FailurePolicy(tuple(map(parse_entry, given))).action(status, outcome) == action


@pytest.mark.parametrize(
    ("given", "status", "outcome", "advice", "again"),
    [
        ([], 503, "http_503", False, False),
        ([], 400, "http_400", True, True),
        ([], 429, "quota", True, True),
        (["529=count"], 529, "rate_limited", True, False),
        (["503=retry"], 503, "http_503", False, True),
        (["503=end"], 503, "http_503", None, False),
        (["503=retry"], 500, "http_500", False, False),
    ],
)
def test_advice_goes_before_the_table_and_the_user_before_both(
    given: list[str], status: int, outcome: str, advice: bool | None, again: bool
) -> None:
    assert FailurePolicy(tuple(map(parse_entry, given))).is_retryable(status, outcome, advice) is again


@pytest.mark.parametrize("what", ["204", "301", "404", "529", "599", "999", "http_101", *BY_NAME])
@pytest.mark.parametrize("action", ACTIONS)
def test_an_entry_is_read(what: str, action: str) -> None:
    assert parse_entry(f" {what} = {action} ") == (what.removeprefix("http_"), action)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *((text, "is not like 529=count") for text in ("", "529", "529:count", "retry")),
        *((text, "is none of count, retry, end-first, end") for text in ("529=", "529=Count", "529=ignore", "5=1=2")),
        *(
            (f"{what}=count", "neither a status like 529 nor one of")
            for what in ("", "200", "099", "5290", "5xx", "ok", "cancelled", "lost", "filtered", "http_", "٤٠٤", "-1")
        ),
    ],
)
def test_what_is_no_entry_is_refused_with_what_could_be_one(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_entry(text)
