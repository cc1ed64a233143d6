"""Loads that are decided while the run goes on: a sweep, and the search for the capacity."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import ATTAIN, BOUND, SWEEP, Duration

sweep_options = group(
    "Load",
    click.option(
        "--sweep",
        type=SWEEP,
        metavar="LOADS",
        help="One point after the other in one run, in streams or as rates: 1,10,100,1000, or 1..1000x2 (each twice "
        "the one before), or 10/s..200/s+10. The summary has a row for each, and peak and knee of the throughput.",
    ),
    click.option(
        "--point",
        "point_s",
        type=Duration(),
        default="20s",
        show_default=True,
        help="Length of a point of a sweep, once its load has settled. It ends early when it is exact enough.",
    ),
)
"""A sweep."""

search_options = group(
    "Search",
    click.option(
        "--unit",
        type=click.Choice(["streams", "rate"]),
        default="streams",
        show_default=True,
        help="Unit of the load: concurrent streams, or requests per second, however long answers take.",
    ),
    click.option("--from", "lowest", type=BOUND, default="1", show_default=True, metavar="LOAD", help="Lowest load."),
    click.option(
        "--to",
        "highest",
        type=BOUND,
        metavar="LOAD",
        help="Highest load.  [default: 5000, or the most streams that this machine allows]",
    ),
    click.option(
        "--attain",
        type=ATTAIN,
        default="99%",
        show_default=True,
        metavar="P%",
        help="Share of the requests that must meet every SLO.",
    ),
    click.option(
        "--budget",
        "budget_s",
        type=Duration(),
        default="10m",
        show_default=True,
        help="Longest time of the search; open requests may finish after it (--grace).",
    ),
    click.option(
        "--point",
        "point_s",
        type=Duration(),
        default="10s",
        show_default=True,
        help="Least length of a probe that passes. One with good figures that is undecided by then does not hold up "
        "the search: a higher load is tried.",
    ),
)
"""The search for the capacity."""

SET_BY_SEARCH = (
    "streams",
    "duration_s",
    "requests",
    "ramp_up_s",
    "warmup_s",
    "warmup_requests",
    "rate",
    "stages",
    "sweep",
)
"""Parameters of a run that a search decides itself: `find` does not have them."""
