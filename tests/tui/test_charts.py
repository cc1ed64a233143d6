"""Charts: merged rows, axes, labels, and the bars of a distribution."""

import random
from itertools import pairwise

import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import RunFacts, RunView
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.timeline import Row
from llmstress.tui.charts import axes, lines
from llmstress.tui.charts.distribution import bar_of, bars, edges_for
from llmstress.tui.charts.lines import Drawing, Line, TimeColumn, TimelineCache, downsample

MS = 1000
S = 1_000_000_000

FACTS = RunFacts(
    version="0",
    interval_s=0.25,
    api="openai-chat",
    url="http://127.0.0.1/",
    model="m",
    procs=1,
    streams=1,
    total_streams=1,
    ramp_s=0.0,
    warmup_s=0.0,
    steady_s=60.0,
    grace_s=1.0,
    requests=None,
    whole_run=False,
    started_at="2026-01-01T00:00:00Z",
)


def row(*ms: float, events: int = 0) -> Row:
    histogram = Histogram()
    histogram.record_many([int(each * MS) for each in ms])
    return Row(window=Phase.STEADY, events=events, latency=histogram)


def columns_of(*rows: Row, step: int = 1) -> list[TimeColumn]:
    return downsample(rows, 1.0, step)


def test_columns_hold_every_row_once() -> None:
    rows = [row(*range(1, n % 5 + 2), events=n) for n in range(1024)]
    columns = downsample(rows, 0.5, 7)
    assert len(columns) == 147
    assert sum(column.events for column in columns) == sum(each.events for each in rows)
    assert sum(column.latency.count for column in columns) == sum(each.latency.count for each in rows)
    assert (columns[1].begin_s, columns[1].seconds) == (3.5, 3.5)
    assert columns[-1].seconds == 1.0


def test_percentiles_are_of_the_merged_samples() -> None:
    slow = row(*[1000.0] * 4)
    fast = row(*[10.0] * 996)
    (column,) = columns_of(slow, fast, step=2)
    assert column.percentiles["p99"] == pytest.approx(10 * MS, rel=0.001)
    assert column.percentiles["max"] == 1000 * MS


def test_columns_that_have_not_changed_are_kept() -> None:
    rows = [row(5, 6, events=2), row(7, events=1), row(8, events=1)]
    before = downsample(rows, 1.0, 1)
    rows[2].latency.record(9 * MS)
    rows.append(row(1))
    after = downsample(rows, 1.0, 1, before)
    assert [one is other for one, other in zip(before, after, strict=False)] == [True, True, False]
    assert len(after) == 4


def test_nothing_is_kept_when_the_step_doubles() -> None:
    aggregate = Aggregate.over([1])
    aggregate.rows = [row(5), row(6), row(7)]
    timeline = TimelineCache()
    assert len(timeline.columns("x", aggregate, 1)) == 3
    assert len(timeline.columns("x", aggregate, 2)) == 2
    aggregate._double_step()
    columns = timeline.columns("x", aggregate, 1)
    assert [column.latency.count for column in columns] == [2, 1]
    assert columns[1].begin_s == 2.0


@pytest.mark.parametrize(
    ("per_row", "rows", "expected"), [(300, 60, ("p99", 1)), (3, 60, ("p90", 8)), (1, 3, ("max", 1))]
)
def test_the_upper_line_is_one_that_the_samples_allow(per_row: int, rows: int, expected: tuple[str, int]) -> None:
    name, step = lines.upper_line([row(*[5.0] * per_row)] * rows, 100)
    if expected[0] == "p90":
        assert name in ("p90", "max")
    else:
        assert (name, step) == expected


