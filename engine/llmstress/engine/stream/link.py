"""A connection as a stream sees it."""

import asyncio
from typing import Any, Protocol


class Link(Protocol):
    """A connection, with the way back to the bookkeeping of the connector that made it.

    The link decides how bytes come in: it delivers them to the stream that is attached to it, in order, each read with
    the stamp of its arrival. Writing and closing go through the transport.
    """

    transport: asyncio.Transport

    def attach(self, stream: Any) -> None:
        """Deliver what the connection brings from now on to `stream`."""

    def catch_up(self, stream: Any) -> None:
        """Deliver what came, and the end of the connection, before the stream was attached."""

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection, at once if the peer is still sending; the stream is told nothing more of it."""

    def lost(self, error: Exception | None) -> None:
        """The connection has ended by itself; `error`: why, if it was not closed properly."""


class Dials(Protocol):
    """Opens connections to one origin."""

    async def open(self) -> Link:
        """Open one.

        Raises:
            ConnectError: no connection could be made.
        """
