"""The coordinator's ZeroMQ socket for workers: a ROUTER on a private ipc path; each worker connects with a DEALER."""

from pathlib import Path
from typing import Self

import msgspec
import zmq
import zmq.asyncio

from llmstress.engine.control import FromWorker, ToWorker
from llmstress.engine.uplink import MAX_MESSAGE

_LINGER_MS = 1000


class Hub:
    """Sends messages to workers and receives theirs; a worker is addressed by its number."""

    def __init__(self, directory: Path, workers: int) -> None:
        """
        Args:
            directory: private to this user, with a short path (ipc paths are limited to 107 bytes).
            workers: number of workers; messages with a higher worker number are dropped.
        """
        self.endpoint = f"ipc://{directory / 'hub'}"
        self._encode = msgspec.msgpack.Encoder().encode
        self._workers = range(workers)
        self._decode = msgspec.msgpack.Decoder(FromWorker).decode

    async def __aenter__(self) -> Self:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = _LINGER_MS
        self._socket.maxmsgsize = MAX_MESSAGE
        self._socket.router_mandatory = True
        self._socket.bind(self.endpoint)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()

    async def receive(self) -> FromWorker:
        """The next message of a worker. Invalid messages, and those of other peers, are dropped."""
        while True:
            frames = await self._socket.recv_multipart()
            try:
                message: FromWorker | None = self._decode(frames[-1])
            except (ValueError, RecursionError):  # text that isn't UTF-8 raises UnicodeDecodeError, not DecodeError
                message = None
            if message is None or message.worker not in self._workers:
                continue
            if frames[0] == identity_of(message.worker):
                return message

    async def send(self, worker: int, message: ToWorker) -> bool:
        """Send to one worker; returns False if it is not connected."""
        try:
            await self._socket.send_multipart([identity_of(worker), self._encode(message)])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True


def identity_of(worker: int) -> bytes:
    """The ZeroMQ identity of a worker."""
    return b"worker-%d" % worker
