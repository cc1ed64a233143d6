"""Time limits of a request, what happens after failures, and what ends a run early."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import MAX_ERRORS, ON_STATUS, Duration

timeout_options = group(
    "Limits",
    click.option(
        "--timeout-connect",
        "timeout_connect_s",
        type=Duration(),
        default="10s",
        show_default=True,
        help="Time limit for opening a connection. For all time limits, 0 means no limit.",
    ),
    click.option(
        "--timeout-first-token",
        "timeout_first_token_s",
        type=Duration(),
        default="10m",
        show_default=True,
        help="Time limit from the start of a request to its first token; pings do not extend it. For an answer that is "
        "not streamed: to the beginning of its body.",
    ),
    click.option(
        "--timeout-idle",
        "timeout_idle_s",
        type=Duration(),
        default="120s",
        show_default=True,
        help="Longest time without an event, from the first token on.",
    ),
    click.option(
        "--timeout-total",
        "timeout_total_s",
        type=Duration(),
        default="0",
        show_default=True,
        help="Time limit for a whole request.",
    ),
)
"""Time limits of a request."""

limit_options = group(
    "Limits",
    click.option(
        "--error-pause",
        "error_pause_s",
        type=Duration(),
        default="1s",
        show_default=True,
        help="Pause of a stream between a failure and its next request, ±50 %; not part of any latency.",
    ),
    click.option(
        "--retries",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Send a request again, up to N times, after a temporary failure (429, 503 and the like).",
    ),
    click.option(
        "--on-status",
        multiple=True,
        type=ON_STATUS,
        metavar="WHAT=ACTION",
        help="Action for a status (529) or a failure class (quota): count, retry, end-first (end the run if no request "
        "succeeded before) or end. Repeatable; the documentation lists the defaults.",
    ),
    click.option(
        "--require-finish",
        is_flag=True,
        help="Count an answer that ends without a finish reason ([DONE] alone) as truncated.",
    ),
    click.option(
        "--max-errors",
        type=MAX_ERRORS,
        metavar="N|P%",
        help="End the run with exit code 6 at N failed requests, or at P % of the finished requests. P % is compared "
        "from 100 finished requests on, and at the end of the run.",
    ),
    click.option(
        "--max-total-tokens",
        type=int,
        metavar="N",
        help="End the run at N tokens, input and output together, including those of failed answers.",
    ),
)
"""What happens after failures, and what ends a run early."""
