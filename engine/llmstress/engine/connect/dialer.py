"""Opening connections: aiohttp's connector opens them (DNS, happy eyeballs, TCP, TLS), then a stream takes them over.

The takeover is asyncio's public `transport.set_protocol`. When a connection ends, aiohttp's own protocol is set again
or is told about the end, so that the connector's bookkeeping stays right.
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
"""From <linux/in.h>: the kernel chooses the port in `connect` instead of `bind`, so the port must be free for this
destination only. Without this option a source address has 28,232 ports for all destinations together, and two workers
can get the same port."""


class ConnectError(Exception):
    """The connection failed; `end` has the class of the failure and its text."""

    def __init__(self, end: End) -> None:
        super().__init__(end.text)
        self.end = end


class _EarlyData:
    """Stores what arrives before the takeover. It has the interface that aiohttp's protocol expects of a parser."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Store `data`. Returns False and no rest, so that aiohttp's protocol passes on the next data as well."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Does nothing: `TakenOver` checks itself whether the connection was closed."""


class _ClosedTransport(asyncio.Transport):
    """Stands for the transport of a connection that was closed before the takeover."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Does nothing: no data will arrive."""

    def write(self, data: object) -> None:
        """Does nothing: the connection is closed."""


class TakenOver:
    """An open connection that aiohttp has handed over: its data goes to the protocol that is attached."""

    __slots__ = ("_connection", "_early", "_gone", "transport")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gone = connection.transport is None
        self.transport = connection.transport or _ClosedTransport()
        self._early = _EarlyData()
        if connection.protocol is not None:
            connection.protocol.set_parser(self._early, None)

    def attach(self, stream: asyncio.Protocol) -> None:
        """From now on the transport delivers data to `stream`."""
        self.transport.set_protocol(stream)

    def catch_up(self, stream: asyncio.Protocol) -> None:
        """Deliver to `stream` what happened before it was attached: a server may send data, or close the connection,
        before it has received a request."""
        if self._early.data:
            stream.data_received(self._early.data)
        if self._gone:
            stream.connection_lost(None)

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection. aiohttp's protocol is told of the end; the attached stream isn't.

        at_once: for a peer that is still sending. Otherwise TLS would send its close notification and wait up to 30 s
        for the peer's, and everything that the peer sends in the meantime would be decrypted for nothing.
        """
        if self._connection.protocol is not None:
            self.transport.set_protocol(self._connection.protocol)
        if at_once:
            self.transport.abort()
        self._connection.close()

    def lost(self, error: Exception | None) -> None:
        """To be called by the attached stream in its `connection_lost`: passes the end on to aiohttp's protocol."""
        if self._connection.protocol is not None and not self._gone:
            self._connection.protocol.connection_lost(error)
        self._connection.close()


class Dialer:
    """Opens connections to one URL."""

    def __init__(self, url: str, network: Network, timeouts: Timeouts) -> None:
        """Reads the TLS files; opens no connection. Connections are opened between `__aenter__` and `__aexit__`.

        Raises:
            OSError: a file that `network` names can't be read.
            ssl.SSLError: a file holds no certificate, no key, or a key of another certificate.
        """
        self._url = URL(url, encoded=True)
        self._network = network
        self._ssl = tls_context(network.tls) if self._url.scheme == "https" else True
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s or None)

    async def __aenter__(self) -> Self:
        self._connector = make_connector(self._network)
        # The connector reads nothing but the destination from a request, so one request serves all connections.
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
        """Open a connection.

        Raises:
            ConnectError: it failed.
        """
        try:
            connection = await self._connector.connect(self._request, [], self._timeout)
        except Exception as error:  # any exception: it ends this request and not the worker
            raise ConnectError(self._end_of(error)) from error
        if connection.transport is None and connection.protocol is not None:
            # The peer has closed the connection before the takeover; aiohttp's protocol knows the reason. Only a
            # refusal by TLS is a failure to connect. Any other end is reported by `catch_up` once a request is sent.
            lost = connection.protocol.exception()
            if lost is not None and (end := self._end_of(lost)).outcome == "tls":
                connection.close()
                raise ConnectError(end)
        return TakenOver(connection)

    def _end_of(self, error: BaseException) -> End:
        return end_of_failed_connect(error, https=self._url.scheme == "https", proxied=bool(self._network.proxy))


def make_connector(network: Network) -> aiohttp.BaseConnector:
    """A connector for these network settings, without a limit on connections. Must be called in a running loop."""
    if network.unix_socket:
        return aiohttp.UnixConnector(network.unix_socket, limit=0)
    families = {ipaddress.ip_address(source).version for source in network.sources}
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[families.pop()] if len(families) == 1 else socket.AF_UNSPEC
    return aiohttp.TCPConnector(
        limit=0,
        ttl_dns_cache=60,
        family=family,
        resolver=_PinnedResolver(network.addresses) if network.addresses else None,
        socket_factory=_SourceSockets(network.sources).open if network.sources else None,
    )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """The TLS context of a client, which offers HTTP/1.1 as the only protocol (ALPN).

    Raises:
        OSError: a file can't be read.
        ssl.SSLError: a file holds no certificate, no key, or a key of another certificate.
    """
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        # With a password given, OpenSSL doesn't ask for one on the terminal: an encrypted key is an error instead.
        context.load_cert_chain(tls.cert_file, tls.key_file or None, password="")
    context.set_alpn_protocols(["http/1.1"])
    return context


class _PinnedResolver(AbstractResolver):
    """Resolves every host to the same given addresses."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The given addresses that are of `family`.

        Raises:
            OSError: none of them is.
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
        """Does nothing: the resolver holds no resources."""


class _SourceSockets:
    """Makes sockets that are bound to the source addresses in turn, separately for IPv4 and IPv6."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = {
            family: itertools.cycle(these)
            for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6))
            if (these := [each for each in addresses if ipaddress.ip_address(each).version == version])
        }

    def open(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket for an entry of `getaddrinfo`, bound to the next source address of its family.

        Raises:
            OSError: the socket can't be created or bound.
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
