"""Builds the bytes of every answer, framed for the wire; no I/O.

A chat answer is a number of writes, each with a delay before it. Nearly all of them are one token event,
taken from `events` by the number of the write; what is special about the others is added by `write`.
"""

from http import HTTPStatus
from typing import Any

import msgspec

_encode = msgspec.json.encode

# the leading space is how tokenizers mark the begin of a word; one digit keeps all events equally long
_TEXTS = tuple(f" tok{i}" for i in range(10))
TEXTS = len(_TEXTS)
"""Number of different token events; write number i of a stream holds `events[i % TEXTS]`."""


class Completion(msgspec.Struct):
    """What all forms of one answer have in common."""

    id: str
    created: int
    """Unix time in s."""
    model: str
    tokens: int
    prompt_tokens: int
    cut: bool
    """Whether the client's limit ended it."""

    @property
    def finish_reason(self) -> str:
        """As OpenAI names it."""
        return "length" if self.cut else "stop"

    def usage(self) -> dict[str, Any]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


class StreamedReply:
    """An answer as server-sent events: one write per token.

    With `chunked` every event is an HTTP chunk of its own; without (HTTP/1.0) the end of the connection is
    the end of the answer.
    """

    __slots__ = (
        "_completion",
        "_end",
        "_frame",
        "_head",
        "_opening",
        "_tail",
        "_usage_wanted",
        "events",
        "tokens",
    )

    def __init__(self, completion: Completion, *, usage_wanted: bool, chunked: bool = True) -> None:
        self._completion = completion
        self.tokens = completion.tokens
        self._usage_wanted = usage_wanted
        self._frame = _chunk if chunked else bytes
        self._end = b"0\r\n\r\n" if chunked else b""
        # put together by hand: encoding a dictionary per event would cost ten times as much
        self._head = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,'
            b'"system_fingerprint":"fp_mock","choices":['
        ) % (_encode(completion.id), completion.created, _encode(completion.model))
        self._tail = b'],"usage":null}\n\n' if usage_wanted else b"]}\n\n"
        self._opening = self._choice(b'{"role":"assistant","content":""}')
        self.events = tuple([self._choice(b'{"content":"%b"}' % text.encode()) for text in _TEXTS])
        """The token events."""

    @property
    def writes(self) -> int:
        """How many writes the answer has."""
        return self.tokens

    def write(self, number: int) -> bytes:
        """Write `number`, counted from 0, in full."""
        data = self.events[number % TEXTS]
        if number == 0:
            data = self._opening + data
        if number == self.tokens - 1:
            data += self._closing()
        return data

    def _closing(self) -> bytes:
        data = self._choice(b"{}", b'"%b"' % self._completion.finish_reason.encode())
        if self._usage_wanted:
            data += self._frame(self._head + b'],"usage":' + _encode(self._completion.usage()) + b"}\n\n")
        return data + self._frame(b"data: [DONE]\n\n") + self._end

    def _choice(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        return self._frame(
            b'%b{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}%b'
            % (self._head, delta, finish_reason, self._tail)
        )


class WholeReply:
    """An answer in one piece: a single write."""

    __slots__ = ("_completion", "_keep_alive", "tokens")

    events: tuple[bytes, ...] = ()
    writes = 1

    def __init__(self, completion: Completion, *, keep_alive: bool) -> None:
        self._completion = completion
        self.tokens = completion.tokens
        self._keep_alive = keep_alive

    def write(self, number: int) -> bytes:
        """The head and the body."""
        completion = self._completion
        message = {
            "role": "assistant",
            "content": "".join([_TEXTS[i % TEXTS] for i in range(completion.tokens)]),
            "refusal": None,
        }
        body = {
            "id": completion.id,
            "object": "chat.completion",
            "created": completion.created,
            "model": completion.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}],
            "usage": completion.usage(),
            "system_fingerprint": "fp_mock",
        }
        return json_response(HTTPStatus.OK, body, keep_alive=self._keep_alive)


def stream_head(*, chunked: bool, keep_alive: bool) -> bytes:
    """Status line and headers of a streamed answer."""
    return (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/event-stream; charset=utf-8\r\n"
        b"Cache-Control: no-cache\r\n"
        + (b"Transfer-Encoding: chunked\r\n" if chunked else b"")
        + (b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
    )


def json_response(status: HTTPStatus, body: Any, *, keep_alive: bool, headers: bytes = b"") -> bytes:
    """A whole response; `headers` are further header lines, each with its line end."""
    data = _encode(body)
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        status.phrase.encode(),
        len(data),
        headers,
        b"" if keep_alive else b"Connection: close\r\n",
        data,
    )


def error_response(status: HTTPStatus, message: str, *, keep_alive: bool, headers: bytes = b"") -> bytes:
    """A whole response with OpenAI's error object."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json_response(status, {"error": error}, keep_alive=keep_alive, headers=headers)


def models_response(model: str, *, keep_alive: bool) -> bytes:
    """The list of models: the one there is."""
    entry = {"id": model, "object": "model", "created": 0, "owned_by": "llmstress"}
    return json_response(HTTPStatus.OK, {"object": "list", "data": [entry]}, keep_alive=keep_alive)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
