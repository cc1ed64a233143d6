"""What the screen says about the load: stages and points, asked and achieved, and the line about goodput."""

import math

import pytest
from helpers.load_stories import (
    RATES,
    SLOS,
    beside,
    load_delta,
    load_ending,
    load_view,
    staged,
    staged_view,
    swept,
    swept_view,
)
from helpers.screens import S, facts, opening, story

from llmstress.engine.telemetry.broadcast import Asked, Frame, Paused, RunView, WorkerChange
from llmstress.engine.telemetry.load_profile import Piece, Profile, constant, sine
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Part, Phase, Window, consecutive, key_of
from llmstress.engine.telemetry.slo import Objectives
from llmstress.tui.charts import catalog, lines
from llmstress.tui.charts.lines import TimelineCache
from llmstress.tui.format import headline, load
from llmstress.tui.format.headline import StyledText
from llmstress.tui.format.judged_lines import goodput_line
from llmstress.tui.format.load_line import bystander_line, load_line
from llmstress.tui.format.picture import Picture, picture_of
from llmstress.tui.panes import bars
from llmstress.tui.panes.tabs import CURVE
from llmstress.tui.panes.tiles import tiles_of


def after(view: RunView, told: list[tuple[int, Frame]], until_s: float = math.inf) -> RunView:
    """The view with what has happened by then."""
    for t, frame in told:
        if t <= until_s * S:
            assert not isinstance(frame, RunView)
            view.apply(frame)
    return view


def staged_at(seconds: float, *, whole: bool = False) -> Picture:
    return picture_of(after(staged_view(), staged(), seconds), whole=whole)


def swept_at(seconds: float, *, whole: bool = False) -> Picture:
    return picture_of(after(swept_view(), swept(), seconds), whole=whole)


def text(pieces: list[StyledText]) -> str:
    return "".join(each for each, _ in pieces)


# --- where the run is


@pytest.mark.parametrize(
    ("seconds", "stage", "left_s", "levels", "last"),
    [
        (1.0, "stage 1 of 4", 3.0, "20/s", False),
        (6.0, "stage 2 of 4", 2.0, "20 → 100/s", False),
        (11.0, "stage 3 of 4", 1.0, "100/s", False),
        (15.5, "stage 4 of 4", 0.5, "200/s", True),
    ],
)
def test_the_stage_that_lasts(seconds: float, stage: str, left_s: float, levels: str, last: bool) -> None:
    picture = staged_at(seconds)
    assert picture.stage == stage
    assert picture.place == load.Place(name=stage, settling=False, left_s=left_s, levels=levels, last=last)


@pytest.mark.parametrize(
    ("seconds", "stage", "settling", "levels"),
    [
        (0.5, "point 1 of 4", True, "1 stream"),
        (3.0, "point 1 of 4", False, "1 stream"),
        (5.5, "point 2 of 4", True, "4 streams"),
        (18.0, "point 4 of 4", False, "64 streams"),
    ],
)
def test_the_point_that_lasts(seconds: float, stage: str, settling: bool, levels: str) -> None:
    place = swept_at(seconds).place
    assert place is not None
    assert (place.name, place.settling, place.levels) == (stage, settling, levels)
    assert place.left_s is None, "a point ends when its figures are known well enough"


def test_a_search_does_not_know_how_many_points_there_will_be() -> None:
    view = swept_view()
    view.facts = facts(points=0)
    place = load.place_of(after(view, swept(), 18.0))
    assert place is not None
    assert (place.name, place.last) == ("point 4", False)
    view.aggregate.windows = consecutive(
        [(each.kind, each.label, 20 * S if each.kind is Phase.DRAIN else each.begin) for each in view.aggregate.windows]
    )
    ended = load.place_of(view)
    assert ended is not None
    assert ended.left_s is None, "the end of a point is known only for the moment until it comes"


