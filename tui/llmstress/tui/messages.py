"""Textual messages of the screen."""

from textual.message import Message


class Due(Message):
    """Something has to be updated. A waiting message is replaced by the next one of its kind, so that a slow terminal
    gets fewer updates instead of late ones."""

    def can_replace(self, message: Message) -> bool:
        """Whether `message` is of the same kind."""
        return type(message) is type(self)


class FiguresDue(Due):
    """The figures of the visible pane are due."""


class ChartsDue(Due):
    """The charts of the visible pane, which take longer, are due."""


class TabChosen(Message):
    """A tab was clicked."""

    def __init__(self, tab: str) -> None:
        super().__init__()
        self.tab = tab
