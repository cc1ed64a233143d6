"""The wire APIs that can be spoken: one module each, and one line here.

An API module is pure: it builds the request once and says what an event means; it opens nothing and keeps nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from llmstress.engine.api import openai_chat
from llmstress.engine.api.event import Event


class Classify(Protocol):
    """Says what one streamed event means; `name` is its `event:` field. Never raises."""

    def __call__(self, data: bytes, name: bytes = b"") -> Event:
        """See above."""


class Api(Protocol):
    """What a module in this package answers."""

    PATH: str
    """Appended to a base URL."""

    def build_body(
        self,
        *,
        model: str,
        prompt: str,
        system: str | None,
        max_tokens: int,
        stream: bool,
        usage: bool,
        extra: dict[str, Any],
    ) -> bytes:
        """The JSON body of a request. `extra` is merged in last; a null in it removes the key."""

    @property
    def classify(self) -> Classify:
        """What one streamed event means."""

    def read_answer(self, body: bytes) -> Event:
        """What the body of an answer that is not streamed means. Never raises."""


APIS: Mapping[str, Api] = MappingProxyType({"openai-chat": openai_chat})
