"""Code that raises an exception where the run must go on: the methods of observers, and sessions."""

from collections.abc import Hashable
from typing import Any

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, TOKEN, Bench
from helpers.live_load import ANSWER, Site, live, open_load, site, turns, until

from llmstress.engine.load.sessions import Over, Session, SessionKind, Step
from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.observer import Answered, Ending, InFlight, Observer, both
from llmstress.engine.stream.task import Request, Task
from llmstress.engine.telemetry.messages import Phase

LINE = 31
"""Of the exception below."""


class Faulty(Observer):
    """Raises an exception in one of its methods."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.told: list[str] = []

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if what == self.where:
            raise KeyError("a bug")

    def begun(self, in_flight: InFlight, stamp: int) -> None:
        self._tell("begun")

    def head(self, head: Any, stamp: int) -> None:
        self._tell("head")

    def piece(self, data: bytes, stamp: int) -> None:
        self._tell("piece")

    def judged(self, end: End, answered: Answered) -> End:
        self._tell("judged")
        return end

    def retried(self, end: End, stamp: int) -> None:
        self._tell("retried")

    def ended(self, ending: Ending) -> None:
        self._tell("ended")


@pytest.mark.parametrize("where", ["begun", "head", "piece", "judged", "ended"])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
def test_an_observer_that_raises_ends_its_request_and_the_stream_goes_on(where: str, beside: bool) -> None:
    faulty, other = Faulty(where), Faulty("")
    bench = Bench(observer=both(faulty, other) if beside else faulty)
    bench.begin()
    for at, data in enumerate((HEAD + TOKEN, TOKEN, TOKEN, FINISH + DONE + END), 2):
        bench.read(at, data)
    bench.observer = None
    bench.begin(10)
    bench.read(11, ANSWER)
    delta = bench.cut()
    broken = {} if where == "ended" else {"exception": 1}
    assert delta.parts[Phase.STEADY].ended == {"ok": 2 - len(broken), **broken}
    [sample] = delta.samples
    assert sample.error == "exception"
    assert sample.text == f"{__file__}:{LINE}: KeyError: 'a bug'"[:200]
    assert faulty.told[-1] == "ended"
    if beside:
        assert other.told[-1] == "ended", "it can let go of what it holds"


def test_an_observer_that_raises_on_the_fast_path_is_told_nothing_more_but_the_end() -> None:
    class Third(Faulty):
        def _tell(self, what: str) -> None:
            super()._tell(what)
            if self.told.count("piece") == 3:
                raise KeyError("a bug")

    faulty = Third("")
    bench = Bench(observer=faulty)
    bench.begin()
    bench.read(2, HEAD + TOKEN)
    for at in range(3, 9):
        bench.read(at, TOKEN)
    bench.read(9, FINISH + DONE + END)
    assert faulty.told == ["begun", "head", "piece", "piece", "piece", "ended"]
    part = bench.steady()
    assert part.ended == {"exception": 1}
    assert part.counters.events == 7, "every token counts"


def test_a_request_that_fails_by_itself_keeps_its_class_and_the_exception_is_noted() -> None:
    bench = Bench(observer=Faulty("head"), retries=1)
    bench.begin()
    bench.read(2, b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno")
    delta = bench.cut()
    assert delta.parts[Phase.STEADY].ended == {"http_404": 1}
    assert [sample.error for sample in delta.samples] == ["exception", "http_404"]


def test_the_text_of_an_exception_has_no_secret_of_the_user() -> None:
    bench = Bench(observer=Faulty("head"))
    bench.begin()
    exchange = bench.stream.exchange
    assert exchange is not None
    exchange.request = exchange.request._replace(secrets=("a bug",))
    bench.read(2, ANSWER)
    [sample] = bench.cut().samples
    assert sample.text == f"{__file__}:{LINE}: KeyError: '***'"[:200]


# --- sessions


class Faults(SessionKind):
    """Sessions of two requests, every one of which raises an exception at one place."""

    def __init__(self, task: Task, where: str) -> None:
        super().__init__([task])
        self.where = where

    def begin(self, number: int, user: Hashable) -> Session:
        raise_at(self, "begin")
        return Fault(self, number)


class Fault(Session):
    def __init__(self, kind: Faults, number: int) -> None:
        self._kind = kind
        self._number = number

    def first(self) -> Request:
        raise_at(self._kind, "first")
        return self._kind.tasks[0].request(self._number)

    def next(self, exchange: Exchange, end: End) -> Step | Over:
        raise_at(self._kind, "next")
        return Over.COMPLETED


def raise_at(kind: Faults, what: str) -> None:
    if what == kind.where:
        raise ZeroDivisionError("a bug")


def with_faults(here: Site, where: str) -> None:
    """Have the load make sessions that raise exceptions."""
    mix = here.model.mix
    mix.entries = (Faults(mix.tasks[0], where),)


def counted(here: Site) -> tuple[int, int, int]:
    """Sessions that were started, failed, completed."""
    counters = here.recorder.samples(0).counters
    return counters.sessions, counters.sessions_failed, counters.sessions_completed


@live
@pytest.mark.parametrize("where", ["begin", "first", "next"])
@pytest.mark.parametrize("model", ["closed", "open"])
async def test_a_session_that_raises_has_failed_and_the_run_goes_on(where: str, model: str) -> None:
    async with site(2, **(open_load(100) if model == "open" else {})) as here:
        with_faults(here, where)
        here.start()
        if where == "next":
            await until(lambda: here.server.waiting)
        while counted(here)[1] < 4:
            here.later(100)
            here.server.answer()
            await turns()
        assert here.load.fault is None
        with_faults(here, "")
        while not counted(here)[2]:
            here.later(100)
            here.server.answer()
            await turns()
        [sample] = here.recorder.cut(here.now, 0).samples
        here.load.stop(here.now)
        here.later(100)
        while here.recorder.open:
            here.server.answer()
            await turns()
        await until(here.load.exhausted.is_set)
        assert sample.error == "exception"
        assert "test_exceptions.py:" in sample.text
        assert sample.text.endswith("ZeroDivisionError: a bug")
        started, failed, completed = counted(here)
        ended = here.recorder.cut(here.now, 0).parts[Phase.STEADY].ended
        assert ended["exception"] == failed >= 4
        assert ended["ok"] == completed + (failed if where == "next" else 0)
        assert started == failed + completed
