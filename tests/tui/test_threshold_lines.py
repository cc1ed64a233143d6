"""Thresholds on the screen: the lines of the overview, and all of them on the verdict page."""

import pytest
from helpers.screens import QueueSource, on_screen, opening, press, settle, story, text_of
from textual.pilot import Pilot

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.telemetry.broadcast import Judgements, RunView, decode, encode
from llmstress.engine.telemetry.thresholds import Judgement, Reading, judge
from llmstress.tui.app import StressApp
from llmstress.tui.format.headline import threshold_block


def judged(n: int = 6) -> tuple[Judgement, ...]:
    """The first one passed, the last one failed, the others are undecided."""
    made = [judge(parse_threshold("requests.failed>5"), Reading(value=1, rises=True), over=False)]
    for ms in range(700, 700 + n - 2):
        reading = Reading(value=ms * 1000.0, low=600_000.0, high=900_000.0, interval=True)
        made.append(judge(parse_threshold("ttft.p99>800ms"), reading, over=False))
    return (*made, judge(parse_threshold("errors.http_503>0"), Reading(value=3, rises=True), over=False))


def test_the_worst_lines_come_first_and_the_rest_is_counted() -> None:
    lines = ["".join(text for text, _ in line) for line in threshold_block(judged(), 4)]
    assert lines == [
        "✖ failed    errors.http_503>0  3, 3 above the limit",
        "? undecided ttft.p99>800ms  703 ms (99 % interval: 600 ms to 900 ms), 97.0 ms below the limit; the interval "
        "contains the limit",
        "? undecided ttft.p99>800ms  702 ms (99 % interval: 600 ms to 900 ms), 98.0 ms below the limit; the interval "
        "contains the limit",
        "  and 3 more (2 undecided, 1 passed): v shows all",
    ]
    assert len(threshold_block(judged(), 6)) == 6
    assert threshold_block((), 4) == threshold_block((), 1) == []


@pytest.mark.parametrize(("size", "lines"), [((100, 40), 4), ((80, 24), 1), ((60, 20), 1)])
def test_the_screen_shows_them_live(size: tuple[int, int], lines: int) -> None:
    view = opening()
    for _, frame in story(4.0):
        assert not isinstance(frame, RunView)
        view.apply(frame)
    source = QueueSource(view)
    before = during = page = ""

    async def steps(pilot: Pilot[int]) -> None:
        nonlocal before, during, page
        before = text_of(app)
        source.give(Judgements(judged()))
        await settle(pilot)
        await settle(pilot)
        during = text_of(app)
        await press(pilot, "v")
        page = text_of(app)

    app = StressApp(source)
    on_screen(app, steps, size)
    shown = [line for line in during.splitlines() if "ttft.p99>800ms" in line or "errors.http_503>0" in line]
    assert "http_503>0" not in before
    if lines == 1:
        assert len(shown) == 1
        assert "✖ failed    1 of 6 (v): errors.http_503>0  3, 3 above" in shown[0]
    else:
        assert len(shown) == 3
        assert "and 3 more" in during
    assert page.count("ttft.p99>800ms") >= 1
    assert "✖ failed    errors.http_503>0  3, 3 above the limit" in page


def test_a_viewer_that_comes_later_has_the_same() -> None:
    view = opening()
    view.apply(Judgements(judged()))
    copy = decode(encode(view))
    assert isinstance(copy, RunView)
    assert copy.judgements == view.judgements
