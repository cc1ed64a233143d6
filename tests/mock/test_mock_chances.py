"""The pure parts of the mock that depend on random numbers or on the time: delays, limits, slots, freezes, faults."""

import random
from collections import Counter

import pytest

from llmstress.engine.mock.buckets import Allowance, Bucket, RateLimits
from llmstress.engine.mock.delays import DelayDistribution, Delays
from llmstress.engine.mock.draws import Draws
from llmstress.engine.mock.faults import FAULT_HELP, HARMLESS, Fault, FaultShare, parse_fault
from llmstress.engine.mock.freezes import Freezes
from llmstress.engine.mock.slots import Slots

S = 1_000_000
"""µs in a second."""


# delays


def drawn(shape: DelayDistribution, mean_us: float, jitter: float, count: int = 50_000) -> list[int]:
    delays = Delays(shape, mean_us, jitter, random.Random(1))
    return [delays.next() for _ in range(count)]


def deviation(values: list[int]) -> float:
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("shape", "jitter", "share"),
    [
        ("uniform", 0.2, 0.2 / 3**0.5),
        ("uniform", 1.0, 1 / 3**0.5),
        ("exponential", 0.2, 1.0),
        ("lognormal", 0.2, 0.2),
        ("lognormal", 1.0, 1.0),
    ],
)
def test_delays_have_the_mean_and_the_spread_that_their_shape_says(
    shape: DelayDistribution, jitter: float, share: float
) -> None:
    values = drawn(shape, 20_000, jitter)
    # five standard errors of a mean; the tails of a lognormal make its deviation less precise
    assert sum(values) / len(values) == pytest.approx(20_000, rel=0.025)
    assert deviation(values) == pytest.approx(20_000 * share, rel=0.06)
    assert min(values) >= 0


def test_each_shape_is_its_own() -> None:
    even = drawn("uniform", 1_000, 0.5)
    assert (min(even), max(even)) == (500, 1_499)
    assert all(abs(sum(a <= v < a + 100 for v in even) / len(even) - 0.1) < 0.01 for a in range(500, 1_500, 100))
    # of exponential delays 1/e are above the mean, of lognormal ones half are above exp(µ) = m / sqrt(1 + j²)
    waits = drawn("exponential", 100_000, 0.2)
    assert sum(v > 100_000 for v in waits) / len(waits) == pytest.approx(0.3679, abs=0.01)
    skew = drawn("lognormal", 100_000, 0.5)
    assert sum(v > 100_000 / 1.25**0.5 for v in skew) / len(skew) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("shape", ["uniform", "exponential", "lognormal"])
def test_without_jitter_or_mean(shape: DelayDistribution) -> None:
    assert set(drawn(shape, 0, 0.2, 1_000)) == {0}
    if shape != "exponential":
        assert set(drawn(shape, 5_000, 0, 1_000)) <= {4_999, 5_000}
    delays = Delays(shape, 5_000, 0.2, random.Random(1))
    assert delays.total(700) == sum(drawn(shape, 5_000, 0.2, 700))


# rate limits


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(10, 20, now_us=7 * S)
    taken = 0
    for now in range(7 * S, 17 * S, 1_000):
        if not bucket.wait_us(1, now):
            bucket.take(1, now)
            taken += 1
    assert taken == 20 + 10 * 10 - 1, "the last one is only there at the end of the ten seconds"


def test_who_comes_back_when_told_is_let_in() -> None:
    bucket = Bucket(3, 10, now_us=0)
    bucket.take(10, 0)
    wait = bucket.wait_us(7, 0)
    assert wait == pytest.approx(7 / 3 * S, abs=2)
    assert bucket.wait_us(7, wait) == 0
    assert bucket.wait_us(7, wait - 2) > 0


def test_more_than_a_bucket_holds_is_taken_on_credit() -> None:
    bucket = Bucket(10, 10, now_us=0)
    assert bucket.wait_us(25, 0) == 0
    bucket.take(25, 0)
    assert bucket.allowance(0) == Allowance(10, 0, int(2.5 * S))
    assert bucket.wait_us(1, 0) == pytest.approx(1.6 * S, abs=1)
    assert bucket.wait_us(25, 2 * S) == pytest.approx(0.5 * S, abs=1)
    assert bucket.allowance(100 * S) == Allowance(10, 10, 0)


