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


class TakenOver:
    """A connection whose bytes go to a protocol of our own."""

    __slots__ = ("_connection", "transport")

    def __init__(self, connection: Connection) -> None:
        assert connection.transport is not None
        self.transport = connection.transport
        self._connection = connection

    def close(self) -> None:
        """Close it; aiohttp's protocol hears of the end, ours doesn't."""
        if self._connection.protocol is not None:
            self.transport.set_protocol(self._connection.protocol)
        self._connection.close()

    def lost(self, error: Exception | None) -> None:
        """Our protocol heard that it is gone: tell aiohttp's."""
        if self._connection.protocol is not None:
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
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectError(end_of_failed_connect(error)) from error


def end_of_failed_connect(error: Exception) -> End:
    """The class of failure that an exception of the connector means, with its words."""
    # the connector's own words name a TLS setting even where there is no TLS
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    text = str(cause) or type(error).__name__
    match error:
        case TimeoutError():
            return End("connect_timeout", "no connection within the limit")
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return End("dns", text)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return End("proxy", text)
        case aiohttp.ClientSSLError() | ssl.SSLError() | ssl.CertificateError():
            return End("tls", text)
        case OSError(errno=int(number)):
            return End(_CLASS_OF_ERRNO.get(number, "unreachable"), text)
    return End("unreachable", text)
