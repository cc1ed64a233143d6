"""The bystander: its requests are measured, and are in no figure of the load."""

import asyncio

import msgspec
import pytest
from helpers.bench import BEGIN, MS
from helpers.live_load import Site, live, plan_of, site, until

from llmstress.engine.control import Bystander
from llmstress.engine.load.build import build_bystander, bystander_plan
from llmstress.engine.load.open import OpenModel
from llmstress.engine.stream.failure_policy import DEFAULTS, FailurePolicy
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Delta, ErrorSample, Part, Phase, key_of
from llmstress.engine.telemetry.thinning import Merger

DENIED = b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"

STEADY = int(Phase.STEADY)


def delta(seq: int = 0, worker: int = 0) -> Delta:
    """Four requests of the load, three of which have ended, and two of the bystander, one of which failed."""
    return Delta(
        worker=worker,
        seq=seq,
        t_from=seq * 250 * MS,
        t_to=(seq + 1) * 250 * MS,
        window=STEADY,
        open=1,
        open_max=4,
        merged=0,
        rss=1,
        parts={
            key_of(STEADY): Part(Counters(started=4, events=30), {"ok": 3}),
            key_of(STEADY, BYSTANDER): Part(Counters(started=2, events=8, due=3, dropped=1), {"ok": 1, "http_500": 1}),
        },
        samples=[ErrorSample("bystander http_500", 500, "oops", "")],
    )


def figures(aggregate: Aggregate) -> dict[str, object]:
    """What is made of the load."""
    return {
        "started": aggregate.counters().started,
        "ended": aggregate.ended(),
        "steady": aggregate.steady.counters.events,
        "window": aggregate.of_window(STEADY).counters.events,
        "failed": aggregate.failed(),
        "finished": aggregate.finished(),
        "measured": aggregate.measured(),
        "rows": [(row.requests, row.failed, row.events) for row in aggregate.rows],
        "recent": [(slot.ok, slot.finished, slot.failed, slot.events) for slot in aggregate.recent],
        "unfinished": [worker.unfinished for worker in aggregate.workers],
    }


def test_no_figure_of_the_load_contains_the_bystander() -> None:
    with_it, without = Aggregate.over([1, 1]), Aggregate.over([1, 1])
    for seq in range(5):
        for worker in (0, 1):
            whole = delta(seq, worker)
            with_it.merge(whole)
            load_only = {key: part for key, part in delta(seq, worker).parts.items() if key == key_of(STEADY)}
            without.merge(msgspec.structs.replace(delta(seq, worker), parts=load_only))
            assert key_of(STEADY, BYSTANDER) in whole.parts, "the message stays as it is: a record keeps it"
    assert figures(with_it) == figures(without)
    assert figures(with_it)["started"] == 40
    beside = with_it.bystander()
    assert (beside.counters.started, beside.counters.due, beside.counters.dropped) == (20, 30, 10)
    assert beside.ended == {"ok": 10, "http_500": 10}
    assert with_it.bystander(Phase.STEADY) == beside
    assert with_it.bystander(Phase.DRAIN) == Part()
    assert without.bystander() == Part()
    assert "http_500" not in with_it.samples


def test_a_merged_stretch_of_a_record_holds_it() -> None:
    aggregate, merger = Aggregate.over([1]), Merger()
    for seq in range(4):
        aggregate.merge(delta(seq))
        merger.add(delta(seq), aggregate.parts)
    (merged,) = merger.take()
    again = Aggregate.over([1])
    again.merge(merged)
    assert again.bystander().ended == aggregate.bystander().ended == {"ok": 4, "http_500": 4}
    assert again.counters().started == aggregate.counters().started == 16


@pytest.mark.parametrize("status", sorted(DEFAULTS))
def test_none_of_its_failures_ends_the_run_or_is_sent_again(status: str) -> None:
    async def plan() -> None:
        async with site(1) as here:
            own = bystander_plan(here.plan, Bystander(1.0, here.plan.tasks[0]))
            [task] = own.tasks
            assert task.retries == 0
            assert (
                FailurePolicy(tuple(task.on_status)).action(int(status) if status.isdigit() else 0, status) == "count"
            )

    asyncio.run(plan())


