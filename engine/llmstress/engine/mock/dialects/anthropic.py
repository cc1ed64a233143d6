"""Anthropic Messages: named events, content blocks, cumulative usage."""

from typing import Any

import msgspec

from llmstress.engine.mock.dialects import limits, prompts, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, FinishReason, ReasoningMode, RequestParams, TokenKind
from llmstress.engine.mock.dialects.dialect import Overflow
from llmstress.engine.mock.http import Headers, Request

name = "anthropic"
rate_limit_headers = limits.anthropic_headers

_NO_SAMPLING = "2026-10-21"
"""The first API version that rejects sampling parameters."""
_STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "refusal",
}
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SIGNATURE = "c2lnbmF0dXJl"
_ERROR_CODES = {
    "server_error": "api_error",
    "server_is_overloaded": "overloaded_error",
    "rate_limit_exceeded": "rate_limit_error",
}
_DETAILS = {"insufficient_quota": {"error_code": "enforced_spend_limit_reached"}}
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


class _Thinking(msgspec.Struct):
    type: str | None = None
    display: str | None = None


class _OutputConfig(msgspec.Struct):
    format: Any = None


class _Prompt(msgspec.Struct, kw_only=True):
    messages: list[prompts.Message]
    model: str | None = None
    system: Any = None

    @property
    def tokens(self) -> int:
        return prompts.tokens_of(self.messages) + prompts.words_in(self.system)


class _Body(_Prompt, kw_only=True):
    max_tokens: int
    stream: bool | None = None
    thinking: _Thinking | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    output_config: _OutputConfig | None = None
    output_format: Any = None
    """The older name of `output_config.format`."""
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None


_decoder = msgspec.json.Decoder(_Body, strict=False)
_prompt_decoder = msgspec.json.Decoder(_Prompt, strict=False)


def read(request: Request) -> RequestParams:
    body = prompts.decode(_decoder, request.body)
    if dict(request.headers).get("anthropic-version", "") >= _NO_SAMPLING:
        for name in ("temperature", "top_p", "top_k"):
            if getattr(body, name) is not None:
                raise ValueError(f"{name} is not supported from anthropic-version {_NO_SAMPLING} on")
    config = body.output_config
    form = prompts.format_of((config.format if config is not None else None) or body.output_format)
    tool, must_call = prompts.tool_to_call(body.tools, body.tool_choice)
    return RequestParams(
        model=body.model,
        stream=body.stream is True,
        limit=prompts.at_least(0, body.max_tokens),
        prompt_tokens=body.tokens,
        reasoning=_reasoning(body.thinking),
        tool=tool,
        must_call=must_call,
        tool_document=prompts.arguments_of(body.tools, tool),
        json=form.json,
        document=form.document,
    )


def count(request: Request) -> bytes:
    """The response body of `POST /messages/count_tokens`.

    Raises:
        ValueError: as for `Dialect.read`.
    """
    return sse.to_json({"input_tokens": prompts.decode(_prompt_decoder, request.body).tokens})


def tokens(request: Request) -> list[list[prompts.Token]]:
    prompt = prompts.decode(_prompt_decoder, request.body)
    return [[*prompts.content_tokens(prompt.system), *prompts.conversation_tokens(prompt.messages)]]


def overflow_message(overflow: Overflow) -> str:
    prompt, context = overflow.prompt, overflow.context
    if prompt > context:
        return f"prompt is too long: {prompt} tokens > {context} maximum"
    return (
        f"input length and `max_tokens` exceed context limit: {prompt} + {overflow.limit} > {context}, "
        "decrease input length or `max_tokens` and try again"
    )


def _reasoning(thinking: _Thinking | None) -> ReasoningMode:
    if thinking is None:
        return "shown"
    return "none" if thinking.type == "disabled" else "hidden" if thinking.display == "omitted" else "shown"


def encoder(answer: AnswerSpec, params: RequestParams) -> "MessagesEncoder":
    return MessagesEncoder(answer, params)


def error_body(status: int, message: str, code: str = "", id: str = "") -> bytes:
    usual = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error: dict[str, Any] = {"type": _ERROR_CODES.get(code, usual), "message": message}
    if code in _DETAILS:
        error["details"] = _DETAILS[code]
    return sse.to_json({"type": "error", "error": error, "request_id": f"req_{id}" if id else None})


def headers(id: str) -> Headers:
    return (("request-id", f"req_{id}"), ("anthropic-organization-id", "mock"))


