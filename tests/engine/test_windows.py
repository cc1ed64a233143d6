"""Many windows: their figures, the sums that are kept up to date, and histograms that are packed."""

import random
from typing import Any

import msgspec
import pytest
from helpers.examples import examples
from helpers.made_up_runs import parts_of
from helpers.screens import S, facts, histogram
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.telemetry.aggregate import Aggregate, sum_of
from llmstress.engine.telemetry.broadcast import Asked, Ended, RunView, Windows, WorkerChange, decode, encode
from llmstress.engine.telemetry.histogram import HIGHEST_US, PERCENTILES, Histogram, Packed, distribution_of
from llmstress.engine.telemetry.load_profile import Piece, Profile
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Delta, Part, Phase, Window, consecutive, key_of
from llmstress.engine.telemetry.sanitize import sanitize_frame
from llmstress.engine.telemetry.snapshot import steady
from llmstress.engine.telemetry.windows import asked_lately, figures_of, steady_windows

WORKERS, TASKS = 2, 3


def sweep(points: int, length: int = S) -> tuple[Window, ...]:
    """The windows of so many points, each after a window in which the load settles."""
    begins: list[tuple[Phase, str, int | None]] = []
    for point in range(points):
        begins.append((Phase.WARMUP, f"→ {point}", 2 * point * length))
        begins.append((Phase.STEADY, f"{point}", (2 * point + 1) * length))
    return consecutive([*begins, (Phase.DRAIN, "drain", 2 * points * length)])


def new_view(windows: tuple[Window, ...]) -> RunView:
    aggregate = Aggregate.over([10] * WORKERS, windows=windows)
    view = RunView(facts(procs=WORKERS), aggregate)
    for worker in range(WORKERS):
        view.apply(WorkerChange(worker, "running"))
    return view


