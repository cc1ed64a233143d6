"""The endpoint: which API, which way, which headers; checks before the first request."""
