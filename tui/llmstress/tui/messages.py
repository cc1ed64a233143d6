"""The screen's own Textual messages."""

from textual.message import Message


class Due(Message):
    """Something is to be brought up to date. One that still waits is replaced by the next one of its kind, so that a
    slow terminal gets fewer pictures instead of late ones."""

    def can_replace(self, message: Message) -> bool:
        """Of the same kind?"""
        return type(message) is type(self)


class FiguresDue(Due):
    """The figures of the visible pane."""


class ChartsDue(Due):
    """What is drawn on the visible pane, and takes longer."""


class TabChosen(Message):
    """A tab was clicked."""

    def __init__(self, tab: str) -> None:
        super().__init__()
        self.tab = tab