class MessagesEncoder:
    """Implements `AnswerEncoder`. Thinking is the first block; text or a tool call is the next one."""

    __slots__ = ("_answer", "_params")

    content_type = sse.CONTENT_TYPE
    end_mark = _STOP
    fills_in = False

    def __init__(self, answer: AnswerSpec, params: RequestParams) -> None:
        self._answer = answer
        self._params = params

    def opening(self) -> list[bytes]:
        # before the first token only the input is known; the output is a placeholder
        message = {
            **self._message,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**self._input_usage, "output_tokens": 1},
        }
        events = [_event("message_start", {"message": message})]
        if self._has_hidden_reasoning:
            events += [*self.part_start("reasoning"), *self.part_end("reasoning")]
        return events

    def part_start(self, kind: TokenKind) -> list[bytes]:
        place = self._index(kind)
        events = [_event("content_block_start", {"index": place, "content_block": self._block(kind)})]
        if place == 0:
            events.append(_PING)
        if kind == "tool":
            events.append(self.token_event(kind, ""))
        return events

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        name, member = {
            "reasoning": (b"thinking_delta", b"thinking"),
            "text": (b"text_delta", b"text"),
            "tool": (b"input_json_delta", b"partial_json"),
        }[kind]
        # formatted by hand: encoding a dictionary per event would cost ten times as much
        return (
            b"event: content_block_delta\n"
            b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
            % (self._index(kind), name, member, sse.to_json(text))
        )

    def part_end(self, kind: TokenKind) -> list[bytes]:
        place = self._index(kind)
        stop = _event("content_block_stop", {"index": place})
        if kind != "reasoning":
            return [stop]
        delta = {"type": "signature_delta", "signature": _SIGNATURE}
        return [_event("content_block_delta", {"index": place, "delta": delta}), stop]

    def closing(self) -> list[bytes]:
        return [
            _event("message_delta", {"delta": self._stop, "usage": self._usage}),
            _STOP,
        ]

    def ping(self) -> bytes:
        return _PING

    def error_events(self, message: str, code: str) -> list[bytes]:
        return [_event("error", {"error": {"type": _ERROR_CODES.get(code, "overloaded_error"), "message": message}})]

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        return event

    def body(self) -> bytes:
        blocks = [self._block("reasoning", signature=_SIGNATURE)] if self._has_hidden_reasoning else []
        blocks += [
            self._block(kind, self._answer.text(kind), signature=_SIGNATURE if kind == "reasoning" else "")
            for kind, _ in self._answer.parts
        ]
        created = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        usage = {**self._usage, "cache_creation": created, "service_tier": "standard"}
        return sse.to_json({**self._message, "content": blocks, **self._stop, "usage": usage})

    # parts of messages

    @property
    def _message(self) -> dict[str, Any]:
        return {"id": f"msg_{self._answer.id}", "type": "message", "role": "assistant", "model": self._answer.model}

    @property
    def _stop(self) -> dict[str, Any]:
        refused = self._answer.finish_reason == "content_filter"
        details = {"type": "refusal", "category": None, "explanation": None} if refused else None
        return {
            "stop_reason": _STOP_REASONS[self._answer.finish_reason],
            "stop_sequence": None,
            **({"stop_details": details} if refused else {}),
        }

    @property
    def _input_usage(self) -> dict[str, int]:
        """Usage of the input; `input_tokens` excludes cached tokens."""
        answer = self._answer
        return {
            "input_tokens": answer.prompt_tokens - answer.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": answer.cached_tokens,
        }

    @property
    def _usage(self) -> dict[str, Any]:
        answer = self._answer
        usage: dict[str, Any] = {**self._input_usage, "output_tokens": answer.output_tokens}
        if answer.all_reasoning_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": answer.all_reasoning_tokens}
        return usage

    @property
    def _has_hidden_reasoning(self) -> bool:
        """Whether there is a thinking block without text, because the client asked to omit it."""
        answer = self._answer
        return (
            self._params.reasoning == "hidden" and answer.hidden_reasoning_tokens > 0 and answer.reasoning_tokens == 0
        )

    def _index(self, kind: TokenKind) -> int:
        """Index of a part's block."""
        return int(kind != "reasoning" and (self._answer.reasoning_tokens > 0 or self._has_hidden_reasoning))

    def _block(self, kind: TokenKind, text: str = "", signature: str = "") -> dict[str, Any]:
        if kind == "text":
            return {"type": "text", "text": text}
        if kind == "reasoning":
            return {"type": "thinking", "thinking": text, "signature": signature}
        input = _arguments(text)
        return {"type": "tool_use", "id": f"toolu_{self._answer.id}", "name": self._params.tool, "input": input}


def _arguments(text: str) -> Any:
    """The arguments of a call; an empty object if they were truncated and so are not valid JSON."""
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return {}


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return sse.named(name, sse.to_json({"type": name, **fields}))
