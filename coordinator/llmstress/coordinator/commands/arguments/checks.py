"""What is expected of answers, and how long their users wait for them."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import ABANDON_AFTER, CHECK, SHARE

check_options = group(
    "Checks",
    click.option(
        "--check",
        "checks",
        multiple=True,
        type=CHECK,
        metavar="CHECK",
        help="Count an answer that fails the check as failed (validation): not-empty, contains:TEXT, "
        "not-contains:TEXT, regex:PATTERN, json, json-schema:FILE, min-tokens:N, finish:REASON,... or tool:NAME. "
        "Repeatable: an answer must pass all of them.",
    ),
    click.option(
        "--abandon",
        type=SHARE,
        default="0%",
        show_default=True,
        metavar="P%",
        help="Abandon this share of the requests, as users do who walk away: the connection is closed before the "
        "answer has ended.",
    ),
    click.option(
        "--abandon-after",
        type=ABANDON_AFTER,
        metavar="TIME",
        help="Time from the start of such a request until it is abandoned: 5s, 1s..10s (uniform), exp:5s.",
    ),
    click.option(
        "--abandon-after-tokens",
        type=int,
        metavar="N",
        help="Abandon such a request after N tokens; with --abandon-after, what comes first.",
    ),
)
"""What is expected of answers, and how long their users wait for them."""
