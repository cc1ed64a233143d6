"""Self-made endpoints: they take a prompt and return tokens as events, plain text, or a JSON object."""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from llmstress.engine.mock.dialects import limits, prompts, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind
from llmstress.engine.mock.dialects.dialect import Overflow, RateLimitState
from llmstress.engine.mock.dialects.whole import BodyEncoder
from llmstress.engine.mock.http import Headers, Request


class _Body(msgspec.Struct):
    prompt: Any = None
    model: str | None = None
    max_tokens: int | None = None


_decoder = msgspec.json.Decoder(_Body, strict=False)


class Plain(msgspec.Struct, frozen=True):
    """A self-made endpoint; implements `Dialect`."""

    form: str
    """`sse`, `text` or `json`."""

    @property
    def name(self) -> str:
        return f"plain-{self.form}"

    def read(self, request: Request) -> RequestParams:
        """Parse a request; its parameters are in a JSON body, or in the query if there is no body."""
        body = _body(request)
        if body.prompt is None and self.form != "json":
            raise ValueError("there is no prompt")
        return RequestParams(
            model=body.model,
            stream=self.form != "json",
            limit=prompts.at_least(1, body.max_tokens),
            prompt_tokens=prompts.words_in(body.prompt),
            text_only=True,
            reports="nothing",
        )

    def tokens(self, request: Request) -> list[list[prompts.Token]]:
        return [prompts.content_tokens(_body(request).prompt)]

    def overflow_message(self, overflow: Overflow) -> str:
        return f"the prompt has {overflow.prompt} tokens and the context {overflow.context}"

    def encoder(self, answer: AnswerSpec, params: RequestParams) -> "BodyEncoder | EventsEncoder | TextEncoder":
        if self.form == "json":
            return BodyEncoder(lambda: _json(answer))
        return EventsEncoder() if self.form == "sse" else TextEncoder()

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """An error body in the format of FastAPI."""
        return sse.to_json({"detail": message})

    def headers(self, id: str) -> Headers:
        return ()

    def rate_limit_headers(self, limit: RateLimitState) -> Headers:
        return limits.retry_after(limit)


def _body(request: Request) -> _Body:
    if request.body:
        return prompts.decode(_decoder, request.body)
    query = {name: values[-1] for name, values in parse_qs(request.query).items()}
    return msgspec.convert(query, _Body, strict=False)


class EventsEncoder:
    """Implements `AnswerEncoder`: one event per token, whose data is the token's text."""

    __slots__ = ()

    content_type = sse.CONTENT_TYPE
    end_mark = sse.DONE
    fills_in = False

    def opening(self) -> list[bytes]:
        return []

    def part_start(self, kind: TokenKind) -> list[bytes]:
        return []

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        return sse.data(text.encode())

    def part_end(self, kind: TokenKind) -> list[bytes]:
        return []

    def closing(self) -> list[bytes]:
        return [sse.DONE]

    def ping(self) -> bytes:
        return sse.PING

    def error_events(self, message: str, code: str) -> list[bytes]:
        return [sse.named("error", sse.to_json({"detail": message}))]

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        return event

    def body(self) -> bytes:
        """Empty: this endpoint always streams."""
        return b""


class TextEncoder(EventsEncoder):
    """Implements `AnswerEncoder`: plain text that ends with the body."""

    __slots__ = ()

    content_type = "text/plain; charset=utf-8"
    end_mark = b""

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        return text.encode()

    def closing(self) -> list[bytes]:
        return []

    def ping(self) -> bytes:
        return b""

    def error_events(self, message: str, code: str) -> list[bytes]:
        return []


def _json(answer: AnswerSpec) -> bytes:
    text = "".join([answer.text(part.kind) for part in answer.parts])
    return sse.to_json({"id": answer.id, "model": answer.model, "text": text, "tokens": answer.shown_tokens})
