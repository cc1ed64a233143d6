"""Widgets that redraw only what has changed."""
