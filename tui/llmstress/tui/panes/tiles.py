"""The tiles with the main figures. A pure function makes their contents; a tile shows them, in large digits if there
is room."""

from itertools import product

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.renderables.digits import Digits
from textual.widget import Widget

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.metrics import METRICS, TILES
from llmstress.engine.telemetry.snapshot import Figures
from llmstress.tui.format.headline import QUIET
from llmstress.tui.format.picture import Picture

_PERCENTILES = ("p50", "p99")

_DIGIT_ROWS = 3


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a tile."""

    name: str
    value: str
    beside: str = ""
    """Text after the value if there is no room for the note: `/1,200`."""
    note: str = ""
    """Text below the value if there is room."""
    label: str = ""
    """Replaces the name if there is no room for the note."""
    thin: bool = False
    """Whether the sample count is low."""
    bad: bool = False


def tiles_of(picture: Picture) -> list[Tile]:
    """The tiles of a picture; their number is always the same."""
    shown, snapshot = picture.figures, picture.snapshot
    made = [
        Tile(
            name="streams open",
            value=formatting.count(snapshot.open),
            beside=f"/{formatting.count(picture.wanted)}",
            note=f"of {formatting.count(picture.wanted)}",
        ),
        _work(snapshot.counted_in, shown),
        Tile(name="requests/s", label="req/s", value=_rate(shown.requests_per_s), note="ended ok"),
    ]
    for metric, percentile in product(TILES.of(whole_answers=snapshot.whole_answers), _PERCENTILES):
        histogram = shown.latency.get(metric)
        thin = histogram is not None and histogram.count > 0 and percentile in histogram.low_sample()
        us = shown.percentile(metric, percentile)
        made.append(
            Tile(
                name=f"{METRICS[metric].label} {percentile}",
                value=f"{'~' if thin and us is not None else ''}{formatting.latency(us)}",
                note=_samples(histogram, shown.spans.get(metric)),
                thin=thin,
            )
        )
    made.append(_failed(shown))
    return made


def _failed(shown: Figures) -> Tile:
    """The share of failed requests in the period of the other tiles, and the most frequent class."""
    top = max(shown.failed_by, key=lambda outcome: shown.failed_by[outcome], default="")
    of = f"{formatting.count(shown.failed)} of {formatting.count(shown.finished)}"
    return Tile(
        name="failed",
        value=formatting.share(shown.failed, shown.finished),
        beside=" failed",
        label=top or of,
        note=top or of,
        bad=shown.failed > 0,
    )


def _work(counted_in: str, shown: Figures) -> Tile:
    if counted_in == "inputs":
        return Tile(name="inputs/s", value=_rate(shown.inputs_per_s))
    return Tile(name="tokens/s", value=_rate(shown.tokens_per_s if counted_in == "tokens" else None))


def _samples(histogram: Histogram | None, span_s: float | None) -> str:
    """The number of samples, and their period if it is longer than that of the other figures."""
    if histogram is None:
        return ""
    return f"{_short(histogram.count)} samples" if span_s is None else f"{_short(histogram.count)} in {span_s:.0f} s"


def _short(n: int) -> str:
    return formatting.count(n) if n < 10_000 else formatting.rate(n)


def _rate(per_second: float | None) -> str:
    return "–" if per_second is None else formatting.rate(per_second)


def large(value: str) -> list[str]:
    """Three lines of equal length: the number in tall digits, and its unit on the last line."""
    number, space, unit = value.partition(" ")
    drawn = "".join(part.text for part in Digits(number).render(Style(bold=True)) if isinstance(part, Segment))
    lines = [line.rstrip() for line in drawn.split("\n")[:_DIGIT_ROWS]]
    longest = max(len(line) for line in lines)
    tail = space + unit
    return [
        line.ljust(longest) + (tail if row == _DIGIT_ROWS - 1 else " " * len(tail)) for row, line in enumerate(lines)
    ]


class TileView(Widget):
    """A tile on the screen: in digits of three rows, or in two lines of text."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._tile: Tile | None = None

    def show(self, tile: Tile) -> None:
        """Show `tile`."""
        if tile != self._tile:
            self._tile = tile
            # a class of failure may come from an untrusted record and must not be parsed as markup
            self.border_title, self.border_subtitle = Content(tile.name), Content(tile.note)
            self.set_class(tile.thin, "-thin")
            self.set_class(tile.bad, "-bad")
            self.refresh()

    def render(self) -> Content:
        """Value and name."""
        tile = self._tile
        if tile is None:
            return Content("")
        width, height = self.size
        if height >= _DIGIT_ROWS:
            lines = large(tile.value)
            return Content("\n".join(lines) if len(lines[0]) <= width else f"\n{tile.value}")
        value, label = tile.value + tile.beside, tile.label or tile.name
        if tile.beside and len(value) >= width:
            value, label = tile.value, tile.note
        return Content.assemble((value, "bold"), "\n", (label, QUIET))
