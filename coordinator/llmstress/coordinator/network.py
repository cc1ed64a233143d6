"""The way to the target, as the options and the environment say it: proxy, addresses, trust."""

import ipaddress
import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.errors import UsageError
from llmstress.coordinator.options import Options, Target, is_address, redact_url
from llmstress.engine.control import Network, Tls

STREAMS_PER_SOURCE = 14_000
"""Connections from one loopback address: half of the 28,232 ports that Linux gives out by default; it searches those of
one parity first, and finds the last ones of them slowly."""

_LOOPBACK_SOURCES = 250 * 250
"""127.0.0.2 upwards, leaving the ends of every block alone."""


def network_of(options: Options, target: Target, environ: Mapping[str, str]) -> Network:
    """How all workers reach `target`; without the source addresses, which differ.

    Raises:
        UsageError: options that contradict each other or the URL.
    """
    split = urlsplit(target.url)
    host, port = split.hostname or "", split.port or (443 if split.scheme == "https" else 80)
    addresses: list[str] = []
    for entry in options.resolve:
        if (entry.host, entry.port) != (host.lower(), port):
            raise UsageError(f"--resolve names {entry.host}:{entry.port}, but the target is {host}:{port}")
        if is_address(host):
            raise UsageError(f"--resolve has no meaning for {host}, which is an address: put a name into --url")
        addresses += entry.addresses
    proxy = "" if options.unix_socket is not None else proxy_for(options, split.scheme, host, environ)
    if proxy and addresses:
        raise UsageError("--resolve has no meaning with a proxy, which resolves the host itself: add --proxy none")
    tls = Tls(
        ca_file=_absolute(options.cacert),
        insecure=options.insecure,
        cert_file=_absolute(options.cert),
        key_file=_absolute(options.key),
    )
    return Network(addresses, list(options.source_ips), proxy, _absolute(options.unix_socket), tls)


def proxy_for(options: Options, scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """URL of the proxy to go through: the one of `--proxy`, else what the environment says as for curl; empty: none.

    Raises:
        UsageError: it is no http URL.
    """
    if options.proxy == "none":
        return ""
    flag, url = "--proxy", options.proxy
    if url is None:
        name = _set_in(environ, f"{scheme}_proxy", "all_proxy")
        if not name or _bypassed(host, environ.get(_set_in(environ, "no_proxy"), "")):
            return ""
        flag, url = f"the environment's {name} (--proxy none ignores it)", environ[name]
    if "://" not in url:
        url = f"http://{url}"
    try:
        split = urlsplit(url)
        usable = split.scheme == "http" and split.hostname and split.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{flag} needs the URL of an HTTP proxy like http://proxy:3128, not {redact_url(url)!r}")
    return url


def _set_in(environ: Mapping[str, str], *names: str) -> str:
    """The first of the variables that says something, the lower case of each before the upper; empty: none does."""
    return next((each for name in names for each in (name, name.upper()) if environ.get(each)), "")


def _bypassed(host: str, no_proxy: str) -> bool:
    """Whether `no_proxy` names the host: by `*`, its name or a name above it, its address or a network (CIDR)."""
    host = host.lower().rstrip(".")
    for entry in no_proxy.lower().replace(",", " ").split():
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False):
                return True
        except ValueError:  # one of the two is a name
            name = entry.strip(".")
            if name in ("*", host) or host.endswith(f".{name}"):
                return True
    return False


def addresses_of(network: Network, target: Target) -> list[str]:
    """The addresses that connections will go to: pinned ones, else what DNS says; empty if it says nothing, and for a
    Unix socket. Blocks while DNS is asked."""
    if network.unix_socket:
        return []
    split = urlsplit(network.proxy or target.url)
    if network.addresses:
        return network.addresses
    try:
        found = socket.getaddrinfo(split.hostname, split.port or 0, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]) for entry in found})


def with_sources(network: Network, addresses: list[str], shares: list[int]) -> list[Network]:
    """`network` for each worker, with source addresses of its own where one address has too few ports for all.

    An address has 28,232 ports for each address that it connects to. Every address in 127.0.0.0/8 is local, so to a
    loopback target each worker goes from ones of its own; for any other target the user has to name them.
    """
    if network.sources:
        rotated = [worker % len(network.sources) for worker in range(len(shares))]
        return [_from(network, network.sources[at:] + network.sources[:at]) for at in rotated]
    if sum(shares) <= STREAMS_PER_SOURCE or not any(_is_loopback(address) for address in addresses):
        return [network] * len(shares)
    made, used = [], 0
    for share in shares:
        need = max(1, -(-share // STREAMS_PER_SOURCE))
        made.append(_from(network, [_loopback(used + index) for index in range(need)]))
        used += need
    return made


def describe_way(networks: list[Network]) -> str:
    """What is special about the way to the target, for a line of the banner; empty: nothing is."""
    network = networks[0]
    sources = {source for each in networks for source in each.sources}
    said = [
        f"through the proxy {redact_url(network.proxy)}" if network.proxy else "",
        f"over the Unix socket {network.unix_socket}" if network.unix_socket else "",
        f"to {', '.join(network.addresses)}" if network.addresses else "",
        f"from {sources.pop()}" if len(sources) == 1 else f"from {len(sources)} source addresses" if sources else "",
        "any certificate will do" if network.tls.insecure else "",
        "with a client certificate" if network.tls.cert_file else "",
    ]
    return ", ".join(each for each in said if each)


def _from(network: Network, sources: list[str]) -> Network:
    return msgspec.structs.replace(network, sources=sources)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]) in ipaddress.ip_network("127.0.0.0/8")


def _loopback(index: int) -> str:
    index %= _LOOPBACK_SOURCES
    return f"127.0.{index // 250}.{index % 250 + 2}"


def _absolute(path: str | None) -> str:
    return "" if path is None else os.path.abspath(path)
