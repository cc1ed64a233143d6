"""A trace under the open model: over real sockets, by a clock that the test sets."""

import asyncio
from pathlib import Path
from typing import Any

from helpers.bench import MS, values
from helpers.live_load import Site, live, site, until

from llmstress.engine.control import OpenLoad, Replay
from llmstress.engine.stream.task import Request
from llmstress.engine.telemetry.load_profile import constant
from llmstress.engine.trace import Arrival, write_columns

SPEED = 2.0


def replay_of(directory: Path, *at_ms: float, max_queue: int | None = None) -> dict[str, Any]:
    """The part of a plan that replays rows at these times, twice as fast."""
    write_columns((Arrival(int(at * MS)) for at in at_ms), directory / "columns")
    return {
        "profile": constant("trace", SPEED),
        "open": OpenLoad("trace", 1.0, max_queue, 0),
        "replay": Replay(str(directory / "columns"), lengths=False),
    }


def numbers_of(here: Site) -> list[int]:
    """The numbers of the requests that begin, from now on."""
    numbers: list[int] = []
    inner = here.model.mix.tasks[0].request

    def request(number: int) -> Request:
        numbers.append(number)
        return inner(number)

    here.model.mix.tasks[0].request = request
    return numbers


@live
async def test_rows_are_due_at_their_times_and_the_run_ends_with_the_last_one(tmp_path: Path) -> None:
    async with site(9, **replay_of(tmp_path, 1000, 1000, 1100, 1700)) as here:
        numbers = numbers_of(here)
        here.start()
        await here.asked(2)
        here.later(49.999)
        for _ in range(5):
            await asyncio.sleep(0)
        assert here.started == 2
        here.later(0.001)
        await here.asked(3)
        here.server.answer()
        await until(lambda: not here.server.waiting and not here.recorder.open)
        here.load.check()
        assert not here.load.exhausted.is_set(), "there is a gap, and then another row"
        here.later(300)
        await here.asked(1)
        assert not here.load.exhausted.is_set(), "it has not ended"
        here.server.answer()
        await until(here.load.exhausted.is_set)
        assert here.model.over
        part = await here.end()
        assert numbers == [0, 1, 2, 3]
        assert part.ended == {"ok": 4}
        assert part.counters.due == 4
        assert max(values(part.latency, "queue")) == 0


@live
async def test_a_row_whose_request_is_dropped_takes_its_number_with_it(tmp_path: Path) -> None:
    async with site(1, **replay_of(tmp_path, 0, 20, 40, 60, 4000, max_queue=1)) as here:
        numbers = numbers_of(here)
        here.start()
        await here.asked(1)
        here.later(100)
        await until(lambda: here.recorder.samples(0).counters.due == 4)
        here.server.answer()
        await here.asked(1)
        here.server.answer()
        await until(lambda: not here.recorder.open)
        here.later(1900)
        await here.asked(1)
        part = await here.end()
        assert numbers == [0, 1, 4]
        assert (part.counters.due, part.counters.started, part.counters.dropped) == (5, 3, 2)
