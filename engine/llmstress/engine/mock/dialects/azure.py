"""Azure OpenAI: OpenAI's APIs with a content filter that adds its results to the answers."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmstress.engine.mock.dialects import limits, openai, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind, words
from llmstress.engine.mock.dialects.dialect import AnswerEncoder, Dialect, Overflow, RateLimitState
from llmstress.engine.mock.dialects.prompts import Token
from llmstress.engine.mock.http import Headers, Request

ASYNC_SUFFIX = "-async"
"""Suffix of deployments with the asynchronous filter, which sends its results in separate chunks after the text."""

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_FOUND = msgspec.Raw(sse.to_json(_SAFE))
_PROMPT_FOUND = {"prompt_index": 0, "content_filter_results": {**_SAFE, "jailbreak": {"filtered": False}}}
_BLANK = {"id": "", "object": "", "created": 0, "model": ""}
_CHECKED_AT_ONCE = 10
"""Number of text tokens that the asynchronous filter checks at a time."""


class Azure(msgspec.Struct, frozen=True):
    """One of OpenAI's APIs as served by Azure; implements `Dialect`."""

    api: Dialect
    filtered: Callable[[AnswerSpec, RequestParams, bytes], AnswerEncoder] | None = None
    """Returns the API's encoder with additional members in every choice; None: the filter adds nothing."""

    @property
    def name(self) -> str:
        return self.api.name.replace("openai", "azure")

    def read(self, request: Request) -> RequestParams:
        """Parse a request; the deployment in the path is the model."""
        deployment = _DEPLOYMENT.match(request.path)
        params = self.api.read(request)
        return msgspec.structs.replace(params, model=deployment[1]) if deployment else params

    def tokens(self, request: Request) -> list[list[Token]]:
        return self.api.tokens(request)

    def overflow_message(self, overflow: Overflow) -> str:
        return self.api.overflow_message(overflow)

    def encoder(self, answer: AnswerSpec, params: RequestParams) -> AnswerEncoder:
        if self.filtered is None:
            return self.api.encoder(answer, params)
        asynchronous = answer.model.endswith(ASYNC_SUFFIX)
        more = b"" if asynchronous else b',"content_filter_results":' + bytes(_FOUND)
        return FilteredEncoder(self.filtered(answer, params, more), answer, asynchronous=asynchronous)

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """An error body. The default code is the status; `content_filter` means that the prompt was blocked."""
        error: dict[str, Any] = {"code": code or str(status), "message": message}
        if code == "content_filter":
            found = {**_SAFE, "violence": {"filtered": True, "severity": "medium"}}
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
            error |= {"type": None, "param": "prompt", "status": status, "innererror": inner}
        return sse.to_json({"error": error})

    def headers(self, id: str) -> Headers:
        return (*openai.headers(id), ("apim-request-id", id), ("x-ms-region", "Mock"))

    def rate_limit_headers(self, limit: RateLimitState) -> Headers:
        return limits.azure_headers(limit)


class FilteredEncoder:
    """Adds the results about the prompt to another encoder's events, and, if asynchronous, those about the text.

    A synchronous filter's results about the text are in the choices that the inner encoder writes. Implements
    `AnswerEncoder`.
    """

    __slots__ = ("_answer", "_asynchronous", "_checked", "_inner", "end_mark", "fills_in")

    content_type = sse.CONTENT_TYPE

    def __init__(self, inner: AnswerEncoder, answer: AnswerSpec, *, asynchronous: bool) -> None:
        self._inner = inner
        self._answer = answer
        self._asynchronous = asynchronous
        self._checked = 0
        self.end_mark = inner.end_mark
        self.fills_in = inner.fills_in or asynchronous

    def opening(self) -> list[bytes]:
        return [_event({"choices": [], "prompt_filter_results": [_PROMPT_FOUND]}), *self._inner.opening()]

    def part_start(self, kind: TokenKind) -> list[bytes]:
        return self._inner.part_start(kind)

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        return self._inner.token_event(kind, text)

    def part_end(self, kind: TokenKind) -> list[bytes]:
        return self._inner.part_end(kind)

    def closing(self) -> list[bytes]:
        return self._inner.closing()

    def ping(self) -> bytes:
        return self._inner.ping()

    def error_events(self, message: str, code: str) -> list[bytes]:
        return self._inner.error_events(message, code)

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        """Append the asynchronous filter's results after every tenth token and after the last one."""
        if self._inner.fills_in:
            event = self._inner.fill_in(event, number, tokens)
        text = tokens - self._answer.reasoning_tokens
        if not self._asynchronous or text <= self._checked:
            return event
        if text - self._checked < _CHECKED_AT_ONCE and text < self._answer.tokens:
            return event
        start, end = (len(words(0, count)) for count in (self._checked, text))
        self._checked = text
        offsets = {"check_offset": start, "start_offset": start, "end_offset": end}
        for choice in range(self._answer.choices):
            found = {"content_filter_results": _FOUND, "content_filter_offsets": offsets}
            event += _event({"choices": [{"index": choice, "finish_reason": None, **found}]})
        return event

    def body(self) -> bytes:
        body = msgspec.json.decode(self._inner.body())
        for choice in body["choices"]:
            choice["content_filter_results"] = _FOUND
        return sse.to_json({**body, "prompt_filter_results": [_PROMPT_FOUND]})


def _event(fields: dict[str, Any]) -> bytes:
    """A chunk of the filter, not of the model."""
    return sse.data(sse.to_json({**_BLANK, **fields}))
