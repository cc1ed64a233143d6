"""This machine: its limits, and whether they suffice for a run."""
