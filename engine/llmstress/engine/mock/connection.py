"""One client connection: requests in, answers out, one after the other."""

import asyncio
import os
import time
from typing import cast

from llmstress.engine.mock.answering import answer_to
from llmstress.engine.mock.cutting import StreamedReply, WholeReply
from llmstress.engine.mock.heads import response, stream_head
from llmstress.engine.mock.http import Headers, Request, RequestError, RequestParser
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.pacer import Answer, Pacer
from llmstress.engine.mock.routes import Refusal, find, models_body
from llmstress.engine.mock.speech import openai_chat
from llmstress.engine.mock.speech.dialect import Dialect
from llmstress.engine.mock.speech.said import Asked

_SURPLUS_LIMIT = 64 * 1024
"""Bytes of further requests taken from a client while it still owes us the reading of earlier answers."""


class Connection(asyncio.Protocol):
    """Implements `pacer.Sink`.

    Writes go to the socket directly, at a fraction of what the transport costs, as long as the transport
    holds nothing back; what the socket doesn't take is the transport's to write.
    """

    __slots__ = (
        "_answer",
        "_everyone",
        "_full",
        "_keep_alive",
        "_options",
        "_pacer",
        "_parser",
        "_reading",
        "_transport",
        "fd",
    )

    def __init__(self, options: MockOptions, pacer: Pacer, everyone: "set[Connection]") -> None:
        self._options = options
        self._pacer = pacer
        self._everyone = everyone
        self._parser = RequestParser()
        self._answer: Answer | None = None
        self._transport: asyncio.Transport | None = None
        self._keep_alive = True
        self._full = False
        self._reading = True
        self.fd = -1

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self.fd = transport.get_extra_info("socket").fileno()
        self._everyone.add(self)
        self._pacer.record.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, before it closes the descriptor."""
        self._transport = None
        self._everyone.discard(self)
        if self._answer is not None:
            self._answer.abort()
            self._answer = None

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._parser.feed(data)
        if self._answer is None:
            self._serve()
        self._adjust_reading()

    def pause_writing(self) -> None:
        """Called by the event loop when the transport holds more than its high-water mark, 64 KiB."""
        self._full = True

    def resume_writing(self) -> None:
        """Called by the event loop when most of it is written."""
        self._full = False
        if self._answer is not None:
            self._answer.resume()
        else:
            self._serve()
        self._adjust_reading()

    # pacer.Sink

    def clear(self) -> bool:
        """See `Sink`."""
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def full(self) -> bool:
        """See `Sink`."""
        return self._full

    def send(self, data: bytes) -> None:
        """See `Sink`."""
        if self._transport is None:
            return
        if self.clear():
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.broken()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(data)

    def broken(self) -> None:
        """See `Sink`."""
        self.abort()

    def answered(self) -> None:
        """See `Sink`."""
        self._answer = None
        self._close_or_go_on()
        self._serve()
        self._adjust_reading()

    def abort(self) -> None:
        """Drop the client and what is meant for it."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    # requests

    def _serve(self) -> None:
        """Answer the requests that are complete, up to the first one whose answer takes time."""
        while self._answer is None and self._transport is not None and not self._full:
            try:
                request = self._parser.take()
            except RequestError as error:
                self._keep_alive = False
                self.send(self._error(openai_chat, Refusal(error.status, str(error))))
                self._close_or_go_on()
                return
            if request is None:
                if self._parser.take_continue():
                    self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._keep_alive = request.keep_alive
            response = self._route(request)
            if response is not None:
                self.send(response)
                self._close_or_go_on()

    def _route(self, request: Request) -> bytes | None:
        """The response to a request; None if it is an answer that the pacer writes."""
        route = find(request)
        if route.refusal is not None:
            return self._error(route.dialect, route.refusal)
        if route.lists_models:
            return self._response(200, models_body(self._options.model), route.dialect.headers(self._new_id()))
        try:
            asked = route.dialect.read(request)
        except ValueError as error:
            return self._error(route.dialect, Refusal(400, f"invalid request: {error}"))
        self._begin(route.dialect, asked, chunked=not request.http_1_0)
        return None

    def _begin(self, dialect: Dialect, asked: Asked, *, chunked: bool) -> None:
        said = answer_to(asked, self._options, id=self._new_id(), created=int(time.time()))
        speech = dialect.speak(said, asked)
        headers = dialect.headers(said.id)
        if not asked.stream:
            whole = WholeReply(said, speech, headers=headers, keep_alive=self._keep_alive)
            self._answer = self._pacer.start(self, whole)
            return
        self._answer = self._pacer.start(self, StreamedReply(said, speech, chunked=chunked))
        self.send(stream_head(speech.content_type, headers=headers, chunked=chunked, keep_alive=self._keep_alive))

    def _error(self, dialect: Dialect, refusal: Refusal) -> bytes:
        id = self._new_id()
        body = dialect.error_body(refusal.status, refusal.message, id=id)
        return self._response(refusal.status, body, (*refusal.headers, *dialect.headers(id)))

    def _response(self, status: int, body: bytes, headers: Headers) -> bytes:
        return response(status, body, headers=headers, keep_alive=self._keep_alive)

    def _new_id(self) -> str:
        return f"{self._pacer.random.getrandbits(96):024x}"

    def _close_or_go_on(self) -> None:
        """After a response."""
        if not self._keep_alive and self._transport is not None:
            self._transport.close()
            self._transport = None

    def _adjust_reading(self) -> None:
        """Stop taking requests from a client that sends them faster than it reads the answers."""
        if self._transport is None:
            return
        waiting = self._answer is not None or self._full
        wanted = not (waiting and self._parser.surplus > _SURPLUS_LIMIT)
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()


class TlsConnection(Connection):
    """A connection on which every byte has to go through the transport, which encrypts it."""

    __slots__ = ()

    def clear(self) -> bool:
        """See `Sink`; never, so that nobody writes to the socket directly."""
        return False