def test_the_stage_of_a_drain_and_of_the_end_has_no_place() -> None:
    view = after(staged_view(), [*staged(), *load_ending(17 * S)], 16.5)
    assert (picture_of(view, whole=False).stage, load.place_of(view)) == ("drain", None)
    after(view, load_ending(17 * S))
    assert (picture_of(view, whole=True).stage, load.place_of(view)) == ("done", None)
    assert load.place_of(opening(started_at="")) is None


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("seconds", [0.5, 5.5, 7.0, 13.0, 15.5])
def test_the_progress_fits_with_stages_and_points(width: int, seconds: float) -> None:
    for picture in (staged_at(seconds), swept_at(seconds)):
        picture.view.paused = True
        line = text(headline.progress_line(picture, width))
        assert len(line) == width
        assert line.startswith(picture.stage.upper())


def test_the_progress_has_what_is_left_and_what_is_asked_for() -> None:
    assert text(headline.progress_line(staged_at(6.0), 80)).endswith("╌  0:02 left, 20 → 100/s  6s of 16s")
    assert text(headline.progress_line(swept_at(5.5), 80)).endswith("  settling at 4 streams   5s")


def test_the_bar_of_a_sweep_marks_the_window_that_has_begun() -> None:
    for seconds, label in ((0.5, "→ 1"), (3.0, "1"), (5.5, "→ 4"), (17.0, "64")):
        parts = headline.window_segments(swept_at(seconds).view)
        assert [part.name for part in parts if part.current] == [label]


def test_a_stage_that_was_ended_early_ends_the_run_earlier() -> None:
    picture = staged_at(6.0)
    begins = [(each.kind, each.label, each.begin) for each in picture.view.aggregate.windows]
    moved = [(kind, label, begin if begin is None or begin <= 6 * S else begin - S) for kind, label, begin in begins]
    picture.view.aggregate.windows = consecutive(moved)
    assert text(headline.progress_line(picture, 80)).endswith("6s of 15s")


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (constant("streams", 1_000.0), "1,000 streams"),
        (constant("streams", 1.0), "1 stream"),
        (Profile("streams", (Piece(0, 4 * S, 0.0, 12.0),)), "0 → 12 streams"),
        (Profile("requests", (Piece(0, 4 * S, 0.5, 12_345.0),)), "0.5 → 12,345/s"),
        (Profile("requests", sine(0, 4 * S, 10.0, 90.0, 4 * S)), "10 to 90/s"),
        (constant("trace", 2.0), "2 × trace"),
    ],
)
def test_levels_of_a_window(profile: Profile, expected: str) -> None:
    window = Window(0, Phase.STEADY, "stage 1", 0, 4 * S)
    assert load.levels_words(profile, window, 2 * S) == expected


def test_the_levels_of_a_window_without_an_end_are_those_so_far() -> None:
    profile = Profile("streams", (Piece(0, 10 * S, 0.0, 100.0), Piece(10 * S, None, 100.0, 100.0)))
    assert load.levels_words(profile, Window(0, Phase.STEADY, "1", 0, None), 5 * S) == "0 → 50 streams"


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [(0.0, "0"), (0.016666, "0.01667"), (199.84, "199.8"), (200.0, "200"), (999.97, "1,000"), (12_345.6, "12,346")],
)
def test_rates_that_are_compared_have_four_digits(per_second: float, expected: str) -> None:
    assert load.rate_number(per_second) == expected


def test_what_the_summary_s_figures_are_of() -> None:
    assert load.measured_name(staged_view()) == "all stages"
    assert load.measured_name(swept_view()) == "all points"
    assert load.measured_name(opening()) == "steady window"
    assert load.measured_name(opening(whole_run=True)) == "whole run"


# --- asked and achieved


def test_a_load_that_stays_has_no_line() -> None:
    assert load_line(picture_of(after(opening(), story()), whole=False), 80) == []


def test_asked_and_achieved_cover_the_same_time() -> None:
    # in the last 5 s: 3 s at 100/s and 2 s at 200/s, of which 160 start; 40 are dropped each second
    assert (
        text(load_line(staged_at(14.0), 80))
        == "load: now 200/s · asked 140/s, achieved 124/s · 30 waiting · 80 dropped"
    )
    assert text(load_line(staged_at(14.0), 60)) == "load: asked 140/s, achieved 124/s · 30 waiting · 80 dropped"
    assert text(load_line(staged_at(3.0), 80)) == "load: asked 20/s, achieved 20/s · 0 waiting · 0 dropped"


