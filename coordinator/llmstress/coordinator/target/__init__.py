"""The target of a run: its API, headers, network path and models; checks before the first request."""
