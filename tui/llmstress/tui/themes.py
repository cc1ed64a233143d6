"""The light theme: Textual's, with colours of text that can be read on it."""

import dataclasses

from textual.theme import BUILTIN_THEMES, Theme

DARK, LIGHT = "textual-dark", "textual-light"

_DARKER = {"text-accent": "#6E4500", "text-warning": "#6E4500", "text-success": "#1D5C32"}
"""Textual's own have a contrast of 2.8 to 3.8 with its light backgrounds; 4.5 is what small text needs (WCAG AA)."""


def light_theme() -> Theme:
    """Takes the place of Textual's light theme."""
    theme = BUILTIN_THEMES[LIGHT]
    return dataclasses.replace(theme, variables=theme.variables | _DARKER)
