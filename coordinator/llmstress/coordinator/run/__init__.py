"""A run: set-up, sequence of events, limits, end, and what is published about it."""
