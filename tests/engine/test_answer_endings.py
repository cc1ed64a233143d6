"""When an answer is over: finish reasons that are none, last words without one, bodies that stay open."""

import itertools

import pytest
from helpers.bench import (
    BEGIN,
    DONE,
    END,
    FINISH,
    HEAD,
    MS,
    ROLE,
    TOKEN,
    Bench,
    answer,
    chunk,
    delta,
    event,
    usage,
    values,
)
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.control import Timeouts
from llmstress.engine.outcome import OK
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.linger import LONGEST_NS, TRY_EVERY, Linger
from llmstress.engine.stream.task import Request

STOP_TOKEN = delta(finish="stop", content=" a")
PING = chunk(b": ping\n\n")


def run(bench: Bench, *reads: tuple[float, bytes], begin: float = 0) -> None:
    bench.begin(begin, sent=begin + 1)
    for ms, data in reads:
        bench.read(begin + ms, data)


@pytest.mark.parametrize(
    ("reads", "outcome", "e2e"),
    [
        pytest.param([(100, STOP_TOKEN), (900, STOP_TOKEN), (950, DONE + END)], "ok", 950, id="on every event"),
        pytest.param([(100, STOP_TOKEN), (200, STOP_TOKEN), (250, END)], "ok", 200, id="the body's end is proper"),
        pytest.param([(100, STOP_TOKEN), (200, TOKEN), (250, END)], "ok", 250, id="the last event has none"),
        pytest.param(
            [(100, ROLE[:-2] + b"\r\n"), (150, FINISH), (200, TOKEN), (250, DONE + END)], "ok", 250, id="early"
        ),
        pytest.param([(100, FINISH), (200, TOKEN), (300, FINISH), (301, usage(1) + DONE + END)], "ok", 301, id="twice"),
        pytest.param(
            [(100, TOKEN), (200, FINISH), (300, FINISH), (400, END)], "ok", 200, id="repeated, no token between"
        ),
    ],
)
def test_a_finish_reason_that_a_token_follows_is_no_end(
    reads: list[tuple[float, bytes]], outcome: str, e2e: int
) -> None:
    bench = Bench()
    run(bench, (90, HEAD), *reads)
    part = bench.steady()
    assert part.ended == {outcome: 1}
    assert part.finish == {"stop": 1}
    assert values(part.latency, "e2e") == [e2e]


@pytest.mark.parametrize("cut", [None, ConnectionResetError()], ids=["closed", "reset"])
def test_a_cut_among_such_events_is_no_end(cut: Exception | None) -> None:
    bench = Bench()
    run(bench, (90, HEAD), (100, STOP_TOKEN), (200, STOP_TOKEN))
    bench.at(210).lose(cut)
    assert bench.steady().ended == {"truncated": 1}


def test_a_finish_of_another_choice_is_not_the_end_of_later_tokens() -> None:
    bench = Bench()
    bench.begin()
    for ms, data in (
        (10, HEAD),
        (100, TOKEN),
        (200, STOP_TOKEN),
        (300, TOKEN),
        (400, delta(finish="length", index=1)),
        (500, TOKEN),
        (510, END),
    ):
        bench.read(ms, data)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [510]


def test_a_finished_stream_whose_connection_ends_is_complete() -> None:
    bench = Bench()
    run(bench, (90, HEAD), (100, TOKEN), (200, FINISH))
    bench.at(210).lose(ConnectionResetError())
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [200]


