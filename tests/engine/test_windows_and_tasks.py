"""Several steady windows and several tasks: from the recorder to a replayed record nothing is lost or mixed."""

import random
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import cast

import msgspec
import pytest
from helpers.made_up_runs import figures_of
from helpers.screens import S, facts, write_record

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import DONE, TOKEN, Meaning
from llmstress.engine.control import Timeouts
from llmstress.engine.outcome import OK, End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failure_policy import FailurePolicy
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.link import Link
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Task, fixed
from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import (
    Frame,
    Message,
    RunView,
    Windows,
    WorkerChange,
    decode,
    encode,
)
from llmstress.engine.telemetry.messages import (
    MAX_WINDOWS,
    Counters,
    Delta,
    Part,
    Phase,
    consecutive,
    key_of,
    task_of,
    window_of,
)
from llmstress.engine.telemetry.record import Reader
from llmstress.engine.telemetry.sanitize import sanitize_frame
from llmstress.engine.telemetry.thinning import Step, take_in

T0 = 7 * S
TURN, INTERVAL = 10_000_000, S // 4
WORKERS, TASKS = 2, 3
WINDOWS = consecutive(
    [
        (Phase.RAMP, "ramp", 0),
        (Phase.STEADY, "100 streams", S),
        (Phase.RAMP, "to 200 streams", 8 * S + 5_000_001),
        (Phase.STEADY, "200 streams", 9 * S),
        (Phase.DRAIN, "drain", 18 * S),
    ]
)
FINISH = Meaning(finish="stop")
RESET = End("truncated", "connection reset")


class Expected:
    """What belongs to one window and one task, counted by the test itself."""

    def __init__(self) -> None:
        self.started = self.events = 0
        self.ended: dict[str, int] = defaultdict(int)
        self.samples: dict[str, list[int]] = {name: [] for name in ("ttft", "itl", "e2e", "failed ttft", "failed itl")}


Books = dict[tuple[int, int], Expected]


class NoDials:
    """Opens nothing: no request of this test looks for a connection."""

    async def open(self) -> Link:
        raise AssertionError


def task_of_recorder(recorder: Recorder, number: int) -> Task:
    """One kind of request, whose samples go to its own part."""
    return Task(
        id=number,
        api=make_api("openai-chat", Ask()),
        requests=fixed(b""),
        dials=NoDials(),
        failures=Failures(0, FailurePolicy(), [], recorder, lambda: 0.0),
        recorder=recorder,
        timeouts=Timeouts(0, 0, 0, 0),
    )


