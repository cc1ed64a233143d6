"""A target with everything that a request to it needs: API, URL, headers, network, secrets. Runs and probes use it."""

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


class ResolvedTarget(msgspec.Struct, frozen=True):
    """What is known of a target before a connection is opened."""

    api_name: str
    api: Api
    """Made for the model of `--model`, or for an empty model name if the target has yet to list its models."""
    target: Target
    headers: list[tuple[str, str]]
    network: Network
    """Without the source addresses that `with_sources` gives to each worker."""
    secrets: list[str]
    """Texts that must not be printed."""
    proxy_flag: str = ""
    """Where the proxy was set: `--proxy`, or the name of an environment variable; empty: no proxy."""


def resolve_target(options: Options, url: str, environ: Mapping[str, str]) -> ResolvedTarget:
    """The target of a run or a probe with `options` against `url`.

    Raises:
        UsageError: options contradict each other, the URL or the API, or name something that does not exist.
    """
    api_name = api_choice.name_of_api(options, url)
    api = api_choice.choose_api(api_name, api_choice.ask_of(options, url, options.model or ""))
    api_choice.refuse_unfit(options, api_name, api)
    target = parse_target(url, api)
    headers = build_headers(options, api, target, environ)
    network = network_of(options, target, environ)
    secrets = secrets_of(options, headers, network.proxy, target.url)
    split = urlsplit(target.url)
    flag = proxy_flag(options, split.scheme, split.hostname or "", environ)
    return ResolvedTarget(api_name, api, target, headers, network, secrets, flag)