def test_a_choice_that_goes_on_is_waited_for() -> None:
    bench = Bench()
    run(bench, (90, HEAD), (100, delta(content="a")), (110, delta(index=1, content="b")), (120, FINISH))
    bench.at(5000).stream.check(bench.now)
    assert bench.freed == []
    bench.read(5010, delta(content="c"))  # choice 0 goes on although it had finished
    bench.read(5020, delta(finish="stop", index=1))
    bench.at(9000).stream.check(bench.now)
    assert bench.freed == []
    bench.read(9010, DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [9010]


@pytest.mark.parametrize(
    ("reads", "outcome", "finish"),
    [
        pytest.param([TOKEN, DONE], "ok", "none", id="a token"),
        pytest.param([TOKEN, usage(3), DONE], "ok", "none", id="usage, too"),
        pytest.param([ROLE, usage(1), DONE], "ok", "none", id="usage alone"),
        pytest.param([ROLE, DONE], "truncated", None, id="nothing"),
        pytest.param([ROLE, usage(5, reasoning=5), DONE], "truncated", None, id="nothing but hidden reasoning"),
        pytest.param([TOKEN], "truncated", None, id="no last word"),
        pytest.param([TOKEN, usage(3)], "truncated", None, id="usage, and no last word"),
    ],
)
def test_the_last_word_alone_ends_an_answer_with_tokens(reads: list[bytes], outcome: str, finish: str | None) -> None:
    bench = Bench()
    run(bench, (90, HEAD), *((200, read) for read in reads), (201, END))
    part = bench.steady()
    assert part.ended == {outcome: 1}
    assert part.finish == ({finish: 1} if finish else {})


def test_the_finish_of_another_choice_is_no_end_of_a_revoked_one() -> None:
    bench = Bench()
    run(bench, (90, HEAD), (100, FINISH), (110, TOKEN), (120, delta(finish="stop", index=1)), (200, TOKEN), (210, END))
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [210]


def test_a_finish_reason_may_be_required() -> None:
    bench = Bench(require_finish=True)
    run(bench, (90, HEAD), (200, TOKEN), (210, DONE + END))
    run(bench, (90, HEAD), (200, TOKEN), (210, FINISH + DONE + END), begin=300)
    made = bench.cut()
    assert made.parts[2].ended == {"truncated": 1, "ok": 1}
    assert "--require-finish" in made.samples[0].text


@pytest.mark.parametrize("require", [False, True])
def test_a_whole_answer_without_a_finish_reason(require: bool) -> None:
    bench = Bench(streamed=False, require_finish=require)
    body = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": null}], "usage": {"completion_tokens": 3}}'
    run(bench, (200, answer("200 OK", body, "Content-Type: application/json")))
    assert bench.steady().ended == ({"truncated": 1} if require else {"ok": 1})


# --- bodies that stay open


def lingering(bench: Bench, last: bytes, begin: float) -> float:
    """An answer that is over at 250 ms, and whose body stays open; gives how long its stream waited (ms)."""
    freed = len(bench.freed)
    run(bench, (90, HEAD), (200, TOKEN), (220, TOKEN), (250, last), begin=begin)
    for waited in itertools.chain([0, 1, 3], range(7, 2001)):
        if len(bench.freed) > freed:
            return waited
        bench.at(begin + 250 + waited).stream.check(bench.now)
    raise AssertionError("it waits for ever")


def test_the_wait_for_the_end_of_a_body_is_learned() -> None:
    bench = Bench()
    waits = [lingering(bench, FINISH + usage(2) + DONE, 10_000 * n) for n in range(6)]
    assert waits == pytest.approx([500, 125, 32, 8, 0, 0], abs=2)
    part = bench.steady()
    assert part.ended == {"ok": 6}
    assert part.counters.stayed_open == 6
    run(bench, (90, HEAD), (200, TOKEN), (250, FINISH + DONE + END), begin=200_000)
    assert bench.task.linger.wait_ns == LONGEST_NS, "a body that ends in time makes it whole again"


def test_usage_is_waited_for_each_time() -> None:
    bench = Bench()
    waits = [lingering(bench, FINISH, 10_000 * n) for n in range(11)]
    assert waits == pytest.approx([501] * 11, abs=4)


def test_slow_tokens_with_a_finish_reason_each_are_waited_for() -> None:
    bench = Bench()
    run(bench, (90, HEAD), (2000, STOP_TOKEN))
    bench.at(4000 + 1990).stream.check(bench.now)
    assert bench.freed == [], "the first event took 2 s: the next may take as long"
    bench.read(5_995, STOP_TOKEN)
    bench.read(6_000, DONE, END)
    assert bench.steady().ended == {"ok": 1}


def test_an_answer_of_hidden_tokens_is_over_with_its_usage() -> None:
    bench = Bench(timeouts=LIMITS)
    run(bench, (90, HEAD), (100, ROLE), (200, delta(finish="length")), (210, usage(64, reasoning=64)))
    bench.at(750).stream.check(bench.now)
    part = bench.steady()
    assert part.ended == {"empty": 1}
    assert part.counters.stayed_open == 1


def test_a_finish_reason_alone_before_any_token_is_no_end_yet() -> None:
    bench = Bench(timeouts=LIMITS)
    run(bench, (90, HEAD), (100, delta(finish="stop")))
    bench.at(750).stream.check(bench.now)
    assert bench.freed == []
    bench.at(1001).stream.check(bench.now)
    assert bench.steady().ended == {"empty": 1}


def test_heartbeats_do_not_hold_an_answer_open() -> None:
    bench = Bench()
    run(bench, (90, HEAD), (200, TOKEN), (210, FINISH))
    for ms in range(300, 900, 100):
        bench.read(ms, PING)
        bench.stream.check(bench.now)
    assert bench.freed == [False]


@pytest.mark.parametrize("learned_ns", [LONGEST_NS, 0])
def test_a_finish_is_revoked_whatever_the_wait_for_the_body_is(learned_ns: int) -> None:
    bench = Bench()
    bench.task.linger.wait_ns = learned_ns
    run(bench, (90, HEAD), (200, TOKEN), (210, TOKEN), (220, FINISH), (230, TOKEN), (240, TOKEN), (250, END))
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [250]


def test_a_finish_with_usage_needs_no_last_word() -> None:
    bench = Bench()
    waits = [lingering(bench, FINISH + usage(2), 10_000 * n) for n in range(6)]
    assert waits == pytest.approx([500, 125, 32, 8, 0, 0], abs=2)


def test_a_server_that_was_slow_for_a_moment_is_waited_for_again() -> None:
    bench = Bench()
    bench.task.linger.wait_ns = 0
    for n in range(2 * TRY_EVERY):
        run(bench, (90, HEAD), (200, TOKEN), (250, FINISH + usage(1) + DONE), begin=1000 * n)
        bench.read(1000 * n + 251, END)  # in a read of its own
    part = bench.steady()
    assert part.ended == {"ok": 2 * TRY_EVERY}
    assert bench.task.linger.wait_ns == LONGEST_NS
    assert part.counters.stayed_open == TRY_EVERY - 1


def test_a_learned_wait_goes_down_to_none() -> None:
    linger = Linger()
    waits = []
    while linger.wait_ns:
        waits.append(linger.wait_ns)
        linger.stayed_open()
    assert len(waits) == 4
    linger.ended()
    assert linger.wait_ns == LONGEST_NS


# --- limits


LIMITS = Timeouts(connect_s=0, first_token_ns=1000 * MS, idle_ns=500 * MS, total_ns=0)


def test_a_queue_is_longer_than_the_idle_limit() -> None:
    bench = Bench(timeouts=LIMITS)
    run(bench, (10, HEAD), (11, ROLE))
    bench.at(990).stream.check(bench.now)
    bench.read(995, TOKEN)
    bench.at(1400).stream.check(bench.now)
    bench.read(1450, FINISH, DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "ttft") == [995]


def test_a_whole_answer_has_until_its_body_begins() -> None:
    bench = Bench(streamed=False, timeouts=LIMITS)
    whole = answer("200 OK", b'{"choices": []}', "Content-Type: application/json")
    run(bench, (900, whole[:-10]))
    bench.at(1350).stream.check(bench.now)
    assert bench.freed == []
    bench.at(1401).stream.check(bench.now)
    assert bench.steady().ended == {"timeout_idle": 1}
    bench = Bench(streamed=False, timeouts=LIMITS)
    run(bench, (900, whole[:40]))
    bench.at(1001).stream.check(bench.now)
    assert bench.steady().ended == {"timeout_first_token": 1}


# --- what holds for every order of events


PIECES = {
    "role": ROLE,
    "token": TOKEN,
    "token of choice 1": delta(index=1, content=" b"),
    "token with a finish": STOP_TOKEN,
    "token with usage": event(
        {"choices": [{"index": 0, "delta": {"content": " c"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    ),
    "reasoning": delta(reasoning_content="hm"),
    "finish": FINISH,
    "finish of choice 1": delta(finish="length", index=1),
    "usage": usage(7),
    "usage with reasoning": usage(7, reasoning=3),
    "zero usage": usage(0),
    "ping": PING,
    "done": DONE,
    "end": END,
}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(PIECES)), st.integers(0, 700)), max_size=14),
    st.booleans(),
    st.sampled_from([LONGEST_NS, 0]),
)
def test_stamps_are_in_order_whatever_comes(pieces: list[tuple[str, int]], closed: bool, learned_ns: int) -> None:
    bench = Bench(timeouts=LIMITS)
    bench.task.linger.wait_ns = learned_ns
    bench.begin()
    ms = 10
    bench.read(ms, HEAD)
    for name, wait in pieces:
        ms += wait
        bench.at(ms).stream.check(bench.now)
        if bench.freed:
            break
        bench.read(ms, PIECES[name])
    if not bench.freed:
        if bench.stream.link is not None:
            bench.at(ms + 1).lose(None if closed else ConnectionResetError())
        else:
            bench.stream.cut(bench.now)
    part = bench.steady()
    assert sum(part.ended.values()) == 1
    if part.ended == {"ok": 1} and "ttft" in part.latency:
        assert part.latency["ttft"].max <= part.latency["e2e"].max
        assert "tpot" not in part.latency or part.latency["tpot"].max <= part.latency["e2e"].max


def test_stamps_out_of_order_are_never_printed() -> None:
    exchange = Exchange(Request(Bench().task, b""), BEGIN, BEGIN)
    exchange.sent = exchange.head_at = BEGIN + 1
    exchange.first_token = exchange.first_answer = exchange.last_token = BEGIN + 9
    exchange.end_at = BEGIN + 8
    with pytest.raises(AssertionError, match="out of order"):
        exchange.record_end(OK, BEGIN + 10)
