"""The available charts and their contents: latencies, rates, failures by class, a worker's last minute."""

import pytest
from helpers.screens import S, delta, histogram, opening, story
from rich.style import Style

from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase
from llmstress.tui.charts import catalog, lines
from llmstress.tui.charts.chart import Chart
from llmstress.tui.charts.lines import Drawing, Line, TimelineCache
from llmstress.tui.format.picture import picture_of
from llmstress.tui.panes.workers import spark_cells, sparkline, worker_rows


def after(seconds: float) -> RunView:
    """The run of `story` at this time."""
    view = opening()
    for _, frame in story(seconds, lost_s=None):
        assert not isinstance(frame, RunView)
        view.apply(frame)
    return view


def failing(*seconds: dict[str, int]) -> RunView:
    """A run with these outcomes in each second."""
    view = opening(1)
    for second, ended in enumerate(seconds):
        part = Part(Counters(events=1), dict(ended))
        view.apply(Delta(0, second, second * S, (second + 1) * S, Phase.STEADY, 1, 1, 0, 1, {2: part}, []))
    return view


def drawn(curve: str, view: RunView, most: int = 100) -> Drawing:
    return catalog.drawing_of(curve, view, TimelineCache(), most)


def values(line: Line) -> list[float | None]:
    return [value for _, value in line.points]


def test_a_run_that_streams_has_all_curves_and_one_that_does_not_has_those_of_whole_answers() -> None:
    view = after(3.0)
    names = catalog.curves_of(view)
    assert names == ("ttft", "itl", "tpot", "e2e", "tokens", "requests", "failed")
    assert [catalog.next_curve(name, view) for name in names] == [*names[1:], names[0]]
    whole = opening(1)
    made = Part(Counters(output=7), {"ok": 3, "http_500": 1}, {}, {"e2e": histogram(9_000, 10_000, 11_000)})
    whole.apply(Delta(0, 0, 0, S, Phase.STEADY, 1, 1, 0, 1, {2: made}, []))
    assert catalog.curves_of(whole) == ("e2e", "requests", "failed")
    assert catalog.next_curve("ttft", whole) == "e2e"
    assert values(drawn("e2e", whole).lines[0]) == [pytest.approx(10_000, rel=0.001)], "in fine bins"


@pytest.mark.parametrize(
    ("curve", "low", "high"), [("itl", 19_000, 21_000), ("tpot", 19_800, 20_200), ("e2e", 570_000, 640_000)]
)
def test_a_latency_over_time_is_that_of_the_deltas(curve: str, low: int, high: int) -> None:
    drawing = drawn(curve, after(8.0))
    assert drawing.title.startswith(f"{curve.upper()} p50, ")
    assert "every 1s" in drawing.title
    p50 = [value for value in values(drawing.lines[0]) if value is not None]
    assert len(p50) == 8
    assert all(low <= value <= high for value in p50)
    upper = [value for value in values(drawing.lines[1]) if value is not None]
    assert all(above >= below for below, above in zip(p50, upper, strict=False))


def test_rates_over_time() -> None:
    view = after(8.0)
    assert values(drawn("tokens", view).lines[0]) == [800.0] * 8
    requests = [value for value in values(drawn("requests", view).lines[0]) if value is not None]
    assert sum(requests) == view.aggregate.finished()


def test_failures_have_a_line_for_each_of_the_most_frequent_classes_and_one_for_the_others() -> None:
    seconds = [
        {"ok": 5, "http_500": 4},
        {"http_500": 1, "reset": 3, "cut": 2},
        {"ok": 1, "x": 1, "y": 1, "filtered": 9},
    ]
    drawing = drawn("failed", failing(*seconds))
    assert drawing.title == "failed/s by class · every 1s"
    assert {line.name: values(line) for line in drawing.lines} == {
        "http_500": [4, 1, 0],
        "reset": [0, 3, 0],
        "cut": [0, 2, 0],
        "others": [0, 0, 2],
    }
    assert len(drawing.lines) <= lines.MOST_LINES
    merged = drawn("failed", failing(*seconds), most=1)
    assert [values(line) for line in merged.lines] == [[5 / 3], [1.0], [2 / 3], [2 / 3]]


def test_without_a_failure_the_chart_says_so() -> None:
    drawing = drawn("failed", failing({"ok": 5}, {"filtered": 1}))
    assert drawing.lines == ()
    assert drawing.empty == "no request has failed"


