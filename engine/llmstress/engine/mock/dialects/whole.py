"""Answers that have no stream: the body, and nothing besides."""

from collections.abc import Callable

from llmstress.engine.mock.dialects.answer_spec import Kind


class WholeSpeech:
    """Implements `Speech` around what `whole` gives."""

    __slots__ = ("whole",)

    content_type = "application/json"
    last_word = b""
    stamped = False

    def __init__(self, whole: Callable[[], bytes]) -> None:
        self.whole = whole

    def opening(self) -> list[bytes]:
        """See `Speech`."""
        return []

    def start(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        return b""

    def end(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        return []

    def ping(self) -> bytes:
        """See `Speech`."""
        return b""

    def error_event(self, message: str, code: str) -> list[bytes]:
        """See `Speech`."""
        return []

    def stamp(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `Speech`."""
        return event
