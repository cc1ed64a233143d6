"""Connections: aiohttp's connector makes them (DNS, happy eyeballs, TCP, TLS), our protocol takes them over.

The takeover is asyncio's public `transport.set_protocol`. When a connection ends, aiohttp's own protocol is put back
or told, so that the connector's bookkeeping ends too.
"""

import asyncio
import errno
import socket
import ssl
from typing import Self

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from llmstress.engine.control import Timeouts
from llmstress.engine.outcome import End

_CLASS_OF_ERRNO = {
    errno.EADDRINUSE: "local",
    errno.EADDRNOTAVAIL: "local",
    errno.EMFILE: "local",
    errno.ENFILE: "local",
    errno.ENOBUFS: "local",
    errno.ENOMEM: "local",
    errno.ECONNREFUSED: "connect_refused",
    errno.ECONNRESET: "reset",
    errno.ETIMEDOUT: "connect_timeout",
}
"""Anything else (no route, network down) is `unreachable`."""


class ConnectError(Exception):
    """No connection: `end` says which class of failure that is, and why."""

    def __init__(self, end: End) -> None:
        super().__init__(end.text)
        self.end = end


class _Early:
    """What aiohttp's protocol gives what it has read to: it keeps it for whoever reads next."""

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

    def catch_up(self, protocol: asyncio.Protocol) -> None:
        """Tell our protocol what happened before it took over: a server may speak, and leave, before it is asked."""
        if self._early.data:
            protocol.data_received(self._early.data)
        if self._gone:
            protocol.connection_lost(None)

    def close(self) -> None:
        """Close it; aiohttp's protocol hears of the end, ours doesn't."""
        if self._connection.protocol is not None:
            self.transport.set_protocol(self._connection.protocol)
        self._connection.close()

    def lost(self, error: Exception | None) -> None:
        """Our protocol heard that it is gone: tell aiohttp's."""
        if self._connection.protocol is not None and not self._gone:
            self._connection.protocol.connection_lost(error)
        self._connection.close()


class Dialer:
    """Opens connections to one URL."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self._url = URL(url)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s or None)

    async def __aenter__(self) -> Self:
        self._connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)
        # all that the connector wants of a request is where to connect to: one serves every connection
        self._request = aiohttp.ClientRequest("GET", self._url, loop=asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connector.close()

    async def open(self) -> TakenOver:
        """Make a connection.

        Raises:
            ConnectError: none could be made.
        """
        try:
            return TakenOver(await self._connector.connect(self._request, [], self._timeout))
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            end = end_of_failed_connect(error)
            if end.outcome == "reset" and self._url.scheme == "https":
                end = End("tls", f"lost within the TLS handshake: {end.text}")
            raise ConnectError(end) from error


def end_of_failed_connect(error: Exception) -> End:
    """The class of failure that an exception of the connector means, with its words."""
    # the connector's own words name a TLS setting even where there is no TLS
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    text = str(cause) or type(cause).__name__
    match error:
        case TimeoutError():
            return End("connect_timeout", "no connection within the limit")
        case aiohttp.ClientConnectorDNSError() | socket.gaierror() | UnicodeError():  # no name can be like that
            return End("dns", text)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return End("proxy", text)
        case aiohttp.ClientSSLError() | ssl.SSLError() | ssl.CertificateError():
            return End("tls", text)
        case _ if isinstance(cause, ConnectionResetError):  # uvloop's own comes without a number
            return End("reset", text)
        case OSError(errno=int(number)):
            return End(_CLASS_OF_ERRNO.get(number, "unreachable"), text)
    return End("unreachable", text)
