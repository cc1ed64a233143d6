"""The values of --slo, --slo-preset, --deadline and --reading-speed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.slo_presets import PRESETS, parse_preset
from llmstress.coordinator.config.slo_text import deadlines_text, parse_deadlines, parse_reading_speed, parse_slo
from llmstress.engine.telemetry.slo import JUDGED, Deadlines, Slo


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("ttft<500ms", Slo("ttft", 500_000, True, "ttft<500ms")),
        ("tpot<=40ms", Slo("tpot", 40_000, False, "tpot<=40ms")),
        (" e2e < 1m30s ", Slo("e2e", 90_000_000, True, "e2e<1m30s")),
        ("stall<=0.5s", Slo("stall", 500_000, False, "stall<=0.5s")),
        ("ttft_due<1s", Slo("ttft_due", 1_000_000, True, "ttft_due<1s")),
        ("queue<0.001ms", Slo("queue", 1, True, "queue<0.001ms")),
    ],
)
def test_an_slo_is_read(text: str, slo: Slo) -> None:
    assert parse_slo(text) == slo


@pytest.mark.parametrize("metric", JUDGED)
def test_an_slo_can_limit_each_latency_of_a_request(metric: str) -> None:
    assert parse_slo(f"{metric}<1s").metric == metric


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("itl<20ms", "use stall, the longest gap, or tpot"),
        ("tps_user<20ms", "limit tpot"),
        ("tfft<1s", "did you mean ttft?"),
        ("latency<1s", "An SLO can limit queue, connect, ttfb, ttft"),
        ("loop_lag<1ms", "not a latency of a request"),
        ("ttft>1s", "an upper limit like 'ttft<500ms'"),
        ("ttft<1s,tpot<50ms", "for several SLOs, repeat the flag"),
        ("ttft<1s tpot<50ms", "for several SLOs, repeat the flag"),
        ("ttft_p99<1s", "not a percentile"),
        ("p95(e2e)<1s", "not a percentile"),
        ("max ttft<1s", "not a percentile"),
        ("ttft<500", "not a duration"),
        ("ttft<0s", "no request can meet it"),
    ],
)
def test_what_is_no_slo_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        parse_slo(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_slo, parse_deadlines, parse_reading_speed, parse_preset):
        with contextlib.suppress(ValueError):
            parse(text)


def test_deadlines_are_read_in_any_order_and_written_as_they_are_read() -> None:
    expected = Deadlines(1_500_000, 50_500)
    assert parse_deadlines("first=1.5s,token=50.5ms") == parse_deadlines("token=50.5ms, first=1.5s") == expected
    assert parse_deadlines(deadlines_text(expected)) == expected


@pytest.mark.parametrize(("text", "speed"), [("20", 20.0), ("4.5", 4.5), ("0.5", 0.5), ("10000", 10_000.0)])
def test_a_reading_speed_is_read(text: str, speed: float) -> None:
    assert parse_reading_speed(text) == speed


def test_a_preset_is_its_source_s_limits() -> None:
    assert parse_preset("mlperf:llama2-70b-interactive") == "mlperf:llama2-70b-interactive"
    texts = [slo.text for slo in PRESETS["mlperf:llama2-70b-interactive"]]
    assert texts == ["ttft_due<=450ms", "tpot<=40ms"]


def test_an_unknown_preset_is_refused_with_names_that_exist() -> None:
    with pytest.raises(ValueError, match="did you mean mlperf:llama2-70b"):
        parse_preset("llama2-70b")
    with pytest.raises(ValueError, match=f"use one of {', '.join(PRESETS)}"):
        parse_preset("x")
