"""Conversations: requests that continue one another."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import TURNS

conversation_options = group(
    "Conversations",
    click.option(
        "--turns",
        type=TURNS,
        metavar="N",
        help="Have conversations of N turns instead of single requests: each request has all that was said before. "
        "2..10: from 2 to 10 turns, each number equally likely. A conversation keeps its stream and its connection.",
    ),
    click.option(
        "--answers",
        type=click.Choice(["server", "scripted"]),
        help="What the history of a conversation has as answers: those of the server, or made texts of the length that "
        "was asked for, so that every run sends the same.  [default: server]",
    ),
)
"""Conversations: requests that continue one another."""
