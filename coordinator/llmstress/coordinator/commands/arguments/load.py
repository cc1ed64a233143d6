"""Size, shape and length of the load."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import BYSTANDER, RATE, STAGE, THINK_TIME, Duration

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
    click.option(
        "--rate",
        type=RATE,
        help="Requests (with --turns: conversations) arrive at this rate, however long answers take (open model): "
        "200/s, 50/m, 10/h, or in tokens, input and output together: 600k-tokens/m. --total-streams is then the most "
        "requests in flight.",
    ),
    click.option(
        "--arrival",
        type=click.Choice(["constant", "poisson", "gamma"]),
        help="How arrivals are spread at a rate.  [default: poisson, or gamma with --burstiness]",
    ),
    click.option(
        "--burstiness",
        type=float,
        metavar="SHAPE",
        help="Shape of gamma arrivals: 1 is Poisson, less is burstier, more is more even.",
    ),
    click.option(
        "--max-queue",
        type=int,
        metavar="N",
        help="Most requests that wait for a free stream at a rate; further ones are dropped.  [default: no limit]",
    ),
    click.option(
        "--queue-timeout",
        "queue_timeout_s",
        type=Duration(),
        help="A request that has waited this long for a free stream is dropped; 0: never.  [default: 60s]",
    ),
    click.option(
        "--stage",
        "stages",
        type=STAGE,
        multiple=True,
        metavar="TIME:LOAD",
        help="A stage of the load, in streams or as a rate: 30s:100, 2m:50/s. The load changes evenly to this value; "
        ":step changes it at once, :spike for this stage only, :sine (or :sine/PERIOD) goes there and back. "
        "Repeatable.",
    ),
    click.option(
        "--think-time",
        "think",
        type=THINK_TIME,
        default="0s",
        metavar="TIME",
        help="Pause of a stream after an answer, or of a user between two turns: 2s, 1s..3s (uniform), exp:2s "
        "(exponential, mean 2 s).",
    ),
    click.option(
        "--pacing",
        "pacing_s",
        type=Duration(),
        default="0s",
        help="Least time between the starts of two requests of a stream.",
    ),
    click.option(
        "--bystander",
        type=BYSTANDER,
        metavar="RATE",
        help="Send short requests of a light user beside the load, at this rate (1/s), and measure them apart.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random numbers."),
)
"""Size, shape and length of the load."""
