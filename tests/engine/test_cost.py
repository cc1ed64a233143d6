"""What requests cost: the worked cases of docs/metrics.md, computed by hand, and how parts of a run add up."""

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, TOKEN, Bench, usage

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.cost import Cost, Price, Pricing, Tariff, cost_of, cost_of_task
from llmstress.engine.telemetry.formatting import money
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Delta, Part, Phase, consecutive, key_of
from llmstress.engine.telemetry.spending import Spending, committed, spending_of, total_cost
from llmstress.engine.telemetry.subjects import SUBJECTS, Stretch
from llmstress.engine.telemetry.thresholds import Reading

PRICE = Price(input=2.5, cached=1.25, output=10.0)
TARIFF = Tariff(model="m", price=PRICE, limit=64)

TEN_OK = {"input": 1000, "output": 500, "input_seen": 10, "usage_seen": 10}
"""Ten ok requests with 100 input and 50 output tokens each."""


def part(ended: dict[str, int], *retried: dict[str, int], **counters: int) -> Part:
    return Part(Counters(**counters), ended, retried=dict(*retried))


def cost(of: Part, tariff: Tariff = TARIFF) -> Cost:
    return cost_of_task(tariff, of)


# --- the cases of docs/metrics.md


def test_ok_requests_cost_their_usage() -> None:
    found = cost(part({"ok": 10}, **TEN_OK))
    assert (found.input, found.output) == pytest.approx((0.0025, 0.005))
    assert found.low == found.value == found.high == pytest.approx(0.0075)


def test_cached_input_has_its_own_price() -> None:
    """600 × 2.50 + 400 × 1.25 + 500 × 10, divided by a million."""
    found = cost(part({"ok": 10}, cached_input=400, **TEN_OK))
    assert (found.input, found.cached, found.output) == (0.0015, 0.0005, 0.005)
    assert found.value == pytest.approx(0.007)


def test_cache_writes_have_their_own_price() -> None:
    """500 × 2.50 + 400 × 1.25 + 100 × 3.75 + 500 × 10."""
    written = part({"ok": 10}, cached_input=400, cache_written=100, **TEN_OK)
    dear = Tariff(price=Price(input=2.5, cached=1.25, cache_write=3.75, output=10.0))
    assert cost(written, dear).value == pytest.approx(0.007125)
    assert cost(written).value == pytest.approx(0.007), "without a price of its own it costs as other input"


def test_requests_that_were_cut_off_are_an_estimate() -> None:
    """Three were cut off, two of them after 30 token events in all. Estimate: 2 × 100 × 2.50 + 30 × 10. The most:
    3 × 100 × 2.50 + 3 × 64 × 10."""
    found = cost(
        part({"ok": 10, "cancelled": 3}, output_cancelled=30, unfinished_begun=2, unfinished_output=30, **TEN_OK)
    )
    assert found.unfinished == 3
    assert found.unfinished_cost == pytest.approx(0.0008)
    assert (found.low, found.value, found.high) == pytest.approx((0.0075, 0.0083, 0.01017))


def test_requests_that_were_refused_cost_nothing() -> None:
    refused = {"http_500": 4, "rate_limited": 3, "connect_refused": 2, "quota": 1}
    found = cost(part({"ok": 10, **refused}, {"http_503": 5, "rate_limited": 6}, **TEN_OK))
    assert (found.unfinished, found.high) == pytest.approx((0, 0.0075))


def test_without_usage_the_cost_is_a_lower_bound() -> None:
    """Two of ten answers came without usage: their input is unknown, and their 80 tokens are counted in events."""
    found = cost(part({"ok": 10}, input=800, output=480, input_seen=8, usage_seen=8))
    assert (found.unknown, found.value, found.high) == pytest.approx((2, 0.0068, None))


def test_hardware_costs_time() -> None:
    """12.50 an hour for 72 s: 0.25 for 50,000 output and 200,000 input tokens."""
    aggregate = aggregate_of({0: part({"ok": 100}, output=50_000, input=200_000)}, seconds=90)
    found = spending(aggregate, Pricing(per_hour=12.5), 72.0)
    assert found.steady.value == pytest.approx(0.25)
    assert found.per_million_output == pytest.approx(5.0)
    assert found.per_million == pytest.approx(1.0)
    assert found.per_request == pytest.approx(0.0025)
    assert found.total.value == pytest.approx(0.3125), "the whole run is longer than the steady window"


# --- single rules


