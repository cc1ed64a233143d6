"""Anthropic Messages: bodies and headers, the meaning of each event, and whole streams, cut in all ways."""

import json
from typing import Any

import msgspec
import pytest
from helpers.bench import Bench, values
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, anything, check, check_api, nested, objects_of, packed
from helpers.read_ways import read_all_ways, took_the_fast_path
from hypothesis import given

from llmstress.engine.api import guess_api
from llmstress.engine.api.anthropic import Anthropic, classify, read_answer
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import (
    DONE,
    FOREIGN,
    NOTHING,
    REASONING,
    SUMMARIZED,
    TOKEN,
    UNKNOWN,
    Meaning,
    TokenOf,
    Usage,
)
from llmstress.engine.api.meaning import PING as STILL_THERE

PLAIN = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "stream": True}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, PLAIN, id="a minimal request has no fields of sampling"),
        pytest.param({"max_tokens": None}, PLAIN | {"max_tokens": 128}, id="there is always a limit"),
        pytest.param({"system": "Be kind"}, PLAIN | {"system": "Be kind"}, id="a system prompt stands apart"),
        pytest.param({"stream": False}, PLAIN | {"stream": False}, id="no stream"),
        pytest.param(
            {"extra": {"thinking": {"type": "disabled"}, "stream": None}},
            {k: v for k, v in PLAIN.items() if k != "stream"} | {"thinking": {"type": "disabled"}},
            id="extra keys are added, null removes one",
        ),
    ],
)
def test_the_body_of_a_request(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    ask: dict[str, Any] = {"model": "m", "prompt": "Hi", "max_tokens": 5} | changes
    asked = Ask(**ask)
    assert json.loads(Anthropic(asked).body(asked)) == expected


@pytest.mark.parametrize(
    ("ask", "key", "headers"),
    [
        pytest.param(
            Ask(), "k", [("x-api-key", "k"), ("anthropic-version", "2023-06-01")], id="the version that all know"
        ),
        pytest.param(Ask(), None, [("anthropic-version", "2023-06-01")], id="no key is none"),
        pytest.param(
            Ask(version="2026-10-21", auth="bearer"),
            "k",
            [("Authorization", "Bearer k"), ("anthropic-version", "2026-10-21")],
            id="a newer version, and its way to send the key",
        ),
    ],
)
def test_the_headers_of_a_request(ask: Ask, key: str | None, headers: list[tuple[str, str]]) -> None:
    assert Anthropic(ask).headers(key) == headers


@pytest.mark.parametrize(
    ("host", "path", "name"),
    [
        ("api.anthropic.com", "", "anthropic"),
        ("api.anthropic.com", "/v1", "anthropic"),
        ("localhost", "/v1/messages", "anthropic"),
        ("res.services.ai.azure.com", "/anthropic/v1/messages", "anthropic"),
        ("api.anthropic.com.evil.com", "", None),
        ("localhost", "/v1", None),
    ],
)
def test_which_urls_select_this_api(host: str, path: str, name: str | None) -> None:
    assert guess_api(host, path) == name


def test_the_models_are_listed_beside_the_messages() -> None:
    endpoint = Anthropic(Ask()).endpoint("", "")
    assert (endpoint.path, endpoint.models_path) == ("/v1/messages", "/v1/models")
    assert Anthropic(Ask()).endpoint("/v1/messages", "beta=true").query == "beta=true"


def delta(**fields: Any) -> bytes:
    return packed({"type": "content_block_delta", "index": 0, "delta": fields})


def text(value: Any) -> bytes:
    return delta(type="text_delta", text=value)


def start(**block: Any) -> bytes:
    return packed({"type": "content_block_start", "index": 0, "content_block": block})


def begin(**usage: Any) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    return packed({"type": "message_start", "message": {**message, "usage": usage}})


def stop(reason: Any = "end_turn", usage: Any = None, **more: Any) -> bytes:
    fields = {"stop_reason": reason, "stop_sequence": None, **more}
    return packed({"type": "message_delta", "delta": fields, "usage": usage if usage is not None else {}})


STOP = packed({"type": "message_stop"})
PING = packed({"type": "ping"})
INPUT = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}