class Worker:
    """One process: a recorder, and requests of all tasks that are answered at random."""

    def __init__(self, number: int, books: Books) -> None:
        self._draw = random.Random(number)
        self._books = books
        self._now = T0
        self._running: list[tuple[int, Exchange, list[int]]] = []
        """Task, request, stamps of its tokens."""
        self._recorder = Recorder(number, lambda: self._now)
        self._tasks = [task_of_recorder(self._recorder, task) for task in range(TASKS)]
        self._recorder.begin(T0, WINDOWS, lambda: [exchange for _, exchange, _ in self._running])

    def _book(self, stamp: int, task: int) -> Expected:
        window = max(each.index for each in WINDOWS if each.begin is not None and each.begin <= stamp - T0)
        return self._books[window, task]

    def turn(self, now: int) -> None:
        """Everything that happens at stamp `now`."""
        self._now = now
        if now >= self._recorder.edge:
            self._recorder.cross(now)
        if self._draw.random() < 0.3:
            self._begin(self._draw.randrange(TASKS))
        for each in list(self._running):
            self._go_on(*each)
            task, exchange, tokens = each
            if len(tokens) > 3 and self._draw.random() < 0.05:
                self._running.remove(each)
                self._end(task, exchange, tokens, RESET if self._draw.random() < 0.3 else OK)
        self._recorder.loop_lag(100)
        if self._draw.random() < 0.2:
            self._recorder.tick()

    def _begin(self, task: int) -> None:
        made = self._tasks[task]
        exchange = Exchange(made.request(0), self._now, self._now)
        self._recorder.samples(task).started()
        exchange.sent = exchange.head_at = self._now
        self._book(self._now, task).started += 1
        self._running.append((task, exchange, []))

    def _go_on(self, task: int, exchange: Exchange, tokens: list[int]) -> None:
        if self._draw.random() < 0.5:
            exchange.apply(TOKEN, self._now)
            tokens.append(self._now)
            self._book(self._now, task).events += 1

    def _end(self, task: int, exchange: Exchange, tokens: list[int], end: End) -> None:
        if end is OK:
            exchange.apply(FINISH, self._now)
            exchange.apply(DONE, self._now)
            self._book(self._now, task).samples["e2e"].append((self._now - exchange.start) // 1000)
        exchange.record_end(end, self._now)
        self._book(self._now, task).ended[end.outcome] += 1
        kind = "failed " if end.failed else ""
        self._book(tokens[0], task).samples[f"{kind}ttft"].append((tokens[0] - exchange.start) // 1000)
        for before, stamp in pairwise(tokens):
            self._book(stamp, task).samples[f"{kind}itl"].append((stamp - before) // 1000)

    def cut_off(self) -> None:
        """The end of the run: what is still open is cancelled."""
        for task, exchange, tokens in self._running:
            exchange.record_end(End("cancelled"), self._now)
            book = self._book(self._now, task)
            book.ended["cancelled"] += 1
            if tokens:
                self._book(tokens[0], task).samples["ttft"].append((tokens[0] - exchange.start) // 1000)
            for before, stamp in pairwise(tokens):
                self._book(stamp, task).samples["itl"].append((stamp - before) // 1000)
        self._running = []

    def cut(self, *, sent: bool = True) -> bytes:
        """The next delta as it goes over the wire; not `sent`: it could not be, and is part of the one after it."""
        made = self._recorder.cut(self._now, 1_000_000)
        data = encode(made)
        if sent:
            self._recorder.sent(made)
        else:
            self._recorder.not_sent()
        return data

    def lengths(self) -> tuple[int, int]:
        """Of steady windows and drain."""
        self._recorder.finish(self._now)
        return self._recorder.steady_ns, self._recorder.drain_ns


def new_view() -> RunView:
    view = RunView(facts(), Aggregate.over([20] * WORKERS, windows=WINDOWS))
    for worker in range(WORKERS):
        view.apply(WorkerChange(worker, "running"))
    return view


@cache
def run_through() -> tuple[list[tuple[int, Frame]], Books]:
    """All deltas of a run of 19 s, with the times at which they came, and what they have to contain."""
    books: Books = defaultdict(Expected)
    workers = [Worker(number, books) for number in range(WORKERS)]
    told: list[tuple[int, Frame]] = []
    for t in range(TURN, 19 * S + 1, TURN):
        for number, worker in enumerate(workers):
            worker.turn(T0 + t)
            if t == 19 * S:
                worker.cut_off()
                assert worker.lengths() == (7 * S + 5_000_001 + 9 * S, S)
            if t % INTERVAL == 0:
                lost = number == 1 and t % (5 * INTERVAL) == 0 and t < 19 * S
                data = worker.cut(sent=not lost)
                if not lost:
                    told.append((t + number, decode(data)))
    return told, books


def seen(until: int = 20 * S) -> RunView:
    """What a viewer has of the run at a time (ns after T0)."""
    view = new_view()
    for t, message in run_through()[0]:
        if t < until:
            view.apply(cast(Message, message))
    return view


def assert_is(part: Part, expected: list[Expected]) -> None:
    """`part` contains the sum of what is expected, and no more."""
    assert part.counters.started == sum(each.started for each in expected)
    assert part.counters.events == sum(each.events for each in expected)
    ended: dict[str, int] = defaultdict(int)
    for each in expected:
        for outcome, n in each.ended.items():
            ended[outcome] += n
    assert part.ended == ended
    for name in ("ttft", "itl", "e2e", "failed ttft", "failed itl"):
        values = [us for each in expected for us in each.samples[name]]
        found = (part.latency_failed if name.startswith("failed") else part.latency).get(name.removeprefix("failed "))
        assert (found.count, found.sum) == (len(values), sum(values)) if found is not None else not values, name


def assert_holds_all(aggregate: Aggregate) -> None:
    """Every sum over windows and tasks is the one that the test counted."""
    _, books = run_through()
    for window in range(len(WINDOWS)):
        for task in range(TASKS):
            assert_is(aggregate.part(window, task), [books[window, task]])
        assert_is(aggregate.of_window(window), [books[window, task] for task in range(TASKS)])
    for task in range(TASKS):
        assert_is(aggregate.of_task(task), [books[window, task] for window in range(len(WINDOWS))])
        assert_is(aggregate.of_task(task, Phase.STEADY), [books[1, task], books[3, task]])
    steady = [books[window, task] for window in (1, 3) for task in range(TASKS)]
    assert_is(aggregate.steady, steady)
    assert_is(aggregate.of_kind(Phase.STEADY), steady)
    assert_is(aggregate.of_kind(*Phase), list(books.values()))
    assert aggregate.counters().events == sum(each.events for each in books.values())
    assert aggregate.counters(Phase.STEADY).started == sum(each.started for each in steady)
    assert aggregate.ended(Phase.DRAIN) == aggregate.of_window(4).ended
    assert sum(aggregate.ended().values()) == aggregate.counters().started, "every request has ended"
    assert sum(row.events for row in aggregate.rows) == aggregate.counters().events


def test_the_books_hold_something_everywhere() -> None:
    _, books = run_through()
    for window in range(len(WINDOWS)):
        for task in range(TASKS):
            assert books[window, task].events
            assert books[window, task].ended["truncated"]


def test_every_part_arrives_as_it_was_measured() -> None:
    view = seen()
    assert_holds_all(view.aggregate)
    assert sum(worker.merged for worker in view.aggregate.workers) > 0, "some deltas contain two cuts"
    assert [each.unfinished for each in view.aggregate.workers] == [dict.fromkeys(range(TASKS), 0)] * WORKERS
    assert view.steady_s == pytest.approx(16.005, abs=1e-4)
    _, books = run_through()
    first = [books[window, task] for window in range(1, 5) for task in range(TASKS)]
    assert view.aggregate.measured() == sum(
        n for each in first for outcome, n in each.ended.items() if outcome != "cancelled"
    )


def test_what_belongs_to_the_process_is_counted_once() -> None:
    aggregate = seen().aggregate
    lags = [aggregate.of_task(task).latency.get("loop_lag") for task in range(TASKS)]
    assert lags[0] is not None
    assert lags[0].count == WORKERS * 19 * S // TURN
    assert lags[1:] == [None, None]
    assert [aggregate.of_task(task).counters.cpu_ns for task in (1, 2)] == [0, 0]
    assert sum(worker.cpu_ns for worker in aggregate.workers) == aggregate.counters().cpu_ns > 0
    steady = aggregate.steady
    assert sum(worker.steady_cpu_ns for worker in aggregate.workers) == steady.counters.cpu_ns
    assert sum(worker.loop_lag.count for worker in aggregate.workers) == steady.latency["loop_lag"].count


def test_a_keyframe_holds_all() -> None:
    frame = decode(encode(seen()))
    assert isinstance(frame, RunView)
    assert_holds_all(frame.aggregate)
    assert frame.aggregate.windows == WINDOWS


def test_a_thinned_record_holds_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RAW_BYTES", 20_000)
    monkeypatch.setattr(record, "LEVEL_BYTES", 20_000)
    reader = Reader(write_record(tmp_path / "run.rec", run_through()[0], new_view()))
    assert reader.whole_from > 0, "it was thinned"
    view, steps = reader.opening(), 0
    for moment in reader.moments():
        take_in(view, moment.frame)
        steps += isinstance(moment.frame, Step)
    assert steps > 3
    assert_holds_all(view.aggregate)
    assert figures_of(view.aggregate) == figures_of(seen().aggregate)


def test_a_lost_worker_loses_the_requests_of_every_task() -> None:
    view = seen(until=10 * S)
    unfinished = dict(view.aggregate.workers[1].unfinished)
    assert min(unfinished.values()) > 0
    view.apply(WorkerChange(1, "lost", reason="killed"))
    for task, n in unfinished.items():
        assert view.aggregate.of_task(task).ended["lost"] == view.aggregate.part(3, task).ended["lost"] == n


def test_windows_may_change_while_the_run_goes_on() -> None:
    view = seen(until=6 * S)
    assert view.steady_s == pytest.approx(4.75)
    begins = [0, 2 * S, 3 * S, 5 * S, None]
    moved = consecutive([(window.kind, window.label, begin) for window, begin in zip(WINDOWS, begins, strict=True)])
    view.apply(Windows(moved))
    assert view.steady_s == pytest.approx(1.75)
    assert msgspec.msgpack.decode(encode(Windows(moved)), type=Windows) == decode(encode(Windows(moved)))


def test_labels_are_made_plain_for_a_terminal() -> None:
    odd = consecutive([(Phase.STEADY, "\x1b[2J", 0), (Phase.DRAIN, "drain", None)])
    view = RunView(facts(), Aggregate.over([1], windows=odd))
    sanitized = sanitize_frame(Windows(odd)), sanitize_frame(view)
    assert sanitized[0] == Windows(view.aggregate.windows)
    assert [window.label for window in view.aggregate.windows] == ["\\x1b[2J", "drain"]


def test_a_key_holds_window_and_task() -> None:
    for window in (0, 1, 127, MAX_WINDOWS - 1):
        for task in (0, 1, 1000):
            key = key_of(window, task)
            assert (window_of(key), task_of(key)) == (window, task)
        assert key_of(window) == window, "one task: the key is the window"


def test_a_row_belongs_to_the_window_of_most_of_its_events() -> None:
    aggregate = Aggregate.over([1], windows=WINDOWS)
    events = {key_of(1): 5, key_of(2): 4, key_of(2, 1): 3}
    parts = {key: Part(counters=Counters(events=n)) for key, n in events.items()}
    aggregate.merge(Delta(0, 0, 0, S, 3, 0, 0, 0, 0, parts, []))
    assert [row.window for row in aggregate.rows] == [2]
    assert aggregate.phase is Phase.STEADY
