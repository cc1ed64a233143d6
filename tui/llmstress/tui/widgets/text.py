"""Text that is only drawn again when it says something else."""

from textual.content import Content
from textual.widgets import Static


class TextBlock(Static):
    """A piece of text."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, grows: bool = False) -> None:
        """`grows`: its height depends on the text, so what stands around it may have to move."""
        super().__init__(id=id, classes=classes, markup=False)
        self._grows = grows
        self._text = Content("")

    def set_text(self, content: Content) -> None:
        """Show `content` from now on."""
        if not content.is_same(self._text):
            self._text = content
            self.update(content, layout=self._grows)