TOKENS: dict[str, tuple[bytes, Meaning]] = {
    "text": (text("Hi"), TOKEN),
    "whitespace counts": (text("\n"), TOKEN),
    "empty text is no token": (text(""), NOTHING),
    "null text is no token": (text(None), NOTHING),
    "text of another type counts if it is not empty": (text(["Hi"]), TOKEN),
    "half a surrogate pair is text": (text("\ud83d"), TOKEN),
    "text that is no UTF-8 is text": (
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\xff"}}',
        TOKEN,
    ),
    "thinking, which may be a summary": (delta(type="thinking_delta", thinking="Hm"), SUMMARIZED),
    "empty thinking is no token": (delta(type="thinking_delta", thinking=""), NOTHING),
    "a tool's arguments": (delta(type="input_json_delta", partial_json='{"a":'), TOKEN),
    "the first arguments are often empty": (delta(type="input_json_delta", partial_json=""), NOTHING),
    "a signature is no token": (delta(type="signature_delta", signature="c2ln"), NOTHING),
    "citations are no token": (delta(type="citations_delta", citation={"cited_text": "x"}), NOTHING),
    "text in an unknown field": (delta(type="new_delta", new="x"), Meaning(REASONING.tokens, field="new")),
    "empty text of such a kind is no token": (delta(type="new_delta", new=""), NOTHING),
    "a null delta": (packed({"type": "content_block_delta", "delta": None}), UNKNOWN),
    "a block of text begins": (start(type="text", text=""), NOTHING),
    "a block of thinking begins": (start(type="thinking", thinking="", signature=""), NOTHING),
    "thinking that was made unreadable": (start(type="redacted_thinking", data="x"), NOTHING),
    "a tool's name": (start(type="tool_use", id="toolu_1", name="get", input={}), TOKEN),
    "the name of a tool of the server's": (start(type="server_tool_use", id="s", name="web_search", input={}), TOKEN),
    "a tool without a name": (start(type="tool_use", id="toolu_1", name=""), NOTHING),
    "the result of a tool of the server's": (start(type="web_search_tool_result", content=[]), NOTHING),
    "a block of an odd type": (start(type=5, name="get"), NOTHING),
    "a block ends": (packed({"type": "content_block_stop", "index": 0}), NOTHING),
    "a ping": (PING, STILL_THERE),
    "an error that is none": (packed({"type": "ping", "error": None}), STILL_THERE),
}

