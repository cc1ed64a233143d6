"""OpenAI Responses: bodies, the meaning of each event, and whole streams, cut in all ways."""

import json
from typing import Any

import pytest
from helpers.bench import values
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, anything, check, check_api, nested, objects_of, packed
from helpers.read_ways import read_all_ways, took_the_fast_path
from hypothesis import given

from llmstress.engine.api import guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import (
    DONE,
    FOREIGN,
    NOTHING,
    PING,
    REASONING,
    SUMMARIZED,
    TOKEN,
    UNKNOWN,
    Meaning,
    TokenOf,
    Usage,
)
from llmstress.engine.api.openai_responses import OpenAIResponses, classify, read_answer

PLAIN = {"model": "m", "input": "Hi", "max_output_tokens": 5, "stream": True, "store": False}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, PLAIN, id="a minimal request asks that nothing be stored"),
        pytest.param({"system": "Be kind"}, PLAIN | {"instructions": "Be kind"}, id="a system prompt is instructions"),
        pytest.param({"system": ""}, PLAIN | {"instructions": ""}, id="an empty one is one"),
        pytest.param({"stream": False}, PLAIN | {"stream": False}, id="no stream"),
        pytest.param(
            {"extra": {"reasoning": {"effort": "low"}, "store": None}},
            {k: v for k, v in PLAIN.items() if k != "store"} | {"reasoning": {"effort": "low"}},
            id="extra keys are added, null removes one",
        ),
    ],
)
def test_the_body_of_a_request(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    given: dict[str, Any] = {"model": "m", "prompt": "Hi", "max_tokens": 5} | changes
    ask = Ask(**given)
    assert json.loads(OpenAIResponses(ask).body(ask)) == expected


def test_a_url_of_responses_selects_this_api() -> None:
    assert guess_api("h", "/v1/responses") == "openai-responses"
    assert OpenAIResponses(Ask()).endpoint("/v1", "").path == "/v1/responses"


def typed(kind: str, **fields: Any) -> bytes:
    return packed({"type": kind, "sequence_number": 7, **fields})


def delta(kind: str, text: Any = "Hi") -> bytes:
    return typed(f"response.{kind}.delta", item_id="i", output_index=0, content_index=0, delta=text)


def added(**item: Any) -> bytes:
    return typed("response.output_item.added", output_index=1, item={"id": "i", "status": "in_progress", **item})


COUNTS = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 6,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
COUNTED = Usage(input=9, output=6, cached_input=4, reasoning=2)


def ended(status: str, *, usage: Any = None, reason: Any = None, error: Any = None) -> bytes:
    """The last event, which contains the whole response."""
    details = None if reason is None else {"reason": reason}
    response = {"id": "r", "object": "response", "status": status, "output": [{"type": "message"}], "usage": usage}
    return typed(f"response.{status}", response={**response, "error": error, "incomplete_details": details})


BEGUN: dict[str, Any] = {
    "id": "r",
    "object": "response",
    "status": "in_progress",
    "output": [],
    "usage": None,
    "error": None,
}

TOKENS: dict[str, tuple[bytes, Meaning]] = {
    **{
        f"{kind} is a token": (delta(kind), TOKEN)
        for kind in (
            *("output_text", "refusal", "function_call_arguments", "custom_tool_call_input", "mcp_call_arguments"),
            *("code_interpreter_call_code", "shell_call_command", "audio", "audio.transcript"),
        )
    },
    "text with all its fields": (
        typed("response.output_text.delta", item_id="i", delta="Hi", logprobs=[], obfuscation="x9"),
        TOKEN,
    ),
    "whitespace counts": (delta("output_text", "\n"), TOKEN),
    "reasoning": (delta("reasoning_text"), REASONING),
    "the length of a summary of reasoning is unknown": (delta("reasoning_summary_text"), SUMMARIZED),
    "an image": (typed("response.image_generation_call.partial_image", partial_image_b64="iVBO"), TOKEN),
    "a function's name": (added(type="function_call", name="get", arguments=""), TOKEN),
    "the name of a tool of one's own": (added(type="custom_tool_call", name="get", input=""), TOKEN),
    "the name of an MCP server's tool": (added(type="mcp_call", name="get", server_label="s"), TOKEN),
    "half a surrogate pair is text": (delta("output_text", "\ud83d"), TOKEN),
    "text that is no UTF-8 is text": (b'{"type":"response.output_text.delta","delta":"a\xff"}', TOKEN),
    "text of another type counts if it is not empty": (delta("output_text", ["Hi"]), TOKEN),
}

NO_TOKENS: dict[str, tuple[bytes, Meaning]] = {
    "empty text": (delta("output_text", ""), NOTHING),
    "null text": (delta("output_text", None), NOTHING),
    "a missing text": (typed("response.output_text.delta"), NOTHING),
    "an image without data": (typed("response.image_generation_call.partial_image"), NOTHING),
    "a message begins": (added(type="message", role="assistant", content=[]), NOTHING),
    "reasoning begins": (added(type="reasoning", summary=[]), NOTHING),
    "a call without a name": (added(type="function_call", name="", arguments=""), NOTHING),
    "a tool of the server's that has no name": (added(type="web_search_call"), NOTHING),
    "an item without a type": (added(name="get"), NOTHING),
    "a null item": (typed("response.output_item.added", item=None), NOTHING),
    "the answer has been created": (typed("response.created", response=BEGUN), NOTHING),
    "the answer is queued": (typed("response.queued", response=BEGUN | {"status": "queued"}), NOTHING),
    "the answer has begun": (typed("response.in_progress", response=BEGUN), NOTHING),
    "an undocumented keepalive": (typed("keepalive"), PING),
    **{
        kind: (
            typed(f"response.{kind}", text="all of it", part={}, item={"type": "function_call", "name": "x"}),
            NOTHING,
        )
        for kind in (
            *("content_part.added", "content_part.done", "output_text.done", "output_item.done", "refusal.done"),
            *("reasoning_summary_part.added", "reasoning_summary_text.done", "function_call_arguments.done"),
            *("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
            *("file_search_call.searching", "code_interpreter_call.interpreting", "mcp_call.failed"),
            *("mcp_list_tools.completed", "image_generation_call.generating", "output_text.annotation.added"),
            *("compaction.compacting", "audio.done"),
        )
    },
    "an event of another kind": (typed("response.new_thing"), UNKNOWN),
    "an unknown end event is no success": (typed("response.terminated", response=BEGUN), UNKNOWN),
    "a chunk of another API": (packed({"choices": [{"delta": {"content": "Hi"}}]}), UNKNOWN),
    "a type of another shape": (packed({"type": 5}), UNKNOWN),
    "an item of another shape": (typed("response.output_item.added", item="x"), UNKNOWN),
    "an end of another shape": (typed("response.completed", response="x"), UNKNOWN),
    "a list": (b"[1]", UNKNOWN),
    "an empty event": (b"", FOREIGN),
    "an error that is none": (typed("response.output_text.delta", delta="Hi", error=None), TOKEN),
}

ENDS: dict[str, tuple[bytes, Meaning]] = {
    "completed": (ended("completed", usage=COUNTS), Meaning(finish="completed", usage=COUNTED, done=True)),
    "completed without usage": (ended("completed"), Meaning(finish="completed", done=True)),
    "completed without its answer": (typed("response.completed"), Meaning(finish="completed", done=True)),
    "the limit of tokens": (
        ended("incomplete", usage=COUNTS, reason="max_output_tokens"),
        Meaning(finish="max_output_tokens", usage=COUNTED, done=True),
    ),
    "the provider's moderation": (
        ended("incomplete", reason="content_filter"),
        Meaning(finish="content_filter", filtered=True, done=True),
    ),
    "incomplete without a reason": (ended("incomplete"), Meaning(finish="incomplete", done=True)),
    "incomplete for an odd reason": (ended("incomplete", reason=5), Meaning(finish="incomplete", done=True)),
    "failed": (
        ended("failed", error={"code": "server_error", "message": "boom"}),
        Meaning(error="server_error: boom"),
    ),
    "failed without a message": (ended("failed"), Meaning(error="the response failed")),
    "[DONE] of a gateway": (b"[DONE]", DONE),
    "a flat error": (typed("error", code="x", message="boom", param=None), Meaning(error="x: boom")),
    "a nested error": (typed("error", error={"code": "x", "message": "boom"}), Meaning(error="x: boom")),
    "an error without a message": (typed("error"), Meaning(error='{"code":null,"message":null}')),
    "an error as others send it": (packed({"error": {"message": "boom"}}), Meaning(error="boom")),
    "a flat error as SGLang sends it": (packed({"object": "error", "message": "boom"}), Meaning(error="boom")),
    "counts of an odd type": (
        ended("completed", usage={"input_tokens": "9", "output_tokens": 6, "output_tokens_details": []}),
        Meaning(finish="completed", usage=Usage(output=6), done=True),
    ),
    "usage with the names of another API": (
        ended("completed", usage={"prompt_tokens": 3, "completion_tokens": 4}),
        Meaning(finish="completed", usage=Usage(3, 4), done=True),
    ),
}
ALL = {**TOKENS, **NO_TOKENS, **ENDS}


@pytest.mark.parametrize(("data", "expected"), ALL.values(), ids=ALL)
def test_the_meaning_of_an_event(data: bytes, expected: Meaning) -> None:
    event = classify(data)
    assert event == expected
    common = (TOKEN, REASONING, SUMMARIZED, NOTHING, DONE, UNKNOWN, FOREIGN, PING)
    if expected in common:
        assert any(event is each for each in common), "compared by identity"


def test_an_event_named_error_is_an_error() -> None:
    assert classify(packed({"message": "boom"}), b"error") == Meaning(error="boom")
    assert classify(delta("output_text"), b"error").error


def test_the_name_of_an_event_changes_nothing_else() -> None:
    for data, expected in ALL.values():
        assert classify(data, b"response.output_text.delta") == expected


MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
BLANK = {"type": "reasoning", "summary": []}
TEXT = TokenOf(choice=0, visible=True, reasoning=False)


def answer(*output: Any, status: Any = "completed", **more: Any) -> bytes:
    whole = {"id": "r", "object": "response", "status": status, "error": None, "output": output, "usage": COUNTS}
    return packed({**whole, **more})


def whole(*tokens: TokenOf, finish: str = "completed") -> Meaning:
    return Meaning(tokens, finish, finish == "content_filter", COUNTED)


ANSWERS: dict[str, tuple[bytes, Meaning]] = {
    "a message": (answer(MESSAGE), whole(TEXT)),
    "a message after reasoning": (answer(THOUGHT, MESSAGE), whole(TokenOf(0, visible=True, reasoning=True))),
    "a message after hidden reasoning": (answer(BLANK, MESSAGE), whole(TEXT)),
    "reasoning alone": (
        answer(THOUGHT, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        whole(TokenOf(0, visible=False, reasoning=True), finish="max_output_tokens"),
    ),
    "a refusal": (answer({"type": "message", "content": [{"type": "refusal", "refusal": "No"}]}), whole(TEXT)),
    "a call": (answer({"type": "function_call", "name": "get", "arguments": "{}"}), whole(TEXT)),
    "an image": (answer({"type": "image_generation_call", "result": "iVBO"}), whole(TEXT)),
    "nothing": (answer(), whole()),
    "an empty message": (answer({"type": "message", "content": [{"type": "output_text", "text": ""}]}), whole()),
    "moderated": (
        answer(MESSAGE, status="incomplete", incomplete_details={"reason": "content_filter"}),
        whole(TEXT, finish="content_filter"),
    ),
    "still queued": (answer(status="queued"), whole(finish="")),
    "failed": (answer(status="failed", error={"message": "boom"}), Meaning(error="boom")),
    "failed without a message": (answer(status="failed"), Meaning(error="the response failed")),
    "another object": (packed({"hello": 1}), Meaning(malformed='the answer is not a response: {"hello":1}')),
    "items of odd types": (answer(5, None, {"type": "message", "content": "Hi"}), whole()),
}


@pytest.mark.parametrize(("body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_the_meaning_of_a_whole_answer(body: bytes, expected: Meaning) -> None:
    assert read_answer(body) == expected


API = OpenAIResponses(Ask())


@examples(200)
@given(data=anything(objects_of(data for data, _ in (*ALL.values(), *ANSWERS.values()))), name=NAMES)
def test_any_data_has_a_meaning(data: bytes, name: bytes) -> None:
    check_api(API, data, name)


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["id", "error", "response", "item", "delta"])
def test_no_depth_of_nesting_raises(key: str, depth: int) -> None:
    for data in nested(key, depth):
        for each in (data, data[:-1] + b',"type":"response.completed"}'):
            check_api(API, each)
            check(classify(each, b"error"))


# streams


def event(data: bytes) -> bytes:
    """An event as OpenAI sends it: its name is its type."""
    return b"event: %b\ndata: %b\n\n" % (json.loads(data)["type"].encode(), data)


BEGIN = [event(typed("response.created", response=BEGUN)), event(typed("response.in_progress", response=BEGUN))]
A, B, C = (event(delta("output_text", text)) for text in "abc")
THINK = event(delta("reasoning_text"))
SUM_UP = event(delta("reasoning_summary_text"))
OVER = event(ended("completed", usage=COUNTS))

STREAMS: dict[str, tuple[list[bytes], dict[str, int], int, int]] = {
    "a completed answer": ([*BEGIN, A, B, C, OVER], {"ok": 1}, 3, 6),
    "an answer after reasoning": ([*BEGIN, THINK, THINK, A, B, OVER], {"ok": 1}, 4, 6),
    "a call": (
        [event(added(type="function_call", name="f")), *[event(delta("function_call_arguments", "{"))] * 2, OVER],
        {"ok": 1},
        3,
        6,
    ),
    "keepalives on the way": ([A, event(typed("keepalive")), B, OVER], {"ok": 1}, 2, 6),
    "events without their names": ([each.partition(b"\n")[2] for each in (A, B, C, OVER)], {"ok": 1}, 3, 6),
    "[DONE] after the end": ([A, B, OVER, b"data: [DONE]\n\n"], {"ok": 1}, 2, 6),
    "no end": ([*BEGIN, A, B, C], {"truncated": 1}, 3, 0),
    "[DONE] instead of the end": ([*BEGIN, A, B, b"data: [DONE]\n\n"], {"ok": 1}, 2, 2),
    "an unknown end event": ([A, B, event(typed("response.terminated"))], {"truncated": 1}, 2, 0),
    "cancelled": ([A, B, event(typed("response.cancelled"))], {"stream_error": 1}, 2, 0),
    "moderated": ([A, event(ended("incomplete", reason="content_filter"))], {"filtered": 1}, 1, 0),
    "no token": ([*BEGIN, OVER], {"ok": 1}, 0, 6),
    "failed": ([A, event(ended("failed", error={"message": "boom"}))], {"stream_error": 1}, 1, 0),
    "an error on the way, flat": ([A, event(typed("error", message="boom")), OVER], {"stream_error": 1}, 1, 0),
    "an error on the way, nested": ([A, event(typed("error", error={"message": "x"}))], {"stream_error": 1}, 1, 0),
}


@pytest.mark.parametrize(("events", "ends", "count", "output"), STREAMS.values(), ids=STREAMS)
def test_a_stream_means_the_same_however_it_is_read(
    events: list[bytes], ends: dict[str, int], count: int, output: int
) -> None:
    part = read_all_ways(events, api="openai-responses")
    assert part.ended == ends
    assert (part.counters.events, part.counters.output) == (count, output)


def test_text_takes_the_fast_path() -> None:
    assert took_the_fast_path([*BEGIN, A, B, THINK, C, A, OVER], api="openai-responses") == [
        *(False, False),  # the begin
        *(False, True),  # the first text, and the next one
        False,  # reasoning
        *(False, True),  # the first text after it, and the next one
        False,
    ]


def test_the_stamps_of_a_stream_are_those_of_its_texts() -> None:
    part = read_all_ways([*BEGIN, A, B, C, OVER], api="openai-responses")
    assert values(part.latency, "ttft") == values(part.latency, "ttfa") == [130]
    assert values(part.latency, "itl") == [10, 10]
    assert values(part.latency, "tpot") == [10], "20 ms for 3 events: 1 of the 6 - 2 tokens ended the answer"
    assert values(part.latency, "e2e") == [160]
    counters = part.counters
    assert (counters.input, counters.cached_input, counters.output, counters.reasoning) == (9, 4, 6, 2)


def test_streamed_reasoning_is_part_of_the_pace() -> None:
    part = read_all_ways([*BEGIN, THINK, THINK, A, B, C, A, OVER], api="openai-responses")
    assert values(part.latency, "ttft") == [130]
    assert values(part.latency, "ttfa") == [150]
    assert values(part.latency, "tpot") == [10], "50 ms for 6 tokens, but the first"


def test_a_summary_of_reasoning_is_no_part_of_the_pace() -> None:
    part = read_all_ways([*BEGIN, SUM_UP, A, B, C, OVER], api="openai-responses")
    assert values(part.latency, "ttft") == [130]
    assert values(part.latency, "ttfa") == [140]
    assert values(part.latency, "itl") == [10, 10, 10]
    assert values(part.latency, "tpot") == [10], "20 ms for 3 events: 1 of the 6 - 2 tokens ended the answer"


@pytest.mark.parametrize("events", [[SUM_UP, SUM_UP], [SUM_UP, SUM_UP, A]], ids=["none", "a single event"])
def test_an_answer_that_says_nothing_about_its_pace_has_none(events: list[bytes]) -> None:
    part = read_all_ways([*BEGIN, *events, OVER], api="openai-responses")
    assert part.ended == {"ok": 1}
    assert "tpot" not in part.latency
