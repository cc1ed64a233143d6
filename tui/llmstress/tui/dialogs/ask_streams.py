"""A question for a number of streams."""

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
    """Gives the number that was typed; None: it is to stay as it is."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, now: int) -> None:
        """`now`: the streams that are wanted at the moment."""
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        """A line to type into, in the middle."""
        with Vertical(classes="box") as box:
            box.border_title = "streams"
            yield Static(f"Total number of streams? Now: {count(self._now)}", markup=False)
            yield Input(type="integer", max_length=MAX_DIGITS, restrict=r"[0-9]*", compact=True)
            yield Static("enter sets the number, esc cancels", markup=False)

    def show(self, picture: Picture) -> None:
        """Close without an answer once the run is over: there are no streams to set."""
        if picture.view.ended is not None:
            self.dismiss(None)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(int(event.value) if event.value else None)

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)
