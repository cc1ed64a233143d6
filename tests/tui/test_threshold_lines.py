"""Thresholds on the screen: the lines of the overview, and all of them on the verdict page."""

import pytest
from helpers.screens import QueueSource, on_screen, opening, press, settle, story, text_of
from textual.pilot import Pilot

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.telemetry.broadcast import Judgements, RunView, decode, encode
from llmstress.engine.telemetry.thresholds import Judgement, Reading, judge
from llmstress.tui.app import StressApp
from llmstress.tui.format.judged_lines import threshold_block, threshold_lines


def judged(n: int = 6) -> tuple[Judgement, ...]:
    """The first one passed, the last one failed, the others are undecided."""
    made = [judge(parse_threshold("requests.failed>5"), Reading(value=1, rises=True), over=False)]
    for ms in range(700, 700 + n - 2):
        reading = Reading(value=ms * 1000.0, low=600_000.0, high=900_000.0, interval=True)
        made.append(judge(parse_threshold("ttft.p99>800ms"), reading, over=False))
    return (*made, judge(parse_threshold("errors.http_503>0"), Reading(value=3, rises=True), over=False))


def test_the_worst_lines_come_first_and_the_rest_is_counted() -> None:
    lines = ["".join(text for text, _ in line) for line in threshold_block(judged(), 4, 200)]
    assert lines == [
        "✖ failed    errors.http_503>0  3, 3 above the limit",
        "? undecided ttft.p99>800ms  703 ms (99 % interval: 600 ms to 900 ms), 97.0 ms below the limit; the interval "
        "contains the limit",
        "? undecided ttft.p99>800ms  702 ms (99 % interval: 600 ms to 900 ms), 98.0 ms below the limit; the interval "
        "contains the limit",
        "  and 3 more (2 undecided, 1 passed): v shows all",
    ]
    assert len(threshold_block(judged(), 6, 200)) == 6
    assert threshold_block((), 4, 200) == []


def test_a_line_without_room_has_no_explanations() -> None:
    def shown(width: int | None) -> str:
        return "".join(text for text, _ in threshold_lines(judged(), width)[1])

    assert shown(80) == "? undecided ttft.p99>800ms  703 ms (600 ms to 900 ms), 97.0 ms below"
    assert shown(None) == shown(200)
    assert shown(200).endswith("below the limit; the interval contains the limit")


@pytest.mark.parametrize(("size", "lines"), [((100, 40), 6), ((80, 24), 3), ((60, 20), 2)])
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
    assert "✖ failed    errors.http_503>0  3, 3 above the limit" in shown[0]
    assert len(shown) == min(5, lines - 1), "the last line is about the others, or about the one that passed"
    assert ("and 4 more (3 undecided, 1 passed): v shows all" in during) == (lines == 3)
    assert ("and 5 more (4 undecided, 1 passed): v shows all" in during) == (lines == 2)
    assert ("✔ passed    requests.failed>5  1, 4 below the limit" in during) == (lines == 6)
    assert page.count("ttft.p99>800ms") >= 1
    assert "✖ failed    errors.http_503>0  3, 3 above the limit" in page


def test_a_viewer_that_comes_later_has_the_same() -> None:
    view = opening()
    view.apply(Judgements(judged()))
    copy = decode(encode(view))
    assert isinstance(copy, RunView)
    assert copy.judgements == view.judgements
