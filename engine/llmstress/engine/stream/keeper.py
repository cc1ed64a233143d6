"""Keeps the answer to one request, for whoever asks at its end what it said."""

from llmstress.engine.api.answers import Answer
from llmstress.engine.api.base import Api
from llmstress.engine.outcome import End
from llmstress.engine.stream.observer import Observer

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of a body that are kept: some 16,000 token events of chat completions, at about 250 bytes each."""


class Keeper(Observer):
    """Keeps the body as it comes. Nothing is decoded before the end, and events still take the fast path."""

    __slots__ = ("_body", "_size", "most")

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        """Bytes that are kept. A longer body is given up as a whole."""
        self._body = bytearray()
        self._size = 0

    def piece(self, data: bytes, stamp: int) -> None:
        """Keep a piece."""
        self._size += len(data)
        if self._size <= self.most:
            self._body += data
        elif self._body:
            self._body = bytearray()

    def retried(self, end: End, stamp: int) -> None:
        """The next attempt has an answer of its own."""
        self._body, self._size = bytearray(), 0

    def body(self) -> bytes | None:
        """The body of the last attempt as far as it has come, without its content coding; None: it is too long."""
        return bytes(self._body) if self._size <= self.most else None

    def answer(self, api: Api) -> Answer | None:
        """What the answer says in the terms of `api`; None: it is too long."""
        body = self.body()
        return None if body is None else api.read_text(body, streamed=api.streamed)
