"""OpenAI Responses: numbered, named events; the last event repeats the complete response."""

from typing import Any

import msgspec

from llmstress.engine.mock.dialects import openai, prompts, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind
from llmstress.engine.mock.dialects.dialect import Overflow
from llmstress.engine.mock.dialects.openai import error_body, headers, rate_limit_headers
from llmstress.engine.mock.http import Request

__all__ = [
    "ResponsesEncoder",
    "encoder",
    "error_body",
    "headers",
    "name",
    "overflow_message",
    "rate_limit_headers",
    "read",
    "tokens",
]

name = "openai-responses"

# not valid JSON, and within a text the quotes would be escaped, so `fill_in` finds only this place
_NUMBER = b'"sequence_number":,'
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class _Text(msgspec.Struct):
    format: Any = None


class _Body(msgspec.Struct):
    input: str | list[prompts.Message]
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None


_decoder = msgspec.json.Decoder(_Body, strict=False)


def read(request: Request) -> RequestParams:
    body = prompts.decode(_decoder, request.body)
    form = prompts.format_of(body.text.format if body.text is not None else None)
    reasoning = body.reasoning or _Reasoning()
    tool, must_call = prompts.tool_to_call(body.tools, body.tool_choice)
    return RequestParams(
        model=body.model,
        stream=body.stream is True,
        limit=prompts.at_least(1, body.max_output_tokens),
        prompt_tokens=prompts.tokens_of(_messages(body)),
        reasoning="none" if reasoning.effort == "none" else "shown",
        summary=reasoning.summary is not None,
        tool=tool,
        must_call=must_call,
        tool_document=prompts.arguments_of(body.tools, tool),
        json=form.json,
        document=form.document,
        format=body.text.format if body.text is not None else None,
    )


def _messages(body: _Body) -> list[prompts.Message]:
    messages = [prompts.Message(body.input, "user")] if isinstance(body.input, str) else body.input
    if body.instructions is not None:
        messages = [prompts.Message(body.instructions, "system"), *messages]
    return messages


def count(request: Request) -> bytes:
    """The response body of `POST /responses/input_tokens`.

    Raises:
        ValueError: as for `Dialect.read`.
    """
    counted = prompts.tokens_of(_messages(prompts.decode(_decoder, request.body)))
    return sse.to_json({"object": "response.input_tokens", "input_tokens": counted})


def tokens(request: Request) -> list[list[prompts.Token]]:
    return [prompts.conversation_tokens(_messages(prompts.decode(_decoder, request.body)))]


def overflow_message(overflow: Overflow) -> str:
    if overflow.prompt >= overflow.context:
        return "Your input exceeds the context window of this model. Please adjust your input and try again."
    return openai.overflow_message(overflow)


def encoder(answer: AnswerSpec, params: RequestParams) -> "ResponsesEncoder":
    return ResponsesEncoder(answer, params)