def test_both_limits_have_to_let_a_request_in() -> None:
    limits = RateLimits(2, 100, 1, now_us=0)
    assert limits
    assert limits.admit(60, 0) == 0
    assert limits.admit(60, 0) == pytest.approx(0.2 * S, abs=1)
    assert limits.requests(0) == Allowance(2, 1, S // 2), "who is refused has taken nothing"
    assert limits.tokens(0) == Allowance(100, 40, int(0.6 * S))
    assert limits.admit(40, 0) == 0
    assert limits.admit(1, 0) == pytest.approx(0.5 * S, abs=1), "the longer wait of the two"


def test_a_limit_that_is_not_there_refuses_nobody() -> None:
    none = RateLimits(0, 0, 1, 0)
    assert not none
    assert none.admit(10**12, 0) == 0
    assert none.requests(0) is none.tokens(0) is None
    tokens = RateLimits(0, 0.5, 1, 0)
    assert tokens
    assert tokens.tokens(0) == Allowance(1, 1, 0), "a bucket has room for one at least"
    assert [tokens.admit(1, 0), tokens.admit(1, 0)] == [0, 2 * S + 1]


# slots


def test_slots_are_given_in_the_order_of_arrival() -> None:
    slots: Slots[str] = Slots(2)
    assert [slots.enter(each) for each in "abcde"] == [True, True, False, False, False]
    assert slots.leave("d") is None, "who gives up frees nothing"
    assert slots.leave("b") == "c"
    assert slots.leave("a") == "e"
    assert slots.leave("c") is None
    assert slots.enter("f")
    assert not slots.enter("g")


def test_without_slots_nobody_waits() -> None:
    slots: Slots[int] = Slots(0)
    assert all(slots.enter(each) for each in range(1_000))
    assert [slots.leave(each) for each in range(1_000)] == [None] * 1_000


# freezes


def test_freezes_come_again_and_again() -> None:
    freezes = Freezes(5 * S, 10 * S, 2 * S)
    frozen = [second for second in range(5, 40) if freezes.frozen(second * S)]
    assert frozen == [15, 16, 25, 26, 35, 36]
    assert not freezes.frozen(15 * S - 1)
    assert not freezes.frozen(17 * S)
    assert not any(Freezes(0, 0, 0).frozen(now) for now in (0, 1, S))


# faults


def test_every_fault_says_what_it_is() -> None:
    assert set(FAULT_HELP) == set(Fault)
    assert set(Fault) > HARMLESS


@pytest.mark.parametrize("fault", Fault)
def test_faults_are_given_by_name_and_share(fault: Fault) -> None:
    assert parse_fault(f"{fault}=2.5%") == FaultShare(fault, 0.025)
    assert parse_fault(str(FaultShare(fault, 0.25))) == FaultShare(fault, 0.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a fault"),
        ("cuts=5%", "the faults are reset_before_head, .*keepalive_events"),
        ("cut", "no share"),
        ("cut=5", "no share"),
        ("cut=101%", "no share"),
        ("cut=-1%", "no share"),
        ("cut=nan%", "no share"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_fault(text)


SHARES = (FaultShare(Fault.CUT, 0.1), FaultShare(Fault.EMPTY, 0.25), FaultShare(Fault.HTTP_500, 0.0))


def test_the_same_seed_gives_the_same_fates_whatever_else_is_drawn() -> None:
    draws = [Draws(SHARES, "7/0", 0).of(number) for number in range(4_000)]
    again = Draws(SHARES, "7/0", 0)
    assert [again.of(number) for number in reversed(range(4_000))] == draws[::-1]
    assert [Draws(SHARES, "8/0", 0).of(number) for number in range(4_000)] != draws
    counts = Counter(draw.fault for draw in draws)
    # four standard deviations of 4,000 draws
    assert counts[Fault.CUT] == pytest.approx(400, abs=76)
    assert counts[Fault.EMPTY] == pytest.approx(1_000, abs=110)
    assert counts[Fault.HTTP_500] == 0
    assert sum(draw.position for draw in draws) / 4_000 == pytest.approx(0.5, abs=0.02)
    assert sum(draw.length for draw in draws) / 4_000 == pytest.approx(0.5, abs=0.02)


def test_only_the_first_requests_may_have_faults() -> None:
    always = (FaultShare(Fault.CUT, 1.0),)
    assert [Draws(always, "0", 3).of(number).fault for number in range(5)] == [Fault.CUT] * 3 + [None] * 2
    lasting = Draws(always, "0", 0)
    assert {lasting.of(number).fault for number in range(100)} == {Fault.CUT}
    assert [draw[1:] for draw in map(Draws(always, "0", 3).of, range(9))] == [lasting.of(n)[1:] for n in range(9)]