MEANINGS: dict[str, tuple[bytes, Meaning]] = {
    "the start reports the input; its output is a placeholder": (
        begin(**INPUT),
        Meaning(usage=Usage(9, cached_input=0)),
    ),
    "input is reported in three parts": (
        begin(input_tokens=9, cache_creation_input_tokens=20, cache_read_input_tokens=300, output_tokens=1),
        Meaning(usage=Usage(329, cached_input=300, cache_written=20)),
    ),
    "input all of which was cached": (
        begin(input_tokens=0, cache_read_input_tokens=300),
        Meaning(usage=Usage(300, cached_input=300)),
    ),
    "null counts": (
        begin(input_tokens=9, cache_creation_input_tokens=None, cache_read_input_tokens=None),
        Meaning(usage=Usage(9)),
    ),
    "a begin without input": (begin(output_tokens=1), NOTHING),
    "a begin that doesn't know the input yet (vLLM)": (begin(input_tokens=0, output_tokens=0), NOTHING),
    "a begin without a message": (packed({"type": "message_start"}), NOTHING),
    "the end of a turn": (stop(usage={"output_tokens": 5}), Meaning(finish="end_turn", usage=Usage(output=5))),
    **{
        f"stopped for {reason}": (stop(reason), Meaning(finish=reason))
        for reason in ("max_tokens", "stop_sequence", "tool_use", "pause_turn", "model_context_window_exceeded")
    },
    "the provider's moderation": (
        stop("refusal", {"output_tokens": 5}, stop_details={"type": "refusal"}),
        Meaning(finish="refusal", filtered=True, usage=Usage(output=5)),
    ),
    "usage alone": (stop(None, {"output_tokens": 5}), Meaning(usage=Usage(output=5))),
    "all of the usage again": (
        stop("end_turn", INPUT | {"output_tokens": 5, "cache_read_input_tokens": 1}),
        Meaning(finish="end_turn", usage=Usage(10, 5, 1)),
    ),
    "an input of 0 at the end is no report": (
        stop("end_turn", {"input_tokens": 0, "output_tokens": 5}),
        Meaning(finish="end_turn", usage=Usage(output=5)),
    ),
    "the reasoning in the output": (
        stop("end_turn", {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}),
        Meaning(finish="end_turn", usage=Usage(output=9, reasoning=4)),
    ),
    "a reason of an odd type is none": (stop({"type": "end_turn"}), NOTHING),
    "a null delta": (packed({"type": "message_delta", "delta": None, "usage": None}), NOTHING),
    "the end event": (STOP, DONE),
    "the end event with more": (packed({"type": "message_stop", "amazon-bedrock-invocationMetrics": {}}), DONE),
    "[DONE] of a gateway": (b"[DONE]", DONE),
    "overloaded": (
        packed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        Meaning(error="overloaded_error: Overloaded"),
    ),
    "an error without a message": (packed({"type": "error"}), Meaning(error='{"type":"error"}')),
    "an error without the object (gateways)": (packed({"type": "error", "message": "boom"}), Meaning(error="boom")),
    "an error as others send it": (packed({"error": {"message": "boom"}}), Meaning(error="boom")),
    "an event of another kind": (packed({"type": "new_thing"}), UNKNOWN),
    "a chunk of another API": (packed({"choices": [{"delta": {"content": "Hi"}}]}), UNKNOWN),
    "a delta of another shape": (packed({"type": "content_block_delta", "delta": "Hi"}), UNKNOWN),
    "a list": (b"[1]", UNKNOWN),
    "an empty event": (b"", FOREIGN),
}
ALL = {**TOKENS, **{f"{name} ": row for name, row in MEANINGS.items()}}


def figures(event: Meaning) -> Meaning:
    """The event with its usage as plain `Usage`, without the parts of the input."""
    if event.usage is None:
        return event
    plain = Usage(*(getattr(event.usage, name) for name in Usage.__struct_fields__))
    return msgspec.structs.replace(event, usage=plain)


@pytest.mark.parametrize(("data", "expected"), ALL.values(), ids=ALL)
def test_the_meaning_of_an_event(data: bytes, expected: Meaning) -> None:
    event = classify(data)
    assert figures(event) == expected
    if expected in (TOKEN, SUMMARIZED):
        assert event is TOKEN or event is SUMMARIZED, "compared by identity"


def test_an_event_named_error_is_an_error() -> None:
    assert classify(packed({"message": "boom"}), b"error") == Meaning(error="boom")
    assert classify(text("Hi"), b"error").error


def test_the_name_of_an_event_changes_nothing_else() -> None:
    for data, expected in ALL.values():
        assert figures(classify(data, b"content_block_delta")) == expected


def answer(*content: Any, reason: Any = "end_turn", **more: Any) -> bytes:
    usage = {**INPUT, "output_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": 0}}
    return packed({"id": "msg_1", "type": "message", "content": content, "stop_reason": reason, "usage": usage, **more})


def whole(*tokens: TokenOf, finish: str = "end_turn") -> Meaning:
    return Meaning(tokens, finish, finish == "refusal", Usage(9, 7, 0))


TEXT = TokenOf(choice=0, visible=True, reasoning=False)
THINKING = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}

