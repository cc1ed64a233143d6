"""Rates, stages and pauses: from the text of a flag to the plans of the workers."""

from collections.abc import Callable

import pytest
from helpers.made_options import options, plans_of
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.load_text import parse_bystander, parse_rate, parse_stage, parse_think_time
from llmstress.coordinator.output.console import phases, size_of
from llmstress.coordinator.run.load_plan import profile_of, stage_profile, stage_windows
from llmstress.coordinator.run.token_rate import LEAST_ANSWERS, expected_tokens, measured_tokens, note_of
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Think
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Part, Phase

S = 1_000_000_000


# --- texts


@pytest.mark.parametrize(
    ("text", "per_s", "tokens"),
    [
        *(("200/s", 200, False), ("50/m", 50 / 60, False), ("10/h", 10 / 3600, False), ("0.5/s", 0.5, False)),
        *(("1k/s", 1000, False), ("90/min", 1.5, False), ("2/sec", 2, False), ("36/hour", 0.01, False)),
        *(("600k-tokens/m", 10_000, True), ("1M-tokens/m", 1e6 / 60, True), ("30 tokens/s", 30, True)),
        *(("5-requests/s", 5, False), (" 7/s ", 7, False), ("1000000/s", 1e6, False), ("1/h", 1 / 3600, False)),
    ],
)
def test_a_rate_is_read(text: str, per_s: float, tokens: bool) -> None:
    rate = parse_rate(text)
    assert rate.per_s == pytest.approx(per_s, rel=1e-12)
    assert (rate.tokens, str(rate)) == (tokens, text.strip())


