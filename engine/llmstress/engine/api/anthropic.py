"""Anthropic Messages, as in Anthropic's API, on the clouds that offer it, and in other engines with this API."""

from typing import Any

import msgspec

from llmstress.engine.api.answers import Draft, dicts_in, objects_in
from llmstress.engine.api.ask import Ask, text_of
from llmstress.engine.api.base import Api, Classify
from llmstress.engine.api.lenient import (
    converted,
    count_in,
    error_event,
    finish_in,
    read_json,
    read_odd,
    unknown,
    unreadable_answer,
)
from llmstress.engine.api.meaning import DONE, NOTHING, PING, SUMMARIZED, TOKEN, UNKNOWN, Meaning, TokenOf, Usage
from llmstress.engine.api.openai_usage import BEDROCK, usage_in, with_reasoning
from llmstress.engine.api.unknown_text import reasoning_of_field, unknown_text_field

_SYSTEM = ("system", "developer")
"""Roles of messages that OpenAI's APIs have, and this one has not."""

VERSION = "2023-06-01"
"""All servers know this version. From 2026-10-21 on sampling parameters are refused; llmstress sends none."""


class _Delta(msgspec.Struct, gc=False):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class _Block(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: Any = None
    usage: Any = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode

_NO_ANSWER = "the answer is not a message"

_KNOWN = frozenset((*_Delta.__struct_fields__, "signature", "citation"))
"""Members of a delta that this module knows, or that contain no text."""


class _OpenDelta(msgspec.Struct, gc=False):
    """The type of a second decode of an event, which keeps its delta as a plain object."""

    delta: Any = None


_decode_open = msgspec.json.Decoder(_OpenDelta).decode


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """The meaning of one streamed event. The type is in the data, so `name` matters only if it is `error`. Never
    raises."""
    try:
        event = _decode_event(data)
    except (ValueError, RecursionError):
        return _classify_odd(data, name)
    if event.error or name == b"error":
        return _classify_odd(data, name)
    if event.type == "content_block_delta" and (delta := event.delta) is not None:
        return TOKEN if delta.text else _meaning_of_delta(delta, data)
    return _meaning(event, data)


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """The meaning of the body of an answer that is not streamed. Never raises."""
    value = read_odd(body, b"")
    if isinstance(value, Meaning):
        return value if value.error or value.malformed else unreadable_answer(_NO_ANSWER, body)
    content, finish = value.get("content"), finish_in(value.get("stop_reason"))
    if not isinstance(content, list):
        return unreadable_answer(_NO_ANSWER, body)
    blocks = [block for block in content if isinstance(block, dict)]
    visible = any(block.get("text") or _is_call(block.get("type"), block.get("name")) for block in blocks)
    reasoning = any(bool(block.get("thinking")) for block in blocks)
    tokens = (TokenOf(0, visible, reasoning),) if visible or reasoning else ()
    return Meaning(tokens, finish, finish == "refusal", _usage_in(value.get("usage")) or _usage_of_bedrock(value))


def _classify_odd(data: bytes, name: bytes) -> Meaning:
    """The meaning of data that the typed decode refused, or of an error: errors, the end event of other APIs, other
    dialects, no JSON."""
    event = converted(read_odd(data, name), _Event)
    if isinstance(event, Meaning):
        return unknown(data) if event is UNKNOWN else event
    return _meaning(event, data)


def _meaning(event: _Event, data: bytes) -> Meaning:
    kind = event.type
    if kind == "content_block_delta" and event.delta is not None:
        return _meaning_of_delta(event.delta, data)
    if kind == "content_block_start" and event.content_block is not None:
        return TOKEN if _is_call(event.content_block.type, event.content_block.name) else NOTHING
    if kind == "message_start":
        usage = _usage_in(event.message.get("usage")) if isinstance(event.message, dict) else None
        if usage is None or usage.input is None:
            return NOTHING
        # the output count at the start is only a placeholder
        return Meaning(usage=msgspec.structs.replace(usage, output=None))
    if kind == "message_delta":
        finish = finish_in(event.delta.stop_reason) if event.delta is not None else ""
        return Meaning(finish=finish, filtered=finish == "refusal", usage=_usage_in(event.usage))
    if kind == "message_stop":
        usage = _usage_of_bedrock(_object_in(data)) if BEDROCK.encode() in data else None
        return DONE if usage is None else Meaning(usage=usage, done=True)
    if kind == "error":
        return error_event(_object_in(data))
    if kind == "ping":
        return PING
    return NOTHING if kind == "content_block_stop" else unknown(data)


def _meaning_of_delta(delta: _Delta, data: bytes) -> Meaning:
    """The meaning of a delta without `text`. Signatures and citations are not tokens; text in an unknown field is
    reasoning."""
    if delta.text or delta.partial_json:
        return TOKEN
    if delta.thinking:
        return SUMMARIZED
    try:
        field = unknown_text_field(_decode_open(data).delta, _KNOWN)
    except (ValueError, RecursionError):
        field = ""
    return reasoning_of_field(field) if field else NOTHING


def _object_in(data: bytes) -> dict[str, Any]:
    try:
        value = read_json(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_call(kind: Any, name: Any) -> bool:
    """Whether a block is a call of a tool, and names it: a tool of the client, of the server, or of an MCP server."""
    return isinstance(kind, str) and kind.endswith("tool_use") and bool(name)


class _Parts(Usage, frozen=True, kw_only=True):
    """Usage whose input is the sum of three parts: fresh input, input written to the cache, and input read from it. A
    later report may lack some of the parts."""

    fresh: int | None
    written: int | None
    read: int | None

    def updated(self, later: Usage) -> Usage:
        """The counts after a later report, as in `Usage`. A part of 0 keeps its earlier value: some servers report the
        input at the start of an answer and 0 at its end."""
        latest = super().updated(later)
        if not isinstance(later, _Parts):
            return latest
        return _sum_of(
            later.fresh or self.fresh,
            later.written or self.written,
            later.read or self.read,
            latest.output,
            latest.reasoning,
        )


def _sum_of(
    fresh: int | None, written: int | None, read: int | None, output: int | None, reasoning: int | None
) -> _Parts:
    given = (fresh or 0) + (written or 0) + (read or 0) or None
    cached = read if given is not None else None
    return _Parts(given, output, cached, reasoning, written or None, fresh=fresh, written=written, read=read)


def _usage_in(value: Any) -> Usage | None:
    fresh, written, read, output = (
        count_in(value, name)
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    )
    if not (fresh or written or read or output):
        return usage_in(value)  # other engines with this API may use OpenAI's names
    reasoning = count_in(value.get("output_tokens_details"), "thinking_tokens")
    return _sum_of(fresh, written, read, with_reasoning(None, output, reasoning), reasoning)


def _usage_of_bedrock(value: dict[str, Any]) -> Usage | None:
    """Bedrock's own counts, which it adds to the last event."""
    fresh, written, read, output = (
        count_in(value.get(BEDROCK), f"{name}TokenCount")
        for name in ("input", "cacheWriteInput", "cacheReadInput", "output")
    )
    return _sum_of(fresh, written, read, output, None) if fresh or output else None


def add_to(draft: Draft, data: bytes, name: bytes = b"") -> None:
    """Add what an event or a whole answer says to `draft`. Never raises."""
    for event in objects_in(data):
        kind, delta, index = event.get("type"), event.get("delta"), event.get("index")
        if kind == "content_block_start":
            _add_block(draft, index, event.get("content_block"))
        elif isinstance(delta, dict):
            draft.finish(delta.get("stop_reason"))
            draft.add_text(delta.get("text"))
            draft.add_reasoning(delta.get("thinking"))
            if delta.get("partial_json"):
                draft.add_call(index, arguments=delta["partial_json"])
        elif "content" in event:
            draft.finish(event.get("stop_reason"))
            for position, block in enumerate(dicts_in(event["content"])):
                _add_block(draft, position, block)


def _add_block(draft: Draft, key: Any, block: Any) -> None:
    if not isinstance(block, dict):
        return
    draft.add_text(block.get("text"))
    draft.add_reasoning(block.get("thinking"))
    if _is_call(block.get("type"), block.get("name")):
        draft.add_call(key, name=block["name"], arguments=block.get("input") or "")


class Anthropic(Api):
    """`POST /v1/messages`."""

    PATH = "/messages"
    TAKES = frozenset({"system", "max_tokens", "version", "auth"})
    AUTH = "x-api-key"
    EVENT_BEGINS = b"event: content_block_delta\ndata: "

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)
    add_to = staticmethod(add_to)

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """Whether the path ends in `PATH`, or the host is Anthropic's."""
        return path.endswith(cls.PATH) or host == "api.anthropic.com"

    def headers(self, key: str | None) -> list[tuple[str, str]]:
        """The key, and the version of the API."""
        return [*super().headers(key), ("anthropic-version", self.ask.version or VERSION)]

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, named as in the API's reference. Messages with the role of the system, which the API
        does not know, are put into its member `system`."""
        of_system = [text_of(each.get("content")) for each in ask.messages if each.get("role") in _SYSTEM]
        return {
            "model": ask.model,
            "max_tokens": ask.limit,
            "system": "\n\n".join(filter(None, [ask.system, *of_system])) if of_system else ask.system,
            "messages": [each for each in ask.conversation if each.get("role") not in _SYSTEM],
            "stream": self.streamed,
        }
