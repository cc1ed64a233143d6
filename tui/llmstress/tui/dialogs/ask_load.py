"""Dialogs that ask for a number of streams, or for a rate."""

import re
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from llmstress.engine.telemetry.formatting import count, rate
from llmstress.tui.format.picture import Picture

MAX_CHARACTERS = 7

_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:/([smh]))?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}

_STREAMS_HINT = "enter sets the number, esc cancels"
_RATE_HINT = "a number per second, or with /m or /h: 200, 50/m; enter sets it, esc cancels"


def parse_rate(text: str) -> float | None:
    """The requests per second that `text` means; None: it is no rate above 0."""
    match = _RATE.fullmatch(text.strip().lower())
    per_s = 0.0 if match is None else float(match[1]) / _SECONDS[match[2]]
    return per_s if per_s > 0 else None


class AskLoad(ModalScreen[float | None]):
    """Returns the entered number of streams, or requests per second; None: no change."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, now: float, *, rated: bool) -> None:
        """
        Args:
            now: the load wanted at present.
            rated: it is a rate, not a number of streams.
        """
        super().__init__()
        self._now = now
        self._rated = rated

    def compose(self) -> ComposeResult:
        """A box with an input line."""
        question = (
            f"Requests per second? Now: {rate(self._now)}"
            if self._rated
            else f"Total number of streams? Now: {count(self._now)}"
        )
        with Vertical(classes="box") as box:
            box.border_title = "rate" if self._rated else "streams"
            yield Static(question, markup=False)
            yield Input(
                type="text" if self._rated else "integer",
                max_length=MAX_CHARACTERS,
                restrict=r"[0-9./smhSMH]*" if self._rated else r"[0-9]*",
                compact=True,
            )
            yield Static(_RATE_HINT if self._rated else _STREAMS_HINT, id="hint", markup=False)

    def show(self, picture: Picture) -> None:
        """Close without a change when the run has ended."""
        if picture.view.ended is not None:
            self.dismiss(None)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if not text:
            self.dismiss(None)
        elif not self._rated:
            self.dismiss(float(int(text)))
        elif (per_s := parse_rate(text)) is not None:
            self.dismiss(per_s)
        else:
            self.query_one("#hint", Static).update(f"Not a rate above 0. {_RATE_HINT}")

    def action_leave(self) -> None:
        """Close without a change."""
        self.dismiss(None)
