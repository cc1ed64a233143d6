"""Requests that are sent again: what is counted and measured of them, and what keeps them from it. On a bench and over
real sockets, by a clock that the test sets."""

import asyncio
import random

import pytest
from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, MS, ROLE, TOKEN, Bench, event, values
from helpers.live_load import HOUR, Site, listening, live, site, until
from helpers.short_runs import load

from llmstress.engine.control import Timeouts
from llmstress.engine.load.closed import ClosedModel
from llmstress.engine.outcome import End
from llmstress.engine.telemetry.messages import ErrorSample, Phase, RateLimit

OK = HEAD + TOKEN + FINISH + DONE + END


def refusal(status: str, body: bytes = b"no", *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines]).encode() + b"\r\n\r\n" + body


THROTTLED = refusal("429 Slow", b"slow down", "Retry-After: 2", "x-ratelimit-remaining-requests: 0")
OVERLOADED = refusal("503 No")


def begin_again(bench: Bench) -> None:
    """The stream's request goes on over the connection that comes next."""
    assert bench.stream.exchange is not None
    bench.stream.exchange.begin_on_new_connection(bench.now)


def resume(bench: Bench, ms: float) -> None:
    """The wait ends at `ms`; a new connection stands a millisecond later, if one is needed."""
    redials = bench.redials
    bench.at(ms).stream.resume()
    if bench.redials > redials:
        begin_again(bench)
        bench.at(ms + 1).connect()


# --- what is counted, and what is measured


def test_a_request_that_succeeds_after_a_retry_is_ok_and_counted_once() -> None:
    bench = Bench(retries=3)
    bench.begin(5, due=0, sent=6)
    bench.read(20, THROTTLED)
    assert bench.waits == [2000]
    assert bench.freed == []
    assert bench.recorder.open == 1
    resume(bench, 2030)
    bench.read(2100, HEAD)
    bench.read(2150, ROLE, TOKEN)
    bench.read(2170, TOKEN)
    bench.read(2180, FINISH, DONE, END)
    assert bench.freed == [False]
    assert bench.recorder.open == 0
    made = bench.cut()
    part = made.parts[Phase.STEADY]
    assert part.ended == {"ok": 1}
    assert part.retried == {"rate_limited": 1}
    assert part.counters.started == 1
    assert {name: values(part.latency, name) for name in part.latency} == {
        "queue": [5],
        "ttfb": [70],
        "ttft": [120],
        "ttft_due": [2150],
        "ttfa": [120],
        "itl": [20],
        "tpot": [20],
        "stall": [20],
        "e2e": [150],
        "e2e_due": [2180],
    }
    assert {name: values(part.latency_failed, name) for name in part.latency_failed} == {"connect": [1], "ttfb": [14]}
    assert made.samples == [
        ErrorSample(
            *("rate_limited", 429, "slow down", ""), headers="retry-after: 2; x-ratelimit-remaining-requests: 0"
        )
    ]
    assert [link.written for link in bench.links] == [[b"REQUEST", b"REQUEST"]]


def test_without_retries_nothing_is_sent_again() -> None:
    bench = Bench()
    bench.begin()
    bench.read(20, THROTTLED)
    part = bench.steady()
    assert (part.ended, part.retried) == ({"rate_limited": 1}, {})
    assert (bench.freed, bench.waits) == ([True], [])


def test_retries_end_with_the_last_one_and_wait_longer_and_longer() -> None:
    bench = Bench(retries=6, uniform=0.5)
    bench.begin()
    for attempt in range(6):
        bench.read(20, OVERLOADED)
        assert len(bench.waits) == attempt + 1
        bench.stream.resume()
    bench.read(20, OVERLOADED)
    assert bench.waits == [250, 500, 1000, 2000, 4000, 4000]
    part = bench.steady()
    assert part.ended == {"http_503": 1}
    assert part.retried == {"http_503": 6}
    assert part.counters.started == 1
    assert part.latency_failed["queue"].count == 1
    assert part.latency_failed["ttfb"].count == 7
    bench.begin(50)
    bench.read(60, OVERLOADED)
    assert bench.waits[6:] == [250], "each request has as many"


