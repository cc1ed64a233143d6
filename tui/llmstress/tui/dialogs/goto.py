"""A dialog that asks for a position in a replay."""

import re
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

MAX_CHARACTERS = 12

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d)")
_LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS = (3600, 60, 1)

HINT = "a digit for tenths of the run, 45%, 1:23:45 or 1h20m; enter goes there, esc cancels"


def parse_position(text: str, length_s: float) -> float | None:
    """The position (seconds after T0) that `text` means in a run of `length_s` seconds; None: invalid text."""
    text = text.strip().lower()
    if text.isdecimal() and len(text) == 1:
        return length_s * int(text) / 10
    if text.endswith("%") and text[:-1].strip().isdecimal():
        return length_s * min(100, int(text[:-1])) / 100
    match = _CLOCK.fullmatch(text) or (_LENGTH.fullmatch(text) if text else None)
    if match is None:
        return None
    return float(sum(int(part or 0) * seconds for part, seconds in zip(match.groups(), _SECONDS, strict=True)))


class GoTo(ModalScreen[float | None]):
    """Returns the entered position in seconds after T0; None: stay."""

    DEFAULT_CSS = """
    GoTo { align: center middle; }
    GoTo .box { width: 60; max-width: 100%; height: auto; padding: 1 2; background: $panel; border: round $primary; }
    GoTo Input { margin: 0 0 1 0; }
    """
    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, length_s: float) -> None:
        super().__init__()
        self._length_s = length_s

    def compose(self) -> ComposeResult:
        """A box with an input line."""
        with Vertical(classes="box") as box:
            box.border_title = "go to"
            yield Input(max_length=MAX_CHARACTERS, compact=True)
            yield Static(HINT, markup=False)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        moment_s = parse_position(event.value, self._length_s)
        if moment_s is None and event.value.strip():
            self.query_one(Static).update(f"Not a valid position. {HINT}")
        else:
            self.dismiss(moment_s)

    def action_leave(self) -> None:
        """Close and stay at the current position."""
        self.dismiss(None)
