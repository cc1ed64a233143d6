"""A heatmap of TTFT (or of the latency of whole answers): time on the x axis, latency (logarithmic) on the y axis,
counts as shades."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.histogram import HIGHEST_US, Histogram, bin_of, bin_range
from llmstress.tui.charts.axes import time_ticks
from llmstress.tui.charts.lines import TimeColumn

GLYPHS = " ░▒▓█"

_PER_STEP = {1: 24, 2: 32, 5: 24}
"""Number of fine bands from 1 to 2, from 2 to 5 and from 5 to 10: 80 per decade, each 2.9 % wide, with edges at the
round numbers."""

_SNAP = 4
"""The visible range begins and ends at a multiple of this number of fine bands, so that it seldom changes."""

_DARKEST_AT = 16
"""The smallest count that may be drawn darkest, so that cells with only a few requests are never solid."""

_SHADES = 12
"""Number of colours; there are more of them than glyphs."""


def _edges() -> tuple[list[float], dict[int, float]]:
    """Lower edges of the fine bands in µs, and the round ones among them: index -> µs."""
    edges: list[float] = []
    round_ones: dict[int, float] = {}
    unit = 1.0
    while unit <= HIGHEST_US:
        for factor, bands in _PER_STEP.items():
            ratio = {1: 2.0, 2: 2.5, 5: 2.0}[factor]
            round_ones[len(edges)] = factor * unit
            edges += [factor * unit * ratio ** (band / bands) for band in range(bands)]
        unit *= 10
    return edges, round_ones


EDGES, ROUND = _edges()


@cache
def _band_of_bin() -> list[int]:
    """Bin of a histogram -> fine band."""
    return [max(0, bisect_right(EDGES, sum(bin_range(index)) / 2) - 1) for index in range(bin_of(HIGHEST_US) + 1)]


def bands_of(histogram: Histogram) -> dict[int, int]:
    """Fine band -> count."""
    band_of_bin = _band_of_bin()
    found: dict[int, int] = {}
    for index, count in histogram.counts.items():
        band = band_of_bin[index]
        found[band] = found.get(band, 0) + count
    return found


class Scale(msgspec.Struct, frozen=True):
    """Maps fine bands to rows: row n, counted from below, holds `per_row` bands from band `first + n * per_row` on."""

    first: int
    per_row: int
    rows: int
    below: bool = False
    """Whether the lowest row also contains samples below its range."""

    def row_of(self, band: int) -> int:
        """The row of a fine band; bands outside the range belong to the lowest or the highest row."""
        return min(self.rows - 1, max(0, (band - self.first) // self.per_row))

    def label(self, row: int) -> str:
        """The roundest number among the edges in a row; empty: there is none."""
        under = "≤" if self.below and not row else ""
        begin = self.first + row * self.per_row
        found = [ROUND[band] for band in range(begin, begin + self.per_row) if band in ROUND]
        if not found:
            return under
        return under + formatting.axis_latency(min(found, key=lambda us: "152".index(f"{us:.0f}"[0])))


def scale_for(bands: dict[int, int], rows: int) -> Scale:
    """A scale of `rows` rows that covers 99.9 % of the samples, including all slow ones."""
    total, below = sum(bands.values()), 0
    low = min(bands, default=0)
    for band in sorted(bands):
        below += bands[band]
        low = band
        if below > total / 1000:
            break
    high = max(bands, default=0) + 1
    low, high = low // _SNAP * _SNAP, -(-high // _SNAP) * _SNAP
    per_row = max(1, -(-(high - low) // rows))
    spare = rows * per_row - (high - low)
    first = max(0, low - spare // 2)
    return Scale(first, per_row, rows, min(bands, default=first) < first)


class Grid(msgspec.Struct, frozen=True):
    """Counts per column and row; rows are counted from below."""

    scale: Scale
    columns: tuple[tuple[int, ...], ...]
    most: int
    """The largest count."""


class Binning:
    """Makes grids; caches the columns whose samples and scale have not changed."""

    def __init__(self) -> None:
        self._bands: dict[int, tuple[tuple[float, ...], dict[int, int]]] = {}
        self._rows: dict[int, tuple[tuple[float, ...], tuple[int, ...]]] = {}
        self._scale: Scale | None = None

    def grid(self, columns: Sequence[TimeColumn], rows: int) -> Grid:
        """The counts of `columns` in `rows` rows of latency."""
        total: dict[int, int] = {}
        each: list[dict[int, int]] = []
        for number, column in enumerate(columns):
            kept = self._bands.get(number)
            if kept is None or kept[0] != column.fingerprint:
                kept = self._bands[number] = column.fingerprint, bands_of(column.latency)
            each.append(kept[1])
            for band, count in kept[1].items():
                total[band] = total.get(band, 0) + count
        scale = scale_for(total, max(1, rows))
        if scale != self._scale:
            self._rows.clear()
            self._scale = scale
        made: list[tuple[int, ...]] = []
        for number, (column, bands) in enumerate(zip(columns, each, strict=True)):
            row = self._rows.get(number)
            if row is None or row[0] != column.fingerprint:
                row = self._rows[number] = column.fingerprint, _counts(bands, scale)
            made.append(row[1])
        return Grid(scale, tuple(made), max((max(column) for column in made), default=0))


def _counts(bands: dict[int, int], scale: Scale) -> tuple[int, ...]:
    counts = [0] * scale.rows
    for band, count in bands.items():
        counts[scale.row_of(band)] += count
    return tuple(counts)


def level(count: int, most: int, levels: int) -> int:
    """The shade of a cell from 0 (empty) to `levels`, by the square root, so that small counts stay visible."""
    if not count:
        return 0
    return max(1, min(levels, math.ceil(levels * math.sqrt(count / max(most, _DARKEST_AT)) - 1e-9)))


def legend(most: int) -> str:
    """The lowest count of each glyph, up to the largest count `most`."""
    most_shown, glyphs = max(most, _DARKEST_AT), len(GLYPHS) - 1
    begins = [math.floor(most_shown * (step / glyphs) ** 2 + 1e-9) + 1 for step in range(glyphs)]
    entries = zip(GLYPHS[1:], begins, strict=True)
    return "  ".join(f"{glyph} {formatting.count(least)}+" for glyph, least in entries if least <= most)


def axis(seconds: float, width: int) -> str:
    """Labels of the time axis; each begins at its time."""
    text = ""
    for moment in time_ticks(seconds, width):
        at = int(moment * width / seconds) if seconds else 0
        label = formatting.duration(moment)
        if at >= len(text) + bool(text) and at + len(label) <= width:
            text = text.ljust(at) + label
    return text.ljust(width)


def spread(columns: int, width: int) -> list[int]:
    """The index of the column shown at each of `width` places; columns are repeated equally often, or once more."""
    return [place * columns // width for place in range(width)] if columns else []


class Heatmap(Widget):
    """The heatmap of the timeline."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heatmap--axis", "heatmap--few", "heatmap--many"}

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._binning = Binning()
        self._shown: list[TimeColumn] = []
        self._metric = ""
        self._key: object = None
        self._strips: list[Strip] = []

    @property
    def places(self) -> int:
        """Number of columns that fit."""
        return max(1, self.size.width - _LABEL)

    def show(self, columns: list[TimeColumn], metric: str = "TTFT") -> None:
        """Show `columns`; the last one may be incomplete."""
        self._shown, self._metric = columns, metric
        self._update()

    def notify_style_update(self) -> None:
        """Paint again with the colours of the new theme."""
        super().notify_style_update()
        self._key = None

    def on_resize(self) -> None:
        """Compute the rows for the new size."""
        self._update()

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        if self._key is None:
            self._update()
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _update(self) -> None:
        columns = self._shown
        width, height = self.size
        rows = max(1, height - 1)
        grid = self._binning.grid(columns, rows)
        # the axis reaches to the end of the last column, which may be incomplete
        seconds = len(columns) * columns[0].seconds if columns else 0.0
        key = grid, width, height, seconds, self._metric
        if key == self._key:
            return
        self._key = key
        self._strips = self._paint(grid, width, rows, seconds)
        shades = legend(grid.most)
        self.border_title = f"{self._metric} heatmap" + (f", requests per cell: {shades}" if shades else "")
        self.refresh()

    def _paint(self, grid: Grid, width: int, rows: int, seconds: float) -> list[Strip]:
        plain = self.rich_style
        quiet = self.get_component_rich_style("heatmap--axis")
        if not grid.most:
            return [Strip([Segment("no samples yet", quiet)]).adjust_cell_length(width, plain)]
        shown = max(1, width - _LABEL)
        cells = self._cells(plain)
        places = spread(len(grid.columns), shown)
        looks = [[level(count, grid.most, _SHADES) for count in column] for column in grid.columns]
        strips: list[Strip] = []
        for row in range(rows - 1, -1, -1):
            segments = [Segment(f"{grid.scale.label(row):>{_LABEL - 1}}", quiet), Segment("│", quiet)]
            run, length = 0, 0
            for place in places:
                shade = looks[place][row]
                if shade != run and length:
                    segments.append(_segment(cells[run], length))
                    length = 0
                run = shade
                length += 1
            segments.append(_segment(cells[run], length))
            strips.append(Strip(segments, width))
        strips.append(Strip([Segment(" " * _LABEL + axis(seconds, shown), quiet)], width))
        return strips

    def _cells(self, plain: Style) -> list[tuple[str, Style]]:
        few = self.get_component_styles("heatmap--few").color
        many = self.get_component_styles("heatmap--many").color
        cells = [(" ", plain)]
        for shade in range(1, _SHADES + 1):
            glyph = GLYPHS[-(-shade * (len(GLYPHS) - 1) // _SHADES)]
            colour: Color = few.blend(many, (shade - 1) / (_SHADES - 1))
            cells.append((glyph, plain + Style(color=colour.rich_color)))
        return cells


def _segment(cell: tuple[str, Style], length: int) -> Segment:
    glyph, style = cell
    return Segment(glyph * length, style)


_LABEL = 9
"""Width of the labels on the left, including the axis."""
