"""The interactive screen of a run. Of llmstress it imports only `llmstress.engine.telemetry`."""
