"""A run: what happens in which order, how it ends, who is told."""