def test_a_line_is_never_of_more_points_than_asked_for() -> None:
    for rows in (0, 1, 99, 100, 101, 1024):
        for most in (1, 10, 100, 2000):
            _, step = lines.upper_line([row(*[5.0] * 200)] * rows, most)
            assert -(-rows // step) <= most


def test_rows_without_samples_are_gaps() -> None:
    drawing = lines.latency_drawing(columns_of(row(5, 6), row(), row(7, 8)), "max", 3.0)
    assert [value is None for _, value in drawing.lines[0].points] == [False, True, False]
    assert [len(xs) for xs, _ in lines.connected_points(drawing.lines[0].points)] == [1, 1]
    assert drawing.low == 0


def test_latencies_far_apart_are_drawn_on_a_logarithmic_axis_that_says_so() -> None:
    drawing = lines.latency_drawing(columns_of(row(5, 5), row(5000, 5000)), "max", 2.0)
    assert drawing.logarithmic
    assert "log" in drawing.title
    assert 0 < drawing.low <= 5 * MS
    assert drawing.high >= 5000 * MS
    assert lines.height_of(drawing.low, drawing, 9) == 0
    assert lines.height_of(drawing.high, drawing, 9) == 8


def test_nothing_to_draw() -> None:
    assert lines.latency_drawing([], "max", 0.0).lines[0].points == ()
    assert lines.rate_drawing("x/s", [], {"x/s": lambda column: 1.0}, 0.0, ended=False).high == 1.0


def test_rates_are_of_the_time_that_has_passed() -> None:
    columns = columns_of(row(events=100), row(events=100), row(events=30))
    counts = {"tokens/s": lambda column: 2.0 * column.events}
    live = lines.rate_drawing("tokens/s", columns, counts, 2.6, ended=False)
    assert [value for _, value in live.lines[0].points] == [200, 200]
    over = lines.rate_drawing("tokens/s", columns, counts, 2.6, ended=True)
    assert over.lines[0].points[2][1] == pytest.approx(100)
    assert (over.low, over.high) == (0, 200)


def test_marks() -> None:
    view = RunView(FACTS, Aggregate.over([1]))
    view.aggregate.window_began = {Phase.RAMP: S // 4, Phase.WARMUP: 5 * S, Phase.STEADY: 10 * S}
    for second, kind, text in (
        (7, "load", "streams 10 → 1,200 (3 workers)"),
        (8, "load", "paused: no new"),
        (9, "note", "x"),
    ):
        view.aggregate.note(Notice(second * S, kind, text))
    marks = lines.marks_of(view)
    assert marks == ((5.0, "warm-up"), (7.0, "→1,200"), (8.0, "paused"), (10.0, "steady"))
    drawing = Drawing(title="", lines=(), end=10.0, low=0, high=1, marks=marks)
    assert lines.mark_labels(drawing, 80, 80).split() == ["warm-up", "→1,200", "paused", "steady"]
    narrow = lines.mark_labels(drawing, 20, 20)
    assert len(narrow) <= 20
    assert "warm-up" in narrow


def test_names_at_the_ends_of_lines_do_not_hide_each_other() -> None:
    drawing = Drawing(
        title="",
        lines=(Line("p50", ((0.0, 5.0),)), Line("p99", ((0.0, 5.1), (1.0, None)))),
        end=1.0,
        low=0,
        high=10,
    )
    placed = lines.end_labels(drawing, 7)
    assert sorted(placed.values()) == [0, 1]
    assert max(placed) in [each for each, index in placed.items() if index == 1]
    assert len(lines.end_labels(drawing, 1)) == 1


@examples(200)
@given(high=st.floats(1e-3, 1e9), most=st.integers(2, 12))
def test_ticks_are_few_even_and_within(high: float, most: int) -> None:
    found = axes.ticks(0.0, high, most)
    assert 1 <= len(found) <= most
    assert found[0] == 0
    assert found[-1] <= high * 1.001
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert all(gap == pytest.approx(gaps[0], rel=1e-3) for gap in gaps)
    assert axes.nice_ceiling(high) >= high * 0.998


@examples(200)
@given(seconds=st.floats(0, 1e6), columns=st.integers(1, 300))
def test_time_ticks_have_room(seconds: float, columns: int) -> None:
    found = axes.time_ticks(seconds, columns)
    assert found[0] == 0
    assert len(found) <= max(1, columns // 12) + 1
    later = axes.time_ticks(seconds + 1000, columns, 1000)
    assert len(later) <= max(1, columns // 12) + 1
    assert all(1000 <= each <= seconds + 1000 for each in later)


def test_logarithmic_ticks() -> None:
    assert axes.log_ticks(1000, 10_000, 5) == [1000, 2000, 5000, 10_000]
    assert axes.log_ticks(1000, 1e6, 4) == [1000, 10_000, 100_000, 1e6]


@pytest.mark.parametrize(
    ("us", "text"), [(0, "0"), (500, "0.5 ms"), (200_000, "200 ms"), (1_000_000, "1 s"), (1_500_000, "1.5 s")]
)
def test_a_latency_beside_an_axis(us: float, text: str) -> None:
    assert formatting.axis_latency(us) == text


@pytest.mark.parametrize(("n", "text"), [(0, "0"), (0.5, "0.5"), (250, "250"), (2500, "2.5k"), (1e6, "1M")])
def test_a_rate_beside_an_axis(n: float, text: str) -> None:
    assert formatting.axis_rate(n) == text


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0s"), (0.26, "0.3s"), (32.9, "32s"), (90.5, "1m30s")])
def test_a_growing_length_of_time(seconds: float, text: str) -> None:
    assert formatting.elapsed(seconds) == text


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_many(values)
    return histogram


@examples(200)
@given(
    values=st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=200),
    rows=st.integers(1, 60),
    columns=st.integers(1, 100),
)
def test_bars_hold_every_sample(values: list[int], rows: int, columns: int) -> None:
    found = bars(histogram_of(values), rows, columns)
    assert 1 <= len(found) <= rows
    assert sum(bar.count for bar in found) == len(values)
    assert max(len(bar.bar) for bar in found) == columns
    assert all(bool(bar.bar) == bool(bar.count) for bar in found)
    assert sum(mark.startswith("max ") for bar in found for mark in bar.marks) == 1


def test_bars_of_nothing() -> None:
    assert bars(Histogram(), 10, 10) == []
    assert bars(histogram_of([5]), 0, 10) == []


def test_marks_of_a_distribution_stand_at_their_bars() -> None:
    rnd = random.Random(1)
    histogram = histogram_of([int(rnd.lognormvariate(0, 0.5) * 200 * MS) for _ in range(1000)])
    found = bars(histogram, 20, 40)
    names = [mark.split()[0] for bar in found for mark in bar.marks]
    assert names == ["p50", "p90", "p99", "max"]
    assert any(formatting.latency(histogram.percentile("p50")) in mark for bar in found for mark in bar.marks)
    few = [mark for bar in bars(histogram_of([1000, 2000, 3000]), 5, 10) for mark in bar.marks]
    assert any(mark.startswith("p50 ~") for mark in few), "thin"
    assert not any(mark.startswith("p99") for mark in few), "not to be had"


def test_bands_of_a_narrow_distribution_are_even() -> None:
    edges = edges_for(100_000, 200_000, 4)
    assert edges == [100_000, 125_000, 150_000, 175_000]
    assert len(edges_for(100_000, 100_050, 40)) == 1, "narrower than a bin"


@pytest.mark.parametrize(("share", "text"), [(0, ""), (0.0001, "▏"), (0.5, "██"), (1, "████"), (0.125, "▌")])
def test_a_bar(share: float, text: str) -> None:
    assert bar_of(share, 4) == text
