"""The curve: its table, its charts against the load, and when there is one."""

import msgspec
import pytest
from helpers.load_stories import (
    LEVELS,
    RATES,
    STAGES,
    load_delta,
    load_ending,
    load_view,
    staged,
    staged_view,
    swept,
    swept_view,
)
from helpers.screens import QueueSource, S, on_screen, opening, press, settle, settle_until, text_of
from textual.pilot import Pilot
from textual.widgets import DataTable

from llmstress.engine.telemetry.broadcast import Frame, RunView
from llmstress.engine.telemetry.messages import Part, Phase, consecutive
from llmstress.engine.telemetry.windows import steady_windows
from llmstress.tui.app import StressApp
from llmstress.tui.charts import lines
from llmstress.tui.charts.against_load import drawings_of
from llmstress.tui.charts.chart import Chart
from llmstress.tui.format.picture import Picture, picture_of
from llmstress.tui.panes.curve import about, columns_of, has_curve, title_of, unique_labels


def after(view: RunView, told: list[tuple[int, Frame]], until_s: float = 1e9) -> RunView:
    for t, frame in told:
        if t <= until_s * S:
            assert not isinstance(frame, RunView)
            view.apply(frame)
    return view


def staged_picture() -> Picture:
    return picture_of(after(staged_view(), [*staged(), *load_ending(17 * S)]), whole=True)


def swept_picture() -> Picture:
    return picture_of(after(swept_view(), [*swept(), *load_ending(21 * S)]), whole=True)


def rows(picture: Picture, width: int) -> dict[str, dict[str, str]]:
    """Label -> column -> what the table shows."""
    points = steady_windows(picture.view)
    columns = columns_of(points, picture, width)
    return {point.label: {each.column.label: each.cell(point).text for each in columns} for point in points}


def test_a_run_of_one_window_has_no_curve() -> None:
    assert not has_curve(None)
    assert not has_curve(opening())
    assert has_curve(staged_view())
    assert has_curve(swept_view()), "from the begin, though the first point has only begun"


def test_the_rows_of_stages() -> None:
    shown = rows(staged_picture(), 160)
    assert list(shown) == ["stage 1", "stage 2", "stage 3", "stage 4"]
    assert shown["stage 2"]["asked"] == "60", "the mean of the level over the stage"
    assert shown["stage 4"] == {
        "asked": "200",
        "achieved": "160",
        "req/s": "160",
        "tok/s": "1,600",
        "TTFT p50": "266 ms",
        "TTFT p99": "~306 ms",
        "TPOT p50": "22.5 ms",
        "good": "90.0 %",
        "failed": "0 %",
        "dropped": "160",
    }


def test_the_rows_of_a_sweep() -> None:
    shown = rows(swept_picture(), 160)
    assert [row["asked"] for row in shown.values()] == [str(level) for level in LEVELS]
    assert [row["tok/s"] for row in shown.values()] == ["40.0", "320", "1,280", "1,280"]
    assert "achieved" not in shown["1"]
    assert "good" not in shown["1"]
    assert shown["1"]["TTFT p99"] == "–", "16 requests have no p99"


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_table_fits(width: int) -> None:
    for picture in (staged_picture(), swept_picture()):
        columns = columns_of(steady_windows(picture.view), picture, width)
        assert 13 + sum(each.column.width + 2 for each in columns) <= width
        labels = [each.column.label for each in columns]
        assert "asked" in labels
        assert "TTFT p99" in labels
        if picture.view.facts.arrival:
            assert "dropped" in labels, "requests were dropped"


def test_failures_stay_in_a_narrow_table() -> None:
    view = after(swept_view(), swept())
    made = load_delta(0, 80, 7, 4)
    made.parts[7] = Part(ended={"http_503": 2})
    view.apply(made)
    picture = picture_of(view, whole=False)
    assert rows(picture, 60)["64"]["failed"] == "0.4 %"
    (*_, last) = steady_windows(view)
    assert about(last).plain.endswith("2 failed, queue p99 0.05 ms, E2E p50 515 ms; mostly http_503")


def test_unknown_goodput_is_a_lower_bound() -> None:
    view = after(staged_view(), staged(), 4.0)
    view.aggregate.parts[0].counters.slo_met -= 8
    view.aggregate.parts[0].counters.slo_unknown += 8
    assert rows(picture_of(view, whole=False), 160)["stage 1"]["good"] == "≥90.0 %"


