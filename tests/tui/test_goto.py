"""Going to any position of a replay: by an entered text, and by keys."""

from pathlib import Path

import pytest
from helpers.screens import ending, on_screen, press, settle_until, story, text_of, write_record
from textual.pilot import Pilot

from llmstress.tui.app import StressApp
from llmstress.tui.charts.chart import Chart
from llmstress.tui.charts.lines import Drawing, Line, zoomed
from llmstress.tui.dialogs.goto import GoTo, parse_position
from llmstress.tui.sources.replay import Replay

pytestmark = pytest.mark.slow

EIGHT_HOURS = 8 * 3600.0


@pytest.mark.parametrize(
    ("text", "moment_s"),
    [
        *((str(digit), EIGHT_HOURS * digit / 10) for digit in range(10)),
        ("45%", EIGHT_HOURS * 0.45),
        ("100 %", EIGHT_HOURS),
        ("250%", EIGHT_HOURS),
        ("4:05", 245.0),
        ("1:02:03", 3723.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1H30M", 5400.0),
        (" 2h ", 7200.0),
        *((text, None) for text in ("", " ", "12", "x", "-5", "1:2", "1h x", "%", "½", "٣x", "1.5")),
    ],
)
def test_what_is_typed(text: str, moment_s: float | None) -> None:
    assert parse_position(text, EIGHT_HOURS) == moment_s


def test_home_end_and_g(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "space", "end")
        await settle_until(pilot, lambda: app._run.over)
        assert replay.position_s == 11.0
        await press(pilot, "home")
        assert replay.position_s == 0.0
        await press(pilot, "g", "5", "enter")
        assert replay.position_s == 5.5
        await press(pilot, "g", "0", ":", "0", "7", "enter")
        assert replay.position_s == 7.0
        await press(pilot, "g", "x", "enter")
        assert "Not a valid position" in text_of(app)
        await press(pilot, "escape")
        await press(pilot, "g", "enter")
        assert not isinstance(app.screen, GoTo)
        assert replay.position_s == 7.0
        await press(pilot, "3")
        assert replay.position_s == 7.0, "digits by themselves are tabs, here as in a run"

    replay = Replay(write_record(tmp_path / "run.rec", [*story(), *ending()]))
    app = StressApp(replay)
    on_screen(app, steps)


def test_z_zooms_the_charts(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "space", "end")
        await settle_until(pilot, lambda: not replay.behind)
        await press(pilot, "z")
        assert replay.zoom_s == 60.0
        await settle_until(pilot, lambda: axis(app) == (30.0, 90.0))
        await press(pilot, "z")
        assert replay.zoom_s is None
        await settle_until(pilot, lambda: axis(app) == (0.0, 90.0))

    def axis(app: StressApp) -> tuple[float, float] | None:
        drawing = app.query(Chart).first()._drawing
        return None if drawing is None else (drawing.begin, drawing.end)

    replay = Replay(write_record(tmp_path / "run.rec", story(90.0, lost_s=None)))
    app = StressApp(replay)
    on_screen(app, steps)


def test_a_drawing_of_a_stretch_has_the_times_of_the_run() -> None:
    line = Line("p50", ((1.0, 10.0), (5.0, None), (9.0, 30.0)))
    drawing = Drawing(title="", lines=(line,), end=10.0, low=0.0, high=30.0, marks=((1.0, "steady"),))
    made = zoomed(drawing, 100.0, 6.0, ((50.0, "warm-up"), (107.0, "drain")))
    assert (made.begin, made.end) == (104.0, 110.0)
    assert made.lines[0].points == ((105.0, None), (109.0, 30.0))
    assert made.marks == ((107.0, "drain"),)
