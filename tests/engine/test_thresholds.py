"""How thresholds are judged: by intervals or values, in which part of the run, and what is said about it."""

from typing import Any

import msgspec
import pytest
from helpers.screens import STEP, S, histogram, opening

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.telemetry.broadcast import (
    Ended,
    RunView,
    StepFacts,
    TaskFacts,
    Windows,
    WorkerChange,
    numbers_named,
)
from llmstress.engine.telemetry.cost import Cost, Price, Pricing, Tariff
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.intervals import share_interval
from llmstress.engine.telemetry.judging import Judge
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Delta, Part, Phase, consecutive, key_of
from llmstress.engine.telemetry.subjects import SUBJECTS, Stretch, find
from llmstress.engine.telemetry.threshold_words import judgement_words, states_words
from llmstress.engine.telemetry.thresholds import Judgement, Reading, judge, worst

MS = 1_000


def many(us: int, n: int) -> Histogram:
    return Histogram({us: n}, n, us * n, us, us) if us < 2048 else histogram(*[us] * n)


def of(text: str, *, over: bool = True, **reading: Any) -> Judgement:
    return judge(parse_threshold(text), Reading(**reading), over=over)


# --- decisions


@pytest.mark.parametrize(
    ("text", "low", "high", "state"),
    [
        ("ttft.p99>800ms", 801, 900, "failed"),
        ("ttft.p99>800ms", 700, 800, "passed"),
        ("ttft.p99>800ms", 800, 900, "undecided"),
        ("ttft.p99>=800ms", 800, 900, "failed"),
        ("ttft.p99>=800ms", 700, 800, "undecided"),
        ("ttft.p99>800ms", 801, None, "failed"),
        ("ttft.p99>800ms", 700, None, "undecided"),
        ("ttft.p99>800ms", None, 900, "undecided"),
        ("ttft.p99<800ms", 700, 799, "failed"),
        ("ttft.p99<800ms", 800, 900, "passed"),
        ("ttft.p99<800ms", 700, 800, "undecided"),
        ("ttft.p99<=800ms", 700, 800, "failed"),
        ("ttft.p99<800ms", None, 799, "failed"),
        ("ttft.p99<800ms", None, None, "undecided"),
    ],
)
def test_the_whole_interval_decides(text: str, low: int | None, high: int | None, state: str) -> None:
    """The value is beyond the limit in every case: it does not decide."""
    limits: dict[str, Any] = {name: None if ms is None else ms * MS for name, ms in (("low", low), ("high", high))}
    value = 850 * MS if ">" in text else 750 * MS
    assert of(text, value=value, interval=True, **limits).state == state


def test_a_thin_percentile_is_undecided_whatever_its_interval() -> None:
    made = of("ttft.p99>800ms", value=9e6, low=8e6, high=9e6, interval=True, why="661 samples, p99 needs 662")
    assert (made.state, made.why) == ("undecided", "661 samples, p99 needs 662")


