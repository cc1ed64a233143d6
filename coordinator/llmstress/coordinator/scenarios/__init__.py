"""Scenario files of `--scenario`: what they have, as tasks of a run."""
