"""The event loop of a worker: uvloop's, with a cheaper way to connect."""

import asyncio
import errno
import os
import socket
from typing import Any

import uvloop


class Loop(uvloop.Loop):
    """uvloop's loop, but for `sock_connect`.

    uvloop's own asks `getaddrinfo` in a thread for addresses that are numbers already, as the connector's always are:
    of 131 µs that a connection took, 75.
    """

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket that doesn't block.

        Raises:
            OSError: it can't be connected; the number says why.
        """
        number = sock.connect_ex(address)
        if number == errno.EINPROGRESS:
            writable: asyncio.Future[None] = self.create_future()
            self.add_writer(sock.fileno(), _note, writable)
            try:
                await writable
            finally:
                self.remove_writer(sock.fileno())
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))


def _note(writable: "asyncio.Future[None]") -> None:
    if not writable.done():
        writable.set_result(None)