@pytest.mark.parametrize(
    ("text", "reading", "live", "end"),
    [
        pytest.param("errors.http_503>0", {"value": 0, "rises": True}, "passed", "passed", id="none so far"),
        pytest.param("errors.http_503>0", {"value": 1, "rises": True}, "failed", "failed", id="one is too many"),
        pytest.param("requests.ok<100", {"value": 99, "rises": True}, "pending", "failed", id="it may still grow"),
        pytest.param("requests.ok<100", {"value": 100, "rises": True}, "passed", "passed", id="it has grown enough"),
        pytest.param(
            "cost.total<5",
            {"value": 4.0, "low": 3.0, "high": 4.5, "interval": True, "rises": True},
            "pending",
            "failed",
            id="money that may still be spent",
        ),
        pytest.param(
            "cost.total>5",
            {"value": 4.0, "low": 3.0, "high": 6.0, "interval": True, "rises": True},
            "undecided",
            "undecided",
            id="money that may be billed",
        ),
        pytest.param("ttft.min>1ms", {"value": 2000, "falls": True}, "pending", "failed", id="it may still fall"),
        pytest.param("tokens.output_per_s<5k", {"value": 10, "early": True}, "pending", "failed", id="too early"),
        pytest.param("tokens.output_per_s<5k", {"value": 10}, "failed", "failed", id="a rate"),
        pytest.param("ttft.mean>1s", {"value": None, "why": "no samples"}, "pending", "undecided", id="nothing"),
        pytest.param(
            "errors.rate>0%",
            {"value": 0.0, "low": 0.0, "high": 0.05, "interval": True},
            "passed",
            "passed",
            id="no failure at all is a fact",
        ),
        pytest.param(
            "errors.rate>0%",
            {"value": 0.01, "low": 0.0, "high": 0.05, "interval": True},
            "failed",
            "failed",
            id="a failure is a fact",
        ),
        pytest.param(
            "errors.rate>=100%",
            {"value": 1.0, "low": 0.1, "high": 1.0, "interval": True},
            "pending",
            "failed",
            id="all have failed so far",
        ),
        pytest.param(
            "goodput.share<100%",
            {"value": 0.9, "value_max": 1.0, "low": 0.8, "high": 1.0, "interval": True},
            "undecided",
            "undecided",
            id="some could not be judged",
        ),
        pytest.param("verdict=degraded", {"value": None, "status": "valid"}, "passed", "passed", id="valid"),
        pytest.param("verdict=degraded", {"value": None, "status": "invalid"}, "failed", "failed", id="worse"),
        pytest.param("verdict=invalid", {"value": None, "status": "degraded"}, "passed", "passed", id="not so bad"),
    ],
)
def test_what_decides_before_the_end_and_at_it(text: str, reading: dict[str, Any], live: str, end: str) -> None:
    assert of(text, over=False, **reading).state == live
    assert of(text, over=True, **reading).state == end


def test_the_worst_comes_first_and_of_those_the_nearest_to_its_limit() -> None:
    made = [
        of("requests.failed>100", value=10),
        of("requests.failed>100", value=90),
        of("ttft.p99>1s", value=None),
        of("errors.http_500>0", value=7),
    ]
    assert [each.value for each in worst(made)] == [7, None, 90, 10]
    assert states_words(made) == "1 failed, 1 undecided, 2 passed"


@pytest.mark.parametrize(
    ("judgement", "words"),
    [
        (
            of("ttft.p99>800ms", value=1_240_000, low=1_100_000, high=1_310_000, interval=True),
            "1.24 s (99 % interval: 1.10 s to 1.31 s), 440 ms above the limit",
        ),
        (
            of("ttft.p99>800ms", value=612_000, low=500_000, interval=True, why="200 samples, p99 needs 662"),
            "612 ms (99 % interval: at least 500 ms), 188 ms below the limit; 200 samples, p99 needs 662",
        ),
        (
            of("errors.rate>1%", value=0.004, low=0.001, high=0.012, interval=True),
            "0.4 % (99 % interval: 0.1 % to 1.2 %), 0.6 % points below the limit; the interval contains the limit",
        ),
        (of("errors.http_503>0", value=0), "0, exactly the limit"),
        (
            of("cost.total>5", value=4.0, low=3.0, high=6.0, interval=True),
            "4 (bounds: 3 to 6), 1 below the limit; the limit lies between the bounds",
        ),
        (of("tokens.output_per_s<5k", value=5100.5), "5,100, 100.5 above the limit"),
        (of("ttft.p99>1s", value=None, why="no samples"), "no samples"),
        (of("verdict=invalid", value=None, status="degraded"), "the measurement is degraded"),
        (
            msgspec.structs.replace(of("events.per_s<9k over 30s", value=8000), at_s=40.0),
            "8,000 in the 30s from 40s on, 1,000 below the limit",
        ),
    ],
)
def test_what_is_said(judgement: Judgement, words: str) -> None:
    assert judgement_words(judgement) == words


# --- subjects