def test_a_pause_asks_for_nothing() -> None:
    view = after(staged_view(), staged(), 3.0)
    view.apply(Paused(True))
    line = text(load_line(picture_of(view, whole=False), 80))
    assert line == "load: now 0/s (paused) · asked 20/s, achieved 20/s · 0 waiting · 0 dropped"


def test_the_bystander_has_a_line_of_its_own() -> None:
    assert bystander_line(staged_at(14.0), 80) == []
    view = after(staged_view(), beside(staged()), 14.0)
    line = text(bystander_line(picture_of(view, whole=False), 80))
    assert line == "bystander: 56 ok, 0 failed · TTFT p50 160 ms, p99 – since the begin"
    assert text(load_line(picture_of(view, whole=False), 80)) == text(load_line(staged_at(14.0), 80))
    after(view, load_ending(17 * S))
    assert text(bystander_line(picture_of(view, whole=True), 80)).endswith("ok, 0 failed · TTFT p50 160 ms, p99 –")
    failed = load_delta(1, 56, 3, 0)
    failed.parts[key_of(3, BYSTANDER)] = Part(Counters(started=1), {"http_503": 1})
    view.apply(failed)
    assert "56 ok, 1 failed" in text(bystander_line(picture_of(view, whole=False), 80))
    assert len(text(bystander_line(picture_of(view, whole=False), 40))) == 40


def test_the_whole_run_has_asked_and_achieved_of_all_stages() -> None:
    view = after(staged_view(), [*staged(), *load_ending(17 * S)])
    line = text(load_line(picture_of(view, whole=True), 100))
    assert line == "load: asked 95/s, achieved 85/s · 0 waiting · 160 dropped · at most 30 waited"


def test_nothing_is_asked_for_in_the_drain_of_a_rate_without_an_end() -> None:
    view = staged_view()
    view.profile = constant("requests", 100.0)
    after(view, staged())
    assert load.asked_mean(view, 15 * S, 17 * S) == pytest.approx(50.0)
    assert load.asked_mean(view, 16 * S, 17 * S) == 0.0
    assert load.asked_mean(view, 17 * S, 17 * S) is None
    assert load.asked_mean(opening(), 0, S) is None


def test_a_trace_asks_for_what_has_arrived() -> None:
    view = staged_view()
    view.profile = constant("trace", 1.0)
    after(view, staged(), 14.0)
    line = text(load_line(picture_of(view, whole=False), 80))
    assert line == "load: now 1 × trace · asked 140/s, achieved 124/s · 30 waiting · 80 dropped"


def test_the_streams_of_stages() -> None:
    view = swept_view()
    after(view, swept(), 14.75)
    picture = picture_of(view, whole=False)
    assert text(load_line(picture, 80)) == "load: asked 16 streams, 16 open"
    assert tiles_of(picture)[0].note == "of 16", "not the most that a worker may have"
    after(view, [*swept(), *load_ending(21 * S)])
    assert text(load_line(picture_of(view, whole=True), 80)) == "load: asked at most 64 streams, at most 64 open"


def test_the_target_line_has_the_arrivals() -> None:
    line = text(headline.target_line(staged_view(), 160))
    assert line.endswith("2 processes, poisson arrivals, at most 60 in flight")
    assert text(headline.target_line(swept_view(), 160)).endswith("· 2 processes")


# --- goodput


def test_without_slos_there_is_no_goodput() -> None:
    assert goodput_line(picture_of(after(opening(), story()), whole=False), 80) == []


def test_goodput_in_the_time_that_the_figures_cover() -> None:
    line = text(goodput_line(staged_at(14.0), 80))
    assert line == "goodput: 94.8 % of 620 requests met all 2 SLOs; missed: ttft<300ms by 5.2 %"
    assert text(goodput_line(staged_at(3.0), 80)) == "goodput: 100 % of 60 requests met all 2 SLOs"
    assert text(goodput_line(picture_of(staged_view(), whole=False), 80)) == "goodput: – no request has ended"
    for width in (40, 60, 70):
        assert len(text(goodput_line(staged_at(14.0), width))) <= max(width, 48)


def test_one_slo() -> None:
    view = load_view(staged_view().aggregate.windows, RATES, objectives=Objectives(SLOS[:1]), streams=30)
    line = text(goodput_line(picture_of(after(view, staged(), 3.0), whole=False), 80))
    assert line == "goodput: 100 % of 60 requests met the SLO"


