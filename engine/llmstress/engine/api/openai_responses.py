"""OpenAI Responses: named events, whose JSON contains the type as well."""

from typing import Any

import msgspec

from llmstress.engine.api.answers import Draft, dicts_in, objects_in
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Classify
from llmstress.engine.api.error_shapes import is_error
from llmstress.engine.api.lenient import converted, error_event, finish_in, read_odd, unknown, unreadable_answer
from llmstress.engine.api.meaning import NOTHING, PING, REASONING, SUMMARIZED, TOKEN, UNKNOWN, Meaning, TokenOf
from llmstress.engine.api.openai_usage import usage_in
from llmstress.engine.api.unknown_text import MAX_NAME, reasoning_of_field


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None


class _Response(msgspec.Struct, gc=False):
    status: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    status_details: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    delta: Any = None
    item: _Item | None = None
    response: _Response | None = None
    partial_image_b64: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode

_DELTAS = {
    **dict.fromkeys(
        (
            "response.output_text.delta",
            "response.refusal.delta",
            "response.function_call_arguments.delta",
            "response.custom_tool_call_input.delta",
            "response.mcp_call_arguments.delta",
            "response.code_interpreter_call_code.delta",
            "response.shell_call_command.delta",
            "response.audio.delta",
            "response.audio.transcript.delta",
        ),
        TOKEN,
    ),
    "response.reasoning_text.delta": REASONING,
    "response.reasoning_summary_text.delta": SUMMARIZED,
}
"""Type of an event with content in `delta` -> its meaning if `delta` is not empty."""

_CALLS = ("function_call", "custom_tool_call", "mcp_call")
"""Types of items that are calls. The name of a call comes with the start of its item and counts as a token."""

_BY_SEVERITY = ("completed", "incomplete", "cancelled", "failed")
"""The statuses with which a response can end, by severity: the worst is last."""

_END_EVENTS = {f"response.{status}": status for status in _BY_SEVERITY} | {
    "response.done": "completed",
    "response.canceled": "cancelled",
}
"""Type of an event that ends the stream -> the status for which it stands."""

_NO_CONTENT = frozenset({"response.created", "response.queued", "response.in_progress"})

_UNKNOWN_DELTA = ("response.", ".delta")
"""Beginning and end of the types of events that have text in `delta`. A type like this that is not in `_DELTAS` is new
or a server's own."""

_NO_CONTENT_ENDINGS = (
    *(".added", ".done", ".in_progress", ".completed", ".failed"),
    *(".searching", ".interpreting", ".generating", ".compacting"),
)
"""Endings of the types of events about items, their parts and the states of tools, which have no content of their
own."""

_NO_ANSWER = "the answer is not a response"


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """The meaning of one streamed event. The type is in the data, so `name` matters only if it is `error`. Never
    raises."""
    try:
        event = _decode_event(data)
    except (ValueError, RecursionError):
        return _classify_odd(data, name)
    if event.error or name == b"error":
        return _classify_odd(data, name)
    meaning = _DELTAS.get(event.type)
    if meaning is not None:
        return meaning if event.delta else NOTHING
    return _meaning(event, data)


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """The meaning of the body of an answer that is not streamed. Never raises."""
    value = read_odd(body, b"")
    if isinstance(value, Meaning):
        return value if value.error or value.malformed else unreadable_answer(_NO_ANSWER, body)
    output, status = value.get("output"), value.get("status")
    if not isinstance(output, list) or not isinstance(status, str):
        return unreadable_answer(_NO_ANSWER, body)
    end = _meaning_of_status(status, msgspec.convert(value, _Response))
    items = [item for item in output if isinstance(item, dict)]
    visible = any(_has_output(item) for item in items if item.get("type") != "reasoning")
    reasoning = any(_has_output(item) for item in items if item.get("type") == "reasoning")
    tokens = (TokenOf(0, visible, reasoning),) if visible or reasoning else ()
    return msgspec.structs.replace(end, tokens=tokens, done=False)


def _classify_odd(data: bytes, name: bytes) -> Meaning:
    """The meaning of data that the typed decode refused, or of an error: errors, the end event of other APIs, other
    dialects, no JSON."""
    event = converted(read_odd(data, name), _Event)
    if isinstance(event, Meaning):
        return unknown(data) if event is UNKNOWN else event
    meaning = _DELTAS.get(event.type)
    if meaning is not None:
        return meaning if event.delta else NOTHING
    return _meaning(event, data)


def _meaning(event: _Event, data: bytes) -> Meaning:
    """The meaning of an event that is not in `_DELTAS`: most occur once in an answer or in an item."""
    kind = event.type
    if kind in _END_EVENTS:
        response = event.response or _Response()
        named = _END_EVENTS[kind]
        # Some servers end every response with the same event, so the status in the response counts if it is worse.
        return _meaning_of_status(max(named, _status_of(response) or named, key=_BY_SEVERITY.index), response)
    if kind == "error":
        return error_event({"code": event.code, "message": event.message})
    if kind == "response.output_item.added" and event.item is not None:
        return TOKEN if event.item.type in _CALLS and event.item.name else NOTHING
    if kind == "response.image_generation_call.partial_image":
        return TOKEN if event.partial_image_b64 else NOTHING
    if kind == "keepalive":
        return PING
    if kind in _NO_CONTENT or kind.endswith(_NO_CONTENT_ENDINGS):
        return NOTHING
    begin, end = _UNKNOWN_DELTA
    if kind.startswith(begin) and kind.endswith(end) and event.delta and isinstance(event.delta, str):
        return reasoning_of_field(kind[:MAX_NAME])
    return unknown(data)


