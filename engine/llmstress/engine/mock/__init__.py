"""A mock of LLM APIs with configurable delays that records exactly what it sent and when."""
