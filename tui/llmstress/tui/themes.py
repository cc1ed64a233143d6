"""The light theme: Textual's, with readable text colours."""

import dataclasses

from textual.theme import BUILTIN_THEMES, Theme

DARK, LIGHT = "textual-dark", "textual-light"

_DARKER = {"text-accent": "#6E4500", "text-warning": "#6E4500", "text-success": "#1D5C32"}
"""Textual's colours have a contrast of 2.8 to 3.8 with its light backgrounds; small text needs 4.5 (WCAG AA)."""


def light_theme() -> Theme:
    """The theme that replaces Textual's light theme."""
    theme = BUILTIN_THEMES[LIGHT]
    return dataclasses.replace(theme, variables=theme.variables | _DARKER)