def test_labels_are_unique() -> None:
    windows = consecutive([(Phase.STEADY, "10", 0), (Phase.STEADY, "10", 4 * S), (Phase.DRAIN, "drain", 8 * S)])
    view = load_view(windows, RATES)
    for seq in range(32):
        view.apply(load_delta(0, seq, seq // 16, 3))
    assert unique_labels(steady_windows(view)) == ["10", "10 #1"]


def test_the_title_names_the_highest_throughput() -> None:
    def title(picture: Picture) -> str:
        return title_of(steady_windows(picture.view), picture).plain

    assert title(staged_picture()) == "curve · 4 stages over · most tokens/s: 1,600 at 200/s"
    assert title(swept_picture()) == "curve · 4 points over · most tokens/s: 1,280 at 16 streams"
    assert title(picture_of(swept_view(), whole=False)) == "curve · points: none is over yet"


def test_a_stage_that_was_over_before_its_first_token_is_over() -> None:
    """It was once called "none is over yet": the title took throughput for the sign that a stage is over."""
    picture = picture_of(staged_view(), whole=False)
    (first, *_) = steady_windows(after(staged_view(), staged()))
    assert title_of([msgspec.structs.replace(first, tokens_per_s=0.0)], picture).plain == (
        "curve · 1 stage over · no tokens yet"
    )


# --- charts


def test_the_charts_of_a_sweep() -> None:
    picture = swept_picture()
    throughput, ttft, users = drawings_of(steady_windows(picture.view), "tokens", whole_answers=False)
    assert throughput.title == "tokens/s against streams (log)"
    assert throughput.lines[0].points == ((1.0, 40.0), (4.0, 320.0), (16.0, 1280.0), (64.0, 1280.0))
    assert (throughput.begin, throughput.end) == (1.0, 80.0)
    assert ttft.title == "TTFT p50, p99 against streams (log)"
    assert [value for _, value in ttft.lines[0].points] == pytest.approx([150_000, 162_000, 210_000, 306_000], rel=0.01)
    assert ttft.lines[1].points[0] == (1.0, None), "too few samples for a p99"
    assert users.title == "tokens/s of a user against tokens/s"
    assert [x for x, _ in users.lines[0].points] == [40.0, 320.0, 1280.0, 1280.0], "in the order of load"
    assert [y for _, y in users.lines[0].points] == pytest.approx([50.0, 49.3, 47.2, 42.4], rel=0.01)


def test_loads_that_lie_near_each_other_have_a_linear_axis() -> None:
    throughput, *_ = drawings_of(steady_windows(staged_picture().view), "tokens", whole_answers=False)
    assert throughput.title == "tokens/s against asked requests/s"
    assert (throughput.begin, throughput.end, throughput.logarithmic_across) == (0.0, 200.0, False)
    labels = [label for _, label in lines.x_labels(throughput, 60)]
    assert labels == ["0", "50", "100", "150", "200"]


def test_points_are_drawn_in_the_order_of_their_load() -> None:
    windows = consecutive([(Phase.STEADY, "b", 0), (Phase.STEADY, "a", 4 * S), (Phase.DRAIN, "drain", 8 * S)])
    view = load_view(windows, RATES.held(0, 50.0).held(4 * S, 20.0))
    for seq in range(32):
        view.apply(load_delta(0, seq, seq // 16, 3))
    throughput, *_ = drawings_of(steady_windows(view), "requests", whole_answers=True)
    assert [x for x, _ in throughput.lines[0].points] == [20.0, 50.0]


def test_whole_answers_have_an_e2e_and_no_time_per_token() -> None:
    drawings = drawings_of(steady_windows(swept_picture().view), "inputs", whole_answers=True)
    assert [each.title for each in drawings] == ["inputs/s against streams (log)", "E2E p50, p99 against streams (log)"]


def test_without_points_the_charts_say_so() -> None:
    for drawing in drawings_of([], "tokens", whole_answers=False):
        assert drawing.lines[0].points == ()
        assert drawing.empty == "nothing to draw yet: no stage or point is over"
        assert drawing.begin < drawing.end


@pytest.mark.parametrize("columns", [10, 30, 80, 200])
def test_labels_of_a_number_axis_fit(columns: int) -> None:
    for picture in (staged_picture(), swept_picture()):
        for drawing in drawings_of(steady_windows(picture.view), "tokens", whole_answers=False):
            labels = lines.x_labels(drawing, columns)
            assert len(labels) * 4 <= max(columns, 12)
            assert all(drawing.begin * 0.99 <= value <= drawing.end * 1.01 for value, _ in labels)


def test_a_canvas_of_one_row_has_one_label() -> None:
    throughput, *_ = drawings_of(steady_windows(staged_picture().view), "tokens", whole_answers=False)
    assert lines.y_labels(throughput, 1) == [(2_000.0, "2k")]
    assert len(lines.y_labels(throughput, 2)) == 2


# --- the pane


def shown_charts(app: StressApp) -> list[str]:
    return [str(chart.border_title) for chart in app.query("CurvePane Chart").results(Chart) if chart.size.width]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "charts"), [((60, 20), 1), ((80, 24), 1), ((100, 30), 2), ((160, 48), 3)])
def test_the_charts_come_in_turn(size: tuple[int, int], charts: int) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "6")
        titles = shown_charts(app)
        assert len(titles) == charts
        await press(pilot, "c")
        after_one = shown_charts(app)
        assert after_one[0] != titles[0]
        assert after_one[0] == (titles[1] if charts > 1 else after_one[0])
        await press(pilot, "c", "c")
        assert shown_charts(app) == titles

    app = StressApp(QueueSource(after(swept_view(), swept())))
    on_screen(app, steps, size)


def test_the_tab_comes_with_the_second_point_and_the_table_follows() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "6" not in text_of(app).splitlines()[0]
        await press(pilot, "6")
        assert "no curve: the run has neither several stages nor a sweep" in text_of(app)
        assert "Overview" in text_of(app).splitlines()[0]
        source.give(swept_view(), *(frame for t, frame in swept() if t <= 3 * S))
        await settle(pilot)
        await press(pilot, "6")
        assert "6 Curve" in text_of(app).splitlines()[0]
        assert "points: none is over yet" in text_of(app)
        table = app.query_one("CurvePane DataTable", DataTable)
        assert table.row_count == 1
        source.give(*(frame for t, frame in swept() if t > 3 * S))
        await settle_until(pilot, lambda: table.row_count == 4)
        assert "3 points over" in text_of(app), "the fourth lasts"
        await press(pilot, "down", "down")
        assert "16  from 0:11 to 0:15, 16 streams, 512 requests ok, 0 failed" in text_of(app)

    source = QueueSource(opening())
    app = StressApp(source)
    on_screen(app, steps, (140, 40))


def test_stages_that_have_not_begun_have_no_row() -> None:
    view = after(staged_view(), staged(), 6.0)
    assert [each.label for each in steady_windows(view)] == ["stage 1", "stage 2"]
    assert len(STAGES) == 5
