"""What a good request is."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import DEADLINES, READING_SPEED, SLO, SLO_PRESET

slo_options = group(
    "SLOs",
    click.option(
        "--slo",
        "slos",
        multiple=True,
        type=SLO,
        metavar="METRIC<LIMIT",
        help="Limit of a latency that a good request meets, e.g. 'ttft<500ms'; < or <=. Repeatable: a good request "
        "meets all limits. The summary has the goodput.",
    ),
    click.option(
        "--slo-preset",
        type=SLO_PRESET,
        metavar="NAME",
        help="The limits of a benchmark as SLOs, e.g. mlperf:llama2-70b-interactive; --slo adds more.",
    ),
    click.option(
        "--deadline",
        "deadlines",
        type=DEADLINES,
        metavar="first=D,token=D",
        help="Deadlines of the first and of each later token, e.g. first=500ms,token=50ms. The summary has the "
        "fluidity: the share of the deadlines that were met.",
    ),
    click.option(
        "--reading-speed",
        type=READING_SPEED,
        metavar="N",
        help="Tokens per second that a user reads. The summary has the smooth goodput: tokens less those that users "
        "waited for.",
    ),
)
"""What a good request is."""
