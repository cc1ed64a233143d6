"""`python -m llmstress`."""

from llmstress.coordinator.cli import main

main()
