"""The encoder of answers that are never streamed."""

from collections.abc import Callable

from llmstress.engine.mock.dialects.answer_spec import TokenKind


class BodyEncoder:
    """Implements `AnswerEncoder` with the given `body`; there are no events."""

    __slots__ = ("body",)

    content_type = "application/json"
    end_mark = b""
    fills_in = False

    def __init__(self, body: Callable[[], bytes]) -> None:
        self.body = body

    def opening(self) -> list[bytes]:
        return []

    def part_start(self, kind: TokenKind) -> list[bytes]:
        return []

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        return b""

    def part_end(self, kind: TokenKind) -> list[bytes]:
        return []

    def closing(self) -> list[bytes]:
        return []

    def ping(self) -> bytes:
        return b""

    def error_events(self, message: str, code: str) -> list[bytes]:
        return []

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        return event
