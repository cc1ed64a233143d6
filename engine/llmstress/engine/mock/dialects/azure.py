"""Azure OpenAI: OpenAI's APIs behind a filter of contents, which writes into the answers what it found."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmstress.engine.mock.dialects import limits, openai, sse
from llmstress.engine.mock.dialects.answer_spec import Asked, Kind, Said, words
from llmstress.engine.mock.dialects.dialect import Dialect, RateLimit, Speech
from llmstress.engine.mock.http import Headers, Request

ASYNC_SUFFIX = "-async"
"""Deployments so named have the asynchronous filter: what it found comes in chunks of its own, behind the text."""

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_FOUND = msgspec.Raw(sse.encode(_SAFE))
_PROMPT_FOUND = {"prompt_index": 0, "content_filter_results": {**_SAFE, "jailbreak": {"filtered": False}}}
_BLANK = {"id": "", "object": "", "created": 0, "model": ""}
_CHECKED_AT_ONCE = 10
"""Tokens of text that the asynchronous filter looks at together."""


class Azure(msgspec.Struct, frozen=True):
    """One of OpenAI's APIs at Azure; implements `Dialect`."""

    api: Dialect
    filtered: Callable[[Said, Asked, bytes], Speech] | None = None
    """Makes its speech with further members in every choice; None if the filter writes nothing into it."""

    @property
    def name(self) -> str:
        """See `Dialect`."""
        return self.api.name.replace("openai", "azure")

    def read(self, request: Request) -> Asked:
        """See `Dialect`. The deployment in the path is the model."""
        deployment = _DEPLOYMENT.match(request.path)
        asked = self.api.read(request)
        return msgspec.structs.replace(asked, model=deployment[1]) if deployment else asked

    def speak(self, said: Said, asked: Asked) -> Speech:
        """See `Dialect`."""
        if self.filtered is None:
            return self.api.speak(said, asked)
        behind = said.model.endswith(ASYNC_SUFFIX)
        more = b"" if behind else b',"content_filter_results":' + bytes(_FOUND)
        return FilteredSpeech(self.filtered(said, asked, more), said, behind=behind)

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """See `Dialect`. Without a `code` it is the status; `content_filter` is a prompt that was blocked."""
        error: dict[str, Any] = {"code": code or str(status), "message": message}
        if code == "content_filter":
            found = {**_SAFE, "violence": {"filtered": True, "severity": "medium"}}
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
            error |= {"type": None, "param": "prompt", "status": status, "innererror": inner}
        return sse.encode({"error": error})

    def headers(self, id: str) -> Headers:
        """See `Dialect`."""
        return (*openai.headers(id), ("apim-request-id", id), ("x-ms-region", "Mock"))

    def rate_limit_headers(self, limit: RateLimit) -> Headers:
        """See `Dialect`."""
        return limits.azure_headers(limit)


class FilteredSpeech:
    """Implements `Speech` around one whose choices know already what was found in them, unless that comes `behind`."""

    __slots__ = ("_behind", "_checked", "_inner", "_said", "last_word", "stamped")

    content_type = sse.CONTENT_TYPE

    def __init__(self, inner: Speech, said: Said, *, behind: bool) -> None:
        self._inner = inner
        self._said = said
        self._behind = behind
        self._checked = 0
        self.last_word = inner.last_word
        self.stamped = inner.stamped or behind

    def opening(self) -> list[bytes]:
        """See `Speech`."""
        return [_event({"choices": [], "prompt_filter_results": [_PROMPT_FOUND]}), *self._inner.opening()]

    def start(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return self._inner.start(kind)

    def token_event(self, kind: Kind, text: str) -> bytes:
        """See `Speech`."""
        return self._inner.token_event(kind, text)

    def end(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return self._inner.end(kind)

    def closing(self) -> list[bytes]:
        """See `Speech`."""
        return self._inner.closing()

    def ping(self) -> bytes:
        """See `Speech`."""
        return self._inner.ping()

    def error_event(self, message: str, code: str) -> list[bytes]:
        """See `Speech`."""
        return self._inner.error_event(message, code)

    def stamp(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `Speech`. Behind every tenth token, and behind the last one, stands what was found in them."""
        if self._inner.stamped:
            event = self._inner.stamp(event, number, tokens)
        text = tokens - self._said.reasoning_tokens
        if not self._behind or text <= self._checked:
            return event
        if text - self._checked < _CHECKED_AT_ONCE and text < self._said.tokens:
            return event
        start, end = (len(words(0, count)) for count in (self._checked, text))
        self._checked = text
        offsets = {"check_offset": start, "start_offset": start, "end_offset": end}
        for choice in range(self._said.choices):
            found = {"content_filter_results": _FOUND, "content_filter_offsets": offsets}
            event += _event({"choices": [{"index": choice, "finish_reason": None, **found}]})
        return event

    def whole(self) -> bytes:
        """See `Speech`."""
        body = msgspec.json.decode(self._inner.whole())
        for choice in body["choices"]:
            choice["content_filter_results"] = _FOUND
        return sse.encode({**body, "prompt_filter_results": [_PROMPT_FOUND]})


def _event(fields: dict[str, Any]) -> bytes:
    """A chunk that is none of the model's."""
    return sse.data(sse.encode({**_BLANK, **fields}))
