"""Dialogs and pages shown over the panes."""
