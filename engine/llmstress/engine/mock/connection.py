"""A client connection: receives requests and sends their answers one after the other."""

import asyncio
import fcntl
import os
import socket
import struct
import sys
import termios
from typing import cast

from llmstress.engine.mock.endings import Termination
from llmstress.engine.mock.http import Request, RequestError, RequestParser
from llmstress.engine.mock.pacer import PacedAnswer, Pacer, clock_us
from llmstress.engine.mock.replies import Job
from llmstress.engine.mock.service import Response, Service

_UNREAD_LIMIT = 64 * 1024
"""Bytes of further requests that are accepted while the client has not read the earlier answers."""


class ClientConnection(asyncio.Protocol):
    """Implements `pacer.Sink`.

    While the transport's buffer is empty, bytes are written directly to the socket, which costs a fraction of a write
    through the transport. The transport writes the bytes that the socket does not take.
    """

    __slots__ = (
        "_answer",
        "_arrived",
        "_connections",
        "_full",
        "_keep_alive",
        "_number",
        "_pacer",
        "_parser",
        "_reading",
        "_service",
        "_transport",
        "fd",
    )

    def __init__(self, service: Service, pacer: Pacer, connections: "set[ClientConnection]") -> None:
        self._service = service
        self._pacer = pacer
        self._connections = connections
        self._parser = RequestParser()
        self._answer: PacedAnswer | None = None
        self._transport: asyncio.Transport | None = None
        self._arrived = 0
        """Stamp of the last read while no answer was being sent."""
        self._keep_alive = True
        self._full = False
        self._reading = True
        self._number = 0
        self.fd = -1

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self.fd = transport.get_extra_info("socket").fileno()
        self._connections.add(self)
        self._pacer.record.truth.connections += 1
        self._number = self._pacer.record.truth.connections

    def connection_lost(self, exc: Exception | None) -> None:
        """Abort the current answer. The event loop calls this before it closes the descriptor."""
        self._transport = None
        self._connections.discard(self)
        if self._answer is not None:
            self._answer.abort()
            self._answer = None

    def data_received(self, data: bytes) -> None:
        """Parse the bytes and answer complete requests."""
        self._parser.feed(data)
        if self._answer is None:
            self._arrived = clock_us()
            self._serve()
        self._adjust_reading()

    def pause_writing(self) -> None:
        """Stop writing: the transport's buffer exceeds its high-water mark, 64 KiB."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on writing: most of the transport's buffer is written."""
        self._full = False
        if self._answer is not None:
            self._answer.resume()
        else:
            self._serve()
        self._adjust_reading()

    # pacer.Sink

    def buffer_empty(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def buffer_full(self) -> bool:
        return self._full

    def undelivered(self) -> bool:
        if self._transport is None:
            return False
        return self._transport.get_write_buffer_size() > 0 or _unacknowledged(self.fd) > 0

    def send(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self.buffer_empty():
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.client_gone()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(data)

    def send_bytewise(self, data: bytes) -> None:
        for at in range(len(data)):
            self.send(data[at : at + 1])

    def client_gone(self) -> None:
        self.abort()

    def answer_done(self, termination: Termination) -> None:
        self._answer = None
        self._terminate(termination)
        self._arrived = clock_us()
        self._serve()
        self._adjust_reading()

    def unfreeze(self) -> None:
        self._serve()
        self._adjust_reading()

    def abort(self) -> None:
        """Close the connection at once and discard unsent bytes."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    # requests

    def _serve(self) -> None:
        """Answer the complete requests, up to the first one whose answer takes time."""
        while self._answer is None and self._transport is not None and not self._full:
            if self._pacer.hold_if_frozen(self):
                return
            try:
                request = self._parser.take()
            except RequestError as error:
                self._keep_alive = False
                self._respond(self._service.unparsable(error.status, str(error), self._parser.head_only))
                return
            if request is None:
                if self._parser.take_continue():
                    self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._keep_alive = request.keep_alive
            self._answer_to(request)

    def _answer_to(self, request: Request) -> None:
        todo = self._service.respond(request, self._number)
        match todo:
            case Response() if request.method == "HEAD":
                self._respond(todo._replace(data=todo.data[: todo.data.index(b"\r\n\r\n") + 4]))
            case Response():
                self._respond(todo)
            case Job():
                self._keep_alive = todo.keep_alive
                self._answer = self._pacer.start(self, todo, self._arrived)
                if todo.head:
                    self._pacer.record.responded(200)
                    (self.send_bytewise if todo.reply.one_byte_writes else self.send)(todo.head)
            case Termination():
                self._terminate(todo)

    def _respond(self, response: Response) -> None:
        self._pacer.record.responded(response.status)
        self.send(response.data)
        self._terminate(Termination.COMPLETE)

    def _terminate(self, termination: Termination) -> None:
        """Keep, close or reset the connection after a response."""
        if self._transport is None:
            return
        if termination is Termination.RESET:
            # a copy of the descriptor, because the transport keeps and closes its own
            with socket.socket(fileno=os.dup(self.fd)) as copy:
                copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif termination is Termination.CLOSE or not self._keep_alive:
            self._transport.close()
        else:
            return
        self._transport = None

    def _adjust_reading(self) -> None:
        """Stop reading from a client that sends requests faster than it reads the answers."""
        if self._transport is None:
            return
        waiting = self._answer is not None or self._full
        wanted = not (waiting and self._parser.unread > _UNREAD_LIMIT)
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()


def _unacknowledged(fd: int) -> int:
    """Number of bytes in the kernel that the client has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)


class TlsClientConnection(ClientConnection):
    """A connection whose bytes all go through the transport, which encrypts them."""

    __slots__ = ()

    def buffer_empty(self) -> bool:
        """Always false, so that nothing is written directly to the socket."""
        return False
