"""The overview: the contents of its lines and tiles, and their presence on screens of every size."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers.screens import new_view
from textual.app import App, ComposeResult
from textual.widget import Widget

import llmstress.tui.app
from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import Ended, RunFacts, RunView, Windows, WorkerChange
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase, RateLimit, consecutive
from llmstress.engine.telemetry.verdict import Verdict
from llmstress.tui.charts.distribution import Distribution
from llmstress.tui.charts.lines import marks_of
from llmstress.tui.format import headline
from llmstress.tui.format.picture import Picture, picture_of
from llmstress.tui.panes import tiles
from llmstress.tui.panes.bars import verdict_marks
from llmstress.tui.panes.overview import Overview
from llmstress.tui.panes.verdict import verdict_text

STYLES = Path(llmstress.tui.app.__file__).with_name("llmstress.tcss")

FACTS = RunFacts(
    version="0",
    interval_s=0.25,
    api="openai-chat",
    url="http://127.0.0.1:8000/v1/chat/completions",
    model="mock-7b",
    procs=2,
    streams=500,
    total_streams=1000,
    ramp_s=5.0,
    warmup_s=5.0,
    steady_s=45.0,
    grace_s=30.0,
    requests=None,
    whole_run=False,
    started_at="2026-01-01T00:00:00Z",
)


def view_until(seconds: float, **changes: Any) -> RunView:
    """A run of two workers, 20,000 tokens/s, TTFT about 200 ms, 1 % failed."""
    rnd = random.Random(1)
    facts = msgspec.structs.replace(FACTS, **changes)
    view = new_view(facts)
    for worker in (0, 1):
        view.apply(WorkerChange(worker, "running"))
    for quarter in range(1, int(seconds * 4) + 1):
        at = quarter / 4
        phase = Phase.STEADY if facts.whole_run or at > 10 else Phase.WARMUP if at > 5 else Phase.RAMP
        for worker in (0, 1):
            latency = {"ttft": Histogram(), "itl": Histogram()}
            latency["ttft"].record_many([int(rnd.lognormvariate(0, 0.2) * 200_000) for _ in range(50)])
            latency["itl"].record_many([int(rnd.gauss(50_000, 5_000)) for _ in range(500)])
            counters = Counters(started=50, events=2500, events_ok=2500, output=2500, output_streamed=2500)
            part = Part(counters, {"ok": 99, "http_503": 1}, {}, latency)
            ns = quarter * 250_000_000
            view.apply(Delta(worker, quarter - 1, ns - 250_000_000, ns, phase, 500, 500, 0, 1, {int(phase): part}, []))
    if seconds > 12:
        view.apply(Notice(12_000_000_000, "load", "streams 900 → 1,000"))
    return view


def text_of(pieces: list[headline.StyledText]) -> str:
    return "".join(text for text, _ in pieces)


def at(seconds: float, *, whole: bool = False, **changes: Any) -> Picture:
    return picture_of(view_until(seconds, **changes), whole=whole)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("url", [FACTS.url, "http://h/", "https://a.example/" + "x" * 300])
def test_the_target_gives_way_to_what_makes_the_load(width: int, url: str) -> None:
    line = text_of(headline.target_line(view_until(0, url=url), width))
    assert len(line) <= width
    assert line.endswith("2 processes × 500 streams")
    assert line.startswith("http")


def test_one_of_each() -> None:
    view = new_view(msgspec.structs.replace(FACTS, procs=1, streams=1, total_streams=1, model=""))
    assert text_of(headline.target_line(view, 100)).endswith("openai-chat · 1 process × 1 stream")


def test_the_load_is_the_one_that_is_wanted_now() -> None:
    view = view_until(0)
    for worker, streams in enumerate((600, 600)):
        view.apply(WorkerChange(worker, streams=streams))
    assert text_of(headline.target_line(view, 100)).endswith("2 processes × 600 streams")
    view.apply(WorkerChange(1, streams=601))
    assert text_of(headline.target_line(view, 100)).endswith("2 processes for 1,201 streams")
    view.apply(WorkerChange(1, "lost", reason="killed"))
    assert text_of(headline.target_line(view, 100)).endswith("1 process × 600 streams")


@pytest.mark.parametrize("seconds", [0, 3, 7, 20, 54.5])
@pytest.mark.parametrize("requests", [None, 10_000])
def test_the_progress_fits(seconds: float, requests: int | None) -> None:
    whole_run = requests is not None
    picture = at(seconds, requests=requests, whole_run=whole_run, steady_s=None if whole_run else 45.0)
    picture.view.paused = True
    for width in (60, 80, 120, 200):
        line = text_of(headline.progress_line(picture, width))
        assert len(line) == width
        assert " PAUSED " in line
        assert line.startswith(picture.stage.upper())


def test_the_progress_by_windows() -> None:
    line = text_of(headline.progress_line(at(32), 120))
    assert line.endswith("32s of 55s")
    parts = {part.name: part for part in headline.window_segments(view_until(32))}
    assert (parts["ramp"].done, parts["warm-up"].done, parts["drain"].done) == (1, 1, 0)
    assert parts["steady"].done == pytest.approx(22 / 45)
    assert [part.name for part in parts.values() if part.current] == ["steady"]


def test_a_run_of_several_stages_has_a_part_of_the_bar_and_a_mark_for_each() -> None:
    second = 1_000_000_000
    planned = consecutive(
        [
            (Phase.RAMP, "ramp", 0),
            (Phase.STEADY, "100", 5 * second),
            (Phase.RAMP, "ramp", 25 * second),
            (Phase.STEADY, "200", 30 * second),
            (Phase.DRAIN, "drain", 50 * second),
        ]
    )
    view = view_until(32)
    view.apply(Windows(planned))
    view.aggregate.window_began = {0: second // 4, 1: 5 * second, 2: 25 * second, 3: 30 * second}
    parts = headline.window_segments(view)
    assert [(part.name, part.seconds, part.done, part.current) for part in parts] == [
        ("ramp", 5, 1, False),
        ("100", 20, 1, False),
        ("ramp", 5, 1, False),
        ("200", 20, pytest.approx(2 / 20), True),
        ("drain", 0, 0, False),
    ]
    line = text_of(headline.progress_line(picture_of(view, whole=False), 120))
    assert len(line) == 120
    assert [word for word in line.split() if word in ("ramp", "100", "200", "drain")] == [part.name for part in parts]
    assert [name for _, name in marks_of(view)][:2] == ["100", "→1,000"]
    assert view.steady_s == 22


def test_the_progress_by_requests() -> None:
    picture = at(10, requests=16_000, whole_run=True, steady_s=None)
    line = text_of(headline.progress_line(picture, 100))
    assert "8,000 of 16,000 requests" in line
    assert line.count("━") == pytest.approx(line.count("╌"), abs=1)


def test_the_drain_has_no_total() -> None:
    view = view_until(32)
    view.aggregate.window = Phase.DRAIN
    view.aggregate.window_began[Phase.DRAIN] = 31_000_000_000
    line = text_of(headline.progress_line(picture_of(view, whole=False), 100))
    assert line.startswith("DRAIN ")
    assert line.endswith(" 32s")
    assert [part.name for part in headline.window_segments(view) if part.current] == ["drain"]
    view.apply(Ended("duration", 21.0, 1.0))
    assert not any(part.current for part in headline.window_segments(view))


def judged(status: str, *reasons: str, notes: tuple[str, ...] = (), **ended: int) -> Picture:
    """A picture with this verdict and these outcomes of requests."""
    view = RunView(FACTS, Aggregate.over([1]))
    view.aggregate.steady.ended = ended
    view.aggregate.forget_sums()
    verdict = Verdict(status, list(reasons), list(notes))
    return msgspec.structs.replace(picture_of(view, whole=False), verdict=verdict)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_measurement_says_its_first_reason_and_how_many_more(width: int) -> None:
    def said(picture: Picture) -> str:
        line = text_of(headline.measurement_line(picture, width))
        assert len(line) <= width
        return line

    assert said(judged("valid", ok=1)) == "measurement: ✔ valid"
    assert said(judged("valid", ok=1, notes=("a note",))) == "measurement: ✔ valid  1 note: v"
    line = said(judged("degraded", "because " * 30, "b", "c", ok=1))
    assert line.startswith("measurement: ▲ degraded" + ("" if width < 45 else ": because"))
    assert line.endswith("  +2 more: v")
    assert said(judged("degraded", "because " * 30, ok=1)).endswith("  in full: v")
    assert said(judged("invalid", "a", ok=1)) == "measurement: ✖ invalid: a"
    assert said(picture_of(view_until(0), whole=False)) == "measurement: · none yet"


@pytest.mark.parametrize(
    ("ended", "style", "words"),
    [
        ({"ok": 3}, "text-success", "✔ all 3 requests succeeded"),
        ({"ok": 99, "http_503": 1}, "text-warning", "▲ 1% of 100 requests failed (http_503 1%)"),
        ({"ok": 40, "http_404": 60}, "text-error", "✖ 60% of 100 requests failed (http_404 60%)"),
        ({"http_404": 1, "cancelled": 5}, "text-error", "✖ 100% of 1 request failed (http_404 100%)"),
        ({"filtered": 2}, "text-warning", "▲ none of 2 requests failed, 2 filtered"),
        ({"ok": 9, "lost": 1}, "text-warning", "▲ none of 10 requests failed, 1 lost"),
        ({"cancelled": 2}, "foreground", "· no request finished"),
    ],
)
def test_the_outcome_has_a_line_and_a_colour_of_its_own(ended: dict[str, int], style: str, words: str) -> None:
    (_, _), (text, shown) = headline.outcome_line(judged("valid", notes=(), **ended), 100)
    assert text == words
    assert style in shown
    short = text_of(headline.outcome_line(judged("valid", notes=(), **ended), 30))
    assert len(short) <= 30


@pytest.mark.parametrize(
    ("ended", "words"),
    [({"http_404": 7}, "valid, but no request succeeded"), ({"ok": 1, "reset": 2}, "valid, but most requests failed")],
)
def test_nobody_reads_valid_in_green_where_requests_failed(ended: dict[str, int], words: str) -> None:
    picture = judged("valid", notes=(), **ended)
    pieces = headline.measurement_line(picture, 80)
    assert text_of(pieces) == f"measurement: {words}"
    contents = [*verdict_marks(picture), verdict_text(picture)]
    styles = [style for _, style in pieces] + [str(span.style) for each in contents for span in each.spans]
    assert not any("success" in style for style in styles)
    assert all("valid" not in each.plain for each in verdict_marks(picture)), (
        "in the line of the tabs the outcome stands alone"
    )
    assert "✖ 100 % failed" in verdict_marks(picture)[1].plain or "✖ 67 % failed" in verdict_marks(picture)[1].plain


def test_the_line_of_the_tabs_has_the_outcome_beside_the_measurement() -> None:
    assert [each.plain for each in verdict_marks(judged("valid", ok=5))] == ["✔", "✔ valid"]
    assert [each.plain for each in verdict_marks(judged("valid", ok=9, reset=1))] == [
        "▲ 10 %",
        "✔ valid  ▲ 10 % failed",
    ]
    assert [each.plain for each in verdict_marks(judged("degraded", "x", ok=1, reset=9))] == [
        "▲ ✖ 90 %",
        "▲ degraded  ✖ 90 % failed",
    ]


def test_the_verdict_in_full_leaves_nothing_out() -> None:
    reasons, notes = [f"reason {n} " + "word " * 60 for n in range(4)], [f"note {n} " + "word " * 60 for n in range(9)]
    text = verdict_text(judged("degraded", *reasons, notes=tuple(notes), ok=98, http_500=1, http_401=1)).plain
    assert all(each in text for each in (*reasons, *notes))
    assert "outcome: ▲ 2% of 100 requests failed (http_500 1%, http_401 1%)" in text
    assert "measurement: ▲ degraded" in text


def test_the_stretch() -> None:
    def said(picture: Picture, thin: bool = False) -> str:
        line = text_of(headline.stretch_line(picture, 60, thin=thin))
        assert len(line) == 60
        return line.strip("─ ")

    assert said(at(32)) == "last 5 s"
    assert said(at(32, whole=True)) == "steady window, 22s"
    assert said(at(32, whole=True, whole_run=True)) == "whole run, 32s"
    assert "~ low sample count" in said(at(32), thin=True)


def test_the_stretch_says_which_latencies_look_back_further() -> None:
    def said(per_quarter: int, *metrics: str) -> str:
        view = RunView(FACTS, Aggregate.over([1]))
        for quarter in range(1, 100):
            latency = {metric: Histogram({1000: per_quarter}, per_quarter, 1000, 1000, 1000) for metric in metrics}
            part = Part(Counters(events=1), {"ok": 1}, {}, latency | {"itl": Histogram({9: 99}, 99, 9, 9, 9)})
            ns = quarter * 250_000_000
            view.apply(Delta(0, quarter - 1, ns - 250_000_000, ns, Phase.STEADY, 1, 1, 0, 1, {2: part}, []))
        return text_of(headline.stretch_line(picture_of(view, whole=False), 70, thin=False)).strip("─ ")

    assert said(9, "ttft") == "last 5 s"
    assert said(2, "ttft") == "last 5 s (TTFT 20 s)"
    assert said(1, "ttft", "e2e") == "last 5 s (TTFT 25 s)", "e2e has no tile"


def test_what_is_left_of_a_rate_limit_is_said_where_there_is_room() -> None:
    view = view_until(32)
    view.aggregate.rate_limits["tokens"] = RateLimit(150_000, 12_000, 9_000, 0)
    picture = picture_of(view, whole=False)
    said = text_of(headline.stretch_line(picture, 70, thin=True))
    assert len(said) == 70
    assert "last 5 s" in said
    assert " 12,000 of 150,000 tokens left  ~ low sample count ──" in said
    narrow = text_of(headline.stretch_line(picture, 50, thin=True))
    assert len(narrow) == 50
    assert "tokens left" not in narrow
    assert "tokens left" not in text_of(headline.stretch_line(at(32), 100, thin=False))


def test_the_tiles() -> None:
    made = {tile.name: tile for tile in tiles.tiles_of(at(32))}
    assert list(made) == [
        *("streams open", "tokens/s", "requests/s", "TTFT p50", "TTFT p99", "ITL p50", "ITL p99", "failed")
    ]
    assert (made["streams open"].value, made["streams open"].note) == ("1,000", "of 1,000")
    assert made["tokens/s"].value == "20.0k"
    assert made["requests/s"].value == "792"
    assert (made["failed"].value, made["failed"].label) == ("1.0 %", "http_503")
    assert made["failed"].bad
    assert not any(tile.thin for tile in made.values())


def test_tiles_of_nothing_and_of_little() -> None:
    nothing = tiles.tiles_of(at(0))
    assert [tile.value for tile in nothing][3:7] == ["–"] * 4
    assert nothing[-1].value == "0 %"
    assert not nothing[-1].bad
    little = {tile.name: tile for tile in tiles.tiles_of(at(0.5))}
    assert little["TTFT p99"].thin
    assert little["TTFT p99"].value.startswith("~")
    assert not little["TTFT p50"].thin


@pytest.mark.parametrize("value", ["0", "1,000", "~83.4 s", "–", "100 %", "71.2k", "0.42 ms"])
def test_large_digits_are_three_lines_of_one_length(value: str) -> None:
    lines = tiles.large(value)
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[2].endswith(value.partition(" ")[2])


class Screen(App[None]):
    """The overview within the real screen."""

    CSS_PATH = STYLES

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.wanted = width, height

    def compose(self) -> ComposeResult:
        yield Overview(id="overview")

    def on_mount(self) -> None:
        width, height = self.wanted
        self.screen.set_class(width < 80, "-tiny")
        self.screen.set_class(80 <= width < 100, "-narrow")
        self.screen.set_class(height < 32, "-short")
        self.screen.set_class(width >= 160, "-wide")

    def text(self) -> str:
        strips = self.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def shown(width: int, height: int, use: Callable[[Screen, Overview], None]) -> str:
    """The overview in a terminal of this size; four of its lines belong to other widgets."""

    async def run() -> str:
        app = Screen(width, height)
        async with app.run_test(size=(width, height - 4)) as pilot:
            overview = app.query_one(Overview)
            await pilot.pause()
            use(app, overview)
            await pilot.pause()
            shown = [widget for widget in overview.walk_children(Widget) if widget.display and not widget.children]
            for widget in shown:
                assert overview.region.contains_region(widget.region), widget
                for other in shown:
                    assert other is widget or not other.region.overlaps(widget.region), (widget, other)
            return app.text()

    return asyncio.run(run())


SIZES = [(60, 20), (79, 40), (80, 24), (100, 30), (90, 50), (120, 40), (160, 48), (200, 60), (300, 24)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_important_is_on_the_screen(width: int, height: int) -> None:
    def use(_: Screen, overview: Overview) -> None:
        picture = at(32)
        overview.show(picture)
        overview.draw(picture)

    text = shown(width, height, use)
    lines = text.split("\n")
    assert len(lines) == height - 4
    more = ["tokens/s · every 1s", "20k"] if width >= 80 else []
    more += ["TTFT heatmap, requests per cell: ░ 1+"] if (width, height) != (60, 20) else []
    for wanted in (
        *("2 processes × 500 streams", "mock-7b", "STEADY", "32s of 55s", "✔ valid", "last 5 s"),
        *("streams open", "tokens/s", "TTFT p50", "TTFT p99", "ITL p50", "ITL p99", "failed"),
        *("TTFT p50, p99 · every 1s", "250 ms" if height == 20 else "200 ms", "30s", "outcome: ▲ 1% of", "http_503"),
        *more,
    ):
        assert wanted in text, f"{wanted!r} is not in\n{text}"
    if height < 32 or width < 80:
        assert "1,000/1,000" in text
        assert "1.0 % failed" in text
    else:
        assert "of 1,000" in text
    assert sum("• p99" in line or "⠒ p50" in line for line in lines) >= 2, "names at the ends of the lines"
    assert sum(line.count("•") for line in lines) >= 3, "the upper line has another mark than the lower one"
    assert any("█" in line for line in lines) or (width, height) == (60, 20)
    assert any("⠒" in line or "⠤" in line or "⣀" in line for line in lines)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (20, 10), (1, 5)])
def test_a_run_without_anything_yet(width: int, height: int) -> None:
    def use(_: Screen, overview: Overview) -> None:
        for picture in (at(0, started_at=""), at(0), at(0, requests=5, whole_run=True, steady_s=None)):
            overview.show(picture)
            overview.draw(picture)

    text = shown(width, height, use) if width > 20 else _only_shown(width, height, use)
    if width > 20:
        assert text.count("no samples yet") == 3


def _only_shown(width: int, height: int, use: Callable[[Screen, Overview], None]) -> str:
    async def run() -> str:
        app = Screen(width, height)
        async with app.run_test(size=(width, height)) as pilot:
            use(app, app.query_one(Overview))
            await pilot.pause()
            return app.text()

    return asyncio.run(run())


def test_what_has_not_changed_is_not_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refreshed: list[str] = []

    def use(_: Screen, overview: Overview) -> None:
        view = view_until(32)
        overview.show(picture_of(view, whole=False))
        overview.draw(picture_of(view, whole=False))
        for widget in overview.walk_children():
            monkeypatch.setattr(widget, "refresh", lambda *_, name=widget.id, **__: refreshed.append(name))
        overview.show(picture_of(view, whole=False))
        overview.draw(picture_of(view, whole=False))

    shown(120, 40, use)
    assert refreshed == []


def test_another_theme_and_another_size_are_followed() -> None:
    async def run() -> None:
        app = Screen(120, 40)
        async with app.run_test(size=(120, 36)) as pilot:
            overview = app.query_one(Overview)
            await pilot.pause()
            overview.show(at(32))
            overview.draw(at(32))
            await pilot.pause()

            def colours() -> set[str]:
                strips = app.screen._compositor.render_strips()
                return {str(segment.style.color) for strip in strips for segment in strip if segment.style}

            before = colours()
            app.theme = "textual-light"
            await pilot.pause()
            assert len(colours() & before) < len(before) / 2
            await pilot.resize_terminal(80, 30)
            await pilot.pause()
            await pilot.pause()
            lines = app.text().split("\n")
            assert lines[1].rstrip().endswith("32s of 55s")

    asyncio.run(run())


def test_a_distribution_on_the_screen() -> None:
    class Alone(Screen):
        def compose(self) -> ComposeResult:
            yield Distribution()

    async def run() -> None:
        app = Alone(100, 24)
        async with app.run_test(size=(100, 20)) as pilot:
            widget = app.query_one(Distribution)
            widget.show("TTFT", None)
            await pilot.pause()
            assert "no samples yet" in app.text()
            widget.show("TTFT", view_until(20).aggregate.steady.latency["ttft"])
            await pilot.pause()
            lines = app.text().split("\n")
            assert lines[0].startswith("TTFT  4,000 samples")
            for mark in ("p50 ", "p90 ", "p99 ", "max "):
                assert sum(mark in line for line in lines) == 1, app.text()

    asyncio.run(run())
