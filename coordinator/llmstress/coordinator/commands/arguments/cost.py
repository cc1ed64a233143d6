"""What requests cost, and how much a run may cost."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import MONEY, PRICE, PRICES

cost_options = group(
    "Cost",
    click.option(
        "--price",
        type=PRICE,
        metavar="input=P,output=P",
        help="Price of the model, in money for a million tokens: input=2.5,cached=1.25,output=10. cache-write=P and "
        "currency=EUR may follow.",
    ),
    click.option(
        "--prices",
        type=PRICES,
        metavar="FILE",
        help='Prices of models, in a TOML file with a table [models."NAME"] for each. Without these flags common '
        "models have a built-in price, as of a date that the summary names.",
    ),
    click.option(
        "--cost-per-hour",
        type=MONEY,
        metavar="AMOUNT",
        help="Cost of your own hardware for an hour, e.g. 12.5 or '12.5 EUR', instead of prices of tokens: the "
        "summary has the money for a million tokens.",
    ),
    click.option(
        "--max-cost",
        type=float,
        metavar="AMOUNT",
        help="End the run when it has cost this much, in the currency of the prices. Requests in flight are finished; "
        "they are counted with the average cost of a request.",
    ),
)
"""What requests cost."""
