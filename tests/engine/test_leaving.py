"""Users who walk away: when a request is abandoned, what is counted, and which requests are chosen."""

from typing import Any

import pytest
from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, MS, ROLE, TOKEN, Bench, answer, body_of, chunk, values
from helpers.live_load import task_of

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Abandonment, Think
from llmstress.engine.load.watching import leavers, observe_of
from llmstress.engine.outcome import End
from llmstress.engine.stream.leaving import Leaver
from llmstress.engine.stream.observer import Observer


def left(after_ms: int | None = None, tokens: int | None = None, **bench: Any) -> Bench:
    after_ns = None if after_ms is None else after_ms * MS
    made = Bench(observer=Leaver(after_ns, tokens), **bench)
    made.begin()
    return made


def assert_abandoned(bench: Bench, events: int) -> None:
    assert bench.freed == [False], "no pause"
    assert bench.links[-1].closed
    assert bench.links[-1].at_once
    assert bench.stream.exchange is None
    part = bench.steady()
    assert part.ended == {"cancelled": 1}
    assert (part.counters.abandoned, part.counters.output_cancelled) == (1, events)


def test_after_a_time() -> None:
    bench = left(250)
    bench.read(90, HEAD + ROLE + TOKEN)
    bench.read(100, TOKEN)
    bench.ring(249)
    assert bench.freed == []
    bench.ring(250)
    part = bench.recorder.samples(0).parts[2]
    assert_abandoned(bench, 2)
    assert values(part.latency, "ttft") == [90]
    assert "e2e" not in part.latency


def test_before_anything_came() -> None:
    bench = left(50)
    bench.ring(50)
    assert_abandoned(bench, 0)


@pytest.mark.parametrize("reads", [[1, 1, 1, 1], [3, 1], [1, 3], [4], [1, 1, 2]])
def test_after_a_number_of_tokens_whichever_way_they_take(reads: list[int]) -> None:
    bench = left(tokens=4)
    bench.read(90, HEAD + ROLE)
    for number, tokens in enumerate(reads):
        bench.ring(100 + number)
        assert bench.freed == []
        bench.read(100 + number, TOKEN * tokens)
    bench.ring(110)
    assert_abandoned(bench, 4)


def test_several_tokens_in_one_read_are_all_counted() -> None:
    bench = left(tokens=3)
    bench.read(90, HEAD + ROLE)
    bench.read(100, TOKEN * 5)
    bench.ring(100)
    assert_abandoned(bench, 5)


@pytest.mark.parametrize("joined", [2, 5])
def test_several_tokens_in_one_piece_are_all_counted(joined: int) -> None:
    bench = left(tokens=2)
    bench.read(90, HEAD + ROLE)
    bench.read(100, chunk(body_of(*[TOKEN] * joined)))
    bench.ring(100)
    assert_abandoned(bench, joined)


def test_events_without_tokens_are_not_counted() -> None:
    bench = left(tokens=1)
    bench.read(90, HEAD + ROLE)
    bench.ring(90)
    assert bench.freed == []
    bench.read(95, TOKEN)
    bench.ring(95)
    assert_abandoned(bench, 1)


def test_what_comes_first() -> None:
    bench = left(200, 2)
    bench.read(90, HEAD + ROLE + TOKEN)
    bench.ring(200)
    assert_abandoned(bench, 1)
    bench = left(200, 1)
    bench.read(90, HEAD + ROLE + TOKEN)
    bench.ring(90)
    assert_abandoned(bench, 1)


def test_an_answer_that_ends_before_is_a_normal_one() -> None:
    bench = left(250, 5)
    bench.read(90, HEAD + ROLE + TOKEN + FINISH + DONE + END)
    assert all(timer.cancelled for timer in bench.timers if timer.at > BEGIN + 90 * MS)
    bench.observer = None
    bench.begin(100)
    bench.ring(260)
    assert bench.stream.exchange is not None, "the next request is not the one to leave"
    bench.read(300, HEAD + ROLE + TOKEN + FINISH + DONE + END)
    part = bench.steady()
    assert (part.ended, part.counters.abandoned) == ({"ok": 2}, 0)


