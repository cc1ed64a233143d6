"""The run as others see it: one state, published message by message to whoever watches, and kept in a file if asked.

An XPUB socket carries the messages, each after its number; XPUB tells who subscribes, so that a viewer gets a keyframe
at once and nothing is even encoded while nobody watches. A PULL socket takes the viewers' commands. Both are ipc
sockets in a directory that only this user can enter.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

import zmq
import zmq.asyncio

from llmstress.engine.telemetry.broadcast import Command, Message, RunView, decode_command, encode
from llmstress.engine.telemetry.record import Writer

WATCH, ASK = "watch", "ask"
"""Names of the two sockets in the run's directory."""

MAX_COMMAND = 4096
"""Bytes of a command."""

BACKLOG = 500
"""Messages that a slow viewer may fall behind; then it misses some, notices, and asks for a keyframe."""

KEYFRAME_S = 5
"""How often a keyframe is published while anybody watches, and the record is brought up to date at the latest."""

NUMBER_BYTES = 8


class Broadcaster:
    """Publishes one run."""

    def __init__(self, directory: Path, view: RunView, record_to: Path | None) -> None:
        """
        Raises:
            OSError: the record can't be written.
        """
        self.view = view
        self._directory = directory
        self._number = 0
        self._watched = False
        self._record = None if record_to is None else Writer(record_to, view)

    async def __aenter__(self) -> Self:
        self._context = zmq.asyncio.Context()
        self._watch = self._context.socket(zmq.XPUB)
        self._watch.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._watch.setsockopt(zmq.MAXMSGSIZE, MAX_COMMAND)
        self._watch.set_hwm(BACKLOG)
        self._ask = self._context.socket(zmq.PULL)
        self._ask.setsockopt(zmq.MAXMSGSIZE, MAX_COMMAND)
        for socket, name in ((self._watch, WATCH), (self._ask, ASK)):
            socket.linger = 1000
            socket.bind(f"ipc://{self._directory / name}")
        self._subscriptions = asyncio.create_task(self._hear_subscriptions())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._subscriptions.cancel()
        for socket in (self._watch, self._ask):
            socket.close()
        self._context.term()
        self.finish_record()

    def finish_record(self) -> OSError | None:
        """Nothing more comes: close the record. Gives the error that ended it, if one did."""
        return self._on_record(lambda record: record.close(), last=True)

    def publish(self, message: Message, t: int) -> OSError | None:
        """Apply `message`, of `t` ns after T0, to the view and send it on. Gives the error that ended the record."""
        if self._record is not None:
            self._record.turn(message)
        self.view.apply(message)
        if not self._watched and self._record is None:
            return None
        encoded = encode(message)
        self._send(encoded)
        return self._on_record(lambda record: record.append(t, message, encoded))

    def publish_keyframe(self) -> OSError | None:
        """Send the whole view, and bring the record up to date. Gives the error that ended the record."""
        if self._watched:
            self._send(encode(self.view))
        return self._on_record(lambda record: record.flush())

    async def next_command(self) -> Command:
        """The next command of a viewer; what is none is dropped."""
        while True:
            data = await self._ask.recv()
            with contextlib.suppress(ValueError, RecursionError):  # words that aren't UTF-8 are no DecodeError
                return decode_command(data)

    def _send(self, encoded: bytes) -> None:
        if self._watched:
            self._number += 1
            number = self._number.to_bytes(NUMBER_BYTES, "big")
            # an XPUB socket never blocks: it drops what a viewer has no room for
            self._watch.send_multipart([number, encoded])

    def _on_record(self, do: Callable[[Writer], None], *, last: bool = False) -> OSError | None:
        record = self._record
        if last:
            self._record = None
        try:
            if record is not None:
                do(record)
        except OSError as error:
            self._record = None
            return error
        return None

    async def _hear_subscriptions(self) -> None:
        while True:
            # those who want everything are the viewers; what else is said here is a stranger's
            match await self._watch.recv():
                case b"\1":
                    self._watched = True
                    self._send(encode(self.view))
                case b"\0":
                    self._watched = False
