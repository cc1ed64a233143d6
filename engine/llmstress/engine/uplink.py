"""A worker's socket to the coordinator: one ZeroMQ DEALER, which is never read or written in blocking mode."""

import asyncio
from typing import TypeVar

import msgspec
import zmq

from llmstress.engine.control import FromWorker, ToWorker

MAX_MESSAGE = 64 * 1024 * 1024
"""Largest message in either direction, in bytes. A delta has a few kilobytes."""

HIGH_WATER = 4
"""Number of queued messages from which on sending fails. A delta that can't be sent is merged into the next one."""

_Message = TypeVar("_Message")


class Uplink:
    """Sends `FromWorker` and receives `ToWorker` messages over `endpoint`."""

    def __init__(self, endpoint: str, identity: bytes) -> None:
        self._context = zmq.Context()
        socket = self._socket = self._context.socket(zmq.DEALER)
        socket.identity = identity
        socket.linger = 2000
        socket.set_hwm(HIGH_WATER)
        socket.maxmsgsize = MAX_MESSAGE
        socket.immediate = True
        socket.connect(endpoint)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ToWorker).decode
        self._inbox: asyncio.Queue[ToWorker] = asyncio.Queue()
        self._fd = socket.fileno()
        asyncio.get_running_loop().add_reader(self._fd, self._drain)
        self._drain()

    def close(self) -> None:
        """Close the socket. Blocks for up to 2 s until the queued messages are sent."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self._socket.close()
        self._context.term()

    def try_send(self, message: FromWorker) -> bool:
        """Send unless the queue is full. Returns whether the message was sent."""
        try:
            self._socket.send(self._encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            # ZeroMQ's descriptor is edge-triggered, and `send` may have consumed the edge of a message to read.
            self._drain()
        return True

    async def send(self, message: FromWorker) -> None:
        """Send; waits while the queue is full."""
        while not self.try_send(message):
            await asyncio.sleep(0.01)

    async def receive(self) -> ToWorker:
        """Wait for the next message."""
        return await self._inbox.get()

    async def expect(self, kind: type[_Message]) -> _Message:
        """Wait for the next message, which must be of `kind`.

        Raises:
            RuntimeError: it is of another kind.
        """
        message = await self.receive()
        if not isinstance(message, kind):
            raise RuntimeError(f"expected {kind.__name__}, got {type(message).__name__}")
        return message

    def _drain(self) -> None:
        while True:
            try:
                self._inbox.put_nowait(self._decode(self._socket.recv(zmq.NOBLOCK)))
            except zmq.Again:
                return
