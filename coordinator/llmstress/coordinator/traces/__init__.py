"""Trace files: their formats, their rows, and the check before a run."""
