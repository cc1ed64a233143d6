"""The prompts of requests that differ."""
