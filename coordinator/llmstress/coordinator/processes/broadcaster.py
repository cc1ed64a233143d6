"""Publishes the state of a run to viewers, message by message, and writes it to a record if there is one.

An XPUB socket sends the messages, each with a number. XPUB reports subscriptions, so a new viewer gets a keyframe at
once, and without a viewer nothing is encoded. A PULL socket receives the commands of viewers. Both are ipc sockets in a
directory that only this user can enter.
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
"""Messages that wait for a slow viewer. Further ones are dropped; the viewer sees the gap in the numbers and subscribes
again to get a keyframe."""

FLUSH_S = 5
"""Seconds between two flushes of the record."""

NUMBER_BYTES = 8
"""Size of a message's number."""


class Broadcaster:
    """The publishing side of one run."""

    def __init__(self, directory: Path, view: RunView, record_to: Path | None) -> None:
        """
        Raises:
            OSError: the record cannot be written.
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
        self._subscriptions = asyncio.create_task(self._receive_subscriptions())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._subscriptions.cancel()
        for socket in (self._watch, self._ask):
            socket.close()
        self._context.term()
        self.finish_record()

    def finish_record(self) -> OSError | None:
        """Close the record. Returns the error that ended it, if there is one."""
        return self._on_record(lambda record: record.close(), last=True)

    def publish(self, message: Message, t: int) -> OSError | None:
        """Apply `message`, of `t` ns after T0, to the view, and publish it. Returns the error that ended the record."""
        if self._record is not None:
            self._record.turn(message)
        self.view.apply(message)
        if not self._watched and self._record is None:
            return None
        encoded = encode(message)
        self._send(encoded)
        return self._on_record(lambda record: record.append(t, message, encoded))

    def flush_record(self) -> OSError | None:
        """Write what the record holds back. Returns the error that ended the record."""
        return self._on_record(lambda record: record.flush())

    async def next_command(self) -> Command:
        """The next command of a viewer; invalid ones are dropped."""
        while True:
            data = await self._ask.recv()
            # text that isn't UTF-8 raises UnicodeDecodeError, not DecodeError
            with contextlib.suppress(ValueError, RecursionError):
                return decode_command(data)

    def _send(self, encoded: bytes) -> None:
        if self._watched:
            self._number += 1
            number = self._number.to_bytes(NUMBER_BYTES, "big")
            # an XPUB socket never blocks: it drops messages for a viewer whose queue is full
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

    async def _receive_subscriptions(self) -> None:
        while True:
            # viewers subscribe to everything (an empty prefix); other messages do not come from viewers
            match await self._watch.recv():
                case b"\1":
                    self._watched = True
                    self._send(encode(self.view))
                case b"\0":
                    self._watched = False
