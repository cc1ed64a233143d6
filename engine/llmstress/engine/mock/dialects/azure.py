"""Azure OpenAI: OpenAI's APIs behind a filter of contents, which writes into the answers what it found."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmstress.engine.mock.dialects import limits, openai, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind, words
from llmstress.engine.mock.dialects.dialect import AnswerEncoder, Dialect, RateLimitState
from llmstress.engine.mock.http import Headers, Request

ASYNC_SUFFIX = "-async"
"""Deployments so named have the asynchronous filter: what it found comes in chunks of its own, behind the text."""

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_FOUND = msgspec.Raw(sse.to_json(_SAFE))
_PROMPT_FOUND = {"prompt_index": 0, "content_filter_results": {**_SAFE, "jailbreak": {"filtered": False}}}
_BLANK = {"id": "", "object": "", "created": 0, "model": ""}
_CHECKED_AT_ONCE = 10
"""Tokens of text that the asynchronous filter looks at together."""


class Azure(msgspec.Struct, frozen=True):
    """One of OpenAI's APIs at Azure; implements `Dialect`."""

    api: Dialect
    filtered: Callable[[AnswerSpec, RequestParams, bytes], AnswerEncoder] | None = None
    """Makes its speech with further members in every choice; None if the filter writes nothing into it."""

    @property
    def name(self) -> str:
        """See `Dialect`."""
        return self.api.name.replace("openai", "azure")

    def read(self, request: Request) -> RequestParams:
        """See `Dialect`. The deployment in the path is the model."""
        deployment = _DEPLOYMENT.match(request.path)
        params = self.api.read(request)
        return msgspec.structs.replace(params, model=deployment[1]) if deployment else params

    def encoder(self, answer: AnswerSpec, params: RequestParams) -> AnswerEncoder:
        """See `Dialect`."""
        if self.filtered is None:
            return self.api.encoder(answer, params)
        behind = answer.model.endswith(ASYNC_SUFFIX)
        more = b"" if behind else b',"content_filter_results":' + bytes(_FOUND)
        return FilteredEncoder(self.filtered(answer, params, more), answer, behind=behind)

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """See `Dialect`. Without a `code` it is the status; `content_filter` is a prompt that was blocked."""
        error: dict[str, Any] = {"code": code or str(status), "message": message}
        if code == "content_filter":
            found = {**_SAFE, "violence": {"filtered": True, "severity": "medium"}}
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
            error |= {"type": None, "param": "prompt", "status": status, "innererror": inner}
        return sse.to_json({"error": error})

    def headers(self, id: str) -> Headers:
        """See `Dialect`."""
        return (*openai.headers(id), ("apim-request-id", id), ("x-ms-region", "Mock"))

    def rate_limit_headers(self, limit: RateLimitState) -> Headers:
        """See `Dialect`."""
        return limits.azure_headers(limit)


class FilteredEncoder:
    """Implements `AnswerEncoder` around one whose choices know already what was found in them, unless that comes `behind`."""

    __slots__ = ("_answer", "_behind", "_checked", "_inner", "end_mark", "fills_in")

    content_type = sse.CONTENT_TYPE

    def __init__(self, inner: AnswerEncoder, answer: AnswerSpec, *, behind: bool) -> None:
        self._inner = inner
        self._answer = answer
        self._behind = behind
        self._checked = 0
        self.end_mark = inner.end_mark
        self.fills_in = inner.fills_in or behind

    def opening(self) -> list[bytes]:
        """See `AnswerEncoder`."""
        return [_event({"choices": [], "prompt_filter_results": [_PROMPT_FOUND]}), *self._inner.opening()]

    def part_start(self, kind: TokenKind) -> list[bytes]:
        """See `AnswerEncoder`."""
        return self._inner.part_start(kind)

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        """See `AnswerEncoder`."""
        return self._inner.token_event(kind, text)

    def part_end(self, kind: TokenKind) -> list[bytes]:
        """See `AnswerEncoder`."""
        return self._inner.part_end(kind)

    def closing(self) -> list[bytes]:
        """See `AnswerEncoder`."""
        return self._inner.closing()

    def ping(self) -> bytes:
        """See `AnswerEncoder`."""
        return self._inner.ping()

    def error_events(self, message: str, code: str) -> list[bytes]:
        """See `AnswerEncoder`."""
        return self._inner.error_events(message, code)

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `AnswerEncoder`. Behind every tenth token, and behind the last one, stands what was found in them."""
        if self._inner.fills_in:
            event = self._inner.fill_in(event, number, tokens)
        text = tokens - self._answer.reasoning_tokens
        if not self._behind or text <= self._checked:
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
        """See `AnswerEncoder`."""
        body = msgspec.json.decode(self._inner.body())
        for choice in body["choices"]:
            choice["content_filter_results"] = _FOUND
        return sse.to_json({**body, "prompt_filter_results": [_PROMPT_FOUND]})


def _event(fields: dict[str, Any]) -> bytes:
    """A chunk that is none of the model's."""
    return sse.data(sse.to_json({**_BLANK, **fields}))
