"""What the mock understands of a chat completion request; everything else in it is ignored."""

from typing import Any

import msgspec

TOKENS_PER_MESSAGE = 4
"""Added to a message's words, as the role and the separators count in real templates."""


class StreamOptions(msgspec.Struct):
    """The part of `stream_options` that changes the answer."""

    include_usage: bool | None = None


class Message(msgspec.Struct):
    """One message; `content` is text or a list of parts."""

    content: Any = None


class ChatRequest(msgspec.Struct):
    """The body of a chat completion request."""

    model: str | None = None
    messages: list[Message] = []
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None

    @property
    def usage_wanted(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def limit(self) -> int | None:
        """Most tokens the client wants; None without a limit."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def prompt_tokens(self) -> int:
        """A plausible count, always the same for the same prompt: the words, and a constant per message."""
        return sum(TOKENS_PER_MESSAGE + _words(message.content) for message in self.messages)


_decoder = msgspec.json.Decoder(ChatRequest, strict=False)


def parse_chat(body: bytes) -> ChatRequest:
    """Read a request body.

    Raises:
        ValueError: it isn't JSON, or a field the mock uses has an impossible value.
    """
    request = _decoder.decode(body)
    if request.limit is not None and request.limit < 1:
        raise ValueError("the maximum of tokens has to be at least 1")
    return request


def _words(content: Any) -> int:
    if isinstance(content, str):
        return len(content.split())
    if isinstance(content, list):
        return sum(_words(part.get("text")) for part in content if isinstance(part, dict))
    return 0
