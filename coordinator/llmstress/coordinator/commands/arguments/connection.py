"""The network path to the target."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import RESOLVE

connection_options = group(
    "Connection",
    click.option(
        "--proxy", metavar="URL", help="URL of an HTTP proxy; `none` ignores proxy variables in the environment."
    ),
    click.option(
        "--unix-socket",
        type=click.Path(),
        metavar="PATH",
        help="Connect to this Unix socket instead of the host of the URL.",
    ),
    click.option(
        "--resolve",
        multiple=True,
        type=RESOLVE,
        help="Addresses to use for the host instead of DNS; connections are spread over them. Repeatable.",
    ),
    click.option(
        "--source-ip",
        "source_ips",
        multiple=True,
        metavar="ADDR",
        help="Local address to connect from; each has about 28,000 ports. Repeatable; not needed for loopback targets.",
    ),
    click.option(
        "--no-keepalive", "keepalive", flag_value=False, default=True, help="Open a new connection for each request."
    ),
    click.option("--requests-per-connection", type=int, metavar="N", help="Close a connection after N requests."),
    click.option(
        "--cacert", type=click.Path(), metavar="FILE", help="Certificate authorities (PEM) to trust for https."
    ),
    click.option("--insecure", is_flag=True, help="Accept any certificate of the server."),
    click.option("--cert", type=click.Path(), metavar="FILE", help="Client certificate (PEM)."),
    click.option(
        "--key",
        type=click.Path(),
        metavar="FILE",
        help="Private key of the client certificate, unless --cert contains it.",
    ),
)
"""The network path to the target."""
