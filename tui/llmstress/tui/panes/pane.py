"""The common base of panes: what a tab has to offer, and redrawing when its size becomes known."""

from typing import Protocol

from textual.containers import Vertical

from llmstress.tui.format.picture import Picture


class Pane(Protocol):
    """The contents of one tab."""

    def show(self, picture: Picture) -> None:
        """Update the figures; called about three times a second while the tab is visible."""

    def draw(self, picture: Picture) -> None:
        """Update charts and other things that take longer; called about once a second while the tab is visible."""


class RedrawnPane(Vertical):
    """A pane that is drawn again when its size changes. Charts can't be drawn while a hidden pane has no size.

    Subclasses store the picture that they were last given in `_picture`.
    """

    _picture: Picture | None = None

    def draw(self, picture: Picture) -> None:
        """Update charts and other things that take longer."""
        raise NotImplementedError

    def on_show(self) -> None:
        """Draw again: while the pane was hidden it had no size."""
        self.call_after_refresh(self._draw_again)

    def on_resize(self) -> None:
        """Draw again, once the parts of the pane have their new sizes."""
        self.call_after_refresh(self._draw_again)

    def _draw_again(self) -> None:
        if self._picture is not None:
            self.draw(self._picture)
