"""Waits before a retry: the formats of retry-after and of rate limits, and the client's own back-off."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.http.ratelimits import LimitReport, limits_in
from llmstress.engine.http.retry_after import (
    MAX_QUOTED,
    MAX_REQUESTED_WAIT_S,
    backoff_s,
    requested_wait_s,
    retry_headers,
    seconds_until,
    should_retry,
)

WALL_S = 1_772_000_000.0
"""2026-02-25 06:13:20 UTC."""

GEMINI = """{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
  {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
  {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "%s"}]}}"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        ("2.5", 2.5),
        ("0", 0.0),
        ("-3", -3.0),
        (" 7 ", 7.0),
        ("2, 2", 2.0),
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("12ms", 0.012),
        ("1m2.5s", 62.5),
        ("2h45m", 9900.0),
        ("1.5h", 5400.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("250µs".encode().decode("latin-1"), 0.00025),
        ("100ns", 1e-7),
        (".5s", 0.5),
        ("-1m", -60.0),
        ("Wed, 25 Feb 2026 06:13:50 GMT", 30.0),
        ("Wed, 25 Feb 2026 07:13:50 +0100", 30.0),
        ("Wed, 25 Feb 2026 06:13:50 -0000", 30.0),
        ("Wednesday, 25-Feb-26 06:13:50 GMT", 30.0),
        ("Wed Feb 25 06:13:50 2026", 30.0),
        ("Wed, 25 Feb 2026 06:13:10 GMT", -10.0),
        ("2026-02-25T06:14:20Z", 60.0),
        ("2026-02-25T06:14:20.5Z", 60.5),
        ("2026-02-25T07:14:20+01:00", 60.0),
        ("2026-02-25T06:14:20", 60.0),
    ],
)
def test_a_time_to_wait_is_read(text: str, seconds: float) -> None:
    assert seconds_until(text, WALL_S) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "soon", "1 minute", "1x", "m", "s", "1s2", "--1s", "1e3", "nan", "inf", "0x10", "9" * 30, "٣"),
        *("Wed, 99 Feb 2026 06:13:50 GMT", "2026-13-01T00:00:00Z", "0000-00-00", "Mon, 1 Jan 99999 00:00:00 GMT"),
    ],
)
def test_an_unknown_format_is_no_time(text: str) -> None:
    assert seconds_until(text, WALL_S) is None
    assert requested_wait_s({"retry-after": text}, "", WALL_S, throttled=True) is None


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    asked = requested_wait_s({"retry-after": text, "retry-after-ms": text}, text, WALL_S, throttled=True)
    assert asked is None or 0 <= asked <= MAX_REQUESTED_WAIT_S


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        pytest.param({}, "", None, id="nothing"),
        pytest.param({"retry-after": "2"}, "", 2.0, id="seconds"),
        pytest.param({"retry-after-ms": "1500"}, "", 1.5, id="milliseconds"),
        pytest.param({"retry-after-ms": "12.5"}, "", 0.0125, id="a part of a millisecond"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "2"}, "", 1.5, id="milliseconds go first"),
        pytest.param({"retry-after-ms": "soon", "retry-after": "2"}, "", 2.0, id="milliseconds that are none"),
        pytest.param({"retry-after": "Wed, 25 Feb 2026 06:13:25 GMT"}, "", 5.0, id="a date"),
        pytest.param({"retry-after": "Wed, 25 Feb 2026 06:13:00 GMT"}, "", 0.0, id="a date that is past"),
        pytest.param({"retry-after": "-5"}, "", 0.0, id="negative"),
        pytest.param({"retry-after-ms": "-5"}, "", 0.0, id="negative milliseconds"),
        pytest.param({"retry-after": "3600"}, "", 120.0, id="too long"),
        pytest.param({}, GEMINI % "46s", 46.0, id="Gemini"),
        pytest.param({}, GEMINI % "5.723s", 5.723, id="Gemini, a part of a second"),
        pytest.param({}, '{"error":{"message":"{\\"retryDelay\\": \\"7s\\"}"}}', 7.0, id="Gemini behind a gateway"),
        pytest.param({"retry-after": "2"}, GEMINI % "46s", 2.0, id="the header goes before the body"),
        pytest.param({"x-ratelimit-reset-requests": "6m0s"}, "", 120.0, id="OpenAI's reset"),
        pytest.param({"x-ratelimit-reset-tokens": "12ms"}, "", 0.012, id="OpenAI's reset, short"),
        pytest.param({"x-ratelimit-reset-tokens": "30"}, "", 30.0, id="Azure's reset"),
        pytest.param({"anthropic-ratelimit-tokens-reset": "2026-02-25T06:13:31Z"}, "", 11.0, id="Anthropic's reset"),
        pytest.param({"retry-after": "1", "x-ratelimit-reset-requests": "9s"}, "", 1.0, id="the reset comes last"),
        pytest.param(
            {
                **{"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "1s"},
                **{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9s"},
            },
            "",
            9.0,
            id="the reset of what is used up",
        ),
        pytest.param(
            {
                **{"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "3s"},
                **{"anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": "8s"},
                **{
                    "anthropic-ratelimit-output-tokens-remaining": "5",
                    "anthropic-ratelimit-output-tokens-reset": "30s",
                },
            },
            "",
            8.0,
            id="the last of those that are used up",
        ),
        pytest.param(
            {
                **{"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "2s"},
                **{"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"},
            },
            "",
            2.0,
            id="the first one where none is used up",
        ),
    ],
)
def test_the_wait_that_an_answer_asks_for(headers: dict[str, str], body: str, seconds: float | None) -> None:
    expected = None if seconds is None else pytest.approx(seconds)
    assert requested_wait_s(headers, body, WALL_S, throttled=True) == expected


def test_resets_count_only_if_throttled() -> None:
    assert requested_wait_s({"x-ratelimit-reset-requests": "9s"}, "", WALL_S, throttled=False) is None
    assert requested_wait_s({"retry-after": "9"}, "", WALL_S, throttled=False) == 9.0


@pytest.mark.parametrize(
    ("text", "wanted"), [("true", True), ("false", False), (" True ", True), ("", None), ("yes", None), ("1", None)]
)
def test_whether_a_server_wants_a_retry(text: str, wanted: bool | None) -> None:
    assert should_retry({"x-should-retry": text}) is wanted
    assert should_retry({}) is None


def test_backoff_is_random_below_a_bound_that_doubles() -> None:
    longest = [backoff_s(attempt, 1.0) for attempt in range(7)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(b >= a for a, b in itertools.pairwise(longest))
    assert backoff_s(0, 0.0) == backoff_s(9, 0.0) == 0.0
    assert backoff_s(2, 0.25) == 0.5
    assert backoff_s(10_000, 0.5) == 4.0


def test_retry_headers_are_quoted_before_rate_limits() -> None:
    headers = {
        "content-type": "application/json",
        "x-ratelimit-remaining-requests": "0",
        "anthropic-ratelimit-tokens-limit": "5",
        "retry-after": "2",
        "x-should-retry": "true",
    }
    assert retry_headers(headers) == (
        "retry-after: 2; x-should-retry: true; x-ratelimit-remaining-requests: 0; anthropic-ratelimit-tokens-limit: 5"
    )
    assert retry_headers({"content-type": "text/html"}) == ""
    assert len(retry_headers({f"x-ratelimit-{n}": "y" * 9_000 for n in range(9)})) == MAX_QUOTED


@pytest.mark.parametrize(
    ("headers", "reported"),
    [
        ({}, []),
        ({"x-ratelimit-limit-requests": "60"}, []),
        (
            {
                **{"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"},
                **{"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-tokens": "149984"},
            },
            [LimitReport("requests", 60, 59, "1s"), LimitReport("tokens", None, 149_984, "")],
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-limit": "50000",
                "anthropic-ratelimit-input-tokens-remaining": "49000",
                "anthropic-ratelimit-input-tokens-reset": "2026-02-25T06:13:31Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
            },
            [
                LimitReport("input-tokens", 50_000, 49_000, "2026-02-25T06:13:31Z"),
                LimitReport("output-tokens", None, 0, ""),
            ],
        ),
        (
            {"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1"},
            [LimitReport("tokens", None, None, "")],
        ),
        ({"x-ratelimit-remaining-requests": "many"}, [LimitReport("requests", None, None, "")]),
        ({"x-ratelimit-remaining-requests": "9" * 30}, [LimitReport("requests", None, None, "")]),
        ({"x-ratelimit-remaining-requests": "7, 8"}, [LimitReport("requests", None, 7, "")]),
        ({"x-ratelimit-remaining-images": "7"}, []),
    ],
)
def test_rate_limits_in_headers(headers: dict[str, str], reported: list[LimitReport]) -> None:
    assert limits_in(headers) == reported
