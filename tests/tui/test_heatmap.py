"""The heatmap: from rows of the timeline to cells."""

import random
import time

import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.histogram import HIGHEST_US, Histogram
from llmstress.engine.telemetry.timeline import Row
from llmstress.tui.charts import heatmap
from llmstress.tui.charts.heatmap import EDGES, Binning
from llmstress.tui.charts.lines import TimeColumn, TimelineCache, downsample, step_for

MS = 1000


def row(values: list[int]) -> Row:
    histogram = Histogram()
    histogram.record_many(values)
    return Row(requests=len(values), latency=histogram)


def columns_of(rows: list[Row], most: int = 100) -> list[TimeColumn]:
    return downsample(rows, 1.0, step_for(len(rows), most))


@examples(200)
@given(
    rows=st.lists(st.lists(st.integers(0, HIGHEST_US), max_size=30), max_size=30),
    places=st.integers(1, 40),
    height=st.integers(1, 40),
)
def test_every_sample_is_in_one_cell(rows: list[list[int]], places: int, height: int) -> None:
    grid = Binning().grid(columns_of([row(each) for each in rows], places), height)
    assert len(grid.columns) <= places
    assert all(len(column) == height for column in grid.columns)
    assert sum(map(sum, grid.columns)) == sum(map(len, rows))
    assert grid.most == max((max(column) for column in grid.columns), default=0)


def test_bands_begin_at_round_numbers() -> None:
    for us in (1, 2, 5, 10, 200_000, 500_000, 1_000_000):
        assert heatmap.ROUND[EDGES.index(us)] == us
    assert list(EDGES) == sorted(EDGES)


def test_nothing() -> None:
    grid = Binning().grid([], 5)
    assert (grid.columns, grid.most) == ((), 0)
    assert heatmap.legend(0) == ""
    assert heatmap.spread(0, 10) == []
    assert Binning().grid(columns_of([Row(), Row()]), 5).most == 0


def test_one_sample() -> None:
    grid = Binning().grid(columns_of([row([200 * MS])]), 9)
    (column,) = grid.columns
    assert sum(column) == grid.most == 1
    assert 0 < column.index(1) < 8, "with room around it"
    assert heatmap.legend(1) == "░ 1+"


def test_slower_stands_higher_and_labels_are_where_they_belong() -> None:
    grid = Binning().grid(columns_of([row([100 * MS] * 50), row([900 * MS] * 50)]), 20)
    slow, fast = grid.columns[1].index(50), grid.columns[0].index(50)
    assert slow > fast
    labels = {grid.scale.label(n): n for n in range(20)}
    assert fast < labels["200 ms"] < labels["500 ms"] < slow
    assert labels["100 ms"] == fast


def test_a_huge_range_keeps_its_slow_ones_and_lets_few_fast_ones_share_a_row() -> None:
    grid = Binning().grid(columns_of([row([3] + [300 * MS] * 5000 + [3_000_000 * MS])]), 12)
    assert sum(grid.columns[0]) == 5002
    assert grid.columns[0][0] == 5001
    assert grid.scale.label(0).startswith("≤"), "and says so"
    assert sum(grid.columns[0][-2:]) == 1
    whole = Binning().grid(columns_of([row([1, HIGHEST_US])]), 6)
    assert sum(whole.columns[0]) == 2


def test_what_was_kept_is_what_is_made_anew() -> None:
    rnd = random.Random(3)
    binning, timeline, aggregate = Binning(), TimelineCache(), Aggregate.over([1])
    for n in range(60):
        aggregate.rows.append(row([int(rnd.lognormvariate(0, 0.1 + n / 100) * 200 * MS) for _ in range(20)]))
        aggregate.rows[-1].latency.record(rnd.randint(1, 10_000) * MS)
        if n == 40:
            aggregate._double_step()
        columns = timeline.columns("x", aggregate, step_for(len(aggregate.rows), 25))
        fresh = columns_of(aggregate.rows, 25)
        assert binning.grid(columns, 10) == Binning().grid(fresh, 10)


def test_a_changed_height_is_followed() -> None:
    binning, columns = Binning(), columns_of([row([100 * MS, 900 * MS])])
    assert len(binning.grid(columns, 7).columns[0]) == 7
    assert len(binning.grid(columns, 30).columns[0]) == 30


def test_darkness() -> None:
    assert heatmap.level(0, 100, 4) == 0
    assert heatmap.level(1, 1_000_000, 4) == 1
    assert heatmap.level(100, 100, 4) == 4
    assert [heatmap.level(n, 16, 4) for n in (1, 2, 4, 5, 9, 10, 16)] == [1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 16, 146, 10_000])
def test_the_legend_says_where_each_glyph_begins(most: int) -> None:
    for entry in heatmap.legend(most).split("  "):
        glyph, least = entry.split()
        count = int(least.rstrip("+").replace(",", ""))
        level = heatmap.GLYPHS.index(glyph)
        assert heatmap.level(count, most, 4) == level
        assert count == 1 or heatmap.level(count - 1, most, 4) < level


def test_the_time_axis() -> None:
    text = heatmap.axis(60.0, 60)
    assert len(text) == 60
    assert [text.index(label) for label in ("0s", "15s", "30s")] == [0, 15, 30]
    assert heatmap.axis(0.0, 10).strip() == "0s"


def test_columns_fill_the_width_evenly() -> None:
    places = heatmap.spread(7, 20)
    assert places == sorted(places)
    assert {places.count(each) for each in range(7)} == {2, 3}


@pytest.mark.untraced
def test_a_grid_of_a_full_timeline_is_cheap() -> None:
    rnd = random.Random(1)
    aggregate = Aggregate.over([1])
    aggregate.rows = [row([int(rnd.lognormvariate(0, 0.3) * 200 * MS) for _ in range(200)]) for _ in range(1024)]
    binning, timeline = Binning(), TimelineCache()
    took = []
    for n in range(6):
        aggregate.rows[-1].latency.record((n + 100) * MS)
        begun = time.perf_counter()
        grid = binning.grid(timeline.columns("x", aggregate, step_for(1024, 190)), 30)
        took.append(time.perf_counter() - begun)
    assert sum(map(sum, grid.columns)) == 1024 * 200 + 6
    assert min(took[1:]) < 0.01
