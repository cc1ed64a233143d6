"""How a target is approached, by a run as by a probe: which API, which URL, which headers, which way; and what of all
that is secret."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import Target, parse_target
from llmstress.coordinator.output.redaction import secrets_of
from llmstress.coordinator.target import api_choice
from llmstress.coordinator.target.auth import build_headers
from llmstress.coordinator.target.network import network_of, proxy_flag
from llmstress.engine.api.base import Api
from llmstress.engine.control import Network


class Approach(msgspec.Struct, frozen=True):
    """What is settled before anything is opened."""

    name: str
    """Of the API."""
    api: Api
    """Made for the model that was named, or for none where the target is still to be asked for its own."""
    target: Target
    headers: list[tuple[str, str]]
    network: Network
    """Without the source addresses that are made for some workers."""
    secrets: list[str]
    """What must not be printed."""
    proxy_flag: str = ""
    """What names the proxy: `--proxy`, or a variable of the environment; empty: there is none."""


def approach_of(options: Options, url: str, environ: Mapping[str, str]) -> Approach:
    """How `options` want `url` approached.

    Raises:
        UsageError: they contradict each other, the URL or the API, or name what there isn't.
    """
    name = api_choice.name_of_api(options, url)
    api = api_choice.choose_api(name, api_choice.ask_of(options, url, options.model or ""))
    target = parse_target(url, api)
    headers = build_headers(options, api, target, environ)
    network = network_of(options, target, environ)
    secrets = secrets_of(options, headers, network.proxy, target.url)
    split = urlsplit(target.url)
    named_by = proxy_flag(options, split.scheme, split.hostname or "", environ)
    return Approach(name, api, target, headers, network, secrets, named_by)