def test_usage_of_a_request_that_was_cut_off_is_used() -> None:
    """Anthropic sends the input at the begin: 40 tokens, 10 of them cached. 30 × 2.50 + 10 × 1.25 + 4 × 10."""
    known = {"unfinished_begun": 1, "unfinished_seen": 1, "unfinished_input": 40, "unfinished_cached": 10}
    found = cost(part({"cancelled": 1}, output_cancelled=4, unfinished_output=4, **known))
    assert found.unfinished_cost == pytest.approx(127.5e-6)
    assert found.high == pytest.approx((40 * 2.5 + 64 * 10) / 1e6)


def test_several_tokens_in_an_event_count_in_the_estimate() -> None:
    events = {"events_ok": 250, "output_streamed": 500}
    found = cost(part({"ok": 10, "cancelled": 1}, output_cancelled=8, unfinished_begun=1, **events, **TEN_OK))
    assert found.unfinished_cost == pytest.approx((100 * 2.5 + 16 * 10) / 1e6)


def test_the_most_is_unknown_without_a_limit_of_the_output_and_without_input() -> None:
    without_limit = Tariff(price=PRICE)
    assert cost(part({"ok": 10, "truncated": 1}, **TEN_OK), without_limit).high is None
    assert cost(part({"timeout_first_token": 1})).high is None, "no request says how long the input is"


def test_a_retried_attempt_may_be_billed() -> None:
    found = cost(part({"ok": 10}, {"timeout_first_token": 2, "http_503": 9}, **TEN_OK))
    assert (found.unfinished, found.unfinished_cost) == (2, 0.0)
    assert found.high == pytest.approx(0.0075 + 2 * (100 * 2.5 + 64 * 10) / 1e6)


def test_usage_that_contradicts_itself_does_not_make_input_cheaper_than_nothing() -> None:
    assert cost(part({"ok": 1}, input=10, cached_input=30, input_seen=1, usage_seen=1)).input == 0


def test_tasks_are_summed_at_their_own_prices() -> None:
    dear = Tariff(price=Price(input=5.0, output=20.0))
    pricing = Pricing(tariffs=(TARIFF, dear, Tariff(why="no price")))
    tasks = {0: part({"ok": 10}, **TEN_OK), 1: part({"ok": 10}, **TEN_OK)}
    assert cost_of(pricing, tasks).value == pytest.approx(0.0075 + 0.015)
    with_unknown = cost_of(pricing, {**tasks, 2: part({"ok": 3}, **TEN_OK)})
    assert (with_unknown.value, with_unknown.unknown) == pytest.approx((0.0225, 3))
    assert with_unknown.high is None


def aggregate_of(tasks: dict[int, Part], *, seconds: float = 10.0, window: int = 1) -> Aggregate:
    """What was measured in a window: a warm-up, the steady window or the drain."""
    begins = ((Phase.WARMUP, "warm-up", 0), (Phase.STEADY, "steady", 10**9), (Phase.DRAIN, "drain", None))
    aggregate = Aggregate.over([5], windows=consecutive(begins))
    add(aggregate, tasks, window, seconds)
    return aggregate


def add(aggregate: Aggregate, tasks: dict[int, Part], window: int, seconds: float) -> None:
    parts = {key_of(window, task): each for task, each in tasks.items()}
    seq = aggregate.workers[0].deltas
    aggregate.merge(Delta(0, seq, 0, int(seconds * 1e9), window, 0, 0, 0, 0, parts, []))


def spending(aggregate: Aggregate, pricing: Pricing, steady_s: float) -> Spending:
    found = spending_of(aggregate, pricing, steady_s)
    assert found is not None
    return found


def test_the_total_is_of_the_whole_run_and_rates_are_of_the_steady_windows() -> None:
    aggregate = aggregate_of({0: part({"ok": 10}, **TEN_OK)}, window=0)
    add(aggregate, {0: part({"ok": 10, "http_500": 2}, slo_met=5, **TEN_OK)}, 1, 12.0)
    found = spending(aggregate, Pricing(tariffs=(TARIFF,)), 3.0)
    assert found.total.value == pytest.approx(0.015)
    assert found.per_request == pytest.approx(0.00075)
    assert found.per_good_request == pytest.approx(0.0015)
    assert found.per_hour == pytest.approx(9.0)
    assert found.per_million is found.per_million_output is None
    assert spending_of(aggregate, Pricing(tariffs=(Tariff(),)), 3.0) is None


