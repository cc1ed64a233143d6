"""How well this process itself does, and what ties its life to its parent's."""
