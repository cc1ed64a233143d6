"""`llmstress probe`: sends one request as a run would, and shows it in detail."""