PART = Part(
    counters=Counters(
        started=130,
        events=1000,
        events_ok=800,
        output=2100,
        output_streamed=1600,
        input=300,
        inputs=50,
        due=200,
        slo_met=60,
        slo_unknown=5,
        good_output=1000,
        dropped=20,
    ),
    ended={"ok": 90, "http_503": 6, "reset": 4, "filtered": 10, "lost": 10, "cancelled": 5},
    retried={"rate_limited": 3},
    latency={"ttft": many(200 * MS, 1000)},
    aside={"flow": many(3000 * MS, 100)},
)
COST = Cost(input=1.0, output=3.0, ok=100, unfinished=2, unfinished_cost=0.5, unfinished_most=6.0)
STRETCH = Stretch(part=PART, seconds=10.0, per_event=2.0, status="degraded", cost=COST)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttft.mean", 200 * MS),
        ("ttft.min", 200 * MS),
        ("ttft.max", 200 * MS),
        ("ttft.p50", 200 * MS),
        ("ttft.p99.9", 200 * MS),
        ("ttft.p99_9", 200 * MS),
        ("ttft.p99.99", None),
        ("itl.p50", None),
        ("flow.p50", many(3000 * MS, 1).max),
        ("errors.rate", 10 / 120),
        ("errors.http_503", 6),
        ("errors.http_503.rate", 6 / 120),
        ("errors.filtered", 10),
        ("errors.lost.rate", 10 / 120),
        ("errors.tls", 0),
        ("requests.per_s", 9),
        ("requests.started", 130),
        ("requests.ok", 90),
        ("requests.failed", 10),
        ("requests.retries", 3),
        ("tokens.output_per_s", 250),
        ("tokens.input_per_s", 30),
        ("tokens.total_per_s", 280),
        ("events.per_s", 100),
        ("inputs.per_s", 5),
        ("goodput.share", 60 / 120),
        ("goodput.per_s", 6),
        ("goodput.tokens_per_s", 100),
        ("dropped", 20),
        ("dropped.rate", 0.1),
        ("load.achieved", 0.65),
        ("cost.total", 4.5),
        ("cost.per_request", 0.04),
    ],
)
def test_the_value_of_a_subject(name: str, value: float | None) -> None:
    subject, argument = find(name)
    assert subject.read(STRETCH, argument).value == pytest.approx(value)


def test_unknown_requests_widen_the_interval_of_the_good_share() -> None:
    def interval(unknown: int) -> tuple[float | None, float | None]:
        counters = Counters(slo_met=60, slo_unknown=unknown)
        read = SUBJECTS["goodput.share"].read(Stretch(part=Part(counters, {"ok": 100}), seconds=1.0), "")
        return read.low, read.high

    assert interval(0) == share_interval(60, 100)
    assert interval(20) == (share_interval(60, 100)[0], share_interval(80, 100)[1])


def test_every_subject_has_a_value_above() -> None:
    [tested] = [mark.args[1] for mark in test_the_value_of_a_subject.pytestmark]  # type: ignore[attr-defined]
    named = {find(name)[0].name for name, _ in tested} | {"verdict"}
    assert named == {name for name, each in SUBJECTS.items() if each.argument != "statistic"} | {"ttft", "itl", "flow"}
    assert SUBJECTS["verdict"].read(STRETCH, "").status == "degraded"


def test_without_time_or_requests_there_are_no_rates_and_shares() -> None:
    empty = Stretch(part=Part(), seconds=0.0)
    for name in ("requests.per_s", "errors.rate", "errors.tls.rate", "ttft.p50", "dropped", "load.achieved"):
        subject, argument = find(name)
        assert subject.read(empty, argument).value is None


# --- parts of a run

LAST = 40
"""Deltas of each worker in a run of 1 s ramp, 1 s warm-up and 8 s steady window."""


def quarter(worker: int, seq: int, ttft_ms: int, ended: dict[str, int] | None = None) -> Delta:
    """A quarter of a second of a worker: 50 first tokens, 100 events."""
    begin, end = seq * STEP, (seq + 1) * STEP
    phase = Phase.RAMP if end <= S else Phase.WARMUP if end <= 2 * S else Phase.STEADY
    ends = {"ok": 50} if ended is None else ended
    part = Part(Counters(started=50, events=100), ends, latency={"ttft": many(ttft_ms * MS, 50)})
    return Delta(worker, seq, begin, end, phase, 0, 0, 0, 0, {phase: part}, [])


def run_of(judge_: Judge, *deltas: Delta, procs: int = 1, steady_s: float | None = 8.0) -> RunView:
    view = opening(procs=procs, steady_s=steady_s)
    give(judge_, view, *deltas)
    return view


def give(judge_: Judge, view: RunView, *deltas: Delta) -> None:
    for delta in deltas:
        view.apply(delta)
        judge_.add(delta, view)


def end(view: RunView, steady_s: float = 8.0) -> None:
    for worker in view.aggregate.workers:
        view.apply(WorkerChange(worker.worker, "done"))
    view.apply(Ended("duration", steady_s, 0.0))


