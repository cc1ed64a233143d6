"""Who begins a request when: the load models."""