ANSWERS: dict[str, tuple[bytes, Meaning]] = {
    "a text": (answer({"type": "text", "text": "Hi"}), whole(TEXT)),
    "a text after thinking": (
        answer(THINKING, {"type": "text", "text": "Hi"}),
        whole(TokenOf(0, visible=True, reasoning=True)),
    ),
    "thinking alone": (
        answer(THINKING, reason="max_tokens"),
        whole(TokenOf(0, visible=False, reasoning=True), finish="max_tokens"),
    ),
    "a call": (
        answer({"type": "tool_use", "name": "get", "input": {}}, reason="tool_use"),
        whole(TEXT, finish="tool_use"),
    ),
    "refused": (answer({"type": "text", "text": "No"}, reason="refusal"), whole(TEXT, finish="refusal")),
    "nothing": (answer(), whole()),
    "an empty text": (answer({"type": "text", "text": ""}), whole()),
    "blocks of odd types": (answer(5, None, "Hi"), whole()),
    "without a reason": (answer({"type": "text", "text": "Hi"}, reason=None), whole(TEXT, finish="")),
    "an error": (
        packed({"type": "error", "error": {"type": "api_error", "message": "boom"}}),
        Meaning(error="api_error: boom"),
    ),
    "another object": (packed({"hello": 1}), Meaning(malformed='the answer is not a message: {"hello":1}')),
    "content of another shape": (
        packed({"content": "Hi"}),
        Meaning(malformed='the answer is not a message: {"content":"Hi"}'),
    ),
}


@pytest.mark.parametrize(("body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_the_meaning_of_a_whole_answer(body: bytes, expected: Meaning) -> None:
    assert figures(read_answer(body)) == expected


API = Anthropic(Ask())


@examples(200)
@given(data=anything(objects_of(data for data, _ in (*ALL.values(), *ANSWERS.values()))), name=NAMES)
def test_any_data_has_a_meaning(data: bytes, name: bytes) -> None:
    check_api(API, data, name)


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["id", "error", "message", "usage", "delta", "content"])
def test_no_depth_of_nesting_raises(key: str, depth: int) -> None:
    for data in nested(key, depth):
        for each in (data, data[:-1] + b',"type":"message_delta"}'):
            check_api(API, each)
            check(classify(each, b"error"))


# streams


def event(data: bytes) -> bytes:
    """An event as Anthropic sends it: its name is its type."""
    return b"event: %b\ndata: %b\n\n" % (json.loads(data)["type"].encode(), data)


BEGIN = [event(begin(**INPUT)), event(start(type="text", text="")), event(PING)]
A, B, C = (event(text(each)) for each in "abc")
THINK = event(delta(type="thinking_delta", thinking="Hm"))
JSON = event(delta(type="input_json_delta", partial_json="{"))
END_TURN = event(stop("end_turn", {"output_tokens": 7}))
LAST = event(STOP)
ERROR = event(packed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))

STREAMS: dict[str, tuple[list[bytes], dict[str, int], int, int]] = {
    "an answer": ([*BEGIN, A, B, C, END_TURN, LAST], {"ok": 1}, 3, 7),
    "an answer after thinking": ([*BEGIN, THINK, THINK, A, B, END_TURN, LAST], {"ok": 1}, 4, 7),
    "a call": ([*BEGIN, event(start(type="tool_use", name="f")), JSON, JSON, END_TURN, LAST], {"ok": 1}, 3, 7),
    "pings anywhere": ([event(PING), *BEGIN, A, event(PING), B, END_TURN, event(PING), LAST], {"ok": 1}, 2, 7),
    "events without their names": ([each.partition(b"\n")[2] for each in (A, B, END_TURN, LAST)], {"ok": 1}, 2, 7),
    "a reason without the end event": ([*BEGIN, A, B, END_TURN], {"ok": 1}, 2, 7),
    "[DONE] after the end event": ([*BEGIN, A, END_TURN, LAST, b"data: [DONE]\n\n"], {"ok": 1}, 1, 7),
    "no reason and no end event": ([*BEGIN, A, B], {"truncated": 1}, 2, 0),
    "the end event without a reason": ([*BEGIN, A, B, LAST], {"ok": 1}, 2, 2),
    "refused": ([*BEGIN, A, event(stop("refusal")), LAST], {"filtered": 1}, 1, 0),
    "no token": ([*BEGIN, END_TURN, LAST], {"ok": 1}, 0, 7),
    "overloaded on the way": ([*BEGIN, A, ERROR], {"stream_error": 1}, 1, 0),
    "usage that counts up": (
        [*BEGIN, A, event(stop(None, {"output_tokens": 3})), B, END_TURN, LAST],
        {"ok": 1},
        2,
        7,
    ),
}


