"""Size and length of the load."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import Duration

load_options = group(
    "Load",
    click.option(
        "--procs", type=int, metavar="P", help="Worker processes.  [default: one for each available CPU core]"
    ),
    click.option("--streams", type=int, metavar="S", help="Open streams in each process."),
    click.option(
        "--total-streams",
        "total",
        type=int,
        metavar="N",
        help="Open streams in all processes together.  [default: 100, or --streams × --procs]",
    ),
    click.option(
        "--duration",
        "duration_s",
        type=Duration(),
        help="Length of the steady window, in which figures are measured.  [default: 60s]",
    ),
    click.option("--requests", type=int, metavar="N", help="End the run after N requests, not counting a warm-up."),
    click.option(
        "--ramp-up",
        "ramp_up_s",
        type=Duration(),
        help="Time over which the streams start.  [default: the time needed to open the connections, if over 1 s]",
    ),
    click.option(
        "--warmup",
        "warmup_s",
        type=Duration(),
        default="0s",
        show_default=True,
        help="Time after the ramp-up that is not measured.",
    ),
    click.option(
        "--warmup-requests",
        type=int,
        metavar="N",
        help="Instead of --warmup: start to measure when N requests have ended.",
    ),
    click.option(
        "--grace",
        "grace_s",
        type=Duration(),
        default="30s",
        show_default=True,
        help="How long open requests may take to finish at the end of the run.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random numbers."),
)
"""Size and length of the load."""