def test_what_the_server_asks_for_is_the_least_and_chance_comes_on_top() -> None:
    bench = Bench(retries=1, uniform=0.5)
    bench.begin()
    bench.read(20, THROTTLED)
    assert bench.waits == [2250]


def test_dates_are_of_the_wall_clock() -> None:
    bench = Bench(retries=1, wall_s=1_772_000_000)
    bench.begin()
    bench.read(20, refusal("503 No", b"", "Retry-After: Wed, 25 Feb 2026 06:13:25 GMT"))
    assert bench.waits == [5000]


def test_failures_of_several_kinds_are_counted_by_class() -> None:
    bench = Bench(retries=9)
    bench.begin()
    for answer in (THROTTLED, OVERLOADED, OVERLOADED, refusal("529 Overloaded")):
        bench.read(20, answer)
        bench.stream.resume()
    bench.read(50, refusal("404 No"))
    part = bench.steady()
    assert part.ended == {"http_404": 1}
    assert part.retried == {"rate_limited": 2, "http_503": 2}


def test_each_sample_and_count_lies_in_the_phase_of_its_own_stamp() -> None:
    bench = Bench(retries=3, edges=(100, 200, 300))
    bench.begin(40, due=30, sent=41)
    bench.read(150, OVERLOADED)
    resume(bench, 250)
    bench.read(260, OVERLOADED)
    resume(bench, 320)
    bench.read(350, OK)
    parts = bench.cut().parts
    assert [parts[phase].retried for phase in range(4)] == [{}, {"http_503": 1}, {"http_503": 1}, {}]
    assert values(parts[0].latency, "queue") == [10]
    assert values(parts[0].latency_failed, "connect") == [1]
    assert values(parts[1].latency_failed, "ttfb") == [109]
    assert values(parts[2].latency_failed, "ttfb") == [10]
    assert values(parts[3].latency, "e2e_due") == [320]
    assert parts[0].counters.started == 1
    assert parts[3].ended == {"ok": 1}


def test_a_failure_after_the_first_token_takes_both_first_tokens_back() -> None:
    bench = Bench(retries=1)
    bench.begin(5, due=0, sent=6)
    bench.read(20, OVERLOADED)
    resume(bench, 100)
    bench.read(150, HEAD + TOKEN)
    before = bench.cut().parts[Phase.STEADY]
    assert (values(before.latency, "ttft"), values(before.latency, "ttft_due")) == ([50], [150])
    bench.at(160).lose(None)
    after = bench.cut().parts[Phase.STEADY]
    assert (values(after.retracted, "ttft"), values(after.retracted, "ttft_due")) == ([50], [150])
    assert values(after.latency_failed, "ttft_due") == [150]
    assert "e2e_due" not in after.latency_failed


# --- what is sent again, and what isn't


