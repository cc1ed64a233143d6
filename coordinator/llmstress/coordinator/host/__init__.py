"""This machine: what it allows, and whether a run fits."""
