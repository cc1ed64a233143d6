"""Prompts that differ from request to request."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import LENGTHS

prompt_options = group(
    "Prompts",
    click.option(
        "--prompt-tokens",
        type=LENGTHS,
        metavar="N",
        help="Make a prompt of N tokens for each request, instead of --prompt. All begin differently, so that no cache "
        "of prefixes helps. N may be a distribution: 512±64, uniform:100..2000 or lognormal:512±300.",
    ),
    click.option(
        "--output-tokens",
        type=LENGTHS,
        metavar="N",
        help="Maximum number of output tokens of each request, instead of --max-tokens; N as for --prompt-tokens. With "
        "--ignore-eos, exactly as many.",
    ),
    click.option(
        "--shared-prefix-tokens",
        type=int,
        default=0,
        metavar="N",
        help="Let the prompts of --prompt-tokens begin with the same N tokens.",
    ),
    click.option(
        "--prefix-groups",
        type=int,
        default=1,
        show_default=True,
        metavar="G",
        help="Number of different shared prefixes.",
    ),
)
"""Prompts that differ from request to request."""
