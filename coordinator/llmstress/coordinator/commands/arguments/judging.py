"""Thresholds that decide whether a run passes, and the reports of CI about them."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import THRESHOLD
from llmstress.engine.telemetry.subjects import SUBJECTS

_OTHERS = ", ".join(each.name for each in SUBJECTS.values() if each.argument != "statistic")

judging_options = group(
    "Thresholds",
    click.option(
        "--fail-if",
        multiple=True,
        type=THRESHOLD,
        help="Exit with code 99 if this is true at the end of the run: 'ttft.p99>800ms', 'errors.rate>1%'; 98 for "
        "'verdict=invalid'. Possible are each latency (ttft, itl, ...) with .mean, .min, .max or a percentile, and "
        f"{_OTHERS}. `in stage 3`, `over 30s` and `after 30s` can follow. Repeatable.",
    ),
    click.option(
        "--abort-if",
        multiple=True,
        type=THRESHOLD,
        help="The same, and the run ends at once as soon as it is true.",
    ),
    click.option(
        "--undecided",
        type=click.Choice(["fail", "pass"]),
        default="fail",
        show_default=True,
        help="With too few data to decide a threshold: exit with code 97, or pass.",
    ),
    click.option(
        "--junit",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Write the thresholds and the result of the run to FILE as JUnit XML.",
    ),
    click.option(
        "--intervals", is_flag=True, help="Print the 99 % confidence interval of each percentile in the table."
    ),
)
"""Thresholds, and reports about them."""
