"""A paced mock of LLM APIs that knows the truth about what it sent."""
