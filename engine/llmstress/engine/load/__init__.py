"""The load models: when each stream begins a request, and what all models have in common."""
