"""Users in Python."""

import click

from llmstress.coordinator.commands.arguments.group import group

scenario_options = group(
    "Scenarios",
    click.option(
        "--scenario",
        type=click.Path(),
        metavar="FILE",
        help="Run users that are written in Python, with `from llmstress.scenario import User, task`: each stream is a "
        "user, and each task of the file a task of the run.",
    ),
)
"""Users in Python."""