def delta(worker: int, seq: int, t: int, window: int, parts: dict[int, Part], step: int = S // 4) -> Delta:
    return Delta(worker, seq, t - step, t, window, 0, 0, 0, 1, parts, [])


def random_part(draw: random.Random, recorded: list[tuple[int, str, int]], key: int) -> Part:
    """What happened in a step of a window; its samples are put on `recorded`."""
    part = Part()
    for _ in range(draw.randrange(4)):
        metric, us = draw.choice(("ttft", "itl", "e2e")), draw.randrange(100, 3_000_000)
        recorded.append((key, metric, us))
        part.latency.setdefault(metric, Histogram()).record(us)
        outcome = draw.choice(("ok", "http_503", "cancelled"))
        part.ended[outcome] = part.ended.get(outcome, 0) + 1
        part.finish[f"odd {draw.randrange(60)}"] = 1
    part.retried = {"http_503": draw.randrange(2)}
    part.counters = Counters(
        started=draw.randrange(9), events=draw.randrange(9), output=draw.randrange(9), due=draw.randrange(9)
    )
    if draw.random() < 0.3:
        part.add_undetermined("few pieces", draw.randrange(1, 9_000), 0)
    return part


def random_run(seed: int, points: int) -> RunView:
    """A view of a run whose failures take samples out of any earlier window, and whose windows are decided while it
    goes on."""
    draw = random.Random(seed)
    windows = sweep(points)
    view = new_view(sweep(1))
    recorded: list[tuple[int, str, int]] = []
    for step in range(points * 8):
        t = (step + 1) * S // 4
        window = step // 4
        known = max(window // 2 + 1, 1)
        view.apply(Windows(sweep(known)))
        for worker in range(WORKERS):
            keys = [key_of(window, task) for task in range(TASKS) if draw.random() < 0.5]
            parts = {key: random_part(draw, recorded, key) for key in keys}
            while recorded and draw.random() < 0.4:
                key, metric, us = recorded.pop(draw.randrange(len(recorded)))
                part = parts.setdefault(key, Part())
                part.retracted.setdefault(metric, Histogram()).record(us)
                part.latency_failed.setdefault(metric, Histogram()).record(us)
            if draw.random() < 0.05:  # its samples were in a delta that was lost
                parts.setdefault(key_of(window), Part()).retracted["stall"] = histogram(7)
            view.apply(delta(worker, step, t, window, parts))
            if draw.random() < 0.3:
                check_sums(view.aggregate)
    view.apply(Windows(windows))
    return view


def fresh(aggregate: Aggregate, *kinds: Phase) -> Part:
    """The sum of parts, added up anew."""
    total = Part()
    for key, part in aggregate.parts.items():
        if not kinds or aggregate.kind_of(key & 0xFFFF) in kinds:
            total.add(part)
    return total.unpacked()


def plain(part: Part) -> Any:
    """What is compared: metrics of which no sample is left may be there or not."""
    made = msgspec.to_builtins(part)
    return [
        {name: each for name, each in field.items() if each} if isinstance(field, dict) else field for field in made
    ]


def check_sums(aggregate: Aggregate) -> None:
    """Every sum is what adding up anew gives."""
    assert plain(aggregate.steady) == plain(fresh(aggregate, Phase.STEADY))
    whole = fresh(aggregate)
    assert aggregate.metrics >= whole.latency.keys()
    whole.latency, whole.latency_failed = {}, {}
    assert plain(aggregate.whole) == plain(whole)
    assert aggregate.counters() == whole.counters
    assert aggregate.ended() == whole.ended
    assert aggregate.retried() == whole.retried
    for kinds in ((Phase.STEADY,), (Phase.WARMUP, Phase.STEADY), (Phase.DRAIN,)):
        assert aggregate.counters(*kinds) == fresh(aggregate, *kinds).counters
        assert aggregate.ended(*kinds) == fresh(aggregate, *kinds).ended


@pytest.mark.parametrize("seed", range(4))
def test_sums_that_are_kept_up_to_date_are_those_of_the_parts(seed: int) -> None:
    aggregate = random_run(seed, points=6).aggregate
    check_sums(aggregate)
    packed = [part for part in aggregate.parts.values() if any(each.packed for each in part.latency.values())]
    assert packed
    kept = parts_of(aggregate)
    again = decode(encode(RunView(facts(), aggregate)))
    assert isinstance(again, RunView)
    check_sums(again.aggregate)
    assert parts_of(again.aggregate) == kept


@pytest.mark.parametrize("task", [0, 1])
def test_the_first_delta_after_the_sums_were_forgotten_counts_once(task: int) -> None:
    """Sums are made when they are asked for first: by this delta, in a run that has just begun or in a keyframe."""
    aggregate = Aggregate.over([1])
    for seq in range(3):
        part = Part(Counters(started=5, events=50), {"ok": 5}, latency={"ttft": histogram(*[1000] * 5)})
        aggregate.merge(delta(0, seq, (seq + 1) * S, 2, {key_of(2, task): part}))
        assert aggregate.ended() == aggregate.whole.ended == {"ok": 5 * (seq + 1)}
        assert aggregate.counters().started == 5 * (seq + 1)
        assert aggregate.steady.latency["ttft"].count == 5 * (seq + 1)
        aggregate.forget_sums()


def test_a_lost_worker_and_windows_of_another_kind_are_in_the_sums() -> None:
    view = random_run(1, points=3)
    view.apply(WorkerChange(1, "lost", reason="killed"))
    assert view.aggregate.ended()["lost"] > 0
    check_sums(view.aggregate)
    windows = tuple(msgspec.structs.replace(each, kind=Phase.STEADY) for each in view.aggregate.windows[:-1])
    before = view.aggregate.steady.counters.started
    view.apply(Windows((*windows, view.aggregate.windows[-1])))
    assert view.aggregate.steady.counters.started > before
    check_sums(view.aggregate)


def test_the_bystander_is_in_no_figure_of_the_load() -> None:
    view, alone = new_view(sweep(2)), new_view(sweep(2))
    draw, recorded = random.Random(5), list[tuple[int, str, int]]()
    for step in range(16):
        parts = {key_of(step // 4): random_part(draw, recorded, 0)}
        probe = {key_of(step // 4, BYSTANDER): random_part(draw, recorded, 0)}
        t = (step + 1) * S // 4
        view.apply(
            delta(0, step, t, step // 4, {**msgspec.convert(msgspec.to_builtins(parts), dict[int, Part]), **probe})
        )
        alone.apply(delta(0, step, t, step // 4, parts))
    assert any(part.ended for part in view.aggregate.apart.values())
    assert steady_windows(view) == steady_windows(alone)
    assert view.aggregate.rows == alone.aggregate.rows
    assert (view.aggregate.finished(), view.aggregate.failed()) == (
        alone.aggregate.finished(),
        alone.aggregate.failed(),
    )
    assert steady(view.aggregate, 2.0) == steady(alone.aggregate, 2.0)
    assert view.aggregate.of_kind() == alone.aggregate.of_kind()


# --- the figures of a window


@examples(40)
@given(cuts=st.lists(st.integers(1, 39), unique=True, max_size=12), seed=st.integers(0, 100))
def test_windows_add_up_to_the_run_however_it_is_cut(cuts: list[int], seed: int) -> None:
    draw = random.Random(seed)
    edges = [0, *sorted(cuts)]
    step = S // 4
    windows = consecutive(
        [
            *((Phase.STEADY, f"stage {n}", edge * step) for n, edge in enumerate(edges)),
            (Phase.DRAIN, "drain", 40 * step),
        ]
    )
    view = new_view(windows)
    view.apply(Asked(Profile("requests", (Piece(0, 20 * step, 0.0, 80.0), Piece(20 * step, 40 * step, 80.0, 10.0)))))
    for number in range(40):
        window = sum(edge <= number for edge in edges) - 1
        parts = {key_of(window): random_part(draw, [], 0)}
        view.apply(delta(0, number, (number + 1) * step, window, parts))
    found = steady_windows(view)
    assert [each.label for each in found] == [f"stage {n}" for n in range(len(edges))]
    assert sum(each.seconds for each in found) == pytest.approx(10.0)
    whole, total = view.aggregate.whole, steady(view.aggregate, 10.0)
    for name in ("due", "started", "dropped"):
        assert sum(getattr(each, name) for each in found) == getattr(whole.counters, name)
    assert sum(each.ok for each in found) == whole.ended.get("ok", 0)
    assert sum(each.failed for each in found) == total.failed
    for name in ("requests_per_s", "events_per_s", "tokens_per_s"):
        amounts = sum(getattr(each, name) * each.seconds for each in found)
        assert amounts == pytest.approx(10.0 * getattr(total, name))
    assert sum(each.asked * each.seconds for each in found) == pytest.approx(40 * 5 + 45 * 5)
    for metric, samples in total.latency.items():
        distributions = [each.latency[metric] for each in found if metric in each.latency]
        assert sum(each.count for each in distributions) == samples.count
        assert sum(each.sum for each in distributions) == samples.sum


def test_the_figures_of_a_window() -> None:
    view = new_view(sweep(2))
    view.apply(Asked(Profile("requests", (Piece(0, 3 * S, 10.0, 10.0), Piece(3 * S, None, 30.0, 30.0)))))
    part = Part(
        counters=Counters(started=9, due=11, dropped=1, events=40, events_ok=20, output=50, output_streamed=40),
        ended={"ok": 4, "http_503": 2, "filtered": 1, "cancelled": 1},
        latency={"tpot": histogram(*[20_000] * 20), "ttft": histogram(100_000)},
    )
    view.apply(delta(0, 0, S, 1, {1: part}))
    view.apply(delta(0, 1, 5 * S // 2, 2, {}))
    [first] = steady_windows(view)
    assert (first.index, first.label, first.kind, first.begin_s, first.seconds) == (1, "0", Phase.STEADY, 1.0, 1.0)
    assert (first.unit, first.asked) == ("requests", 10.0)
    assert (first.due, first.started, first.dropped) == (11, 9, 1)
    assert (first.due_per_s, first.achieved_per_s) == (11, 9)
    assert (first.ok, first.failed, first.cancelled, first.finished) == (4, 2, 1, 7)
    assert (first.failed_by, first.ended) == ({"http_503": 2}, part.ended)
    assert (first.requests_per_s, first.events_per_s, first.tokens_per_s) == (4, 40, 40 * 2 + 10)
    assert first.percentile("tpot", "p50") == 20_000
    assert first.percentile("ttft", "p50") is None
    assert first.percentile("connect", "p50") is None
    assert first.interactivity == 50
    settles = figures_of(view, view.aggregate.windows[2])
    assert (settles.seconds, settles.asked, settles.interactivity) == (0.5, 10.0, None)
    later = figures_of(view, view.aggregate.windows[3])
    assert (later.seconds, later.asked, later.requests_per_s) == (0.0, 30.0, None)
    assert asked_lately(view, 2.0) == 10
    view.apply(delta(0, 2, 4 * S, 3, {}))
    assert asked_lately(view, 2.0) == 20


def test_without_a_profile_the_streams_are_what_was_asked() -> None:
    view = new_view(sweep(1))
    view.apply(WorkerChange(0, streams=25))
    view.apply(delta(0, 0, 3 * S // 2, 1, {}))
    [found] = steady_windows(view)
    assert (found.unit, found.asked) == ("streams", 35)
    assert asked_lately(view, 2.0) is None


def test_a_window_that_the_drain_cut_is_as_long_as_the_workers_measured() -> None:
    view = new_view(sweep(2))
    view.apply(delta(0, 0, 7 * S // 2, 3, {}))
    view.apply(delta(0, 1, 15 * S // 4, 4, {}))
    assert [each.seconds for each in steady_windows(view)] == [1.0, 0.75], "until the first report of the drain"
    view.apply(Ended("signal", 1.6, 0.1))
    assert [each.seconds for each in steady_windows(view)] == pytest.approx([1.0, 0.6])


# --- packed histograms


def samples() -> st.SearchStrategy[list[int]]:
    return st.lists(st.one_of(st.integers(0, 3_000), st.integers(0, HIGHEST_US)), max_size=200)


@given(first=samples(), second=samples())
def test_a_packed_histogram_is_the_same(first: list[int], second: list[int]) -> None:
    exact, packed = histogram(*first), histogram(*first)
    packed.pack()
    assert packed.counts == {}
    assert (packed.count, packed.sum, packed.bins()) == (exact.count, exact.sum, exact.counts)
    assert packed.percentiles(PERCENTILES.values()) == exact.percentiles(PERCENTILES.values())
    assert distribution_of(packed) == distribution_of(exact)
    assert packed.coarse() == exact.coarse()
    assert packed.unpacked() == exact
    assert packed.packed is not None, "only the copy is unpacked"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(packed), type=Histogram) == packed
    for one in (exact, packed):
        one.merge(histogram(*second))
    assert packed == exact
    other = histogram(*second)
    other.pack()
    packed.pack()
    for one in (exact, packed):
        one.subtract(other)
    assert packed == exact


def test_packed_bins_take_a_few_bytes() -> None:
    draw = random.Random(1)
    made = histogram(*(int(200_000 * draw.lognormvariate(0, 0.5)) for _ in range(10_000)))
    bins = len(made.counts)
    made.pack()
    assert made.packed is not None
    assert len(made.packed.bins) < 3 * bins


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (Packed(b"", [None] * 5), "truncated"),
        (Packed(b"\xff", [None] * 5), "Expected `array`"),
        (Packed(msgspec.msgpack.encode(([1, 2], [3])), [None] * 5), "argument 2 is shorter"),
        (Packed(msgspec.msgpack.encode((["a"], [3])), [None] * 5), "Expected `int`"),
        (Packed(msgspec.msgpack.encode(([1], [3])), [None] * 4), "another number of percentiles"),
    ],
)
def test_damaged_bins_are_found_before_the_screen_draws(packed: Packed, why: str) -> None:
    view = new_view(sweep(1))
    view.aggregate.parts[1].latency["ttft"] = Histogram(count=3, packed=packed)
    with pytest.raises(ValueError, match=why):
        sanitize_frame(view)


def test_sums_of_packed_parts_are_unpacked() -> None:
    one, other = Part(latency={"ttft": histogram(1, 2)}), Part(latency={"itl": histogram(3)})
    for part in (one, other):
        part.pack()
    for total in (sum_of([one]), sum_of([one, other])):
        assert all(each.packed is None for each in total.latency.values())
    assert one.latency["ttft"].packed is not None
