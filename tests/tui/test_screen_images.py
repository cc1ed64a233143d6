"""Images of the screen as files: their contents, conversion to PNG, and both themes."""

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from helpers.processes import DEADLINE_S
from helpers.screens import QueueSource, S, ending, on_screen, opening, press, settle, settle_until, story
from textual.color import Color
from textual.pilot import Pilot

from llmstress.engine.telemetry.aggregate import Notice
from llmstress.tui import image
from llmstress.tui.app import StressApp
from llmstress.tui.charts.chart import Chart
from llmstress.tui.image import safe_name, self_contained
from llmstress.tui.themes import DARK, LIGHT

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory as the only one in PATH. Toasts stay until the test has looked at them."""
    monkeypatch.setattr("llmstress.tui.app.TOAST_S", DEADLINE_S)
    place = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", str(place))
    return place


def program(place: Path, name: str, script: str) -> None:
    (place / name).write_text(f"#!/bin/sh\n{script}\n")
    (place / name).chmod(0o755)


def toasts(pilot: Pilot[int]) -> list[str]:
    return [each.message for each in pilot.app._notifications]


async def saved(pilot: Pilot[int], n: int) -> None:
    """Wait until messages about `n` images have been shown."""
    await settle_until(pilot, lambda: sum("image" in text for text in toasts(pilot)) == n)


def words_of(path: Path) -> str:
    """The visible text of an SVG."""
    return " ".join("".join(each.itertext()) for each in ET.parse(path).getroot().iter() if each.tag.endswith("text"))


def test_images_are_never_written_over_one_another(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "e", "e", "e")
        await saved(pilot, 3)
        assert str(tmp_path) in toasts(pilot)[0]

    on_screen(StressApp(QueueSource(opening(model="org/../mo del:7b")), save_to=tmp_path), steps)
    images = sorted(path.name for path in tmp_path.iterdir())
    assert len(images) == 3
    assert all(name.startswith("llmstress-org-..-mo-del-7b-") and name.endswith(".svg") for name in images)
    assert all((tmp_path / name).read_text().startswith("<svg") for name in images)


@pytest.mark.parametrize("tab", ["1", "2", "3", "4", "5"])
def test_no_toast_is_in_an_image(tmp_path: Path, tab: str) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, tab)
        source.give(Notice(6 * S, "warning", "something went wrong"))
        await settle(pilot)
        await press(pilot, "e", "e", "e")
        await saved(pilot, 3)
        await settle(pilot)
        assert "something went wrong" in toasts(pilot), "the toasts are there again"

    source = QueueSource(opening(), *(frame for _, frame in story(5.0)))
    app = StressApp(source, save_to=tmp_path)
    on_screen(app, steps)
    images = [words_of(path) for path in tmp_path.iterdir()]
    assert len(images) == 3
    for words in images:
        assert "image\xa0saved" not in words
        if tab != "5":  # where it stands in the log
            assert "something\xa0went\xa0wrong" not in words
        assert "Overview" in words


def test_an_image_that_can_t_be_written_is_told(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "e")
        await saved(pilot, 1)
        assert "could not be saved" in toasts(pilot)[0]

    on_screen(StressApp(QueueSource(opening()), save_to=tmp_path / "nowhere"), steps)


def test_a_converter_makes_a_png_beside_it(tmp_path: Path, programs: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "e", "e")
        await saved(pilot, 2)
        assert all(re.search(r"image saved as \S+\.svg and \S+\.png$", text) for text in toasts(pilot))

    program(programs, "cairosvg", 'test -s "$1" && test "$2" = -o && echo picture > "$3"')
    on_screen(StressApp(QueueSource(opening()), save_to=tmp_path), steps)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".png", ".png", ".svg", ".svg"]
    assert {path.with_suffix("").name for path in tmp_path.glob("*.png")} == {
        path.with_suffix("").name for path in tmp_path.glob("*.svg")
    }


def test_a_converter_that_fails_is_passed_over(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "e")
        await saved(pilot, 1)
        assert toasts(pilot)[0].endswith(".svg")
        monkeypatch.setattr(image, "CONVERT_S", DEADLINE_S)
        (programs / "inkscape").unlink()
        program(programs, "magick", 'echo picture > "$2"')
        await press(pilot, "e")
        await saved(pilot, 2)
        assert toasts(pilot)[1].endswith(".png")

    program(programs, "rsvg-convert", "exit 1")
    program(programs, "inkscape", "while :; do :; done")
    (programs / "cairosvg").write_bytes(b"no program")
    (programs / "cairosvg").chmod(0o755)
    monkeypatch.setattr(image, "CONVERT_S", 0.05)
    on_screen(StressApp(QueueSource(opening()), save_to=tmp_path), steps)


@pytest.mark.skipif(not os.path.exists("/usr/bin/rsvg-convert"), reason="no rsvg-convert here")
def test_a_real_converter_takes_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "e")
        await saved(pilot, 1)

    monkeypatch.setenv("PATH", "/usr/bin")
    on_screen(StressApp(QueueSource(opening(), *(frame for _, frame in story(5.0))), save_to=tmp_path), steps)
    (png,) = tmp_path.glob("*.png")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_every_dot_of_a_chart_has_a_place_of_its_own() -> None:
    text = '<text class="a" x="24.4" y="20" textLength="61" clip-path="url(#l)">a&#160;⠒⠤&amp;</text>'
    made = re.findall(r'x="([\d.]+)" y="20" textLength="([\d.]+)" clip-path="url\(#l\)">([^<]*)<', self_contained(text))
    assert made == [
        ("24.4", "24.4", "a&#160;"),
        ("48.8", "12.2", "⠒"),
        ("61", "12.2", "⠤"),
        ("73.2", "12.2", "&amp;"),
    ]
    plain = '<text class="a" x="0" y="20" textLength="24.4" clip-path="url(#l)">ab</text>'
    assert self_contained(plain) == plain


@pytest.mark.parametrize(("model", "name"), [("", "run"), ("../..", "run"), ("a/b c", "a-b-c"), ("m" * 99, "m" * 60)])
def test_names_of_models_in_names_of_files(model: str, name: str) -> None:
    assert safe_name(model) == name


# --- themes


def luminance(colour: Color) -> float:
    """The contrast as WCAG defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def test_a_key_changes_the_theme_and_both_can_be_read() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        app.theme = DARK
        for theme in (DARK, LIGHT, DARK):
            await settle(pilot)
            assert app.theme == theme
            names = app.theme_variables
            for text in ("text-accent", "text-warning", "text-error", "text-success", "text-primary", "foreground"):
                for ground in ("background", "panel"):
                    found = contrast(Color.parse(names[text]), Color.parse(names[ground]))
                    assert found >= 4.5, (theme, text, ground, found)
            chart = app.query_one("#chart-left", Chart)
            for part in ("first", "second", "third", "fourth", "mark"):
                colour = chart.get_component_styles(f"chart--{part}").color
                assert contrast(colour, chart.background_colors[1]) >= 4.5, (theme, part)
            await press(pilot, "t")

    source = QueueSource(opening(), *(frame for _, frame in [*story(), *ending()]))
    app = StressApp(source)
    on_screen(app, steps)