@pytest.mark.parametrize(
    ("on_status", "reads", "lost", "again"),
    [
        ((), [THROTTLED], False, True),
        ((), [OVERLOADED], False, True),
        ((), [refusal("400 No")], False, False),
        ((), [refusal("503 No", b"", "x-should-retry: false")], False, False),
        ((), [refusal("400 No", b"", "x-should-retry: true")], False, True),
        ((), [refusal("429 No", b'{"error":{"code":"insufficient_quota"}}')], False, False),
        ((), [refusal("402 No", b"", "Retry-After: 1")], False, True),
        ((), [], True, False),
        ((("503", "count"),), [OVERLOADED], False, False),
        ((("400", "retry"),), [refusal("400 No")], False, True),
        ((("reset", "retry"),), [], True, True),
        ((("reset", "retry"),), [b"HTTP/1.1 200"], True, True),
        ((("truncated", "retry"),), [HEAD + ROLE], True, True),
        ((("truncated", "retry"),), [HEAD + TOKEN], True, False),
        ((("stream_error", "retry"),), [HEAD + event({"error": "no"})], False, True),
        ((("stream_error", "retry"),), [HEAD + TOKEN, event({"error": "no"})], False, False),
        ((("empty", "retry"),), [HEAD + FINISH + DONE + END], False, True),
    ],
    ids=[
        "429",
        "503",
        "400",
        "503 with advice against",
        "400 with advice for",
        "429 that means money",
        "402 for what is in flight",
        "a lost connection",
        "503 that is to be counted",
        "400 that is to be tried again",
        "a lost connection that is to be tried again",
        "one lost within the head",
        "a stream cut before its first token",
        "a stream cut after its first token",
        "an error before the first token",
        "an error after the first token",
        "nothing but a finish",
    ],
)
def test_what_is_sent_again(
    on_status: tuple[tuple[str, str], ...], reads: list[bytes], lost: bool, again: bool
) -> None:
    bench = Bench(retries=1, on_status=on_status)
    bench.begin()
    for ms, data in enumerate(reads, 10):
        bench.read(ms, data)
    if lost:
        bench.at(20).lose(None)
    assert (len(bench.waits), bench.freed) == ((1, []) if again else (0, [True]))
    if again:
        resume(bench, 100)
        bench.read(120, OK)
        assert bench.steady().ended == {"ok": 1}


def test_no_connection_may_be_tried_again() -> None:
    bench = Bench(retries=1, on_status=(("connect_refused", "retry"),))
    bench.stream.begin(bench.task.request(0), BEGIN)
    bench.at(5).stream.not_connected(End("connect_refused", "nobody there"))
    assert bench.freed == []
    resume(bench, 100)
    bench.read(120, OK)
    part = bench.steady()
    assert (part.ended, part.retried) == ({"ok": 1}, {"connect_refused": 1})
    assert values(part.latency, "connect") == [1], "that of the attempt that opened one"


# --- while it waits


@pytest.mark.parametrize("how", ["closed with the answer", "closed while it waits", "reset", "unasked bytes"])
def test_a_connection_that_is_gone_when_the_wait_ends_is_replaced(how: str) -> None:
    bench = Bench(retries=1)
    bench.begin()
    if how == "closed with the answer":
        bench.read(20, refusal("503 No", b"", "Connection: close"))
    else:
        bench.read(20, OVERLOADED)
        assert bench.stream.link is not None
        if how == "unasked bytes":
            bench.read(30, OK)
        else:
            bench.at(30).lose(ConnectionResetError() if how == "reset" else None)
    assert bench.stream.link is None
    assert (bench.freed, bench.redials) == ([], 0), "there is time"
    resume(bench, 100)
    bench.read(120, OK)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert part.counters.stale_retries == 0
    assert part.counters.connections == len(bench.links) == 2
    assert values(part.latency, "connect") == [1]
    assert values(part.latency, "ttft") == [20]


def test_a_kept_connection_that_was_dead_is_replaced_silently_for_a_retry_too() -> None:
    bench = Bench(retries=1)
    bench.begin()
    bench.read(20, OVERLOADED)
    bench.at(100).stream.resume()
    bench.at(101).lose(ConnectionResetError())
    assert bench.redials == 1
    begin_again(bench)
    bench.at(105).connect()
    bench.read(120, OK)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert part.counters.stale_retries == 1
    assert part.retried == {"http_503": 1}
    assert values(part.latency, "ttft") == [20], "its time ran on"
    assert "connect" not in part.latency


def test_limits_are_those_of_an_attempt_and_waiting_has_none() -> None:
    bench = Bench(retries=2, timeouts=Timeouts(0, 1000 * MS, 500 * MS, 3000 * MS))
    bench.begin()
    bench.read(400, OVERLOADED)
    bench.at(60_000).stream.check(bench.now)
    assert bench.freed == []
    resume(bench, 60_000)
    bench.at(60_990).stream.check(bench.now)
    assert bench.freed == []
    bench.at(61_010).stream.check(bench.now)
    assert bench.freed == [True]
    part = bench.steady()
    assert (part.ended, part.retried) == ({"timeout_first_token": 1}, {"http_503": 1})


