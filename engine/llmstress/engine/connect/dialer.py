"""Connections: aiohttp's connector makes them (DNS, happy eyeballs, TCP, TLS), our protocol takes them over.

The takeover is asyncio's public `transport.set_protocol`. When a connection ends, aiohttp's own protocol is put back
or told, so that the connector's bookkeeping ends too.
"""

import asyncio
import ipaddress
import itertools
import socket
import ssl
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from llmstress.engine.connect.connect_errors import end_of_failed_connect
from llmstress.engine.control import Network, Timeouts, Tls
from llmstress.engine.outcome import End

_IP_BIND_ADDRESS_NO_PORT = 24
"""<linux/in.h>: the port is chosen when the connection is made, and has to be free for its destination only. Without
it a source address has 28,232 ports for all destinations together, and two workers can be given the same one."""


class ConnectError(Exception):
    """No connection: `end` says which class of failure that is, and why."""

    def __init__(self, end: End) -> None:
        super().__init__(end.text)
        self.end = end


class _Early:
    """What aiohttp's protocol gives what it has read to: it keeps it for whoever reads next."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """See above."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """The connection is gone."""


class _NoTransport(asyncio.Transport):
    """Of a connection that was gone before it could be taken over."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nothing will come."""

    def write(self, data: object) -> None:
        """Nobody listens."""


class TakenOver:
    """A connection whose bytes go to a protocol of our own."""

    __slots__ = ("_connection", "_early", "_gone", "transport")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gone = connection.transport is None
        self.transport = connection.transport or _NoTransport()
        self._early = _Early()
        if connection.protocol is not None:
            connection.protocol.set_parser(self._early, None)

    def attach(self, stream: asyncio.Protocol) -> None:
        """Deliver what the connection brings from now on to `stream`."""
        self.transport.set_protocol(stream)

    def catch_up(self, stream: asyncio.Protocol) -> None:
        """Deliver what happened before the stream was attached: a server may speak, and leave, before it is asked."""
        if self._early.data:
            stream.data_received(self._early.data)
        if self._gone:
            stream.connection_lost(None)

    def close(self, *, at_once: bool = False) -> None:
        """Close it; aiohttp's protocol hears of the end, ours doesn't.

        at_once: the peer is still sending. TLS would say goodbye and wait up to 30 s for the answer, and what a peer
        that doesn't listen sends meanwhile would be decrypted for nobody.
        """
        if self._connection.protocol is not None:
            self.transport.set_protocol(self._connection.protocol)
        if at_once:
            self.transport.abort()
        self._connection.close()

    def lost(self, error: Exception | None) -> None:
        """Our protocol heard that it is gone: tell aiohttp's."""
        if self._connection.protocol is not None and not self._gone:
            self._connection.protocol.connection_lost(error)
        self._connection.close()


class Dialer:
    """Opens connections to one URL."""

    def __init__(self, url: str, network: Network, timeouts: Timeouts) -> None:
        """Nothing is opened yet.

        Raises:
            OSError, ssl.SSLError: a file that `network` names can't be read or isn't what it should be.
        """
        self._url = URL(url, encoded=True)
        self._network = network
        self._ssl = tls_context(network.tls) if self._url.scheme == "https" else True
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s or None)

    async def __aenter__(self) -> Self:
        self._connector = make_connector(self._network)
        # all that the connector wants of a request is where to connect to: one serves every connection
        self._request = aiohttp.ClientRequest(
            "GET",
            self._url,
            loop=asyncio.get_running_loop(),
            proxy=URL(self._network.proxy) if self._network.proxy else None,
            ssl=self._ssl,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connector.close()

    async def open(self) -> TakenOver:
        """Make a connection.

        Raises:
            ConnectError: none could be made.
        """
        try:
            connection = await self._connector.connect(self._request, [], self._timeout)
        except Exception as error:  # whatever it is: it ends this request, not the worker
            raise ConnectError(self._end_of(error)) from error
        if connection.transport is None and connection.protocol is not None:
            # the peer has closed it before we could take it over; aiohttp's protocol was told why
            lost = connection.protocol.exception()
            if lost is not None and (end := self._end_of(lost)).outcome == "tls":
                connection.close()
                raise ConnectError(end)
        return TakenOver(connection)

    def _end_of(self, error: BaseException) -> End:
        return end_of_failed_connect(error, https=self._url.scheme == "https", proxied=bool(self._network.proxy))


def make_connector(network: Network) -> aiohttp.BaseConnector:
    """A connector that goes that way, without any limit of its own; to be made inside a running loop."""
    if network.unix_socket:
        return aiohttp.UnixConnector(network.unix_socket, limit=0)
    families = {ipaddress.ip_address(source).version for source in network.sources}
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[families.pop()] if len(families) == 1 else socket.AF_UNSPEC
    return aiohttp.TCPConnector(
        limit=0,
        ttl_dns_cache=60,
        family=family,
        resolver=_Pinned(network.addresses) if network.addresses else None,
        socket_factory=_Sources(network.sources).open if network.sources else None,
    )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What a TLS client needs; HTTP/1.1 is the only protocol that it offers.

    Raises:
        OSError: a file can't be read.
        ssl.SSLError: a file holds no certificate, no key, or a key of another certificate.
    """
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        # a key that is encrypted must not ask a terminal that isn't there
        context.load_cert_chain(tls.cert_file, tls.key_file or None, password="")
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Pinned(AbstractResolver):
    """Says that every host is at the same addresses."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `family`.

        Raises:
            OSError: there are none.
        """
        found = []
        for address in self._addresses:
            kind = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
            if family in (socket.AF_UNSPEC, kind):
                found.append(
                    ResolveResult(
                        hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
                    )
                )
        if not found:
            raise OSError(None, f"no pinned address of {host} suits the source addresses")
        return found

    async def close(self) -> None:
        """Nothing to close."""


class _Sources:
    """Sockets bound to one source address after the other."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = {
            family: itertools.cycle(these)
            for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6))
            if (these := [each for each in addresses if ipaddress.ip_address(each).version == version])
        }

    def open(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket for an entry of `getaddrinfo`.

        Raises:
            OSError: it can't be made, or can't be bound.
        """
        family, kind, protocol, _, _ = info
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            if (addresses := self._addresses.get(socket.AddressFamily(family))) is not None:
                made.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                source = next(addresses)
                try:
                    made.bind((source, 0))
                except OSError as error:
                    raise OSError(error.errno, f"cannot connect from {source}: {error.strerror}") from error
        except OSError:
            made.close()
            raise
        return made
