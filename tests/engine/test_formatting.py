"""Figures as a person reads them."""

import re
from collections.abc import Callable

import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.messages import RateLimit

MS = 1000
S = 1_000_000


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0"),
        (7, "7"),
        (950, "950"),
        (12_345, "12,345"),
        (999_999, "999,999"),
        (999_999.7, "1.00M"),
        (1_000_000, "1.00M"),
        (1_234_567, "1.23M"),
        (-5, "-5"),
    ],
)
def test_a_count(n: float, text: str) -> None:
    assert formatting.count(n) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (0, "0.00"),
        (0.42, "0.42"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (85.3, "85.3"),
        (99.96, "100"),
        (203.4, "203"),
        (999.7, "1,000"),
        (1234, "1,234"),
        (9_999.4, "9,999"),
        (9_999.7, "10.0k"),
        (71_234, "71.2k"),
        (99_960, "100k"),
        (712_345, "712k"),
        (999_700, "1.00M"),
        (1_234_567, "1.23M"),
    ],
)
def test_a_rate(per_second: float, text: str) -> None:
    assert formatting.rate(per_second) == text


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, "–"),
        (0, "0.00 ms"),
        (420, "0.42 ms"),
        (9_996, "10.0 ms"),
        (85.3 * MS, "85.3 ms"),
        (99.96 * MS, "100 ms"),
        (203 * MS, "203 ms"),
        (999.4 * MS, "999 ms"),
        (999.6 * MS, "1.00 s"),
        (2.514 * S, "2.51 s"),
        (9.996 * S, "10.0 s"),
        (83.44 * S, "83.4 s"),
        (3600 * S, "3600 s"),
    ],
)
def test_a_latency(us: float | None, text: str) -> None:
    assert formatting.latency(us) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "0.25s"),
        (10, "10s"),
        (10.0, "10s"),
        (59.5, "59.5s"),
        (60, "1m"),
        (90, "1m30s"),
        (65, "1m05s"),
        (119.6, "2m"),
        (3599.7, "1h"),
        (3600, "1h"),
        (7500, "2h05m"),
        (90_000, "25h"),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 10, "0 %"),
        (3, 1000, "0.3 %"),
        (1, 10, "10 %"),
        (9.96, 100, "10 %"),
        (9.94, 100, "9.9 %"),
        (12, 100, "12 %"),
        (10, 10, "100 %"),
    ],
)
def test_a_share(part: float, whole: float, text: str) -> None:
    assert formatting.share(part, whole) == text


def value_of(text: str) -> float:
    number = re.fullmatch(r"([0-9,.]+)(k|M| ms| s)?", text)
    assert number is not None, text
    return float(number[1].replace(",", "")) * {"k": 1e3, "M": 1e6, " ms": 1e3, " s": 1e6, None: 1}[number[2]]


@examples(300)
@given(value=st.floats(1, 9e8))
def test_a_rate_is_right_in_its_three_digits_and_short(value: float) -> None:
    check_three_digits(formatting.rate, value)


@examples(300)
@given(value=st.floats(1 * MS, 900 * S))
def test_a_latency_is_right_in_its_three_digits_and_short(value: float) -> None:
    check_three_digits(formatting.latency, value)


def check_three_digits(show: Callable[[float], str], value: float) -> None:
    text = show(value)
    assert value_of(text) == pytest.approx(value, rel=0.0051)
    assert 3 <= sum(character.isdigit() for character in text) <= 4
    assert len(text) <= 7


@pytest.mark.parametrize(
    ("rate_limits", "text"),
    [
        ({}, ""),
        ({"requests": RateLimit(5_000, 4_987, 0, 0)}, "4,987 of 5,000 requests"),
        ({"requests": RateLimit(5_000, 4_987, 0, 0), "tokens": RateLimit(10, 5, 0, 0)}, "5 of 10 tokens"),
        ({"tokens": RateLimit(None, 7, 0, 0)}, "7 tokens"),
        ({"tokens": RateLimit(None, 0, 0, 0), "requests": RateLimit(10, 9, 0, 0)}, "9 of 10 requests"),
        ({"tokens": RateLimit(0, 0, 0, 0)}, "0 tokens"),
    ],
)
def test_what_is_left_of_the_limit_that_is_nearest_to_its_end(rate_limits: dict[str, RateLimit], text: str) -> None:
    assert formatting.rate_limit_left(rate_limits) == text


@pytest.mark.parametrize(
    ("means", "shown"),
    [
        ({"ttft": 100.0, "ttft_due": 104.9}, False),
        ({"ttft": 100.0, "ttft_due": 105.1}, True),
        ({"ttft": None, "ttft_due": None}, False),
        ({}, False),
        ({"ttft": 0.0, "ttft_due": 5.0}, True),
    ],
)
def test_a_latency_since_it_was_due_has_a_line_where_it_differs(means: dict[str, float | None], shown: bool) -> None:
    assert formatting.worth_a_line("ttft_due", means) is shown
    assert formatting.worth_a_line("ttft", means)
    assert not formatting.worth_a_line("e2e_due", means)
