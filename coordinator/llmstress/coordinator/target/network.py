"""The network path to the target: proxy, addresses, source addresses, TLS; checked before the first request."""

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import ssl
import stat
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart, UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import ip_version, is_address
from llmstress.coordinator.config.target_url import Target, redact_invalid_url, redact_url, split_url
from llmstress.engine.connect.dialer import tls_context
from llmstress.engine.control import Network, Tls

DNS_LIMIT_S = 3.0
"""Time limit for the DNS query for the target."""

PROXY_FLAG = "--proxy"

_LONGEST_PATH = 107
"""Most bytes of the path of a Unix socket (Linux)."""

_LOOPBACK_SOURCES = 250 * 250
"""Number of loopback source addresses: from 127.0.0.2 on, without the first two and last addresses of each block."""


def network_of(options: Options, target: Target, environ: Mapping[str, str]) -> Network:
    """How workers reach `target`, without the source addresses that `with_sources` gives to each.

    Raises:
        UsageError: options contradict each other or the URL, or name a file or an address that can't be used.
    """
    split = urlsplit(target.url)
    host, port = split.hostname or "", split.port or (443 if split.scheme == "https" else 80)
    _check_scheme(options, split.scheme)
    addresses: list[str] = []
    for entry in options.resolve:
        if (entry.host, entry.port) != (host.lower(), port):
            raise UsageError(f"--resolve names {entry.host}:{entry.port}, but the target is {host}:{port}")
        if is_address(host):
            raise UsageError(f"--resolve has no effect for {host}, which is an address; use a host name in --url")
        addresses += entry.addresses
    proxy = proxy_for(options, split.scheme, host, environ)
    if proxy and addresses:
        raise UsageError("--resolve has no effect with a proxy, because the proxy resolves the host; add --proxy none")
    for source in options.source_ips:
        _check_source(source)
    if options.unix_socket is not None:
        _check_unix_socket(_absolute(options.unix_socket))
    tls = Tls(
        ca_file=_absolute(options.cacert),
        insecure=options.insecure,
        cert_file=_absolute(options.cert),
        key_file=_absolute(options.key),
    )
    _check_tls(tls)
    return Network(addresses, list(options.source_ips), proxy, _absolute(options.unix_socket), tls)


def _check_scheme(options: Options, scheme: str) -> None:
    if scheme == "https" and options.unix_socket is not None:
        raise UsageError("--unix-socket works only with an http URL, because TLS over it is not supported")
    if scheme == "http":
        given = {
            "--cacert": options.cacert is not None,
            "--insecure": options.insecure,
            "--cert": options.cert is not None,
        }
        for flag in (flag for flag, is_given in given.items() if is_given):
            raise UsageError(f"{flag} has no effect with an http URL; drop it, or use https")


def _check_source(source: str) -> None:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    try:
        with socket.socket(family) as sock:
            sock.bind((source, 0))
    except OSError as error:
        why = "this machine has no such address" if error.errno == errno.EADDRNOTAVAIL else error.strerror
        raise UsageError(
            f"--source-ip {source}: {why}; use an address of this machine (`ip addr` lists them)"
        ) from None


def _check_unix_socket(path: str) -> None:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UsageError(f"--unix-socket {path}: the path is longer than {_LONGEST_PATH} bytes")
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise UsageError(f"--unix-socket {path}: {error.strerror}") from None
    if not is_socket:
        raise UsageError(f"--unix-socket {path}: not a socket")


def _check_tls(tls: Tls) -> None:
    """Check the certificate and key files one by one, so that an error names the right flag."""
    if tls.ca_file:
        _try_tls("--cacert", tls.ca_file, Tls(ca_file=tls.ca_file), "the file contains no certificate (PEM)")
    if not tls.cert_file:
        return
    key_flag, key_file = ("--key", tls.key_file) if tls.key_file else ("--cert", tls.cert_file)
    for flag, path in (("--cert", tls.cert_file), (key_flag, key_file)):
        _try_open(flag, path)
    if "CERTIFICATE-----" not in _text(tls.cert_file):
        raise UsageError(f"--cert {tls.cert_file}: the file contains no certificate (PEM)")
    if "PRIVATE KEY-----" not in _text(key_file):
        way_out = "" if tls.key_file else "; name the file with the key with --key"
        raise UsageError(f"{key_flag} {key_file}: the file contains no private key (PEM){way_out}")
    if "ENCRYPTED" in _text(key_file):
        raise UsageError(f"{key_flag} {key_file}: the private key is encrypted; decrypt it first (openssl pkey)")
    _try_tls(key_flag, key_file, Tls(cert_file=tls.cert_file, key_file=tls.key_file), "certificate or key is damaged")


def _try_tls(flag: str, path: str, tls: Tls, otherwise: str) -> None:
    _try_open(flag, path)
    try:
        tls_context(tls)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        raise UsageError(
            f"{flag} {path}: {'the key belongs to another certificate' if mismatch else otherwise}"
        ) from None