class ResponsesEncoder:
    """Implements `AnswerEncoder`. Reasoning is the first output item; a message or a tool call is the next one."""

    __slots__ = ("_answer", "_heads", "_params")

    content_type = sse.CONTENT_TYPE
    end_mark = b""
    fills_in = True

    def __init__(self, answer: AnswerSpec, params: RequestParams) -> None:
        self._answer = answer
        self._params = params
        self._heads: dict[TokenKind, bytes] = {}

    def opening(self) -> list[bytes]:
        created = {"response": self._response("in_progress")}
        events = [_event("response.created", created), _event("response.in_progress", created)]
        if self._has_hidden_reasoning:
            item = self._item("reasoning", "in_progress")
            events += [_item_event("added", 0, item), _item_event("done", 0, item)]
        return events

    def part_start(self, kind: TokenKind) -> list[bytes]:
        events = [_item_event("added", self._index(kind), self._item(kind, "in_progress"))]
        if kind == "tool":
            return events
        return [
            *events,
            _event(self._part_event("added", kind), {**self._location(kind), "part": self._part(kind, "")}),
        ]

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        if kind not in self._heads:
            # all but the text is encoded once: encoding a dictionary per event would cost ten times as much
            fields = {**self._location(kind), **_logprobs(kind), "delta": ""}
            self._heads[kind] = _event(self._text_event("delta", kind), fields).removesuffix(b'""}\n\n')
        return b"%b%b}\n\n" % (self._heads[kind], sse.to_json(text))

    def part_end(self, kind: TokenKind) -> list[bytes]:
        text = self._answer.text(kind)
        where = self._location(kind)
        done = _item_event("done", self._index(kind), self._item(kind, self._item_status(kind), text))
        if kind == "tool":
            whole = {**where, "name": self._params.tool, "arguments": text}
            return [_event(self._text_event("done", kind), whole), done]
        return [
            _event(self._text_event("done", kind), {**where, **_logprobs(kind), "text": text}),
            _event(self._part_event("done", kind), {**where, "part": self._part(kind, text)}),
            done,
        ]

    def closing(self) -> list[bytes]:
        status = self._status
        return [_event(f"response.{status}", {"response": self._response(status)})]

    def ping(self) -> bytes:
        """OpenAI's keep-alive event, which it sends but doesn't document."""
        return _event("keepalive", {})

    def error_events(self, message: str, code: str) -> list[bytes]:
        """Two events: `error`, and `response.failed` for clients that only wait for the last event."""
        error = openai.error_object(500, message, code)
        details = {"code": error["code"], "message": message}
        return [
            _event("error", {"error": error}),
            _event("response.failed", {"response": self._response("failed", error=details)}),
        ]

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        return event.replace(_NUMBER, b'"sequence_number":%d,' % number, 1)

    def body(self) -> bytes:
        return sse.to_json(self._response(self._status))

    # parts of responses

    @property
    def _status(self) -> str:
        return "incomplete" if self._answer.finish_reason in _INCOMPLETE else "completed"

    def _item_status(self, kind: TokenKind) -> str:
        """Status of an item; only the last one can be incomplete."""
        return self._status if kind == self._answer.parts[-1].kind else "completed"

    @property
    def _has_hidden_reasoning(self) -> bool:
        return self._answer.hidden_reasoning_tokens > 0 and self._answer.reasoning_tokens == 0

    def _index(self, kind: TokenKind) -> int:
        """Index of an item in the output."""
        return int(kind != "reasoning" and self._answer.all_reasoning_tokens > 0)

    def _id(self, kind: TokenKind) -> str:
        return {"reasoning": "rs_", "text": "msg_", "tool": "fc_"}[kind] + self._answer.id

    def _location(self, kind: TokenKind) -> dict[str, Any]:
        """The members that say which part of which item an event is about."""
        where = {"item_id": self._id(kind), "output_index": self._index(kind)}
        if kind == "tool":
            return where
        return {**where, "summary_index" if self._as_summary(kind) else "content_index": 0}

    def _as_summary(self, kind: TokenKind) -> bool:
        return kind == "reasoning" and self._params.summary

    def _text_event(self, what: str, kind: TokenKind) -> str:
        if self._as_summary(kind):
            return f"response.reasoning_summary_text.{what}"
        stem = {"reasoning": "reasoning_text", "text": "output_text", "tool": "function_call_arguments"}[kind]
        return f"response.{stem}.{what}"

    def _part_event(self, what: str, kind: TokenKind) -> str:
        return f"response.{'reasoning_summary_part' if self._as_summary(kind) else 'content_part'}.{what}"

    def _part(self, kind: TokenKind, text: str) -> dict[str, Any]:
        if kind == "text":
            return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        return {"type": "summary_text" if self._as_summary(kind) else "reasoning_text", "text": text}

    def _item(self, kind: TokenKind, status: str, text: str = "") -> dict[str, Any]:
        item: dict[str, Any] = {"id": self._id(kind), "status": status}
        parts = [self._part(kind, text)] if text else []
        if kind == "tool":
            call = {"type": "function_call", "call_id": f"call_{self._answer.id}", "name": self._params.tool}
            return {**item, **call, "arguments": text}
        if kind == "text":
            return {**item, "type": "message", "role": "assistant", "content": parts}
        summary, content = (parts, []) if self._params.summary else ([], parts)
        return {"id": item["id"], "type": "reasoning", "summary": summary, "content": content}

    def _response(self, status: str, *, error: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._answer
        over = status in ("completed", "incomplete")
        output = []
        if over and self._has_hidden_reasoning:
            output.append(self._item("reasoning", "completed"))
        if over:
            output += [self._item(kind, self._item_status(kind), answer.text(kind)) for kind, _ in answer.parts]
        reason = _INCOMPLETE.get(answer.finish_reason) if status == "incomplete" else None
        return {
            "id": f"resp_{answer.id}",
            "object": "response",
            "created_at": answer.created,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": None,
            "metadata": {},
            "model": answer.model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0,
            "text": {"format": self._params.format or {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": _usage(answer) if over else None,
        }


def _usage(answer: AnswerSpec) -> dict[str, Any]:
    """The usage object; the prompt includes cached tokens, the output includes reasoning."""
    return {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.all_reasoning_tokens},
        "total_tokens": answer.prompt_tokens + answer.output_tokens,
    }


def _logprobs(kind: TokenKind) -> dict[str, Any]:
    return {"logprobs": []} if kind == "text" else {}


def _event(name: str, fields: dict[str, Any]) -> bytes:
    """An event whose number `fill_in` inserts later."""
    body = sse.to_json(fields)
    return sse.named(name, b'{"type":%b,%b%b' % (sse.to_json(name), _NUMBER, body[1:])) if fields else _bare(name)


def _bare(name: str) -> bytes:
    return sse.named(name, b'{%b"type":%b}' % (_NUMBER, sse.to_json(name)))


def _item_event(what: str, place: int, item: dict[str, Any]) -> bytes:
    return _event(f"response.output_item.{what}", {"output_index": place, "item": item})