@pytest.mark.parametrize(("events", "ended", "count", "output"), STREAMS.values(), ids=STREAMS)
def test_a_stream_means_the_same_however_it_is_read(
    events: list[bytes], ended: dict[str, int], count: int, output: int
) -> None:
    part = read_all_ways(events, api="anthropic")
    assert part.ended == ended
    assert (part.counters.events, part.counters.output) == (count, output)


@pytest.mark.parametrize(
    ("first", "last", "given", "cached"),
    [
        pytest.param((9, 20, 300), (None, None, None), 329, 300, id="reported at the start only"),
        pytest.param((9, 20, 300), (9, 20, 300), 329, 300, id="reported twice"),
        pytest.param((9, 20, 300), (9, None, None), 329, 300, id="fresh input reported twice"),
        pytest.param((9, 20, 300), (15, None, 310), 345, 310, id="more read on the way"),
        pytest.param((9, 20, 300), (0, 0, 0), 329, 300, id="an end that knows of nothing"),
        pytest.param((0, 0, 0), (9, 20, 300), 329, 300, id="a begin that knows of nothing yet"),
        pytest.param((100, None, None), (10, None, 90), 100, 90, id="a begin that doesn't know of the cache yet"),
    ],
)
def test_the_last_report_of_each_part_of_the_input_counts(
    first: tuple[int | None, ...], last: tuple[int | None, ...], given: int, cached: int
) -> None:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    begun, ended = (dict(zip(names, counts, strict=True)) for counts in (first, last))
    end = event(stop("end_turn", ended | {"output_tokens": 7}))
    counters = read_all_ways([event(begin(**begun)), A, end, LAST], api="anthropic").counters
    assert (counters.input, counters.cached_input, counters.output) == (given, cached, 7)


def test_text_takes_the_fast_path() -> None:
    events = [*BEGIN, THINK, THINK, A, B, JSON, THINK, END_TURN]
    assert took_the_fast_path(events, api="anthropic") == [
        *(False, False, False),  # the begin
        *(False, True),  # the first reasoning event, and the next one
        *(False, True, True),  # the first text, the next one, and a call that follows it
        *(False, False),
    ]


def test_the_stamps_of_a_stream_are_those_of_its_texts() -> None:
    begins = event(begin(input_tokens=9, cache_creation_input_tokens=20, cache_read_input_tokens=300, output_tokens=1))
    part = read_all_ways([begins, *BEGIN[1:], A, B, C, END_TURN, LAST], api="anthropic")
    assert values(part.latency, "ttft") == values(part.latency, "ttfa") == [140]
    assert values(part.latency, "itl") == [10, 10]
    assert part.undetermined == {"few pieces": 1}, "20 ms for 7 tokens in 3 events: 3 ms or 10 ms"
    assert values(part.latency, "e2e") == [180]
    counters = part.counters
    assert (counters.input, counters.cached_input, counters.output) == (329, 300, 7)


def test_counted_reasoning_is_no_part_of_the_pace() -> None:
    ended = event(stop("end_turn", {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}))
    part = read_all_ways([*BEGIN, THINK, THINK, A, B, C, ended, LAST], api="anthropic")
    assert values(part.latency, "ttft") == [140]
    assert values(part.latency, "ttfa") == [160]
    assert part.undetermined == {"hidden tokens": 1}, "20 ms for 5 tokens in 3 events: 5 ms or 10 ms"
    assert part.counters.reasoning == 4


def test_uncounted_reasoning_is_part_of_the_pace() -> None:
    part = read_all_ways([*BEGIN, THINK, THINK, A, B, C, END_TURN, LAST], api="anthropic")
    assert part.undetermined == {"hidden tokens": 1}, "40 ms for 7 tokens in 5 events: 7 ms or 10 ms"


def test_an_overloaded_server_limits_the_rate() -> None:
    bench = Bench(api="anthropic")
    bench.begin()
    bench.read(10, b"HTTP/1.1 529 Overloaded\r\nrequest-id: req_1\r\nContent-Length: 2\r\n\r\n{}")
    delta = bench.cut()
    assert delta.parts[2].ended == {"rate_limited": 1}
    assert delta.samples[0].request_id == "req_1"
