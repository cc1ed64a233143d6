"""Connections: how they are made, why they fail, what is known of one that stands."""