def _status_of(response: _Response) -> str:
    """The status with which a response ended; empty: it has none."""
    status = response.status
    status = "cancelled" if status == "canceled" else status
    return status if isinstance(status, str) and status in _BY_SEVERITY else ""


def _meaning_of_status(status: str, response: _Response) -> Meaning:
    """The meaning of a response with this status."""
    usage = usage_in(response.usage)
    details = response.incomplete_details or response.status_details
    if status in ("failed", "cancelled", "canceled") or is_error(response.error):
        how = "was cancelled" if status.startswith("cancel") else "failed"
        return error_event(response.error or details or f"the response {how}")
    if status not in ("completed", "incomplete"):
        return Meaning(usage=usage)
    finish = finish_in(details.get("reason") if isinstance(details, dict) else None) or status
    return Meaning(finish=finish, filtered=finish == "content_filter", usage=usage, done=True)


def _has_output(item: dict[str, Any]) -> bool:
    """Whether an item of a whole answer contains anything that was generated."""
    parts = [part for key in ("content", "summary") if isinstance(item.get(key), list) for part in item[key]]
    text = any(isinstance(part, dict) and (part.get("text") or part.get("refusal")) for part in parts)
    return text or any(bool(item.get(key)) for key in ("name", "arguments", "input", "code", "result", "action"))


_TEXT_DELTAS = frozenset(
    f"response.{kind}.delta" for kind in ("output_text", "refusal", "audio.transcript", "output_audio_transcript")
)
_ARGUMENT_DELTAS = frozenset(
    f"response.{kind}.delta"
    for kind in (
        *("function_call_arguments", "custom_tool_call_input", "mcp_call_arguments"),
        *("code_interpreter_call_code", "shell_call_command"),
    )
)


def add_to(draft: Draft, data: bytes, name: bytes = b"") -> None:
    """Add what an event or a whole answer says to `draft`. Never raises."""
    for event in objects_in(data):
        kind, delta, item = event.get("type"), event.get("delta"), event.get("item")
        if not isinstance(kind, str):
            _add_response(draft, event)
        elif kind in _TEXT_DELTAS:
            draft.add_text(delta)
        elif kind in _ARGUMENT_DELTAS:
            draft.add_call(_key_of(event), arguments=delta)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            if isinstance(item, dict):
                _add_call(draft, _key_of(event), item)
        elif kind in _END_EVENTS:
            _add_response(draft, event.get("response"))
        elif _DELTAS.get(kind, TOKEN).tokens[0].reasoning or kind not in _DELTAS:
            begin, end = _UNKNOWN_DELTA
            if kind.startswith(begin) and kind.endswith(end):
                draft.add_reasoning(delta)


def _add_response(draft: Draft, response: Any) -> None:
    """Add a complete response, which an end event repeats after the events with its parts."""
    if not isinstance(response, dict):
        return
    status, details = response.get("status"), response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    draft.finish(finish_in(reason) or (status if status in ("completed", "incomplete") else None))
    if not draft.is_empty:
        return
    for position, item in enumerate(dicts_in(response.get("output"))):
        if item.get("type") == "reasoning":
            draft.add_reasoning(item.get("content") or item.get("summary"))
        elif item.get("type") == "message":
            parts = dicts_in(item.get("content"))
            draft.add_text([part.get("text") or part.get("refusal") for part in parts])
        else:
            _add_call(draft, position, item)


def _add_call(draft: Draft, key: Any, item: dict[str, Any]) -> None:
    """Add an item if it is a call."""
    if item.get("type") in _CALLS:
        arguments = item.get("arguments") or item.get("input")
        draft.add_call(key, name=item.get("name"), arguments=arguments, whole=True)


def _key_of(event: dict[str, Any]) -> Any:
    """What is the same in all events of an item."""
    index = event.get("output_index")
    return event.get("item_id") if index is None else index


class OpenAIResponses(Api):
    """`POST /v1/responses`. Usage need not be requested. `store` is false: otherwise the provider would store every
    answer of a load test."""

    PATH = "/responses"
    TAKES = frozenset({"system", "max_tokens", "auth"})
    EVENT_BEGINS = b"event: response.output_text.delta\ndata: "

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)
    add_to = staticmethod(add_to)

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, named as in the API's reference."""
        return {
            "model": ask.model,
            "input": [*ask.messages] or ask.prompt,
            "instructions": ask.system,
            "max_output_tokens": ask.limit,
            "stream": self.streamed,
            "store": False,
        }
