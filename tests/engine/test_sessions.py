"""Sessions under both load models: over real sockets, by a clock that the test sets. The sessions are conversations
with scripted answers."""

from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
from helpers.bench import MS, values
from helpers.live_load import FAILURE, HOUR, Site, live, open_load, site, task_of, turns, until

from llmstress.engine.api.ask import Ask
from llmstress.engine.checks.check import split_check
from llmstress.engine.control import Abandonment, Conversation, TaskPlan, Think
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Maker, Synthetic
from llmstress.engine.stream.states import IN_FLIGHT, PARKED, WAITING
from llmstress.engine.telemetry.aggregate import sum_of

ASK = Ask(prompt="hi", max_tokens=3)

THINK = Think(low_ns=20 * MS, high_ns=20 * MS)
"""By the clock of the test, once a timer has run for as long."""


def steps(count: int, *, fewest: int = 0, think: Think | None = None, **changes: Any) -> tuple[TaskPlan, ...]:
    """The tasks of conversations of `count` turns."""
    conversation = Conversation(fewest=fewest or count, most=count, keeps_answers=False, think=think or Think(), seed=1)
    plan = task_of("http://replaced", ask=ASK, **changes)
    first = msgspec.structs.replace(plan, step="turn 1", steps=count, conversation=conversation)
    return (first, *(msgspec.structs.replace(plan, step=f"turn {turn}") for turn in range(2, count + 1)))


def talks(streams: int, tasks: tuple[TaskPlan, ...], **changes: Any) -> AbstractAsyncContextManager[Site]:
    """A load of conversations."""
    return site(streams, tasks=tasks, **changes)


