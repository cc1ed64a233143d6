"""One load-generating process, the telemetry that all processes share, and the built-in mock server."""