def _try_open(flag: str, path: str) -> None:
    """
    Raises:
        UsageError: `path` is not a readable file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(f"{flag} {path}: not a file")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UsageError(f"{flag} {path}: {error.strerror}") from None


def _text(path: str) -> str:
    with open(path, encoding="latin-1") as file:
        return file.read()


def proxy_for(options: Options, scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """URL of the proxy: that of `--proxy`, else that of the environment by curl's rules; empty: no proxy.

    Raises:
        UsageError: it is not an http URL.
    """
    flag = proxy_flag(options, scheme, host, environ)
    if not flag:
        return ""
    url = options.proxy or ""
    if flag != PROXY_FLAG:
        flag, url = f"the environment's {flag} (--proxy none ignores it)", environ[flag]
    if "://" not in url:
        url = f"http://{url}"
    split = split_url(url)
    if split is None or split.scheme != "http":
        raise UsageError(
            f"{flag} needs the URL of an HTTP proxy like http://proxy:3128, not {redact_invalid_url(url)!r}"
        )
    return url


def proxy_flag(options: Options, scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """Where the proxy is set: `--proxy`, or the name of an environment variable; empty: there is no proxy."""
    if options.unix_socket is not None or options.proxy == "none":
        return ""
    if options.proxy is not None:
        return PROXY_FLAG
    name = _set_in(environ, f"{scheme}_proxy", "all_proxy")
    return "" if _bypassed(host, environ.get(_set_in(environ, "no_proxy"), "")) else name


def _set_in(environ: Mapping[str, str], *names: str) -> str:
    """The first variable that is set and not empty; lower case comes before upper case. Empty: there is none."""
    return next((each for name in names for each in (name, name.upper()) if environ.get(each)), "")


def _bypassed(host: str, no_proxy: str) -> bool:
    """Whether `no_proxy` covers the host: by `*`, its name, a parent domain, its address or a network (CIDR)."""
    host = host.lower().rstrip(".")
    for entry in no_proxy.lower().replace(",", " ").split():
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False):
                return True
        except ValueError:  # the host or the entry is a name
            name = entry.strip(".")
            if name in ("*", host) or host.endswith(f".{name}"):
                return True
    return False


async def resolve(network: Network, target: Target) -> list[str]:
    """The addresses that connections will go to: those of `--resolve`, else those that DNS returns.

    Empty if DNS returns none, and for a Unix socket.

    Raises:
        CouldNotStart: DNS does not answer within `DNS_LIMIT_S`.
        UsageError: a source address and the target's addresses belong to different families.
    """
    if network.unix_socket:
        return []
    split = urlsplit(network.proxy or target.url)
    addresses = network.addresses
    if not addresses:
        try:
            async with asyncio.timeout(DNS_LIMIT_S):
                addresses = await _ask_dns(split.hostname or "", split.port or 0)
        except TimeoutError:
            raise CouldNotStart(
                f"DNS did not resolve {split.hostname} within {DNS_LIMIT_S:g} s; set its address with --resolve"
            ) from None
    versions = {ip_version(address) for address in addresses}
    for source in network.sources:
        if addresses and ip_version(source) not in versions:
            raise UsageError(
                f"--source-ip {source}: the target has no address of that family, only {', '.join(addresses)}"
            )
    return addresses


async def _ask_dns(host: str, port: int) -> list[str]:
    """The addresses of `host`. The query runs in a daemon thread: a thread of the loop's executor that still waits for
    DNS would delay the exit of the process."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[str]] = loop.create_future()

    def answer(addresses: list[str]) -> None:
        if not answered.done():
            answered.set_result(addresses)

    def ask() -> None:
        try:
            # AI_ADDRCONFIG as in the connector: no addresses of a family that this machine has no address of
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except (OSError, UnicodeError):  # UnicodeError: a label is empty or longer than 63 characters
            found = []
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(answer, sorted({str(entry[4][0]) for entry in found}))

    threading.Thread(target=ask, daemon=True).start()
    return await answered


def with_sources(network: Network, addresses: list[str], shares: list[int], ports: int) -> list[Network]:
    """`network` for each worker, with source addresses of its own where one address has too few ports.

    A source address has `ports` ports for each address that it connects to. Every address in 127.0.0.0/8 is local, so
    for a loopback target each worker gets source addresses of its own; for other targets the user has to name them.
    Only half of the ports are used: Linux searches the ports of one parity first, and finds the last of them slowly.
    """
    each = max(1, ports // 2)
    if network.sources:
        rotated = [worker % len(network.sources) for worker in range(len(shares))]
        return [_from(network, network.sources[at:] + network.sources[:at]) for at in rotated]
    versions = {ip_version(address) for address in addresses if not _is_loopback(address)}
    if sum(shares) <= each or 4 in versions or not any(_is_loopback(address) for address in addresses):
        return [network] * len(shares)
    made, used = [], 0
    for share in shares:
        need = max(1, -(-share // each))
        made.append(_from(network, [_loopback(used + index) for index in range(need)]))
        used += need
    return made


def describe_way(networks: list[Network]) -> str:
    """Proxy, socket, addresses and TLS options, for a line of the banner; empty if all are the default."""
    network = networks[0]
    sources = {source for each in networks for source in each.sources}
    parts = [
        f"through the proxy {redact_url(network.proxy)}" if network.proxy else "",
        f"over the Unix socket {network.unix_socket}" if network.unix_socket else "",
        f"to {', '.join(network.addresses)}" if network.addresses else "",
        f"from {sources.pop()}" if len(sources) == 1 else f"from {len(sources)} source addresses" if sources else "",
        "without checking certificates" if network.tls.insecure else "",
        "with a client certificate" if network.tls.cert_file else "",
    ]
    return ", ".join(each for each in parts if each)


def _from(network: Network, sources: list[str]) -> Network:
    return msgspec.structs.replace(network, sources=sources)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]) in ipaddress.ip_network("127.0.0.0/8")


def _loopback(index: int) -> str:
    index %= _LOOPBACK_SOURCES
    return f"127.0.{index // 250}.{index % 250 + 2}"


def _absolute(path: str | None) -> str:
    return "" if path is None else os.path.abspath(path)
