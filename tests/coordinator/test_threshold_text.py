"""The texts of thresholds: what they mean, and what is refused with which words."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.telemetry.thresholds import Threshold


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("ttft.p99>800ms", ("ttft", "p99", ">", 800_000)),
        (" ttft.p99 >= 0.8 s ", ("ttft", "p99", ">=", 800_000)),
        ("itl.p99.9<2500us", ("itl", "p99.9", "<", 2_500)),
        ("e2e.mean<=1s", ("e2e", "mean", "<=", 1_000_000)),
        ("queue.p99>50ms", ("queue", "p99", ">", 50_000)),
        ("errors.rate>1%", ("errors.rate", "", ">", 0.01)),
        ("errors.rate>0.01", ("errors.rate", "", ">", 0.01)),
        ("errors.http_503>0", ("errors.CLASS", "http_503", ">", 0)),
        ("errors.timeout_idle.rate>0.5 %", ("errors.CLASS.rate", "timeout_idle", ">", 0.005)),
        ("tokens.output_per_s<5000", ("tokens.output_per_s", "", "<", 5_000)),
        ("tokens.output_per_s<5k", ("tokens.output_per_s", "", "<", 5_000)),
        ("requests.ok<1.5M", ("requests.ok", "", "<", 1_500_000)),
        ("requests.ok<10_000", ("requests.ok", "", "<", 10_000)),
    ],
)
def test_comparisons(text: str, fields: tuple[str, str, str, float]) -> None:
    made = parse_threshold(text)
    assert (made.subject, made.argument, made.comparison, made.limit) == pytest.approx(fields)
    assert (made.window, made.over_s, made.after_s, made.abort) == ("", 0, 0, False)


@pytest.mark.parametrize(
    ("suffix", "window", "over_s", "after_s"),
    [
        ("in stage 3", "stage 3", 0, 0),
        ("in steady", "steady", 0, 0),
        ('in "warm-up"', "warm-up", 0, 0),
        ("in 'peak hour'", "peak hour", 0, 0),
        ("over 30s", "", 30, 0),
        ("after 1m30s", "", 0, 90),
        ("after 10s over 30s in stage 3", "stage 3", 30, 10),
    ],
)
def test_suffixes(suffix: str, window: str, over_s: float, after_s: float) -> None:
    made = parse_threshold(f"ttft.p99>800ms  {suffix}")
    assert (made.window, made.over_s, made.after_s) == (window, over_s, after_s)
    assert made.text == f"ttft.p99>800ms {suffix}"


def test_the_verdict() -> None:
    made = parse_threshold("verdict = invalid")
    assert (made.subject, made.unit, made.status) == ("verdict", "status", "invalid")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'ttft.p99>800ms'"),
        ("ttft.p99", "a shell"),
        ("tftt.p99>1s", "did you mean ttft.p99?"),
        ("errors.http503>0", "did you mean errors.http_503?"),
        ("error.rate>1%", "did you mean errors.rate?"),
        ("tokens.output_per_sec<5", "did you mean tokens.output_per_s?"),
        ("zzzzzzzz>1", "there are queue, connect"),
        ("ttft>800ms", "ttft.p50"),
        ("ttft.p100>800ms", "statistic"),
        ("ttft.p0>800ms", "statistic"),
        ("ttft.median>800ms", "statistic"),
        ("ttft.p99=800ms", ">, >=, < or <="),
        ("ttft.p99!=800ms", ">, >=, < or <="),
        ("ttft.p99>800", "needs a unit"),
        ("ttft.p99>800h", "needs a unit"),
        ("ttft.p99>-5ms", "no limit"),
        ("ttft.p99>", "no limit"),
        ("ttft.p99>1,5s", "no limit"),
        ("errors.rate>5", "5%"),
        ("errors.rate>500%", "at most 100%"),
        ("errors.rate>100%", "never true"),
        ("errors.rate<0%", "never true"),
        ("requests.ok<0", "never true"),
        ("errors.rate>5ms", "percentage"),
        ("requests.ok<5%", "without another unit"),
        ("requests.ok<1000000000000000000", "too large"),
        ("errors.ok>5", "not known"),
        ("errors.cancelled>5", "not known"),
        ("errors.http_503.share>5%", "not known"),
        ("verdict=valid", "verdict=invalid"),
        ("verdict>invalid", "verdict=invalid"),
        ("verdict=invalid over 30s", "suffix"),
        ("ttft.p99>1s over", "`over 30s`"),
        ("ttft.p99>1s over 30", "not a duration"),
        ("ttft.p99>1s over 10ms", "at least 1 s"),
        ("ttft.p99>1s within 30s", "`over 30s`"),
        ("ttft.p99>1s over 30s over 40s", "two suffixes 'over'"),
        ("ttft.p99>1s\x1b[2J", "printable"),
        ("ttft.p99>1s in '" + "x" * 400 + "'", "printable text of at most"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        parse_threshold(text)
    assert words in str(refused.value)


@given(st.text() | st.from_regex(r"[a-z_.0-9]{1,12}[<>=]{1,2}[0-9.]{1,4}[a-z%]{0,2}( over 3s)?", fullmatch=True))
def test_any_text_is_a_threshold_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_threshold(text), Threshold)