def judged(judge_: Judge, view: RunView) -> list[tuple[str, float | None]]:
    return [(each.state, each.value) for each in judge_.judgements(view)]


def test_latencies_and_rates_cover_the_steady_window_and_counts_the_whole_run() -> None:
    texts = (
        "ttft.max>100ms",
        "requests.ok>1600",
        "events.per_s>400",
        "ttft.max>100ms in ramp",
        "requests.ok>0 in ramp",
    )
    thresholds = [parse_threshold(text) for text in texts]
    judge_ = Judge(thresholds)
    view = run_of(judge_, *(quarter(0, seq, 500 if seq < 8 else 100) for seq in range(LAST)))
    end(view)
    assert judged(judge_, view) == [
        ("passed", 100 * MS),
        ("failed", 2000),
        ("passed", 400),
        ("failed", many(500 * MS, 1).max),
        ("failed", 200),
    ]


def test_a_task_is_judged_by_its_own_requests() -> None:
    judge_ = Judge(
        [
            parse_threshold(text)
            for text in (
                "ttft.max>300ms",
                "chat.ttft.max>300ms",
                "rag.ttft.max>300ms",
                "rag.requests.ok>1900",
                "rag.ttft.max>300ms over 3s",
                "chat.ttft.max>300ms in ramp",
            )
        ]
    )
    view = opening(procs=1, steady_s=8.0)
    tasks = [TaskFacts(name=name, weight=1, api="a", url="u", model="m") for name in ("chat", "rag")]
    view.facts = msgspec.structs.replace(view.facts, tasks=tuple(tasks))
    for seq in range(LAST):
        made = quarter(0, seq, 100)
        [(phase, slow)] = quarter(0, seq, 500).parts.items()
        give(judge_, view, msgspec.structs.replace(made, parts={**made.parts, key_of(phase, 1): slow}))
    end(view)
    high = many(500 * MS, 1).max
    assert judged(judge_, view) == [
        ("failed", high),
        ("passed", 100 * MS),
        ("failed", high),
        ("failed", 2000),
        ("failed", high),
        ("passed", 100 * MS),
    ]


def test_a_step_is_judged_by_its_own_requests_and_a_flow_by_its_duration() -> None:
    """The task chat has single requests. A flow of the task rag has two steps; the second one is slow."""
    texts = ["chat.ttft.max>300ms", "rag/search.ttft.max>300ms", "rag/ask.ttft.max>300ms", "rag.ttft.max>300ms"]
    texts += ["rag/ask.ttft.max>300ms over 3s", "rag/ask.requests.ok>1900 after 1s", "rag.flow.max>1s"]
    texts += ["flow.max>1s over 2s", "chat.flow.max>1s"]
    judge_ = Judge([parse_threshold(text) for text in texts])
    view = opening(procs=1, steady_s=8.0)
    tasks = tuple(TaskFacts(name=name, weight=1, api="a", url="u", model="m") for name in ("chat", "rag"))
    steps = (StepFacts(task="chat"), *(StepFacts(task="rag", step=name, flow=True) for name in ("search", "ask")))
    view.facts = msgspec.structs.replace(view.facts, tasks=tasks, steps=steps)
    for seq in range(LAST):
        made = quarter(0, seq, 100)
        [(phase, fast)] = made.parts.items()
        search = msgspec.structs.replace(fast, aside={"flow": many(2000 * MS, 1)})
        [slow] = quarter(0, seq, 500).parts.values()
        give(
            judge_,
            view,
            msgspec.structs.replace(made, parts={phase: fast, key_of(phase, 1): search, key_of(phase, 2): slow}),
        )
    end(view)
    high, long = many(500 * MS, 1).max, many(2000 * MS, 1).max
    assert judged(judge_, view) == [
        ("passed", 100 * MS),
        ("passed", 100 * MS),
        ("failed", high),
        ("failed", high),
        ("failed", high),
        ("passed", 1400),
        ("failed", long),
        ("failed", long),
        ("undecided", None),
    ]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("a", {0, 1}), ("a/turn-2", {1}), ("b", {2}), ("turn-2", set()), ("a/turn 2", set()), ("b/", set()), ("", set())],
)
def test_the_names_of_tasks_and_steps(name: str, numbers: set[int]) -> None:
    steps = [StepFacts(task="a", step=f"turn {n}", conversation=True) for n in (1, 2)]
    assert numbers_named([*steps, StepFacts(task="b")], name) == numbers


