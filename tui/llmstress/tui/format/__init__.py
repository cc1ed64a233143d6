"""A run's view as text: one picture of it, its headline, its labels."""
