"""`python -m llmstress`."""

from llmstress.coordinator.commands.cli import main

main()