class Beside:
    """A bystander beside the load of a site."""

    def __init__(self, here: Site, per_s: float) -> None:
        plan = msgspec.structs.replace(here.plan, bystander=Bystander(per_s, here.plan.tasks[0]), seed=3)
        model = build_bystander(
            plan, here.load, lambda _: here.model.mix.tasks[0].dials, lambda: here.now, make_alarm=here.make_alarm
        )
        assert isinstance(model, OpenModel)
        self.model, self.load = model, model.load
        self.samples = here.recorder.samples(BYSTANDER)


def test_beside_users_in_python_it_sends_requests_of_its_own() -> None:
    plan = plan_of("http://127.0.0.1/v1/chat/completions", 1)
    script = msgspec.structs.replace(plan.tasks[0], script="Support.ask")
    [own] = bystander_plan(plan, Bystander(1.0, script)).tasks
    assert not own.script, "else its source has no bytes"


@live
async def test_it_sends_beside_the_load_and_counts_apart() -> None:
    async with site(2) as here:
        beside = Beside(here, 10)
        here.start()
        await here.asked(2)
        await beside.model.start(BEGIN)
        here.later(2_000)
        await until(lambda: beside.load.open > 10)
        await until(lambda: len(here.server.waiting) == 2 + beside.load.open)
        assert here.recorder.open == here.load.open == 2
        assert here.recorder.samples(0).counters.started == 2
        assert beside.samples.counters.started == beside.load.open
        assert here.recorder.progress.waiting == 0
        here.load.stop(here.now)
        beside.load.stop(here.now)
        here.server.answer()
        await until(here.load.exhausted.is_set)
        await until(lambda: not beside.load.open)
        beside.load.cut()
        counters = beside.samples.counters
        assert counters.due == counters.started + counters.dropped
        assert beside.samples.part(STEADY).ended == {"ok": counters.started}
        assert (await here.end()).ended == {"ok": 2}


@live
async def test_the_load_does_not_wait_for_it_and_its_answers_are_none_of_the_load() -> None:
    async with site(1, requests=1) as here:
        beside = Beside(here, 10)
        await beside.model.start(BEGIN)
        here.later(1_000)
        await until(lambda: beside.load.open and len(here.server.waiting) == beside.load.open)
        here.server.answer(1)
        await until(lambda: beside.samples.parts[STEADY].ended == {"ok": 1})
        assert not here.recorder.answered
        waiting = len(here.server.waiting)
        here.start()
        await until(lambda: len(here.server.waiting) == waiting + 1)
        last = here.server.waiting[-1:]
        here.server.waiting = here.server.waiting[:-1]
        here.server.waiting, rest = last, here.server.waiting
        here.server.answer()
        here.server.waiting = rest
        await until(here.load.exhausted.is_set)
        assert beside.load.open == waiting
        assert here.recorder.answered
        beside.load.cut()
        assert beside.samples.parts[STEADY].ended == {"ok": 1, "cancelled": waiting}
        here.server.waiting.clear()
        await here.end()


@live
async def test_its_failures_end_nothing_and_are_kept_apart() -> None:
    async with site(1) as here:
        beside = Beside(here, 10)
        await beside.model.start(BEGIN)
        here.later(500)
        await until(lambda: beside.load.open and len(here.server.waiting) == beside.load.open)
        here.server.answer(what=DENIED)
        await until(lambda: not beside.load.open)
        made = here.recorder.cut(here.now, 0)
        assert made.fatal == {}
        assert {sample.error for sample in made.samples} == {"bystander http_401"}
        beside.load.cut()
        here.start()
        await here.asked(1)
        await here.end()


@live
async def test_a_fault_of_the_bystander_ends_the_run() -> None:
    async with site(1) as here:
        beside = Beside(here, 1)
        fault = RuntimeError("x")
        beside.load.fail(fault)
        assert here.load.exhausted.is_set()
        assert here.load.fault is fault
        here.load.fault = None
        beside.load.cut()