def test_what_waits_at_the_end_is_cancelled() -> None:
    bench = Bench(retries=1)
    bench.begin(3, due=0)
    bench.read(20, OVERLOADED)
    bench.at(30).stream.cut(bench.now)
    assert bench.links[0].closed
    assert bench.freed == [False]
    bench.at(900).stream.resume()
    assert bench.redials == 0
    part = bench.steady()
    assert (part.ended, part.retried) == ({"cancelled": 1}, {"http_503": 1})
    assert values(part.latency, "queue") == [3]
    assert bench.recorder.open == 0


def test_what_would_be_sent_again_at_the_end_is_cancelled_too() -> None:
    bench = Bench(retries=9, on_status=(("empty", "retry"),))
    bench.begin()
    bench.read(20, HEAD + FINISH)
    bench.at(30).stream.cut(bench.now)
    assert bench.stream.exchange is None
    part = bench.steady()
    assert (part.ended, part.retried) == ({"cancelled": 1}, {"empty": 1})


# --- what ends the run


@pytest.mark.parametrize(
    ("answers", "fatal", "told"),
    [
        ([refusal("401 No")], [True], {"end-first"}),
        ([refusal("401 No"), refusal("403 No")], [True, True], {"end-first"}),
        ([OK, refusal("403 No")], [False, False], set()),
        ([OK, refusal("402 No")], [False, True], {"end"}),
        ([OVERLOADED, refusal("404 No"), refusal("402 No")], [False, True, True], {"end-first", "end"}),
    ],
    ids=["the first answer", "all answers", "a stray one", "money", "one after the other"],
)
def test_a_failure_that_may_end_the_run_is_told_once(answers: list[bytes], fatal: list[bool], told: set[str]) -> None:
    bench = Bench()
    for number, answer in enumerate(answers):
        bench.begin(10 * number)
        bench.read(10 * number + 5, answer)
    assert bench.fatal == fatal
    first = bench.cut()
    assert set(first.fatal) == told
    assert all(sample in first.samples for sample in first.fatal.values())
    bench.begin(500)
    bench.read(510, answers[-1])
    assert bench.cut().fatal == {}


def test_a_failure_that_is_told_in_no_delta_is_told_in_the_next_one() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, refusal("401 No", b"wrong key sk-secret"))
    bench.recorder.cut(bench.now, 0)
    bench.recorder.not_sent()
    assert bench.cut().fatal["end-first"].text == "wrong key ***"


def test_what_is_sent_again_ends_nothing_until_it_has_failed() -> None:
    bench = Bench(retries=1, on_status=(("503", "retry"), ("404", "end")))
    bench.begin()
    bench.read(10, refusal("402 No", b"", "x-should-retry: true"))
    assert bench.cut().fatal == {}
    resume(bench, 100)
    bench.read(110, refusal("402 No", b"", "x-should-retry: true"))
    assert set(bench.cut().fatal) == {"end"}
    assert bench.fatal == [True]


# --- rate limits


def limited(left: int, *lines: str, status: str = "200 OK") -> bytes:
    head = HEAD.replace(b"200 OK", status.encode())
    more = [f"x-ratelimit-remaining-requests: {left}", "x-ratelimit-limit-requests: 60", *lines]
    return head[:-2] + "\r\n".join(more).encode() + b"\r\n\r\n" + OK[len(HEAD) :]


def test_what_is_left_is_told_with_the_last_word_and_the_lowest_figure() -> None:
    bench = Bench()
    for number, left in enumerate((9, 3, 7)):
        bench.begin(10 * number)
        bench.read(10 * number + 5, limited(left))
    assert bench.cut().rate_limits == {"requests": RateLimit(60, 7, 3, 25 * MS)}
    assert bench.cut().rate_limits == {}
    bench.begin(100)
    bench.read(110, limited(5, "x-ratelimit-remaining-tokens: 800", status="429 Slow"))
    assert bench.cut().rate_limits == {
        "requests": RateLimit(60, 5, 5, 110 * MS),
        "tokens": RateLimit(None, 800, 800, 110 * MS),
    }


