"""A paced mock of an OpenAI-compatible server that knows the truth about what it sent."""
