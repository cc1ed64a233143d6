"""Flows: what their steps take from answers, and how it is written into later requests. Pure functions."""
