"""Arrivals from a trace."""

import click

from llmstress.coordinator.commands.arguments.group import group

trace_options = group(
    "Trace",
    click.option(
        "--trace",
        type=click.Path(),
        metavar="FILE",
        help="Send requests at the times of a trace, with its lengths of prompts and answers: JSON lines "
        "(Mooncake, Bailian) or CSV (BurstGPT, Azure), also compressed with gzip.",
    ),
    click.option(
        "--speed",
        type=float,
        default=1.0,
        show_default=True,
        metavar="X",
        help="Replay the trace X times as fast as it was recorded.",
    ),
    click.option(
        "--skip-bad-rows",
        is_flag=True,
        help="Leave out and count rows of a trace or of a file of prompts that can't be used; without this flag the "
        "first one is an error.",
    ),
)
"""Arrivals from a trace."""
