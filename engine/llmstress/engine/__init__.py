"""One load-generating process, the telemetry everyone speaks, and the built-in mock server. Imports nothing."""
