"""Entry point of the command `llmstress`."""

from llmstress.coordinator.commands.cli import main

__all__ = ["main"]
