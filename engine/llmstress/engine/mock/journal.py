"""Writes down every request for an answer, for tests that compare what a client sent with what arrived."""

import os

import msgspec

from llmstress.engine.mock.dialects.answer_spec import AnswerSpec
from llmstress.engine.mock.http import Request

_KEY_HEADERS = frozenset({"authorization", "x-api-key", "api-key"})


class Received(msgspec.Struct, frozen=True, tag_field="event", tag="request"):
    """A valid request for an answer, as a line of the file."""

    number: int
    """Counted from 0 in each process."""
    process: int
    connection: str
    """An id of the connection, unique among all processes."""
    stamp_us: int
    """When the request was complete, in µs of the monotonic clock."""
    path: str
    api: str
    has_key: bool
    """Whether a header had a key or a token; the key itself is not written."""
    model: str
    input_tokens: int
    cached_tokens: int
    limit: int | None
    """The client's limit of output tokens."""
    output_tokens: int
    """Tokens of the planned answer."""
    status: int | None
    """Status of the answer; None: the connection is closed without one."""
    body: msgspec.Raw
    """The whole JSON body; null if there was none."""


class Left(msgspec.Struct, frozen=True, tag_field="event", tag="left"):
    """An answer whose client disconnected before its end, as a line of the file."""

    number: int
    """Number of the request."""
    process: int
    tokens: int
    """Visible tokens that were written before the mock noticed; the client may have read fewer."""


class Journal:
    """Appends lines to a file that all processes of the mock have open.

    Each line is one write to a file opened with O_APPEND, so that lines of several processes don't mix. The writes
    block the event loop, and the file has no maximum size: it is for tests.
    """

    def __init__(self, fd: int, process: int) -> None:
        self._fd = fd
        self._process = process
        self._number = 0

    def received(
        self,
        request: Request,
        *,
        connection: int,
        stamp_us: int,
        api: str,
        limit: int | None,
        answer: AnswerSpec,
        status: int | None,
    ) -> int:
        """Write a request; returns its number. `connection`: its number in this process; others as in `Received`."""
        number = self._number
        self._number += 1
        self._write(
            Received(
                number=number,
                process=self._process,
                connection=f"{self._process}-{connection}",
                stamp_us=stamp_us,
                path=request.path,
                api=api,
                has_key=any(name in _KEY_HEADERS for name, _ in request.headers),
                model=answer.model,
                input_tokens=answer.prompt_tokens,
                cached_tokens=answer.cached_tokens,
                limit=limit,
                output_tokens=answer.output_tokens if status == 200 else 0,
                status=status,
                # without line ends, which JSON allows between its tokens
                body=msgspec.Raw(msgspec.json.format(request.body, indent=-1) if request.body else b"null"),
            )
        )
        return number

    def left(self, number: int, tokens: int) -> None:
        """Write that the client left the answer to request `number` after `tokens` tokens."""
        self._write(Left(number, self._process, tokens))

    def _write(self, line: Received | Left) -> None:
        os.write(self._fd, msgspec.json.encode(line) + b"\n")
