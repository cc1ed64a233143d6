"""Users whose code does random things, over real sockets, while the load changes: whatever they do, the books agree,
nothing is left, and nothing that should not happen does."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from helpers import wild_users
from helpers.live_load import ANSWER, FAILURE, GatedDialer, Site, listening, live, open_load, plan_of, until

from llmstress.engine.control import Plan, Scenario
from llmstress.engine.load.scripted import Scripts
from llmstress.engine.scenario.tasks import tasks_of

ANSWERS = [ANSWER, ANSWER, ANSWER, FAILURE, ANSWER[:-40], b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\nno", b""]
"""What the server sends; empty: it closes the connection."""


def scripted(plan: Plan) -> Plan:
    """The plan with the users of `wild_users` in place of its task."""
    [base] = plan.tasks
    names = [f"{cls.__name__}.{each.name}" for cls in (wild_users.Wild, wild_users.Steady) for each in tasks_of(cls)]
    tasks = [msgspec.structs.replace(base, name=name.partition(".")[2], script=name) for name in names]
    tasks[0] = msgspec.structs.replace(tasks[0], steps=len(tasks))
    return msgspec.structs.replace(
        plan, tasks=tuple(tasks), scenario=Scenario(path=wild_users.__file__, kinds={"chat": base}, secrets={})
    )


class Books:
    """What was counted."""

    def __init__(self, here: Site) -> None:
        delta = here.recorder.cut(here.now, 0)
        here.recorder.sent(delta)
        parts = delta.parts.values()
        self.started = sum(part.counters.started for part in parts)
        self.sent_again = sum(part.counters.stale_retries for part in parts)
        self.due = sum(part.counters.due for part in parts)
        self.dropped = sum(part.counters.dropped for part in parts)
        self.ended = sum((Counter(part.ended) for part in parts), Counter[str]())
        self.sessions = sum(part.counters.sessions for part in parts)
        self.over = sum(part.counters.sessions_completed + part.counters.sessions_failed for part in parts)


def disturb(here: Site, numbers: random.Random) -> None:
    """Something happens to the load, or at the server."""
    match numbers.randrange(8):
        case 0:
            here.model.pause(numbers.random() < 0.3, here.now)
        case 1:
            here.model.set_streams(numbers.randrange(5))
        case 2:
            here.later(numbers.choice([0.1, 1, 10]))
        case 3:
            here.load.check()
        case _:
            what = numbers.choice(ANSWERS)
            if what:
                here.server.answer(numbers.randrange(1, 4), what)
            elif here.server.waiting:
                here.server.waiting[0].transport.close()


async def run(seed: int) -> Books:
    """One run."""
    numbers = random.Random(seed)
    complaints: list[dict[str, Any]] = []

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "handle" in context or not here.model.stray(context.get("exception")):
            complaints.append(context)

    asyncio.get_running_loop().set_exception_handler(complain)
    before = asyncio.all_tasks()
    is_open, requests = seed % 2 == 1, numbers.choice([None, None, 10])
    dials = numbers.choice([1, 64])
    changes: dict[str, Any] = {"seed": seed, "requests": requests, "error_pause_s": 0.0005, "dials": dials}
    if is_open:
        most, timeout_ms = numbers.choice([None, 2]), numbers.choice([0, 5])
        changes = open_load(200, max_queue=most, queue_timeout_ms=timeout_ms, **changes)
    async with listening() as (server, url):
        plan = scripted(plan_of(url, numbers.randrange(1, 5), **changes))
        async with GatedDialer(url, plan.tasks[0].timeouts) as dialer:
            dialer.gate.set()
            here = Site(plan, server, dialer)
            here.start()
            for _ in range(numbers.randrange(40)):
                disturb(here, numbers)
                for _ in range(numbers.randrange(4)):
                    await asyncio.sleep(numbers.choice([0, 0, 0.0003]))
                if here.load.exhausted.is_set():
                    break
            if numbers.random() < 0.5:
                here.load.stop(here.now)
                for _ in range(numbers.randrange(10)):
                    disturb(here, numbers)
                    await asyncio.sleep(0)
            here.load.cut()
            assert here.load.fault is None, here.load.fault
            assert (here.recorder.open, here.load.open) == (0, 0)
            books = Books(here)
            assert here.starting is not None
            here.starting.cancel()
            await until(lambda: not server.connections)
            assert server.requests <= books.started + books.sent_again
        await until(lambda: asyncio.all_tasks() == before)
        [kind] = here.model.mix.entries
        assert isinstance(kind, Scripts)
        assert not here.model._sessions.running  # type: ignore[attr-defined]
        left = here.recorder.cut(here.now, 0).parts.values()
        assert not any(sum(part.ended.values()) for part in left), "counted after the end"
    assert not complaints, complaints
    assert books.started == sum(books.ended.values())
    assert books.sessions >= books.over
    if is_open:
        assert books.due == books.started + books.dropped
    return books


async def run_all(seeds: Sequence[int]) -> None:
    books = []
    for seed in seeds:
        try:
            async with asyncio.timeout(20):
                books.append(await run(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert {"ok", "cancelled", "validation"} <= set().union(*(each.ended for each in books))


@live
@pytest.mark.slow
@pytest.mark.parametrize("block", range(1, 11))
async def test_whatever_many_users_do(block: int) -> None:
    await run_all(range(block * 1_000, block * 1_000 + 1_000))


@live
async def test_whatever_users_do_the_books_agree_and_nothing_is_left() -> None:
    await run_all(range(100))
