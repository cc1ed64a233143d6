"""Receives the bytes of a stream from an asyncio transport, and stamps them."""

import asyncio

from llmstress.engine.stream.read_loop import Reads
from llmstress.engine.stream.runtime import Runtime
from llmstress.engine.stream.stream import Stream


class TransportStream(Stream, asyncio.Protocol):
    """A stream that is the protocol of its own transport: no object lies between the event loop and the stream."""

    __slots__ = ("_reads",)

    def __init__(self, runtime: Runtime, reads: Reads) -> None:
        super().__init__(runtime)
        self._reads = reads

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived: the one place where they are stamped."""
        reads = self._reads
        clock = reads.clock  # a call through a slot is not specialized by the interpreter, a call of a local is
        now = clock()
        arrived = reads.arrived
        if not arrived:
            reads.wake()
        arrived.append((self, data, now))

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has closed or reset the connection, or it broke. What came before is processed first; then the
        empty read says so."""
        self.lost(exc)
        self.data_received(b"")