def test_an_answer_that_is_complete_but_for_the_end_of_its_body_is_a_normal_one() -> None:
    bench = left(250)
    bench.read(90, HEAD + ROLE + TOKEN + FINISH + DONE)
    bench.ring(250)
    assert bench.steady().ended == {"ok": 1}


def test_nobody_leaves_while_a_connection_is_opened_or_a_retry_waits() -> None:
    bench = Bench(observer=Leaver(50 * MS, None))
    bench.at(0)
    bench.stream.begin(bench.task.request(0)._replace(observer=bench.observer), BEGIN)
    bench.ring(60)
    assert bench.freed == []
    bench.at(80).connect()
    assert bench.links[0].written == []
    assert_abandoned(bench, 0)

    bench = left(50, retries=1)
    bench.read(40, answer("503 No", b"x"))
    assert bench.waits
    bench.ring(60)
    assert bench.freed == []
    bench.at(1000).stream.resume()
    assert len(bench.links[0].written) == 1
    assert_abandoned(bench, 0)


def test_one_who_left_too_early_leaves_no_trace() -> None:
    """A connection that could not be opened ends the request; the next one has no leaver."""
    bench = Bench(observer=Leaver(50 * MS, None))
    bench.at(0)
    bench.stream.begin(bench.task.request(0)._replace(observer=bench.observer), BEGIN)
    bench.ring(60)
    bench.stream.not_connected(End("connect_refused"))
    bench.observer = None
    bench.begin(100, sent=110)
    bench.read(200, HEAD + ROLE + TOKEN + FINISH + DONE + END)
    assert bench.steady().ended == {"connect_refused": 1, "ok": 1}


# --- which ones


def chosen(plan: Abandonment, numbers: range, name: str = "") -> dict[int, int | None]:
    """Number -> time of those that leave."""
    observe = leavers(plan, name)
    found: dict[int, Observer | None] = {number: observe(number) for number in numbers}
    return {n: each._after_ns for n, each in found.items() if isinstance(each, Leaver)}


def test_the_choice_depends_on_seed_task_and_number_alone() -> None:
    plan = Abandonment(0.2, Think(low_ns=10**9, high_ns=3 * 10**9), seed=5)
    whole = chosen(plan, range(2000))
    for workers in (2, 5):
        parts = [chosen(plan, range(worker, 2000, workers)) for worker in range(workers)]
        assert {n: t for part in parts for n, t in part.items()} == whole
    assert chosen(plan, range(2000), "other").keys() != whole.keys()
    assert chosen(Abandonment(0.2, plan.after, seed=6), range(2000)).keys() != whole.keys()


def test_each_step_of_a_flow_is_left_by_users_of_its_own() -> None:
    ask = Ask()
    chosen_of_steps = []
    for step in ("search", "chat"):
        plan = task_of("http://h/", step=step, abandonment=Abandonment(0.2, None, 1))
        observe = observe_of(plan, make_api("openai-chat", ask))
        assert observe is not None
        chosen_of_steps.append({number for number in range(1000) if observe(number) is not None})
    both = chosen_of_steps[0] & chosen_of_steps[1]
    assert 10 < len(both) < 80, "about 40 of 1,000"


def test_shares_and_times_are_as_asked() -> None:
    n = 5000
    for share in (0.05, 0.2, 1.0):
        found = chosen(Abandonment(share, Think(exponential=True, low_ns=10**9)), range(n))
        deviation = (n * share * (1 - share)) ** 0.5
        assert abs(len(found) - n * share) <= 4 * deviation
        times = [time for time in found.values() if time is not None]
        mean = sum(times) / len(times) / 1e9
        assert abs(mean - 1) < 4 / len(times) ** 0.5
        early = sum(time < 0.5e9 for time in times) / len(times)
        assert abs(early - 0.3935) < 4 * 0.49 / len(times) ** 0.5
    assert chosen(Abandonment(0.0, None, 5), range(100)) == {}
