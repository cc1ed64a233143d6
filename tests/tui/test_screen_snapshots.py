"""The appearance of every tab, compared with reviewed pictures: `pictures/*.svg`.

The pictures show a replay at the end of a fixed record. After an intended change, run
`UPDATE_PICTURES=1 pytest tests/tui/test_screen_snapshots.py`, review the files in a browser, and commit them.

Other versions of the drawing libraries may place a line or a tick elsewhere. With the versions pinned in
constraints.txt pictures are compared exactly; with other versions only the words on the screen are compared.
"""

import asyncio
import html
import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.load_stories import beside, load_ending, staged, staged_view, swept, swept_view
from helpers.screens import S, ending, on_screen, press, settle, story, write_record
from helpers.task_stories import mixed, mixed_view
from textual.pilot import Pilot

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.telemetry.broadcast import Judgements
from llmstress.engine.telemetry.thresholds import Judgement, Reading, judge
from llmstress.tui.app import StressApp
from llmstress.tui.panes.tabs import TABS
from llmstress.tui.sources.replay import Replay

PICTURES = Path(__file__).parent / "pictures"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
DRAWING = ("plotext", "rich", "textual", "textual-plotext")
"""Packages whose versions affect the pictures."""


def drawn_with_pins() -> bool:
    """Whether these packages have the versions that made the pictures."""
    pins = dict(line.split("==") for line in CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line)
    return all(version(name) == pins[name] for name in DRAWING)


def words_of(text: str) -> list[str]:
    """The words of a screen's text, in order, without numbers and lines."""
    return re.findall(r"[^\W\d_]{3,}", text)


def normal(svg: str) -> str:
    """The SVG without the number that makes its names unique."""
    return re.sub(r"terminal-\d+-", "terminal-", svg)


def text_of_svg(svg: str) -> str:
    """The lines of text in an SVG, which make differences readable."""
    rows: dict[float, str] = {}
    for y, text in re.findall(r'<text [^>]*? y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        rows[float(y)] = rows.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    return "\n".join(rows[y] for y in sorted(rows))


@pytest.fixture
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param((60, 20), id="60x20", marks=pytest.mark.slow),
        pytest.param((80, 24), id="80x24"),
        pytest.param((160, 48), id="160x48", marks=pytest.mark.slow),
    ],
)
"""A picture takes a second; the fast suite has the ones of a usual terminal."""


@pytest.mark.usefixtures("_plain_environment")
@SIZES
@pytest.mark.parametrize("tab", TABS)
def test_tab(tab: str, size: tuple[int, int], tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.rec", [*story(), *ending()])
    check(tab, drawn(record, size, str(TABS.index(tab) + 1)), size)


@pytest.mark.usefixtures("_plain_environment")
@SIZES
@pytest.mark.parametrize(
    ("name", "keys", "at_s"),
    [("stages-lasting", "", 14.0), ("stages", "", None), ("curve-of-stages", "6", None)],
)
def test_stages(name: str, keys: str, at_s: float | None, size: tuple[int, int], tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.rec", [*staged(), *load_ending(17 * S)], staged_view())
    check(name, drawn(record, size, *keys, at_s=at_s), size)


@pytest.mark.usefixtures("_plain_environment")
@SIZES
def test_everything_that_is_judged(size: tuple[int, int], tmp_path: Path) -> None:
    """All optional lines: load, bystander, goodput, thresholds."""
    told = [*beside(staged(14.0)), (14 * S, Judgements(judged()))]
    record = write_record(tmp_path / "run.rec", told, staged_view())
    check("judged", drawn(record, size, at_s=14.0), size)


def judged() -> tuple[Judgement, ...]:
    """A threshold in each state."""
    high = Reading(value=306_000.0, low=302_000.0, high=310_000.0, interval=True)
    near = Reading(value=0.948, low=0.921, high=0.967, interval=True)
    few = Reading(value=0.0, low=0.0, high=0.008, interval=True)
    return (
        judge(parse_threshold("errors.rate>1%"), few, over=False),
        judge(parse_threshold("goodput.share<95%"), near, over=False),
        judge(parse_threshold("ttft.p99>300ms"), high, over=False),
        judge(parse_threshold("requests.per_s<100 in stage 4"), Reading(value=None), over=False),
    )


@pytest.mark.usefixtures("_plain_environment")
@SIZES
@pytest.mark.parametrize(
    ("name", "keys", "at_s"),
    [("sweep-settling", "", 15.5), ("curve-of-a-sweep", "6", None), ("curve-begins", "6", 0.5)],
)
def test_sweep(name: str, keys: str, at_s: float | None, size: tuple[int, int], tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.rec", [*swept(), *load_ending(21 * S)], swept_view())
    check(name, drawn(record, size, *keys, at_s=at_s), size)


@pytest.mark.usefixtures("_plain_environment")
@SIZES
def test_tasks(size: tuple[int, int], tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.rec", [*mixed(), *ending()], mixed_view())
    check("tasks", drawn(record, size, "7", "down"), size)


def drawn(record: Path, size: tuple[int, int], *keys: str, at_s: float | None = None) -> str:
    """The screen of a replay at `at_s` seconds (None: at its end) after these keys, as SVG."""
    made = ""

    async def steps(pilot: Pilot[int]) -> None:
        nonlocal made
        app.theme = "textual-dark"
        while app._run.view is None or (at_s is None and not app._run.over):
            await asyncio.sleep(0.02)
        await press(pilot, *keys)
        await settle(pilot)
        made = normal(app.image())

    replay = Replay(record)
    replay.seek(99.0 if at_s is None else at_s)
    replay.paused = True
    app = StressApp(replay)
    on_screen(app, steps, size)
    return made


def check(name: str, made: str, size: tuple[int, int]) -> None:
    """Compare a picture with the one that is kept."""
    path = PICTURES / f"{name}-{size[0]}x{size[1]}.svg"
    if os.environ.get("UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        path.write_text(made, "utf-8")
    kept = path.read_text("utf-8")
    if not drawn_with_pins():
        assert words_of(text_of_svg(made)) == words_of(text_of_svg(kept))
        return
    assert text_of_svg(made) == text_of_svg(kept)
    assert made == kept, f"the text is the same, but not its looks: compare {path} with a new picture"
