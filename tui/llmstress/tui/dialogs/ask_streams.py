"""A dialog that asks for the number of streams."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from llmstress.engine.telemetry.formatting import count
from llmstress.tui.format.picture import Picture

MAX_DIGITS = 7


class AskStreams(ModalScreen[int | None]):
    """Returns the entered number; None: no change."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, now: int) -> None:
        """`now`: the number of streams wanted at present."""
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        """A box with an input line."""
        with Vertical(classes="box") as box:
            box.border_title = "streams"
            yield Static(f"Total number of streams? Now: {count(self._now)}", markup=False)
            yield Input(type="integer", max_length=MAX_DIGITS, restrict=r"[0-9]*", compact=True)
            yield Static("enter sets the number, esc cancels", markup=False)

    def show(self, picture: Picture) -> None:
        """Close without a change when the run has ended."""
        if picture.view.ended is not None:
            self.dismiss(None)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(int(event.value) if event.value else None)

    def action_leave(self) -> None:
        """Close without a change."""
        self.dismiss(None)
