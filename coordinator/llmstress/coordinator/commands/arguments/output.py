"""Screen, files and messages."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import BANDS, Duration

output_options = group(
    "Output",
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the plan: tasks, numbers, and the first three requests of each as curl commands. Nothing is sent.",
    ),
    click.option(
        "--headless", is_flag=True, help="Open no screen; print the JSON summary even if stdout is a terminal."
    ),
    click.option("--tui", is_flag=True, help="Open the screen even if TERM is dumb or CI is set."),
    click.option(
        "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Also write the JSON summary to FILE."
    ),
    click.option(
        "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Record the run for `llmstress replay FILE`."
    ),
    click.option("--quiet", is_flag=True, help="Print no progress lines on stderr, only the table at the end."),
    click.option(
        "--progress",
        "progress_s",
        type=Duration(),
        default="1s",
        show_default=True,
        help="Time between two progress lines, in whole seconds.",
    ),
    click.option("--verbose", is_flag=True, help="Print the log messages of the workers on stderr."),
    click.option(
        "--log-file",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Append all messages to FILE, each with the time.",
    ),
    click.option("--histograms", is_flag=True, help="Include the histograms in the summary on stdout."),
    click.option(
        "--token-bands",
        type=BANDS,
        help="From how many input and output tokens on a prompt and an answer are long: figures by length. off: none.  "
        "[default: 1000,250 if lengths differ]",
    ),
    click.option(
        "--interval",
        "interval_s",
        type=Duration(),
        default="250ms",
        show_default=True,
        help="Time between two reports of a worker.",
    ),
)
"""Screen, files and messages of a run."""

view_options = group(
    "Output",
    click.option("--events", is_flag=True, help="Show all events, not only the first and last ones."),
    click.option("--raw", is_flag=True, help="Also show the bytes of the request and of each read."),
    click.option("--json", is_flag=True, help="Print JSON, for scripts and bug reports; with --raw it has the bytes."),
)
"""The output of `llmstress probe`."""