def said(here: Site) -> list[int]:
    """The number of the turn of each request that has come."""
    return [len(msgspec.json.decode(body)["messages"]) // 2 + 1 for body in here.server.bodies]


def sessions(here: Site) -> tuple[int, int, int, int]:
    """Sessions that were started, completed, failed, overflowed."""
    counters = [samples.counters for samples in map(here.recorder.samples, range(len(here.plan.tasks)))]
    found = [
        (each.sessions, each.sessions_completed, each.sessions_failed, each.sessions_overflowed) for each in counters
    ]
    assert not any(map(any, found[1:])), "a session is counted where its first request is"
    return found[0]


def started(here: Site) -> list[int]:
    """Requests of each turn."""
    return [here.recorder.samples(task).counters.started for task in range(len(here.plan.tasks))]


def ended(here: Site) -> list[dict[str, int]]:
    """Class -> requests of each turn that ended so."""
    parts = [here.recorder.samples(task).parts for task in range(len(here.plan.tasks))]
    return [sum_of(of_task.values()).ended for of_task in parts]


def arrivals(here: Site) -> tuple[int, int, int]:
    """Requests that were due, have started, were dropped."""
    found = [here.recorder.samples(task).counters for task in range(len(here.plan.tasks))]
    due, begun, dropped = zip(*((each.due, each.started, each.dropped) for each in found), strict=True)
    return sum(due), sum(begun), sum(dropped)


async def all_think(here: Site, count: int) -> None:
    """Wait until that many streams wait, and none has a request."""
    states = Counter[str]
    await until(lambda: states(each.state for each in here.load.streams)[WAITING] == count and not here.recorder.open)


# --- closed


@live
async def test_a_stream_makes_all_requests_of_a_session_one_after_the_other() -> None:
    async with talks(1, steps(3)) as here:
        here.start()
        await here.rounds(7, 1)
        assert said(here) == [1, 2, 3, 1, 2, 3, 1, 2]
        assert sessions(here) == (3, 2, 0, 0)
        assert started(here) == [3, 3, 2]
        assert here.server.accepted == 1


@live
async def test_the_history_grows_and_every_turn_says_something() -> None:
    async with talks(1, steps(3)) as here:
        here.start()
        await here.rounds(2, 1)
        first, second, third = ([*msgspec.json.decode(body)["messages"]] for body in here.server.bodies)
        assert first == [{"role": "user", "content": "hi"}]
        assert second[:1] == first
        assert third[:3] == second
        assert [each["role"] for each in third] == ["user", "assistant", "user", "assistant", "user"]
        answers = [each["content"] for each in third if each["role"] == "assistant"]
        assert [len(answer.split()) for answer in answers] == [ASK.limit, ASK.limit]
        assert answers[0] != answers[1]


@live
async def test_a_failed_turn_ends_the_session_and_the_next_one_begins_after_the_pause() -> None:
    async with talks(1, steps(3), error_pause_s=0.01) as here:
        here.start()
        await here.rounds(1, 1)
        here.server.answer(what=FAILURE)
        await until(lambda: here.load.streams[0].state == WAITING)
        assert sessions(here) == (1, 0, 1, 0)
        here.later(HOUR)
        await here.asked(1)
        assert said(here) == [1, 2, 1]


@live
@pytest.mark.parametrize("keeps", [True, False])
async def test_the_answers_of_all_turns_are_checked(keeps: bool) -> None:
    tasks = steps(2, checks=(split_check("not-contains:tok"), split_check("min-tokens:2")))
    assert tasks[0].conversation is not None
    conversation = msgspec.structs.replace(tasks[0].conversation, keeps_answers=keeps)
    first = msgspec.structs.replace(tasks[0], conversation=conversation)
    async with talks(1, (first, *tasks[1:]), error_pause_s=0.01) as here:
        here.start()
        await here.rounds(1, 1)
        assert ended(here) == [{"validation": 1}, {}]
        assert sessions(here) == (2, 0, 1, 0)


@live
async def test_users_walk_away_from_any_turn_and_their_session_is_cut_off() -> None:
    async with talks(1, steps(2, abandonment=Abandonment(1.0, Think(low_ns=MS, high_ns=MS)))) as here:
        here.start()
        await here.asked(1)
        here.later(5)
        await until(lambda: ended(here)[0])
        assert ended(here) == [{"cancelled": 1}, {}]
        assert sessions(here)[1:] == (0, 0, 0)


@live
async def test_the_drawn_lengths_of_turns_are_asked_for_and_compared() -> None:
    made = Synthetic(output=Lengths("fixed", 7), seed=1, salt=1)
    async with talks(1, steps(2, synthetic=made)) as here:
        here.start()
        await here.rounds(1, 1)
        counters = here.recorder.samples(0).part(2).counters
        assert msgspec.json.decode(here.server.bodies[0])["max_tokens"] == 7
        assert (counters.asked_output, counters.delivered_output) == (7, 1)


@live
async def test_users_think_between_two_turns() -> None:
    async with talks(1, steps(2, think=THINK)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await all_think(here, 1)
        here.later(19.9)
        await turns(50)
        assert started(here) == [1, 0]
        here.later(0.2)
        await here.asked(1)
        assert said(here) == [1, 2]


@live
async def test_a_pause_keeps_the_sessions() -> None:
    async with talks(1, steps(2, think=THINK)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await all_think(here, 1)
        here.model.pause(True, 0)
        here.later(HOUR)
        await until(lambda: here.parked == 1)
        here.model.pause(False, 0)
        await here.asked(1)
        assert said(here) == [1, 2]
        assert sessions(here) == (1, 0, 0, 0)


@live
async def test_a_pause_keeps_a_session_that_waits_for_a_connection() -> None:
    async with talks(2, steps(2), gated=True, dials=1) as here:
        here.start()
        await until(lambda: here.recorder.open == 1 and here.load.dialing.waiting == 1)
        here.model.pause(True, 0)
        assert here.parked == 1
        here.model.pause(False, 0)
        here.gate.set()
        await here.asked(2)
        assert said(here) == [1, 1]
        assert sessions(here) == (2, 0, 0, 0)


@live
async def test_a_surplus_stream_finishes_its_request_and_its_session_is_cut_off() -> None:
    async with talks(2, steps(3)) as here:
        here.start()
        await here.asked(2)
        here.model.set_streams(1)
        here.server.answer()
        await here.asked(1)
        assert here.parked == 1
        here.model.set_streams(2)
        await here.asked(2)
        assert sorted(said(here)) == [1, 1, 1, 2]
        assert sessions(here) == (3, 0, 0, 0)


@live
async def test_a_session_whose_user_thinks_is_cut_off_with_its_stream() -> None:
    async with talks(1, steps(2, think=THINK)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await all_think(here, 1)
        here.model.set_streams(0)
        here.later(HOUR)
        await until(lambda: here.load.streams[0].state == PARKED)
        here.model.set_streams(1)
        await here.asked(1)
        assert said(here) == [1, 1]
        assert sessions(here) == (2, 0, 0, 0)


@live
async def test_a_session_that_never_began_has_not_started() -> None:
    async with talks(2, steps(2), gated=True, dials=1) as here:
        here.start()
        await here.all_begun()
        await until(lambda: here.recorder.open == 1 and here.load.dialing.waiting == 1)
        assert sessions(here)[0] == 1
        here.model.set_streams(1)
        assert sessions(here)[0] == 1
        here.gate.set()
        await here.asked(1)


@live
@pytest.mark.parametrize("how", ["pause", "fewer"])
async def test_a_session_that_never_began_leaves_its_number_to_the_next_one(how: str) -> None:
    made = Synthetic(prompt=Lengths("fixed", 20), seed=1, salt=1)
    async with talks(3, steps(2, synthetic=made), gated=True, dials=1) as here:
        here.start()
        await until(lambda: here.recorder.open == 1 and here.load.dialing.waiting == 2)
        if how == "pause":
            here.model.pause(True, 0)
            here.model.pause(False, 0)
        else:
            here.model.set_streams(1)
            here.model.set_streams(3)
        here.gate.set()
        await here.asked(3)
        texts = Maker(made)
        firsts = [msgspec.json.decode(body)["messages"][0]["content"] for body in here.server.bodies]
        assert sorted(firsts) == sorted(texts.make(number << 20).prompt or "" for number in range(3))
        assert sessions(here) == (3, 0, 0, 0)


@live
async def test_a_number_of_requests_is_one_of_turns() -> None:
    async with talks(2, steps(3), requests=5) as here:
        here.start()
        await here.asked(2)
        while not here.load.exhausted.is_set():
            here.server.answer()
            await turns()
        assert sum(started(here)) == 5
        assert sessions(here) == (2, 1, 0, 0)  # the other one was cut off after two turns


async def first_conversations(count: int, worker: int, workers: int) -> Counter[bytes]:
    """What the first conversations of a worker say."""
    async with talks(1, steps(4, fewest=1), worker=worker, workers=workers) as here:
        here.start()
        await here.asked(1)
        while sessions(here)[0] <= count:
            here.server.answer()
            await turns()
        await here.asked(1)
        return Counter(here.server.bodies[:-1])


@pytest.mark.parametrize("workers", [2, 5])
@live
async def test_conversations_are_the_same_however_many_workers_there_are(workers: int) -> None:
    found = Counter[bytes]()
    for worker in range(workers):
        found += await first_conversations(10 // workers, worker, workers)
    assert found == await first_conversations(10, 0, 1)
    assert len({body.count(b"role") for body in found}) == 4


# --- open


@live
async def test_sessions_arrive_and_keep_their_streams_while_their_users_think() -> None:
    async with talks(1, steps(2, think=THINK), **open_load(10)) as here:
        here.start()
        await here.asked(1)
        here.later(100)  # the second session arrives, and no stream is free
        here.server.answer()
        await all_think(here, 1)
        assert here.recorder.progress.waiting == 1
        here.later(20)
        await here.asked(1)
        assert said(here) == [1, 2]
        here.server.answer()
        await here.asked(1)
        assert said(here) == [1, 2, 1]
        assert sessions(here) == (2, 1, 0, 0)
        assert here.server.accepted == 1


@live
async def test_a_later_turn_is_due_when_its_user_has_thought() -> None:
    async with talks(5, steps(2, think=THINK), **open_load(0.1)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await all_think(here, 1)
        here.later(23)
        await here.asked(1)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        assert arrivals(here) == (2, 2, 0)
        parts = here.recorder.cut(here.now, 0).parts.values()
        queues = [each for part in parts for each in values(part.latency, "queue")]
        assert sorted(queues) == [0, 3]


@live
async def test_at_a_rate_a_number_of_requests_is_one_of_turns_and_ends_the_run() -> None:
    async with talks(9, steps(3), **open_load(10, requests=7)) as here:
        here.start()
        while not here.load.exhausted.is_set():
            here.later(20)
            here.server.answer()
            await turns()
            here.load.check()
        assert arrivals(here) == (7, 7, 0)
        counted = sessions(here)
        assert counted[0] >= 3
        assert counted[1] >= 2


@live
async def test_sessions_that_wait_for_a_stream_get_those_of_sessions_that_may_not_go_on() -> None:
    async with talks(1, steps(3, think=THINK), **open_load(10, requests=3)) as here:
        here.start()
        await here.asked(1)
        here.later(100)  # the second and the third session arrive, and no stream is free
        here.later(100)
        here.server.answer()
        await all_think(here, 1)  # its next request would be the fourth
        here.later(20)
        for _ in range(2):
            await here.asked(1)
            here.server.answer()
            await until(lambda: not here.recorder.open)
            here.later(20)
            await turns()
        await until(here.load.exhausted.is_set)
        assert said(here) == [1, 1, 1]
        assert arrivals(here) == (3, 3, 0)


@live
async def test_the_end_of_the_run_does_not_wait_for_users_who_think() -> None:
    async with talks(3, steps(2, think=THINK), **open_load(10)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await all_think(here, 1)
        assert here.model.pending
        here.load.stop(here.now)
        assert here.load.exhausted.is_set()
        here.later(30)
        await until(lambda: all(stream.state != WAITING for stream in here.load.streams))
        assert arrivals(here) == (1, 1, 0)
        assert sessions(here) == (1, 0, 0, 0)


@live
async def test_a_pause_holds_the_turns_back() -> None:
    async with talks(3, steps(2, think=THINK), **open_load(0.1)) as here:
        here.start()
        await here.asked(1)
        here.server.answer()
        await all_think(here, 1)
        here.model.pause(True, 0)
        here.later(1_000)
        await turns(50)
        assert started(here) == [1, 0]
        here.model.pause(False, 1_000 * MS)
        await here.asked(1)
        assert said(here) == [1, 2]
        assert all(stream.state == IN_FLIGHT for stream in here.load.streams if stream.exchange is not None)


@live
async def test_a_turn_that_waits_for_a_connection_at_the_end_is_dropped() -> None:
    async with talks(1, steps(2), dials=1, **open_load(10)) as here:
        here.start()
        await here.asked(1)
        here.gate.clear()
        [peer] = here.server.waiting
        here.server.answer()
        peer.transport.close()
        await until(lambda: arrivals(here)[0] == 2)
        await turns(20)
        here.load.cut()
        due, begun, dropped = arrivals(here)
        assert due == begun + dropped
