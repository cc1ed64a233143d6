"""A chart of horizontal bars: a row for each name."""

from collections.abc import Sequence

import msgspec
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from llmstress.tui.charts.distribution import bar_of
from llmstress.tui.format.headline import QUIET, StyledText, shortened

_LEAST_NAME, _LEAST_BAR = 8, 4


class NamedBar(msgspec.Struct, frozen=True):
    """A bar of one or two values."""

    name: str
    value: float | None
    """None: unknown; the bar is missing."""
    text: str
    """The values in words."""
    upper: float | None = None
    """A larger value, up to which the bar goes on in another shade. None: there is none."""

    @property
    def end(self) -> float:
        """The value at which it ends."""
        return max(self.value or 0.0, self.upper or 0.0)


class BarDrawing(msgspec.Struct, frozen=True):
    """What a chart of bars shows."""

    title: str
    bars: tuple[NamedBar, ...]
    chosen: str = ""
    """The name that is emphasised."""


def shown_bars(bars: Sequence[NamedBar], rows: int) -> tuple[list[NamedBar], int]:
    """The bars that fit into `rows` rows, and the number of the others. All in their order, or the longest ones first;
    then a row is left for words about the others."""
    if len(bars) <= rows:
        return list(bars), 0
    longest = sorted(bars, key=lambda bar: -bar.end)[: max(1, rows - 1)]
    return longest, len(bars) - len(longest)


def bar_pieces(drawing: BarDrawing, width: int, rows: int) -> list[StyledText]:
    """The chart in `rows` rows of `width` columns."""
    bars, missing = shown_bars(drawing.bars, rows)
    most = max((bar.end for bar in drawing.bars), default=0.0) or 1.0
    words = max((len(bar.text) for bar in bars), default=0)
    names = min(max((len(bar.name) for bar in bars), default=0), max(_LEAST_NAME, width // 4))
    room = max(_LEAST_BAR, width - names - words - 3)
    pieces: list[StyledText] = []
    for bar in bars:
        first = "" if bar.value is None else bar_of(bar.value / most, room)
        # the second shade begins in the column after the first, so no column has both
        second = "" if bar.upper is None else "░" * (round(bar.upper / most * room) - len(first))
        style = "bold" if bar.name == drawing.chosen else ""
        pieces += [
            (f"{shortened(bar.name, names):>{names}} ", style or QUIET),
            (first, "$text-primary"),
            (second, "$text-primary"),
            (f" {bar.text}\n", style),
        ]
    if missing:
        pieces.append((f"{missing} more, none of them longer", QUIET))
    return pieces


class BarChart(Widget):
    """Shows a drawing of bars; its natural height is a row for each bar."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._drawing = BarDrawing("", ())

    def show(self, drawing: BarDrawing) -> None:
        """Show `drawing` from now on."""
        if drawing != self._drawing:
            grown = len(drawing.bars) != len(self._drawing.bars)
            self._drawing = drawing
            self.border_title = Content(drawing.title)
            self.refresh(layout=grown)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A row for each bar."""
        return max(1, len(self._drawing.bars))

    def render(self) -> Content:
        """The bars, in the size of the widget."""
        if not self._drawing.bars:
            return Content.styled("no samples yet", QUIET)
        return Content.assemble(*bar_pieces(self._drawing, self.size.width, self.size.height))
