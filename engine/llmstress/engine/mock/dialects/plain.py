"""Endpoints as people write them themselves: a prompt in, and tokens as events, as bare text, or a JSON object out."""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from llmstress.engine.mock.dialects import limits, prompts, sse
from llmstress.engine.mock.dialects.answer_spec import Asked, Kind, Said
from llmstress.engine.mock.dialects.dialect import RateLimit
from llmstress.engine.mock.dialects.whole import WholeSpeech
from llmstress.engine.mock.http import Headers, Request


class _Body(msgspec.Struct):
    prompt: Any = None
    model: str | None = None
    max_tokens: int | None = None


_decoder = msgspec.json.Decoder(_Body, strict=False)


class Plain(msgspec.Struct, frozen=True):
    """An endpoint; implements `Dialect`."""

    form: str
    """`sse`, `text` or `json`."""

    @property
    def name(self) -> str:
        """See `Dialect`."""
        return f"plain-{self.form}"

    def read(self, request: Request) -> Asked:
        """See `Dialect`. The prompt and its like are in the query, or in the body, a JSON object."""
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        body = prompts.decode(_decoder, request.body) if request.body else msgspec.convert(query, _Body, strict=False)
        if body.prompt is None and self.form != "json":
            raise ValueError("there is no prompt")
        return Asked(
            model=body.model,
            stream=self.form != "json",
            limit=prompts.at_least(1, body.max_tokens),
            prompt_tokens=prompts.words_in(body.prompt),
            text_only=True,
            tells="nothing",
        )

    def speak(self, said: Said, asked: Asked) -> "WholeSpeech | EventsSpeech | TextSpeech":
        """See `Dialect`."""
        if self.form == "json":
            return WholeSpeech(lambda: _json(said))
        return EventsSpeech() if self.form == "sse" else TextSpeech()

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """See `Dialect`; as FastAPI says it."""
        return sse.encode({"detail": message})

    def headers(self, id: str) -> Headers:
        """See `Dialect`."""
        return ()

    def rate_limit_headers(self, limit: RateLimit) -> Headers:
        """See `Dialect`."""
        return limits.retry_after(limit)


class EventsSpeech:
    """Implements `Speech`: an event for each token, its data the token itself."""

    __slots__ = ()

    content_type = sse.CONTENT_TYPE
    last_word = sse.DONE
    stamped = False

    def opening(self) -> list[bytes]:
        """See `Speech`."""
        return []

    def start(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        return sse.data(text.encode())

    def end(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        return [sse.DONE]

    def ping(self) -> bytes:
        """See `Speech`."""
        return sse.PING

    def error_event(self, message: str, code: str) -> list[bytes]:
        """See `Speech`."""
        return [sse.named("error", sse.encode({"detail": message}))]

    def stamp(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `Speech`."""
        return event

    def whole(self) -> bytes:
        """See `Speech`; there is no such answer."""
        return b""


class TextSpeech(EventsSpeech):
    """Implements `Speech`: the text and nothing else, it ends where the body ends."""

    __slots__ = ()

    content_type = "text/plain; charset=utf-8"
    last_word = b""

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        return text.encode()

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        return []

    def ping(self) -> bytes:
        """See `Speech`."""
        return b""

    def error_event(self, message: str, code: str) -> list[bytes]:
        """See `Speech`."""
        return []


def _json(said: Said) -> bytes:
    text = "".join([said.text(part.kind) for part in said.parts])
    return sse.encode({"id": said.id, "model": said.model, "text": text, "tokens": said.shown_tokens})