def refusal(parse: Callable[[str], object], text: str) -> str:
    """Why a text is refused; empty: it is not."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


@given(st.text(max_size=20))
def test_any_text_is_a_rate_or_refused_with_an_example(text: str) -> None:
    for parse in (parse_rate, parse_bystander):
        said = refusal(parse, text)
        assert not said or any(way in said for way in ("write it like", "out of range", "write requests"))


@pytest.mark.parametrize(
    ("text", "think"),
    [
        ("2s", Think(low_ns=2 * S, high_ns=2 * S)),
        ("1s..3s", Think(low_ns=S, high_ns=3 * S)),
        ("0s..500ms", Think(low_ns=0, high_ns=S // 2)),
        ("exp:2s", Think(exponential=True, low_ns=2 * S)),
        ("0s", Think()),
        (" 1m ", Think(low_ns=60 * S, high_ns=60 * S)),
    ],
)
def test_a_think_time_is_read(text: str, think: Think) -> None:
    assert parse_think_time(text) == think


@pytest.mark.parametrize(
    ("text", "seconds", "target", "rate", "shape", "period_s"),
    [
        ("30s:100", 30, 100, False, "linear", 0),
        ("2m:50/s", 120, 50, True, "linear", 0),
        ("10s:0", 10, 0, False, "linear", 0),
        ("10s:0/s", 10, 0, True, "linear", 0),
        ("1m:1000:step", 60, 1000, False, "step", 0),
        ("500ms:90/m:spike", 0.5, 1.5, True, "spike", 0),
        ("10m:500:sine/2m", 600, 500, False, "sine", 120),
        ("10m:500:sine", 600, 500, False, "sine", 600),
    ],
)
def test_a_stage_is_read(text: str, seconds: float, target: float, rate: bool, shape: str, period_s: float) -> None:
    stage = parse_stage(text)
    assert (stage.seconds, stage.target, stage.rate, stage.shape, stage.period_s) == (
        *(seconds, target, rate, shape, period_s),
    )
    assert str(stage) == text


@given(st.text(max_size=20))
def test_any_text_is_a_stage_or_refused(text: str) -> None:
    said = refusal(parse_stage, text)
    assert not said or "stage" in said


# --- profiles and windows


def levels(*texts: str, at: tuple[float, ...]) -> list[float]:
    profile = stage_profile([parse_stage(text) for text in texts])
    return [round(profile.level_at(int(t * S)), 6) for t in at]


def test_stages_follow_one_another() -> None:
    assert levels("10s:100", "20s:50", "5s:0", at=(0, 5, 10, 20, 30, 32.5, 35)) == [0, 50, 100, 75, 50, 25, 0]
    assert levels("10s:100:step", "10s:40:step", at=(0, 9.99, 10, 19.99, 20)) == [100, 100, 40, 40, 0]
    assert levels("10s:20/s:step", "10s:200/s:spike", "10s:20/s", at=(5, 10, 19, 20, 29)) == [20, 200, 200, 20, 20]
    assert levels("10s:20/s:step", "10s:60/s:sine", "10s:20/s", at=(10, 15, 20, 25)) == [20, 60, 20, 20]
    assert levels("10s:40/s:sine/5s", at=(0, 2.5, 5, 7.5)) == [0, 40, 0, 40]


def test_a_first_stage_of_0_has_the_unit_of_the_others() -> None:
    assert stage_profile([parse_stage("1s:0"), parse_stage("1s:5/s")]).unit == "requests"
    assert stage_profile([parse_stage("1s:0"), parse_stage("1s:5")]).unit == "streams"
    chosen = options(stages=(parse_stage("1s:0"), parse_stage("1s:5/s")), total=50)
    assert (chosen.open, chosen.total_streams) == (True, 50)


def test_each_stage_is_a_window_with_exact_limits() -> None:
    windows = stage_windows([parse_stage(text) for text in ("333ms:1", "1s:2", "2s:0")])
    assert [(each.kind, each.label, each.begin, each.end) for each in windows] == [
        (Phase.STEADY, "stage 1", 0, 333_000_000),
        (Phase.STEADY, "stage 2", 333_000_000, 1_333_000_000),
        (Phase.STEADY, "stage 3", 1_333_000_000, 3_333_000_000),
        (Phase.DRAIN, "drain", 3_333_000_000, None),
    ]


def test_a_rate_rises_along_the_ramp() -> None:
    profile = profile_of(options(rate=parse_rate("50/s"), ramp_up_s=10.0))
    assert profile is not None
    assert [profile.level_at(int(t * S)) for t in (0, 5, 10, 10_000)] == [0, 25, 50, 50]
    assert profile_of(options()) is None


# --- options and plans


def test_the_defaults_of_rates_and_stages() -> None:
    at_a_rate = options(rate=parse_rate("10/s"))
    assert (at_a_rate.total_streams, at_a_rate.procs, at_a_rate.ramp_up_s) == (10_000, 4, 0)
    assert at_a_rate.arrival_name == "poisson"
    assert options(rate=parse_rate("10/s"), burstiness=0.5).arrival_name == "gamma"
    assert options(rate=parse_rate("10/s"), streams=7).total_streams == 28
    staged = options(stages=(parse_stage("1s:3"), parse_stage("1s:70")))
    assert (staged.total_streams, staged.ramp_up_s, staged.steady_s) == (70, 0, 2)
    assert options(stages=(parse_stage("1s:2"),)).procs == 2, "no process without a stream"


@given(
    requests=st.integers(1, 10_000),
    procs=st.integers(1, 64),
    max_queue=st.integers(0, 1_000),
    in_flight=st.integers(64, 999),
)
def test_shares_of_the_open_model_add_up(requests: int, procs: int, max_queue: int, in_flight: int) -> None:
    chosen = options(rate=parse_rate("10/s"), requests=requests, procs=procs, max_queue=max_queue, total=in_flight)
    plans = plans_of(chosen)
    assert sum(plan.requests or 0 for plan in plans) == requests
    assert [plan.requests for plan in plans] == [len(range(worker, requests, procs)) for worker in range(procs)]
    assert sum(plan.open.max_queue or 0 for plan in plans if plan.open is not None) == max_queue
    assert sum(plan.streams for plan in plans) == in_flight
    assert len({plan.profile for plan in plans}) == 1


def test_a_queue_has_a_time_limit_unless_it_is_switched_off() -> None:
    (limited, *_) = plans_of(options(rate=parse_rate("10/s")))
    (never, *_) = plans_of(options(rate=parse_rate("10/s"), queue_timeout_s=0.0))
    assert limited.open is not None
    assert never.open is not None
    assert (limited.open.queue_timeout_ns, never.open.queue_timeout_ns) == (60 * S, 0)


def test_one_worker_has_the_bystander() -> None:
    plans = plans_of(options(bystander=parse_bystander("30/m"), system="long " * 100, max_tokens=500, min_tokens=9))
    assert [plan.bystander is not None for plan in plans] == [True, False, False, False]
    (bystander, *_) = [plan.bystander for plan in plans]
    assert bystander is not None
    assert bystander.per_s == 0.5
    assert (bystander.task.ask.max_tokens, bystander.task.ask.min_tokens, bystander.task.ask.system) == (8, None, None)
    assert bystander.task.ask.model == "m"


def test_the_banner_says_what_the_load_is() -> None:
    assert size_of(options(rate=parse_rate("90/m"), procs=2)) == (
        "2 processes, 90/m (poisson arrivals), at most 10,000 requests in flight"
    )
    staged = options(stages=tuple(parse_stage(f"1s:{number}") for number in range(1, 9)), procs=2)
    assert size_of(staged) == "2 processes, up to 8 streams"
    assert phases(staged)[0] == "stages 1s:1, 1s:2, 1s:3, 1s:4, 1s:5, 1s:6, 2 more"


# --- tokens


def test_the_expected_tokens_of_a_request() -> None:
    assert expected_tokens(Ask(prompt="a" * 400, max_tokens=100)) == 200
    assert expected_tokens(Ask(prompt="a" * 400, system="b" * 40, max_tokens=100)) == 210
    assert expected_tokens(Ask(prompt_ids=(1, 2, 3), max_tokens=7)) == 10


def measured(ok: int, input_tokens: int, output_tokens: int, usage: int) -> Aggregate:
    aggregate = Aggregate.over([1])
    part = Part(Counters(input=input_tokens, output=output_tokens, usage_seen=usage), {"ok": ok})
    aggregate.parts = {int(Phase.STEADY): part}
    return aggregate


def test_the_mean_of_answers_takes_the_place_of_the_expected_tokens() -> None:
    assert measured_tokens(measured(LEAST_ANSWERS, 2_000, 400, 20), 500.0) == 120
    assert measured_tokens(measured(LEAST_ANSWERS - 1, 2_000, 400, 19), 500.0) == 500, "too few"
    assert measured_tokens(measured(LEAST_ANSWERS, 0, 400, 0), 500.0) == 500, "no usage"
    assert measured_tokens(measured(1_000, 100_000, 20_100, 1_000), 120.0) == 120, "hardly another"
    assert measured_tokens(measured(LEAST_ANSWERS, 0, 0, 20), 500.0) == 500


def test_a_rate_in_tokens_becomes_requests_of_so_many_tokens() -> None:
    profile = profile_of(options(rate=parse_rate("60k-tokens/m")), 250.0)
    assert profile is not None
    assert (profile.level_at(S), profile.unit) == (4, "requests")


def test_a_correction_is_told_if_it_is_large() -> None:
    asked = parse_rate("60k-tokens/m")
    assert note_of(asked, 100.0, 104.0) == ""
    assert note_of(asked, 100.0, 200.0) == (
        "a request has 200 tokens on average, not 100: 60k-tokens/m are 5.00 requests/s from now on"
    )


def test_which_requests_are_abandoned_does_not_depend_on_the_number_of_processes() -> None:
    chosen = options(procs=3, total=10, requests=10, abandon=0.2, abandon_after_tokens=1)
    assert [plan.requests for plan in plans_of(chosen)] == [4, 3, 3]