def test_heads_without_limits_or_with_odd_ones_tell_nothing() -> None:
    bench = Bench()
    for number, head in enumerate((OK, limited(-1), OK.replace(b"x-request-id", b"X-RateLimit-Policy"))):
        bench.begin(10 * number)
        bench.read(10 * number + 5, head)
    made = bench.cut()
    assert made.rate_limits == {}
    assert made.parts[Phase.STEADY].ended == {"ok": 3}


def test_secrets_are_redacted_in_the_headers_of_a_sample_as_well() -> None:
    bench = Bench()
    bench.begin()
    bench.read(20, refusal("429 No", b"", "x-ratelimit-key: sk-secret", "retry-after: 1"))
    [sample] = bench.cut().samples
    assert sample.headers == "retry-after: 1; x-ratelimit-key: ***"


# --- over real sockets

SOON = refusal("429 Slow", b"slow", "Retry-After-Ms: 1")
CLOSING = refusal("503 No", b"", "Connection: close")


async def retried(here: Site, count: int) -> None:
    """Wait until that many attempts have failed and wait for the next one, or have begun it."""
    await until(lambda: sum(here.recorder.samples(0).part(Phase.STEADY).retried.values()) == count)


@live
async def test_throttled_requests_come_back_over_their_connections() -> None:
    async with site(4, retries=3) as here:
        here.start()
        for attempt in (1, 2):
            await here.asked(4)
            here.server.answer(None, SOON)
            await retried(here, 4 * attempt)
            assert here.recorder.open == 4, "they are in flight"
            here.later(HOUR)
        await here.asked(4)
        assert here.started == 4
        part = await here.end()
        assert (part.ended, part.retried) == ({"ok": 4}, {"rate_limited": 8})
        assert here.server.accepted == 4
        assert here.server.requests == 12


@live
async def test_retries_over_new_connections() -> None:
    async with site(4, retries=3) as here:
        here.start()
        await here.asked(4)
        here.server.answer(None, CLOSING)
        await until(lambda: not here.server.connections)
        await retried(here, 4)
        here.later(HOUR)
        await here.asked(4)
        part = await here.end()
        assert (part.ended, part.retried) == ({"ok": 4}, {"http_503": 4})
        assert here.server.accepted == part.counters.connections == 8
        assert part.latency["connect"].count == part.latency_failed["connect"].count == 4
        assert max(values(part.latency, "connect")) == 0, "the wait is in no connect"


@live
async def test_a_budget_is_of_requests_not_of_attempts() -> None:
    async with site(2, retries=1, requests=3) as here:
        here.start()
        await here.asked(2)
        here.server.answer(None, SOON)
        await retried(here, 2)
        here.later(HOUR)
        await here.asked(2)
        here.server.answer()
        await here.asked(1)
        here.server.answer()
        await until(here.load.exhausted.is_set)
        part = await here.end()
        assert (part.ended, part.retried, part.counters.started) == ({"ok": 3}, {"rate_limited": 2}, 3)


@live
async def test_what_waits_goes_on_in_the_drain_and_in_a_pause() -> None:
    async with site(3, retries=1) as here:
        here.start()
        await here.asked(3)
        here.model.pause(True, 0)
        here.server.answer(None, SOON)
        await retried(here, 3)
        here.load.stop(here.now)
        assert not here.load.exhausted.is_set()
        here.later(HOUR)
        await here.asked(3)
        part = await here.end()
        assert (part.ended, part.retried) == ({"ok": 3}, {"rate_limited": 3})


@live
async def test_what_waits_when_the_grace_is_over_is_cancelled() -> None:
    async with site(3, retries=1) as here:
        here.start()
        await here.asked(3)
        here.server.answer(2, SOON)
        await retried(here, 2)
        here.load.stop(here.now)
        here.load.cut()
        assert here.load.exhausted.is_set()
        await until(lambda: not here.server.connections)
        here.later(HOUR)
        part = await here.end()
        assert part.ended == {"cancelled": 3}
        assert here.server.requests == 3


