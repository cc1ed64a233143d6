"""One client connection: requests in, answers out, one after the other."""

import asyncio
import os
import time
from http import HTTPStatus
from typing import cast

from llmstress.engine.mock.chat import ChatRequest, parse_chat
from llmstress.engine.mock.http import Request, RequestError, RequestParser
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.pacer import Answer, Pacer
from llmstress.engine.mock.reply import (
    Completion,
    StreamedReply,
    WholeReply,
    error_response,
    models_response,
    stream_head,
)

_SURPLUS_LIMIT = 64 * 1024
"""Bytes of further requests taken from a client while it still owes us the reading of earlier answers."""

_ROUTES = {"/chat/completions": "POST", "/models": "GET"}


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
                self.send(error_response(error.status, str(error), keep_alive=False))
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
        path = request.path.removeprefix("/v1")
        method = _ROUTES.get(path)
        if method is None:
            return self._error(HTTPStatus.NOT_FOUND, f"unknown path: {request.path}")
        if method != request.method:
            allow = f"Allow: {method}\r\n".encode()
            return self._error(HTTPStatus.METHOD_NOT_ALLOWED, f"use {method} here", allow)
        if method == "GET":
            return models_response(self._options.model, keep_alive=self._keep_alive)
        try:
            self._begin(parse_chat(request.body), chunked=not request.http_1_0)
        except ValueError as error:
            return self._error(HTTPStatus.BAD_REQUEST, f"invalid request: {error}")
        return None

    def _begin(self, chat: ChatRequest, *, chunked: bool) -> None:
        limit = self._options.tokens if chat.limit is None else chat.limit
        completion = Completion(
            id=f"chatcmpl-{self._pacer.random.getrandbits(96):024x}",
            created=int(time.time()),
            model=chat.model or self._options.model,
            tokens=min(limit, self._options.tokens),
            prompt_tokens=chat.prompt_tokens(),
            cut=limit < self._options.tokens,
        )
        if not chat.stream:
            self._answer = self._pacer.start(self, WholeReply(completion, keep_alive=self._keep_alive))
            return
        reply = StreamedReply(completion, usage_wanted=chat.usage_wanted, chunked=chunked)
        self._answer = self._pacer.start(self, reply)
        self.send(stream_head(chunked=chunked, keep_alive=self._keep_alive))

    def _error(self, status: HTTPStatus, message: str, headers: bytes = b"") -> bytes:
        return error_response(status, message, keep_alive=self._keep_alive, headers=headers)

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
