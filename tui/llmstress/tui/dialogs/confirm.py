"""A dialog that asks for confirmation of an action that can't be undone."""

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from llmstress.tui.format.picture import Picture


class Confirm(ModalScreen[bool]):
    """Returns whether the user confirmed; pressing the key of the action again confirms as well."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,Y,enter", "answer(True)", show=False),
        Binding("n,N,escape", "answer(False)", show=False),
    ]

    def __init__(
        self,
        question: str,
        consequence: str,
        key: str,
        moot: Callable[[Picture], bool] = lambda picture: picture.view.ended is not None,
    ) -> None:
        """
        Args:
            question: what is asked.
            consequence: what will happen.
            key: that of the action; capital and small letter both confirm.
            moot: whether there is nothing left to confirm; the dialog then closes.
        """
        super().__init__()
        self._keys = (key.lower(), key.upper())
        self._moot = moot
        self._text = Content.assemble(
            (question, "bold"),
            f"\n\n{consequence}\n\n",
            (f"y, enter or {key}", "bold $text-accent"),
            " yes    ",
            ("n or esc", "bold $text-accent"),
            " no",
        )

    def compose(self) -> ComposeResult:
        """A box with the question."""
        with Vertical(classes="box"):
            yield Static(self._text, markup=False)

    def show(self, picture: Picture) -> None:
        """Close without an answer when there is nothing left to confirm."""
        if self._moot(picture):
            self.dismiss(None)

    def on_key(self, event: events.Key) -> None:
        """The key of the action confirms it."""
        if event.character in self._keys:
            event.stop()
            self.dismiss(True)

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)
