"""`llmstress probe`: one request, made as a run makes it, shown in every detail."""
