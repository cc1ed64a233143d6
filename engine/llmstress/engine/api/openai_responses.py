"""OpenAI Responses: named events, each of which says its type once more in its JSON."""

from typing import Any

import msgspec

from llmstress.engine.api.base import Api, Classify, encode_body
from llmstress.engine.api.event import NOTHING, REASONING, RETOLD, TOKEN, UNKNOWN, Event, TokenOf, Usage
from llmstress.engine.api.lenient import count_in, error_event, fitted, read_odd


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None


class _Response(msgspec.Struct, gc=False):
    status: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None


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
    "response.reasoning_summary_text.delta": RETOLD,
}
"""Type of an event that bears its payload in `delta` -> what it means if that isn't empty."""

_CALLS = ("function_call", "custom_tool_call", "mcp_call")
"""Items that announce a call by its name, which is a token of its own."""

_LAST = {f"response.{status}": status for status in ("completed", "incomplete", "failed")}

_SILENT = frozenset({"keepalive", "response.created", "response.queued", "response.in_progress"})

_SILENT_ENDS = (
    *(".added", ".done", ".in_progress", ".completed", ".failed"),
    *(".searching", ".interpreting", ".generating", ".compacting"),
)
"""How the types of events end that tell of items, their parts, and the state of tools."""

_NO_ANSWER = Event(malformed="the answer is no response")


def classify(data: bytes, name: bytes = b"") -> Event:
    """What one streamed event means: its type is in the data, so `name` only matters if it speaks of an error. Never
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
    return _meaning(event)


def read_answer(body: bytes, content_type: str = "") -> Event:
    """What the body of an answer that is not streamed means. Never raises."""
    value = read_odd(body, b"")
    if isinstance(value, Event):
        return value if value.error or value.malformed else _NO_ANSWER
    output, status = value.get("output"), value.get("status")
    if not isinstance(output, list) or not isinstance(status, str):
        return _NO_ANSWER
    ended = _ended(status, msgspec.convert(value, _Response))
    items = [item for item in output if isinstance(item, dict)]
    visible = any(_says(item) for item in items if item.get("type") != "reasoning")
    reasoning = any(_says(item) for item in items if item.get("type") == "reasoning")
    said = (TokenOf(0, visible, reasoning),) if visible or reasoning else ()
    return msgspec.structs.replace(ended, tokens=said, done=False)


def _classify_odd(data: bytes, name: bytes) -> Event:
    """Errors, the last word of other APIs, other dialects, no JSON."""
    event = fitted(read_odd(data, name), _Event)
    if isinstance(event, Event):
        return event
    meaning = _DELTAS.get(event.type)
    if meaning is not None:
        return meaning if event.delta else NOTHING
    return _meaning(event)


def _meaning(event: _Event) -> Event:
    """What happens once in an answer, or in an item of it."""
    kind = event.type
    if kind in _LAST:
        return _ended(_LAST[kind], event.response or _Response())
    if kind == "error":
        return error_event({"code": event.code, "message": event.message})
    if kind == "response.output_item.added" and event.item is not None:
        return TOKEN if event.item.type in _CALLS and event.item.name else NOTHING
    if kind == "response.image_generation_call.partial_image":
        return TOKEN if event.partial_image_b64 else NOTHING
    return NOTHING if kind in _SILENT or kind.endswith(_SILENT_ENDS) else UNKNOWN


def _ended(status: str, response: _Response) -> Event:
    """What a response means that has come to this status."""
    usage = _usage_in(response.usage)
    if status == "failed":
        return error_event(response.error or "the response failed")
    if status == "completed":
        return Event(finish=status, usage=usage, done=True)
    if status != "incomplete":
        return Event(usage=usage)
    details = response.incomplete_details
    reason = details.get("reason") if isinstance(details, dict) else None
    finish = reason if isinstance(reason, str) and reason else status
    return Event(finish=finish, filtered=finish == "content_filter", usage=usage, done=True)


def _says(item: dict[str, Any]) -> bool:
    """Whether an item of a whole answer bears anything that was generated."""
    parts = [part for key in ("content", "summary") if isinstance(item.get(key), list) for part in item[key]]
    spoken = any(isinstance(part, dict) and (part.get("text") or part.get("refusal")) for part in parts)
    return spoken or any(bool(item.get(key)) for key in ("name", "arguments", "input", "code", "result", "action"))


def _usage_in(value: Any) -> Usage | None:
    given, taken = count_in(value, "input_tokens"), count_in(value, "output_tokens")
    if given is None and taken is None:
        return None
    return Usage(
        input=given,
        output=taken,
        cached_input=count_in(value.get("input_tokens_details"), "cached_tokens"),
        reasoning=count_in(value.get("output_tokens_details"), "reasoning_tokens"),
    )


class OpenAIResponses(Api):
    """`POST /v1/responses`. Usage comes unasked; `store: false`, or every answer of a load would be kept."""

    PATH = "/responses"
    TAKES = frozenset({"system", "max_tokens", "auth"})
    EVENT_BEGINS = b"event: response.output_text.delta\ndata: "

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)

    def body(self) -> bytes:
        """See `Api`."""
        ask = self.ask
        return encode_body(
            {
                "model": ask.model,
                "input": ask.prompt,
                "instructions": ask.system,
                "max_output_tokens": ask.limit,
                "stream": self.streamed,
                "store": False,
            },
            ask.extra,
        )
