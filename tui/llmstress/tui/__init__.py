"""What a person sees of a run. Imports nothing of llmstress but `llmstress.engine.telemetry`."""