def test_every_line_of_a_chart_has_a_mark_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    points = tuple((float(at), 5.0) for at in range(10))
    lines = tuple(Line(name, tuple((at, value + 9 * n) for at, value in points)) for n, name in enumerate("abcd"))
    chart = Chart("c")
    monkeypatch.setattr(chart, "get_component_rich_style", lambda *_, **__: Style())
    chart.show(Drawing(title="", lines=lines, end=9.0, low=0.0, high=40.0))
    text = chart._paint(60, 20).plain
    ends = {
        line.rstrip().rsplit(" ", 2)[-1]: line.rstrip().rsplit(" ", 2)[-2]
        for line in text.split("\n")
        if line.rstrip()[-1:] in "abcd"
    }
    assert len(set(ends.values())) == 4
    for mark in "•×o":
        assert 3 <= text.count(mark) <= 10, "now and then"


@pytest.mark.parametrize("first", [-7.0, 0.0, 0.5, 3.0])
def test_marks_lie_on_their_line(first: float) -> None:
    xs, ys = lines.marker_positions([1.0, 2.0, 5.0], [10.0, 20.0, 5.0], 0.5, first)
    assert (xs[0], ys[0]) == (5.0, 5.0)
    assert len(xs) == 1 + sum(1 <= first + 0.5 * n <= 5 for n in range(-100, 100))
    for x, y in zip(xs, ys, strict=True):
        assert y == pytest.approx(10 * x if x <= 2 else 20 - 5 * (x - 2))
    assert lines.marker_positions([3.0], [7.0], 0.5, 0.0) == ([3.0], [7.0]), "a single point has a mark, too"


@pytest.mark.parametrize("metric", ["queue", "ttfb", "stall"])
def test_a_latency_that_the_timeline_does_not_keep_is_drawn_over_the_last_minute(metric: str) -> None:
    drawing = catalog.latency_drawing_of(metric, after(75.0), TimelineCache(), 100)
    assert "last minute" in drawing.title
    assert drawing.begin == pytest.approx(15, abs=2.5)
    assert drawing.end == 75
    assert len(drawing.lines[0].points) == pytest.approx(24, abs=1)
    assert all(drawing.begin <= at <= 75 and value for at, value in drawing.lines[0].points)
    assert catalog.latency_drawing_of("ttft", after(8.0), TimelineCache(), 100).begin == 0
    nothing = catalog.latency_drawing_of(metric, opening(), TimelineCache(), 100)
    assert not any(value for line in nothing.lines for _, value in line.points)


def test_the_last_minute_of_a_worker() -> None:
    view = after(75.0)
    for worker, cpu in ((0, 0.5), (1, 1.0)):
        moments = catalog.worker_samples(worker, view.aggregate)
        assert len(moments) == pytest.approx(24, abs=1)
        assert all(each.cpu == pytest.approx(cpu) for each in moments)
        assert all(each.lag == pytest.approx(1_450, rel=0.01) for each in moments), "the maximum: 100 samples are few"
    drawing = catalog.cpu_drawing(1, catalog.worker_samples(1, view.aggregate), 0.9)
    assert [line.name for line in drawing.lines] == ["CPU", "limit"]
    assert (drawing.unit, drawing.high) == ("share", 1.0)
    assert lines.y_labels(drawing, 20)[-1][1] == "100 %"
    lag = catalog.lag_drawing(1, catalog.worker_samples(1, view.aggregate), 2_000)
    assert (lag.unit, lag.high) == ("us", 2_000)
    assert catalog.worker_samples(0, opening().aggregate) == []
    assert catalog.cpu_drawing(0, [], 0.9).lines[0].points == ()


def test_a_worker_that_sent_nothing_for_a_while_has_a_gap() -> None:
    view = opening()
    for seq in [*range(10), *range(30, 40)]:
        view.apply(delta(0, seq))
        view.apply(delta(1, seq)) if seq < 10 else None
    assert [each.cpu is None for each in catalog.worker_samples(1, view.aggregate)] == [False, False, True, True]
    assert sparkline([0.5, None, 1.0], 1.0, 10) == "▅ █"


@pytest.mark.parametrize(
    ("found", "text"), [([], ""), ([0.0], "▁"), ([9.9], "█"), ([0.0, 0.5, 1.0], "▁▅█"), ([0.0] * 99, "▁" * 24)]
)
def test_a_sparkline(found: list[float | None], text: str) -> None:
    assert sparkline(found, 1.0, 24) == text


def test_sparks_of_a_worker_show_its_share_of_a_core_and_how_near_its_lag_is_to_the_limit() -> None:
    view = after(30.0)
    seen = worker_rows(picture_of(view, whole=False))
    cells = [spark_cells(each, catalog.worker_samples(each.state.worker, view.aggregate), 1_450.0) for each in seen]
    assert {set(cpu.text).pop() for cpu, _ in cells} == {"▅", "█"}
    assert all(set(lag.text) == {"▅"} for _, lag in cells)
    assert [bool(cpu.tone) for cpu, _ in cells] == [False, True]