@live
async def test_a_surplus_stream_finishes_what_waits_and_leaves() -> None:
    async with site(3, retries=1) as here:
        here.start()
        await here.asked(3)
        here.server.answer(2, SOON)
        await retried(here, 2)
        here.model.set_streams(0)
        assert len(here.server.connections) == 3
        here.later(HOUR)
        await here.asked(3)
        here.server.answer()
        await until(lambda: not here.server.connections)
        assert here.parked == 3
        here.model.set_streams(2)
        await here.rounds(1, 2)
        assert (await here.end()).ended == {"ok": 7}


@live
async def test_a_refused_key_costs_one_request_a_stream_until_the_run_can_be_ended() -> None:
    async with site(20, error_pause_s=0) as here:
        here.start()
        await here.asked(20)
        here.server.answer(19, refusal("401 No"))
        assert isinstance(here.model, ClosedModel)
        for _ in range(10):
            here.later(here.model._stop_order_ns / MS / 11)
            await here.rounds(1, 1)
        assert here.server.requests == 20 + 10, "only the one that goes on asks anything"
        here.later(HOUR)
        await here.asked(20)
        part = await here.end()
        assert part.ended == {"http_401": 19, "ok": 30}


@live
async def test_a_used_up_quota_holds_up_no_stream_but_its_own() -> None:
    async with site(3, error_pause_s=0) as here:
        here.start()
        await here.asked(3)
        here.server.answer(1, refusal("402 No"))
        await here.rounds(3, 2)
        here.later(HOUR)
        await here.asked(3)
        part = await here.end()
        assert part.ended == {"quota": 1, "ok": part.ended["ok"]}


@live
async def test_a_target_that_isn_t_there_may_be_tried_again() -> None:
    async with listening() as (_, url):
        pass
    outcome = await load(
        url.removesuffix("/v1/chat/completions"), requests=4, retries=1, on_status=[("connect_refused", "retry")]
    )
    assert outcome.ended == outcome.retried == {"connect_refused": 4}


@live
async def test_a_stray_refusal_after_good_answers_holds_nobody_up() -> None:
    async with site(2, error_pause_s=0) as here:
        here.start()
        await here.rounds(1, 2)
        here.server.answer(1, refusal("403 No"))
        await here.rounds(3, 2)
        part = await here.end()
        assert part.ended["http_403"] == 1


@pytest.mark.parametrize("seed", range(6))
@live
async def test_whatever_happens_meanwhile_the_books_agree(seed: int) -> None:
    rng = random.Random(seed)
    async with site(6, retries=2, error_pause_s=0, requests=60, on_status=[("reset", "retry")]) as here:
        here.start()
        for _ in range(80):
            match rng.randrange(7):
                case 0 | 1:
                    here.server.answer(rng.randrange(4))
                case 2:
                    here.server.answer(rng.randrange(3), SOON)
                case 3:
                    here.server.answer(rng.randrange(3), CLOSING)
                case 4:
                    for peer in rng.sample(sorted(here.server.connections, key=id), len(here.server.connections) // 3):
                        peer.transport.close()
                case 5:
                    here.model.set_streams(rng.randrange(9))
                case 6:
                    here.model.pause(rng.random() < 0.5, 0)
            here.later(rng.choice([0, 1, 700]))
            for _ in range(rng.randrange(5)):
                await asyncio.sleep(rng.choice([0, 0.0005]))
            assert here.recorder.open == len(here.load.in_flight())
        here.model.pause(False, 0)
        here.model.set_streams(6)
        while not here.load.exhausted.is_set():
            here.later(HOUR)
            here.server.answer()
            await asyncio.sleep(0.001)
        part = await here.end()
        assert part.counters.started == 60
        assert here.server.requests <= 60 + sum(part.retried.values()) + part.counters.stale_retries