@pytest.mark.parametrize("tasks", [1, 2])
def test_the_bystander_costs_money_too(tasks: int) -> None:
    """It is priced as the first task; nothing of it is in the rates."""
    parts = {task: part({"ok": 10}, **TEN_OK) for task in range(tasks)}
    aggregate = aggregate_of({**parts, BYSTANDER: part({"ok": 10}, **TEN_OK)})
    pricing = Pricing(tariffs=(TARIFF,) * tasks)
    assert total_cost(aggregate, pricing).value == pytest.approx(0.0075 * (tasks + 1))
    assert spending(aggregate, pricing, 1.0).steady.value == pytest.approx(0.0075 * tasks)


@pytest.mark.parametrize(
    ("part_", "money_"),
    [
        pytest.param(part({}, started=4, events=30), 30 * 10, id="only the output that has come is known"),
        pytest.param(part({"ok": 10}, started=14, **TEN_OK), 4 * 750, id="the average of those that have ended"),
        pytest.param(part({"ok": 10}, started=10, **TEN_OK), 0, id="none in flight"),
        pytest.param(part({"cancelled": 1}, started=1, events=30, output_cancelled=30), 0, id="ended otherwise"),
    ],
)
def test_what_the_requests_in_flight_are_going_to_cost(part_: Part, money_: int) -> None:
    assert committed(aggregate_of({0: part_}), Pricing(tariffs=(TARIFF,))) == pytest.approx(money_ / 1e6)
    assert committed(aggregate_of({0: part_}), Pricing(per_hour=1.0)) == 0


# --- subjects of thresholds


def reading(name: str, found: Cost | None) -> Reading:
    return SUBJECTS[name].read(Stretch(part=Part(), seconds=1.0, cost=found), "")


def test_a_threshold_reads_the_cost_with_its_bounds() -> None:
    exact = reading("cost.total", cost(part({"ok": 10}, **TEN_OK)))
    assert (exact.value, exact.interval, exact.rises) == pytest.approx((0.0075, False, True))
    cut = cost(part({"ok": 10, "cancelled": 1}, output_cancelled=30, unfinished_begun=1, **TEN_OK))
    estimate = reading("cost.total", cut)
    assert (estimate.low, estimate.value, estimate.high, estimate.interval) == (cut.low, cut.value, cut.high, True)
    unknown = reading("cost.per_request", cost(part({"ok": 200}, input=1000, output=500)))
    assert (unknown.value, unknown.high, unknown.interval) == pytest.approx((0.0075 / 200, None, True))
    for name in ("cost.total", "cost.per_request"):
        assert reading(name, None) == Reading(value=None, why="no price is known")
    assert reading("cost.per_request", Cost()).why == "no request ended ok"


# --- counting, by a real stream


def counted(*reads: bytes, then_lost: bool = True) -> Counters:
    bench = Bench()
    bench.begin()
    for ms, data in enumerate(reads):
        bench.read(10 + ms, data)
    if then_lost:
        bench.lose(None)
    return bench.steady().counters


def test_what_had_come_of_an_answer_that_was_cut_off_is_counted() -> None:
    nothing = counted(HEAD)
    assert (nothing.unfinished_begun, nothing.unfinished_output) == (0, 0)
    tokens = counted(HEAD, TOKEN, TOKEN)
    assert (tokens.unfinished_begun, tokens.unfinished_output, tokens.unfinished_seen) == (1, 2, 0)
    told = counted(HEAD, TOKEN, usage(5))
    assert (told.unfinished_begun, told.unfinished_output) == (1, 5)
    assert (told.unfinished_seen, told.unfinished_input) == (1, 3)


def test_a_whole_answer_is_not_among_them() -> None:
    whole = counted(HEAD, TOKEN, FINISH, usage(1), DONE, END, then_lost=False)
    assert (whole.input_seen, whole.input, whole.unfinished_begun) == (1, 3, 0)
    assert counted(HEAD, TOKEN, FINISH, DONE, END, then_lost=False).input_seen == 0


# --- words


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0, "EUR", "€0"),
        (1234.5, "USD", "$1,234.50"),
        (0.996, "USD", "$1.00"),
        (0.9949, "USD", "$0.995"),
        (0.0123456, "GBP", "£0.0123"),
        (0.00000042, "CHF", "CHF 0.000000420"),
    ],
)
def test_money_has_three_digits_or_cents(amount: float, currency: str, text: str) -> None:
    assert money(amount, currency) == text
