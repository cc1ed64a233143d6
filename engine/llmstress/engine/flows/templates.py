"""Texts with variables: `Bearer {{token}}`."""

import re
from collections.abc import Callable, Mapping

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*(?:\.answer)?)\s*\}\}")

_IN_BODY = re.compile(_VARIABLE.pattern + r"|\{(prompt|model)\}")


class Template:
    """A text in which values can be filled in."""

    __slots__ = ("_texts", "names")

    def __init__(self, text: str, *, body: bool = False) -> None:
        """body: `{prompt}` and `{model}` with single braces are variables, too."""
        pattern = _IN_BODY if body else _VARIABLE
        self.names: list[str] = []
        """Of the variables, in their order; one that occurs twice is in it twice."""
        self._texts: list[str] = []
        end = 0
        for match in pattern.finditer(text):
            self._texts.append(text[end : match.start()])
            self.names.append(next(filter(None, match.groups())))
            end = match.end()
        self._texts.append(text[end:])

    def fill(self, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
        """The text with the values, each of which is escaped; a value that contains a variable stays as it is.

        Raises:
            KeyError: a variable has no value.
        """
        if not self.names:
            return self._texts[0]
        parts = [self._texts[0]]
        for name, text in zip(self.names, self._texts[1:], strict=True):
            parts += (escape(values[name]), text)
        return "".join(parts)


def names_in(text: str) -> list[str]:
    """The variables in a text."""
    return Template(text).names
