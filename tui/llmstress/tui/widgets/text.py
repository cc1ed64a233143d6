"""Text that is drawn again only when it changes."""

from textual.content import Content
from textual.widgets import Static


class TextBlock(Static):
    """A text without markup."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, grows: bool = False) -> None:
        """`grows`: the height depends on the text, so a change may need a new layout."""
        super().__init__(id=id, classes=classes, markup=False)
        self._grows = grows
        self._text = Content("")

    def set_text(self, content: Content) -> None:
        """Show `content`."""
        if not content.is_same(self._text):
            self._text = content
            self.update(content, layout=self._grows)
