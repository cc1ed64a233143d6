"""The mock's answers in each API: the texts expected of it, and readers of streamed and whole answers."""

import json
from typing import Any, NamedTuple

from llmstress.engine.mock.dialects.answer_spec import AnswerSpec
from llmstress.engine.mock.dialects.dialect import AnswerEncoder

Event = tuple[str, Any]
"""Name, and the value of its JSON; the data itself where that isn't JSON."""


def tell(encoder: AnswerEncoder, answer: AnswerSpec, per_event: int = 1) -> list[bytes]:
    """All of an answer's events."""
    out: list[bytes] = []
    tokens = 0

    def add(events: list[bytes]) -> None:
        out.extend(encoder.fill_in(event, len(out), tokens) if encoder.fills_in else event for event in events)

    add(encoder.opening())
    for kind, count in answer.parts:
        add(encoder.part_start(kind))
        for first in range(0, count, per_event):
            size = min(per_event, count - first)
            tokens += size
            add([encoder.token_event(kind, answer.text(kind, first, size))])
        add(encoder.part_end(kind))
    add(encoder.closing())
    return out


def events_in(wire: bytes) -> list[Event]:
    """Server-sent events."""
    assert wire.endswith(b"\n\n")
    found: list[Event] = []
    for block in wire.decode().split("\n\n")[:-1]:
        name, data = "", ""
        for line in block.split("\n"):
            field, _, value = line.partition(": ")
            assert field in ("event", "data"), line
            name, data = (value, data) if field == "event" else (name, value)
        found.append((name, json.loads(data) if data.startswith("{") else data))
    return found


class Heard(NamedTuple):
    """What an answer says; of its first choice, if nothing else is said."""

    reasoning: str = ""
    text: str = ""
    arguments: str = ""
    tool: str = ""


def choices_in(events: list[Event], index: int = 0) -> list[dict[str, Any]]:
    """What all chunks say of one choice."""
    chunks = [chunk for _, chunk in events if isinstance(chunk, dict)]
    return [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]


def chat_stream(events: list[Event], index: int = 0) -> Heard:
    """Of a stream of chat completions."""
    reasoning = text = arguments = tool = ""
    for choice in choices_in(events, index):
        delta = choice.get("delta", {})
        reasoning += delta.get("reasoning_content", "")
        text += delta.get("content") or ""
        for call in delta.get("tool_calls", ()):
            tool += call["function"].get("name", "")
            arguments += call["function"]["arguments"]
    return Heard(reasoning, text, arguments, tool)


def chat_whole(body: dict[str, Any]) -> Heard:
    """Of a chat completion."""
    message = body["choices"][0]["message"]
    call = message.get("tool_calls", [{"function": {"arguments": "", "name": ""}}])[0]["function"]
    return Heard(message.get("reasoning_content", ""), message["content"] or "", call["arguments"], call["name"])


def completions_stream(events: list[Event], index: int = 0) -> Heard:
    """Of a stream of completions."""
    return Heard(text="".join(choice.get("text", "") for choice in choices_in(events, index)))


def completions_whole(body: dict[str, Any]) -> Heard:
    """Of a completion."""
    return Heard(text=body["choices"][0]["text"])


def responses_stream(events: list[Event]) -> Heard:
    """Of the events of Responses."""

    def all_of(kind: str) -> str:
        return "".join(e["delta"] for name, e in events if name == f"response.{kind}.delta")

    tool = "".join(e["item"].get("name", "") for name, e in events if name == "response.output_item.added")
    thoughts = all_of("reasoning_text") + all_of("reasoning_summary_text")
    return Heard(thoughts, all_of("output_text"), all_of("function_call_arguments"), tool)


def responses_whole(body: dict[str, Any]) -> Heard:
    """Of a response."""
    reasoning = text = arguments = tool = ""
    for item in body["output"]:
        if item["type"] == "reasoning":
            reasoning += "".join(part["text"] for part in item["content"] + item["summary"])
        elif item["type"] == "message":
            text += "".join(part["text"] for part in item["content"])
        else:
            arguments, tool = item["arguments"], item["name"]
    return Heard(reasoning, text, arguments, tool)


def anthropic_stream(events: list[Event]) -> Heard:
    """Of the events of Messages."""
    deltas = [e["delta"] for name, e in events if name == "content_block_delta"]
    tool = "".join(e["content_block"].get("name", "") for name, e in events if name == "content_block_start")
    thoughts, text, arguments = (
        "".join(d.get(member, "") for d in deltas) for member in ("thinking", "text", "partial_json")
    )
    return Heard(thoughts, text, arguments, tool)


def anthropic_whole(body: dict[str, Any]) -> Heard:
    """Of a message."""
    reasoning = text = arguments = tool = ""
    for block in body["content"]:
        reasoning += block.get("thinking", "")
        text += block.get("text", "")
        if block["type"] == "tool_use":
            arguments, tool = json.dumps(block["input"], separators=(",", ":")), block["name"]
    return Heard(reasoning, text, arguments, tool)
