"""The log pane: the notices of the run, line by line."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import RichLog

from llmstress.engine.telemetry.aggregate import MAX_NOTICES, Notice
from llmstress.tui.format.picture import Picture

KINDS = {
    "phase": ("▸", "text-accent"),
    "warning": ("▲", "text-error"),
    "load": ("±", "text-primary"),
    "end": ("■", "text-success"),
    "note": ("·", ""),
}
"""Kind of a notice -> its sign and colour."""


def time_label(t: int) -> str:
    """A time (ns after T0): `+00:07.2`, `+75:00.0`; before T0 `-00:00.5`."""
    tenths = abs(t) // 100_000_000
    minutes, rest = divmod(tenths, 600)
    return f"{'-' if t < 0 else '+'}{minutes:02d}:{rest // 10:02d}.{rest % 10}"


def new_notices(shown: list[Notice], notices: list[Notice]) -> list[Notice] | None:
    """The part of `notices` after those in `shown`; None: `notices` does not continue `shown`."""
    if not shown:
        return notices
    for index in range(len(notices) - 1, -1, -1):
        # the oldest shown notices may have been dropped from the list
        if notices[index] == shown[-1] and notices[: index + 1] == shown[-(index + 1) :]:
            return notices[index + 1 :]
    return None


SAVED_PREFIXES = ("summary: ", "summary saved as ")
"""Beginnings of notes with the summary's path: the note at the end of the run, and notes after a key press."""


def shows_toast(notice: Notice) -> bool:
    """Whether a notice is also shown as a toast: replies to commands, changes of the load, and warnings.

    The note at the end of the run is left out because the banner shows the summary's path.
    """
    return notice.kind in ("warning", "load", "note") and not notice.text.startswith(SAVED_PREFIXES[0])


def summary_path(notices: Sequence[Notice]) -> str:
    """The path of the summary that was last written, according to the log; empty: none."""
    found = (
        notice.text.removeprefix(begin)
        for notice in reversed(notices)
        for begin in SAVED_PREFIXES
        if notice.kind == "note" and notice.text.startswith(begin)
    )
    return next(found, "")


class LogPane(Vertical):
    """Shows all notices; follows the newest one unless the user has scrolled up."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._log = RichLog(max_lines=MAX_NOTICES, wrap=True, markup=False, highlight=False, min_width=1)
        self._notices: list[Notice] = []
        self._shown: list[Notice] = []

    def compose(self) -> ComposeResult:
        """Only the log."""
        yield self._log

    def on_resize(self) -> None:
        """Write all lines again once the log has its new size, because lines are wrapped when they are written."""
        self.call_after_refresh(self._write_again)

    def show(self, picture: Picture) -> None:
        """Append new notices."""
        self._notices = notices = picture.view.aggregate.notices
        new = new_notices(self._shown, notices)
        if new is None:
            self._write_again()
        else:
            self._append(new)

    def _write_again(self) -> None:
        self._shown = []
        self._log.clear()
        self._append(self._notices)

    def draw(self, picture: Picture) -> None:
        """Does nothing: this pane has no charts."""

    def _append(self, notices: list[Notice]) -> None:
        width = self._log.scrollable_content_region.width
        if not width:
            return  # not laid out yet; `on_resize` will follow
        at_end = self._log.is_vertical_scroll_end
        for notice in notices:
            sign, tone = KINDS.get(notice.kind, ("·", ""))
            colour = self.app.theme_variables.get(tone, "") if tone else ""
            style = f"bold {colour}".strip()
            line = Table.grid(padding=(0, 1, 0, 0))
            line.add_row(
                Text(f"{time_label(notice.t):>9}", "dim"), Text(sign, style), Text(notice.text, overflow="fold")
            )
            self._log.write(line, width=width, scroll_end=at_end)
        self._shown = (self._shown + notices)[-MAX_NOTICES:]