def test_the_steps_of_the_only_task_need_no_task_before_them() -> None:
    alone = [StepFacts(step=f"turn {n}", conversation=True) for n in (1, 2)]
    assert numbers_named(alone, "turn-2") == {1}
    flow = [StepFacts(task="ask", step=name, flow=True) for name in ("search", "ask")]
    assert numbers_named(flow, "search") == numbers_named(flow, "ask/search") == {0}
    assert numbers_named(flow, "ask") == {0, 1}, "a task goes before a step of the same name"


def test_over_judges_each_full_stretch_and_shows_the_worst() -> None:
    judge_ = Judge([parse_threshold("ttft.max>300ms over 3s"), parse_threshold("events.per_s<400 over 3s")])
    slow = range(8 + 12, 8 + 24)  # the second stretch: 5 s to 8 s
    view = run_of(judge_, *(quarter(0, seq, 400 if seq in slow else 200) for seq in range(8 + 11)))
    assert judged(judge_, view) == [("pending", None), ("pending", None)], "no stretch is over"
    give(judge_, view, quarter(0, 19, 200))
    assert judged(judge_, view) == [("passed", 200 * MS), ("passed", 400)]
    give(judge_, view, *(quarter(0, seq, 400 if seq in slow else 200) for seq in range(20, LAST)))
    end(view)
    failed, passed = judge_.judgements(view)
    assert (failed.state, failed.value, failed.at_s) == ("failed", 400 * MS, 5.0)
    assert (passed.state, passed.value) == ("passed", 400), "2 s that are left over are no full stretch"


def test_a_stretch_is_over_when_every_running_worker_has_reported_it() -> None:
    judge_ = Judge([parse_threshold("events.per_s<800 over 1s")])
    view = run_of(judge_, *(quarter(0, seq, 200) for seq in range(14)), procs=2)
    give(judge_, view, *(quarter(1, seq, 200) for seq in range(11)))
    assert judged(judge_, view) == [("pending", None)]
    give(judge_, view, quarter(1, 11, 200))
    assert judged(judge_, view) == [("passed", 800)]


def test_a_stretch_without_any_event_is_a_stretch() -> None:
    judge_ = Judge([parse_threshold("events.per_s<100 over 1s")])
    silent = [Delta(0, seq, seq * STEP, (seq + 1) * STEP, Phase.STEADY, 0, 0, 0, 0, {}, []) for seq in range(8, 12)]
    view = run_of(judge_, *(quarter(0, seq, 200) for seq in range(8)), *silent, quarter(0, 12, 200))
    assert judged(judge_, view) == [("failed", 0)]


@pytest.mark.parametrize(("steady_s", "full"), [(2.999_999_5, True), (2.5, False)])
def test_a_run_that_was_cut_short_has_no_full_stretch(steady_s: float, full: bool) -> None:
    judge_ = Judge([parse_threshold("ttft.max>1s over 3s")])
    view = run_of(judge_, *(quarter(0, seq, 200) for seq in range(8 + 12)), steady_s=None)
    end(view, steady_s)
    [found] = judge_.judgements(view)
    assert (found.state, found.why) == (("passed", "") if full else ("undecided", "no full window of 3s"))


def test_after_leaves_out_the_beginning_of_the_steady_window() -> None:
    judge_ = Judge([parse_threshold("ttft.max>300ms after 2s"), parse_threshold("events.per_s<400 after 2s")])
    view = run_of(judge_, *(quarter(0, seq, 900 if seq < 16 else 200) for seq in range(LAST)))
    end(view)
    assert judged(judge_, view) == [("passed", 200 * MS), ("passed", 400)]


def test_over_and_after_together() -> None:
    judge_ = Judge([parse_threshold("ttft.max>300ms over 2s after 1s")])
    slow = (*range(12), *range(36, 40))  # up to 1 s into the window, and its last second: 3 stretches, 1 s is left over
    view = run_of(judge_, *(quarter(0, seq, 900 if seq in slow else 200) for seq in range(LAST)))
    end(view)
    assert judged(judge_, view) == [("passed", 200 * MS)]