# --- the load over time


def test_the_chart_of_asked_and_started_requests() -> None:
    view = after(staged_view(), staged(), 14.0)
    assert catalog.curves_of(view)[-1] == "load"
    drawing = catalog.drawing_of("load", view, TimelineCache(), 100)
    asked, started = drawing.lines
    assert (asked.name, started.name) == ("asked", "started")
    assert [value for _, value in asked.points] == pytest.approx([20] * 4 + [30, 50, 70, 90] + [100] * 4 + [200] * 2)
    assert [value for _, value in started.points][8:] == [100] * 4 + [160] * 2
    assert drawing.title == "requests started/s · every 1s"


def test_the_chart_of_asked_and_open_streams() -> None:
    drawing = catalog.drawing_of("load", after(swept_view(), swept(), 15.0), TimelineCache(), 100)
    asked, open_ = drawing.lines
    assert [value for _, value in asked.points] == pytest.approx([1] * 5 + [4] * 5 + [16] * 5)
    assert [value for _, value in open_.points][5:] == [4] * 5 + [16] * 5


def test_the_chart_of_a_trace_has_its_arrivals() -> None:
    view = staged_view()
    view.profile = constant("trace", 1.0)
    arrived, started = catalog.drawing_of("load", after(view, staged(), 14.0), TimelineCache(), 100).lines
    assert arrived.name == "arrived"
    assert [value for _, value in arrived.points][12:] == [200, 200]
    assert [value for _, value in started.points][12:] == [160, 160]


def test_the_points_of_a_sweep_have_marks_and_the_settling_between_them_has_none() -> None:
    marks = lines.marks_of(after(swept_view(), swept(), 20.0))
    assert [name for _, name in marks] == ["1", "4", "16", "64"]


def test_of_many_stages_some_have_marks() -> None:
    begins = [(Phase.STEADY, f"stage {number}", number * S) for number in range(100)]
    view = load_view(consecutive([*begins, (Phase.DRAIN, "drain", 100 * S)]), constant("streams", 1.0))
    view.aggregate.window_began = {number: number * S for number in range(100)}
    names = [name for _, name in lines.marks_of(view)]
    assert 6 <= len(names) <= 12
    assert names[0] == "stage 2"


# --- keys


def shown_keys(view: RunView, tab: str = "overview") -> str:
    keys = bars.keys_for(tab, view, steering=True, saving=True, replay=False)
    return bars.key_line(keys, 200).plain


def test_the_keys_name_what_they_change() -> None:
    assert "+ - = streams" in shown_keys(opening())
    assert "next stage" not in shown_keys(opening())
    staged_keys = shown_keys(after(staged_view(), staged(), 3.0))
    assert "+ - = rate" in staged_keys
    assert "k next stage" in staged_keys
    swept_keys = shown_keys(after(swept_view(), swept(), 3.0))
    assert "+ - =" not in swept_keys
    assert "next stage" not in swept_keys, "the sweep decides when a point ends"
    assert "c chart" in shown_keys(staged_view(), CURVE)


def test_the_status_names_the_stage() -> None:
    picture = staged_at(6.0)
    assert bars.status(picture, 60, silent_s=0, requested="").plain == "stage 2 of 4, 0:06  ✔ valid"
    assert bars.status(picture, 60, silent_s=0, requested="→ 55/s").plain == "→ 55/s  stage 2 of 4, 0:06  ✔ valid"
    assert bars.status(picture, 20, silent_s=0, requested="→ 44 streams").plain == "→ 44  ✔"


def test_a_pause_leaves_the_place() -> None:
    view = after(staged_view(), staged(), 6.0)
    view.apply(Paused(True))
    assert picture_of(view, whole=False).stage == "stage 2 of 4"


def test_a_lost_worker_does_not_change_what_is_asked_for() -> None:
    view = after(swept_view(), swept(), 12.0)
    view.apply(WorkerChange(1, "lost", reason="killed"))
    assert load.wanted_streams(view) == 16
    view.apply(Asked(constant("streams", 7.5)))
    assert load.wanted_streams(view) == 8
