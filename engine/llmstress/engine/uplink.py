"""A worker's end of the line to the coordinator: one ZeroMQ DEALER, read and written without ever blocking."""

import asyncio
from typing import TypeVar

import msgspec
import zmq

from llmstress.engine.control import FromWorker, ToWorker

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message in either direction; a delta is a few kilobytes."""

HIGH_WATER = 4
"""Messages queued before sending fails: deltas that can't be sent are merged into the next one instead."""

_Word = TypeVar("_Word")


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
        """Close the line; what is queued still gets up to 2 s to leave."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self._socket.close()
        self._context.term()

    def try_send(self, message: FromWorker) -> bool:
        """Send unless the line is full; says whether it was sent."""
        try:
            self._socket.send(self._encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            # ZeroMQ's descriptor is edge-triggered and sending may have eaten the edge of something to read
            self._drain()
        return True

    async def send(self, message: FromWorker) -> None:
        """Send, waiting for room."""
        while not self.try_send(message):
            await asyncio.sleep(0.01)

    async def receive(self) -> ToWorker:
        """The next message."""
        return await self._inbox.get()

    async def expect(self, kind: type[_Word]) -> _Word:
        """The next message, which must be of `kind`.

        Raises:
            RuntimeError: it is another one.
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
