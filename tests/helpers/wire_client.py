"""A client on bare sockets that records every byte and how an answer's chunks and events lay on the wire."""

import json
import socket
import zlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from helpers.processes import DEADLINE_S

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
SAY = [{"role": "user", "content": "one two three"}]
"""Seven tokens to the mock."""

Ended = Literal["order", "closed", "reset", "left"]
"""The body was complete; the connection was closed before, or to end a body without a length; it was reset; the client
had seen enough."""


class Heard(NamedTuple):
    """An answer."""

    status: int
    """0 if not even a head came."""
    headers: dict[str, str]
    body: bytes
    chunks: list[bytes]
    """Empty for bodies that are not in chunks."""
    ended: Ended

    @property
    def text(self) -> bytes:
        """The body without its coding; line ends as LF."""
        plain = self.body
        if self.headers.get("content-encoding") == "gzip":
            plain = zlib.decompressobj(31).decompress(plain)
        return plain.replace(b"\r\n", b"\n")

    @property
    def data(self) -> list[str]:
        """What the `data:` lines say."""
        return [line[6:].decode() for line in self.text.split(b"\n") if line.startswith(b"data: ")]

    @property
    def events(self) -> list[Any]:
        """The same as JSON, without the last word."""
        return [json.loads(each) for each in self.data if each != "[DONE]"]

    @property
    def json(self) -> Any:
        """An answer that is not streamed."""
        return json.loads(self.text)

    @property
    def words(self) -> list[str]:
        """The text, as far as it is in whole events of chat."""
        choices = [choice for each in self.events for choice in each.get("choices", ())]
        contents = [choice["delta"].get("content") for choice in choices]
        return [content for content in contents if content]

    @property
    def finish(self) -> list[str]:
        """Why choices of chat ended."""
        choices = [choice for each in self.events for choice in each.get("choices", ())]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]

    @property
    def usage(self) -> dict[str, Any] | None:
        """Of chat."""
        return next((each["usage"] for each in self.events if each.get("usage")), None)


class Client:
    """A connection to the mock."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
        self._data = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, path: str = CHAT, **fields: Any) -> None:
        """A request; chat wants messages, which it has here."""
        told = {"model": "m", "stream": True, **fields}
        if path in (CHAT, MESSAGES):
            told = {"messages": SAY, "max_tokens": 1_000, **told}
        body = json.dumps({key: value for key, value in told.items() if value is not None}).encode()
        self._post(path, body, "")

    def post(self, path: str, body: bytes, **headers: str) -> Heard:
        """A request with just these bytes, and its answer."""
        self._post(path, body, "".join(f"{name}: {value}\r\n" for name, value in headers.items()))
        return self.hear()

    def _post(self, path: str, body: bytes, headers: str) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def ask(self, path: str = CHAT, **fields: Any) -> Heard:
        """A request and its answer."""
        self.send(path, **fields)
        return self.hear()

    def hear(self, enough: Callable[[bytes], bool] = lambda data: False) -> Heard:
        """The next answer; leaves when `enough` says so of all that came of it."""
        while True:
            complete = _answer_in(self._data)
            if complete is not None:
                heard, length = complete
                self._data = self._data[length:]
                return heard
            if enough(self._data):
                return _so_far(self._data, "left")
            try:
                piece = self.socket.recv(65_536)
            except ConnectionResetError:
                return _so_far(self._data, "reset")
            if not piece:
                return _so_far(self._data, "closed")
            self._data += piece

    @property
    def heard_of_late(self) -> bytes:
        """What has come since, without waiting for more."""
        self.socket.setblocking(False)
        try:
            while piece := self.socket.recv(65_536):
                self._data += piece
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(DEADLINE_S)
        return self._data


def ask(url: str, path: str = CHAT, **fields: Any) -> Heard:
    """A request on a connection of its own."""
    with Client(url) as client:
        return client.ask(path, **fields)


def _head_in(data: bytes) -> tuple[int, dict[str, str], bytes] | None:
    top, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = top.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, rest


def _answer_in(data: bytes) -> tuple[Heard, int] | None:
    """A complete answer at the beginning, and its length."""
    head = _head_in(data)
    if head is None:
        return None
    status, headers, rest = head
    before = len(data) - len(rest)
    if "content-length" in headers:
        length = int(headers["content-length"])
        return (Heard(status, headers, rest[:length], [], "order"), before + length) if len(rest) >= length else None
    if headers.get("transfer-encoding") == "chunked":
        chunks, used, over = _chunks_in(rest)
        return (Heard(status, headers, b"".join(chunks), chunks, "order"), before + used) if over else None
    return None


def _so_far(data: bytes, ended: Ended) -> Heard:
    head = _head_in(data)
    if head is None:
        return Heard(0, {}, data, [], ended)
    status, headers, rest = head
    chunks = _chunks_in(rest)[0] if headers.get("transfer-encoding") == "chunked" else []
    return Heard(status, headers, b"".join(chunks) if chunks else rest, chunks, ended)


def _chunks_in(data: bytes) -> tuple[list[bytes], int, bool]:
    """The whole chunks, how many bytes they take, and whether the last one is among these."""
    chunks: list[bytes] = []
    at = 0
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line], 16)
        end = line + 2 + size + 2
        if len(data) < end:
            break
        assert data[end - 2 : end] == b"\r\n"
        at = end
        if not size:
            return chunks, at, True
        chunks.append(data[line + 2 : end - 2])
    return chunks, at, False