def test_a_window_by_its_label() -> None:
    """Two stages of 4 s; the second one is slower."""
    stages = [(Phase.STEADY, "stage 1", 2 * S), (Phase.STEADY, "stage 2", 6 * S), (Phase.DRAIN, "drain", 10 * S)]
    windows = consecutive([(Phase.RAMP, "ramp", 0), (Phase.WARMUP, "warm-up", S), *stages])
    texts = ("ttft.max>300ms in stage 1", "ttft.max>300ms in stage 2", "events.per_s<400 in stage 2")
    judge_ = Judge([parse_threshold(text) for text in (*texts, "ttft.max>300ms in stage 2 over 4s")])
    view = opening(procs=1)
    view.apply(Windows(windows))
    for seq in range(LAST):
        delta = quarter(0, seq, 200 if seq < 24 else 400)
        if seq >= 24:
            delta.parts = {3: delta.parts[Phase.STEADY]}
            delta.window = 3
        give(judge_, view, delta)
    end(view)
    assert judged(judge_, view) == [("passed", 200 * MS), ("failed", 400 * MS), ("passed", 400), ("failed", 400 * MS)]


def test_the_judgement_that_ended_the_run_is_kept() -> None:
    threshold = msgspec.structs.replace(parse_threshold("errors.rate>10%"), abort=True)
    judge_ = Judge([parse_threshold("ttft.max>1s"), threshold])
    view = run_of(judge_, quarter(0, 0, 200, {"http_503": 50}))
    [crossed] = judge_.judgements(view, only_abort=True)
    assert crossed.state == "failed"
    judge_.keep(crossed)
    give(judge_, view, *(quarter(0, seq, 200) for seq in range(1, LAST)))
    end(view)
    assert judge_.judgements(view)[1] == crossed
    assert Judge([threshold]).judgements(view)[0].state == "passed", "without it, the end would say something else"


@pytest.mark.parametrize("suffix", ["", " in steady", " after 0s", " after 1s", " over 4s"])
def test_the_bystander_is_not_judged(suffix: str) -> None:
    judge_ = Judge([parse_threshold(f"{name}{suffix}") for name in ("events.per_s>400", "ttft.max>300ms")])
    view = opening(procs=1)
    for seq in range(LAST):
        delta = quarter(0, seq, 200)
        delta.parts |= {key_of(key, BYSTANDER): quarter(0, seq, 900).parts[key] for key in delta.parts}
        give(judge_, view, delta)
    end(view)
    assert judged(judge_, view) == [("passed", 400), ("passed", 200 * MS)]


def test_money_is_judged_by_the_prices_of_the_tasks() -> None:
    """In a quarter of a second each of two tasks has 50 ok requests with 100 output tokens in all: $1 and $2."""
    texts = ("cost.total>119", "cost.per_request>0.02", "cost.total>12 in ramp", "cost.total>11 over 1s")
    judge_ = Judge([parse_threshold(text) for text in (*texts, "cost.total>72 after 2s")])
    view = opening(procs=1)
    tariffs = tuple(Tariff(price=Price(input=0.0, output=output)) for output in (10_000.0, 20_000.0))
    view.facts = msgspec.structs.replace(view.facts, pricing=Pricing(tariffs=tariffs))
    for seq in range(LAST):
        delta = quarter(0, seq, 200)
        [window] = delta.parts
        spent = Part(Counters(started=50, output=100, input_seen=50, usage_seen=50), {"ok": 50})
        delta.parts = {key_of(window): spent, key_of(window, 1): spent}
        give(judge_, view, delta)
    end(view)
    states, values = zip(*judged(judge_, view), strict=True)
    assert states == ("failed", "failed", "passed", "failed", "passed")
    assert values == pytest.approx((120, 0.03, 12, 12, 72))
    free = Judge([parse_threshold("cost.total>5")])
    assert [each.why for each in free.judgements(run_of(free, quarter(0, 0, 200)))] == ["no price is known"]


def test_memory_does_not_grow_with_the_run() -> None:
    judge_ = Judge([parse_threshold("ttft.p99>1s over 1s")])
    view = opening(procs=1, steady_s=None)
    for seq in range(8, 400):
        give(judge_, view, quarter(0, seq, 200))
        judge_.judgements(view)
    [tally] = judge_._tallies.values()
    assert (len(tally.stretches), tally.closed) == (0, 98)
