"""Prompts that differ from request to request."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import LENGTHS, WORDS_PER_TOKEN
from llmstress.coordinator.prompts.detect import CSV
from llmstress.engine.prompts.formats import FORMAT_NAMES
from llmstress.engine.prompts.order import ORDERS

prompt_options = group(
    "Prompts",
    click.option(
        "--prompts",
        type=click.Path(),
        metavar="FILE",
        help="Take the prompt of each request from a file: lines, JSON lines, CSV, ShareGPT, vLLM's and "
        "AIPerf's formats.",
    ),
    click.option(
        "--prompts-format",
        type=click.Choice([*FORMAT_NAMES, CSV]),
        metavar="NAME",
        help="Format of the file: " + ", ".join([*FORMAT_NAMES, CSV]) + ".  [default: by its content]",
    ),
    click.option(
        "--prompt-column",
        metavar="NAME",
        help="Column or key of the prompt in the file.  [default: that of the format]",
    ),
    click.option(
        "--order",
        type=click.Choice(ORDERS),
        help="Order of the rows; shuffled: another one in each pass.  [default: sequential; random for pools]",
    ),
    click.option("--once", is_flag=True, help="Use each row once, then end the run."),
    click.option(
        "--salt",
        is_flag=True,
        help="Begin each prompt of the file with a line of words of its own, so that no cache of prefixes helps.",
    ),
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
    click.option(
        "--words-per-token",
        type=WORDS_PER_TOKEN,
        default="auto",
        show_default=True,
        metavar="R",
        help="Words of a made prompt for each token of its length. auto: 1, corrected by what the server counts; "
        "a number is never corrected, so that equal runs have equal prompts.",
    ),
    click.option(
        "--tokenizer",
        type=click.Path(),
        metavar="FILE",
        help="Make prompts of words that are one token each in this tokenizer.json, so that their lengths are exact; "
        "needs llmstress[tokenizers].",
    ),
    click.option(
        "--token-ids",
        is_flag=True,
        help="Send made prompts as token ids (openai-completions, openai-embeddings).",
    ),
)
"""Prompts that differ from request to request."""
