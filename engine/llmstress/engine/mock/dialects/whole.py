"""Answers that have no stream: the body, and nothing besides."""

from collections.abc import Callable

from llmstress.engine.mock.dialects.answer_spec import TokenKind


class BodyEncoder:
    """Implements `AnswerEncoder` around what `whole` gives."""

    __slots__ = ("body",)

    content_type = "application/json"
    end_mark = b""
    fills_in = False

    def __init__(self, body: Callable[[], bytes]) -> None:
        self.body = body

    def opening(self) -> list[bytes]:
        """See `AnswerEncoder`."""
        return []

    def part_start(self, kind: TokenKind) -> list[bytes]:
        """See `AnswerEncoder`."""
        return []

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        """See `AnswerEncoder`."""
        return b""

    def part_end(self, kind: TokenKind) -> list[bytes]:
        """See `AnswerEncoder`."""
        return []

    def closing(self) -> list[bytes]:
        """See `AnswerEncoder`."""
        return []

    def ping(self) -> bytes:
        """See `AnswerEncoder`."""
        return b""

    def error_events(self, message: str, code: str) -> list[bytes]:
        """See `AnswerEncoder`."""
        return []

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `AnswerEncoder`."""
        return event
