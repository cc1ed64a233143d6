"""Any endpoint that streams events: requests, the place of the text, the end of a stream, and whole streams, cut in all
ways."""

import functools
import json
from typing import Any, cast

import pytest
from helpers.bench import END, HEAD, Bench, chunk, values
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, anything, check, check_api, nested, packed
from helpers.read_ways import read_all_ways, took_the_fast_path
from hypothesis import given

from llmstress.engine.api import guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import FOREIGN, NOTHING, TOKEN, UNKNOWN, Meaning
from llmstress.engine.api.sse import Sse

# requests


@pytest.mark.parametrize(
    ("ask", "method", "body"),
    [
        pytest.param(Ask(prompt="Hi"), "GET", "", id="without a body it is GET"),
        pytest.param(Ask(prompt="Hi", body="{prompt}"), "POST", "Hi", id="with one it is POST"),
        pytest.param(Ask(method="PUT", body=""), "PUT", "", id="unless it is given"),
        pytest.param(Ask(method="POST"), "POST", "", id="a POST without a body"),
        pytest.param(
            Ask(prompt='é "\n', model="m/1", body='{"inputs":"{prompt}","model":"{model}","x":{"y":1}}'),
            "POST",
            '{"inputs":"é \\"\\n","model":"m/1","x":{"y":1}}',
            id="texts are escaped, other braces stay",
        ),
        pytest.param(
            Ask(prompt="{model} {prompt}", model="m", body="{prompt}"), "POST", "{model} {prompt}", id="filled in once"
        ),
    ],
)
def test_method_and_body(ask: Ask, method: str, body: str) -> None:
    api = Sse(ask)
    assert (api.method, api.body(api.ask).decode()) == (method, body)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/stream", "prompt={prompt}", "/stream?prompt=%C3%A9%20%26%2F%3F"),
        ("/m/{model}/generate", "", "/m/a%2Fb/generate"),
        ("/stream/", "x=1", "/stream/?x=1"),
        ("", "", "/"),
        ("/{x}", "y={}", "/{x}?y={}"),
    ],
)
def test_the_url_is_unchanged_except_for_its_placeholders(path: str, query: str, expected: str) -> None:
    endpoint = Sse(Ask(prompt="é &/?", model="a/b")).endpoint(path, query)
    assert "?".join(filter(None, [endpoint.path, endpoint.query])) == expected
    assert endpoint.models_path == ""


@pytest.mark.parametrize(
    ("query", "body", "strange"),
    [
        ("q={prompt}", '{"a": "{model}", "b": {"c": 1}, "d": {}}', ""),
        ("q={promt}", None, "{promt}"),
        ("", '{"a": "{Prompt}"}', "{Prompt}"),
    ],
)
def test_an_unknown_placeholder_is_reported(query: str, body: str | None, strange: str) -> None:
    note = Sse(Ask(prompt="Hi", body=body)).endpoint("/x", query).note
    assert note.startswith(strange)
    assert bool(note) == bool(strange)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (Ask(method="GET /x"), "--method GET /x"),
        (Ask(method="CONNECT"), "--method CONNECT"),
        (Ask(method="GÄT"), "--method GÄT"),
        (Ask(extra={"a": 1}), "--extra-body"),
        (Ask(stream=False), "--no-stream"),
        (Ask(text="a..b"), "--text"),
        (Ask(text="."), "--text"),
        (Ask(text='a."b"'), "--text"),
        (Ask(text="a\\b"), "--text"),
        (Ask(text="a.\n"), "--text"),
        (Ask(text="a." * 5000 + "b"), "--text"),
    ],
)
def test_requests_that_are_rejected(ask: Ask, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sse(ask)


def test_no_url_selects_this_api() -> None:
    assert guess_api("h", "/stream") is None


# the text is all of the data

RAW: dict[str, tuple[bytes, Meaning]] = {
    "text": (b"Hi", TOKEN),
    "a space": (b" ", TOKEN),
    "no data": (b"", NOTHING),
    "a line break as two data lines": (b"\n", TOKEN),
    "a JSON string (FastAPI)": (b'"Hi"', TOKEN),
    "an empty JSON string": (b'""', NOTHING),
    "a quotation mark of a text": (b'"', TOKEN),
    "an object": (b'{"a":1}', TOKEN),
    "a brace of a text": (b'{"error', TOKEN),
    "an object that is an error": (b'{"error":"boom","error_type":"x"}', Meaning(error="x: boom")),
    "an object that is an error of another shape": (b'{"detail":"boom"}', Meaning(error="boom")),
    "an object with a message alone": (b'{"message":"Hi"}', TOKEN),
    "an object that tells of success": (b'{"code":0,"message":"Hi"}', TOKEN),
    "an error that is none": (b'{"error":null,"text":"Hi"}', TOKEN),
    "the usual end event": (b"[DONE]", Meaning(finish="[DONE]", done=True)),
    "the usual end event as a JSON string": (b'"[DONE]"', Meaning(finish="[DONE]", done=True)),
    "the end event within a text": (b"[DONE] with it", TOKEN),
    "bytes that are no UTF-8": (b"\xff", TOKEN),
}


@pytest.mark.parametrize(("data", "expected"), RAW.values(), ids=RAW)
def test_text_is_all_of_the_data(data: bytes, expected: Meaning) -> None:
    event = Sse(Ask()).classify(data)
    assert event == expected
    assert event is TOKEN or expected != TOKEN, "compared by identity"


@pytest.mark.parametrize("ask", [Ask(), Ask(text="text")], ids=["all of the data", "at a path"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"message", TOKEN),
        (b"token", TOKEN),
        (b"error", Meaning(error='{"text":"Hi"}')),
        (b"ping", FOREIGN),
        (b"heartbeat", FOREIGN),
        (b"Keep-Alive", FOREIGN),
        (b"shipping", TOKEN),
        (b"[DONE]", Meaning(finish="[DONE]", done=True)),
    ],
)
def test_the_meaning_of_the_name_of_an_event(ask: Ask, name: bytes, expected: Meaning) -> None:
    assert Sse(ask).classify(b'{"text":"Hi"}', name) == expected


def test_errors_may_have_another_name() -> None:
    classify = Sse(Ask(error_event="failure")).classify
    assert classify(b"boom", b"failure") == Meaning(error="boom")
    assert classify(packed({"detail": "boom"}), b"failure") == Meaning(error="boom")
    assert classify(packed({"error": {"message": "boom"}}), b"failure") == Meaning(error="boom")
    assert classify(b"[DONE]", b"failure") == Meaning(error="[DONE]")
    assert classify(b"boom", b"error") is TOKEN


@pytest.mark.parametrize(
    ("done", "data", "name", "over"),
    [
        ("END", b"END", b"", True),
        ("END", b'"END"', b"", True),
        ("END", b"x", b"END", True),
        ("END", b"[DONE]", b"", False),
        ("END", b"THE END", b"", False),
        ('{"stop":true}', b'{"stop":true}', b"", True),
        ("fin é", "fin é".encode(), b"", True),
    ],
)
def test_the_end_event_may_be_another(done: str, data: bytes, name: bytes, over: bool) -> None:
    event = Sse(Ask(done=done)).classify(data, name)
    assert event == (Meaning(finish=done, done=True) if over else TOKEN)


# the text is at a path

PATHS: dict[str, tuple[str, Any, Meaning]] = {
    "a member": ("text", {"text": "Hi", "x": [1]}, TOKEN),
    "a member of a member (TGI)": ("token.text", {"index": 1, "token": {"id": 5, "text": " Hi"}}, TOKEN),
    "a place in a list": ("choices.0.delta.content", {"choices": [{"delta": {"content": "Hi"}}]}, TOKEN),
    "a later place": ("c.1", {"c": ["", "Hi"]}, TOKEN),
    "a list at the top": ("0.text", [{"text": "Hi"}], TOKEN),
    "a member whose name is a number": ("0", {"0": "Hi"}, TOKEN),
    "a name with odd characters": ("größe x", {"größe x": "Hi"}, TOKEN),
    "whitespace counts": ("text", {"text": "\n"}, TOKEN),
    "the text so far counts as one": ("text", {"text": "all of it until now"}, TOKEN),
    "a number is text": ("token", {"token": 0}, TOKEN),
    "a list of parts is text": ("tokens", {"tokens": [1]}, TOKEN),
    "as deep as a path may be": (
        ".".join("a" * 30),
        functools.reduce(lambda inner, _: {"a": inner}, range(30), cast(Any, "Hi")),
        TOKEN,
    ),
    "half a surrogate pair is text": ("text", {"text": "\ud83d"}, TOKEN),
    "half a surrogate pair beside it": ("text", {"text": "Hi", "x": "\ud83d"}, TOKEN),
    "empty text": ("text", {"text": ""}, NOTHING),
    "null": ("text", {"text": None}, NOTHING),
    "false": ("text", {"text": False}, NOTHING),
    "an empty list": ("text", {"text": []}, NOTHING),
    "a null on the way": ("token.text", {"token": None}, NOTHING),
    "a list that is too short": ("choices.0.text", {"choices": []}, NOTHING),
    "an end without text": ("choices.0.delta.text", {"choices": [{"delta": {}, "finish_reason": "stop"}]}, NOTHING),
    "the path begins nowhere": ("text", {"meta": 1}, UNKNOWN),
    "a list where a member should be": ("a.b", {"a": ["b"]}, NOTHING),
    "a text where a member should be": ("a.b.c", {"a": "b"}, NOTHING),
    "a list where an object should be": ("a", ["b"], UNKNOWN),
    "a string instead of an object": ("text", "Hi", FOREIGN),
    "an error": ("text", {"error": {"code": 500, "message": "boom"}}, Meaning(error="500: boom")),
    "an error beside empty text": ("text", {"text": "", "error": "boom"}, Meaning(error="boom")),
    "an error that is none": ("text", {"text": "", "error": None}, NOTHING),
}


@pytest.mark.parametrize(("path", "value", "expected"), PATHS.values(), ids=PATHS)
def test_the_text_at_a_path(path: str, value: Any, expected: Meaning) -> None:
    event = Sse(Ask(text=path)).classify(packed(value))
    assert event == expected
    assert event is TOKEN or expected != TOKEN, "compared by identity"


def test_with_a_path_data_is_json_except_for_the_end_event_and_white_space() -> None:
    classify = Sse(Ask(text="text")).classify
    assert classify(b"[DONE]") == Meaning(finish="[DONE]", done=True)
    for ping in (b" ", b": processing", b"2026-01-02 03:04", b"keepalive"):
        assert classify(ping) is FOREIGN
    assert classify(b"Hi").malformed.endswith(": Hi")
    assert Sse(Ask(text="text", done="END")).classify(b"Hi") is FOREIGN, "its end event is still to come"
    last = Sse(Ask(text="text", done='{"text":"END"}')).classify(b'{"text":"END"}')
    assert last.done, "although there is text in it"


def test_a_whole_answer_is_no_stream() -> None:
    api = Sse(Ask())
    assert api.read_answer(b'{"text":"Hi"}').malformed == 'the answer is not an event stream: {"text":"Hi"}'
    assert api.read_answer(b"<html><p>Blocked</html>").malformed == "the answer is not an event stream: Blocked"
    assert api.read_answer(b'{"detail":"boom"}') == Meaning(error="boom")
    assert api.read_answer(b'{"error":"boom"}') == Meaning(error="boom")


BY_PATH = Sse(Ask(text="choices.0.delta.content"))


@examples(200)
@given(data=anything([value for _, value, _ in PATHS.values() if isinstance(value, dict)]), name=NAMES)
def test_any_data_has_a_meaning(data: bytes, name: bytes) -> None:
    api = Sse(Ask())
    check(api.classify(data, name))
    check(api.read_answer(data))
    check_api(Sse(Ask(text="text")), data, name)
    check_api(BY_PATH, data, name)


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["x", "text", "error"])
def test_no_depth_of_nesting_raises(key: str, depth: int) -> None:
    for data in nested(key, depth):
        check_api(Sse(Ask(text="text")), data)
        check_api(Sse(Ask()), data)


# streams


def event(data: Any, name: str = "") -> bytes:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + body + b"\n\n"


WORDS = [event(b"once"), event(b" upon"), event(b" a"), event(b" time")]
LAST = event(b"[DONE]")
TGI = [event({"index": i, "token": {"text": t}, "generated_text": None}) for i, t in enumerate("abc")]
TEXT = Ask(text="token.text")

STREAMS: dict[str, tuple[Ask, list[bytes], dict[str, int], int]] = {
    "texts and [DONE]": (Ask(), [*WORDS, LAST], {"ok": 1}, 4),
    "texts and the end of the body": (Ask(), WORDS, {"ok": 1}, 4),
    "JSON strings (FastAPI)": (Ask(), [event("once"), event(""), event(" upon")], {"ok": 1}, 2),
    "a line break that got lost": (Ask(), [event(b"a"), b"data: \n\n", event(b"b")], {"ok": 1}, 2),
    "a line break within a token": (Ask(), [event(b"a"), b"data: b\nc\n\n", event(b"d")], {"ok": 1}, 3),
    "pings": (Ask(), [b": ping\n\n", event(b"a"), event(b"", "ping"), event(b"b")], {"ok": 1}, 2),
    "no event at all": (Ask(), [b": ping\n\n"], {"empty": 1}, 0),
    "no text at all": (Ask(), [event(b'""'), LAST], {"empty": 1}, 0),
    "an error on the way": (Ask(), [event(b"a"), event(b"boom", "error")], {"stream_error": 1}, 1),
    "an error as a field (llama.cpp)": (Ask(), [event(b"a"), b'error: {"code":500}\n\n'], {"stream_error": 1}, 1),
    "an end event of the user's": (Ask(done="END"), [*WORDS, event(b"END")], {"ok": 1}, 4),
    "an end event that never came": (Ask(done="END"), WORDS, {"truncated": 1}, 4),
    "JSON with a path (TGI)": (TEXT, TGI, {"ok": 1}, 3),
    "JSON with a path, an error": (TEXT, [*TGI, event({"error": "boom"})], {"stream_error": 1}, 3),
    "JSON with a path, no JSON": (TEXT, [*TGI, event(b"oops")], {"malformed": 1}, 3),
    "JSON with a path that leads nowhere": (Ask(text="txt"), TGI, {"empty": 1}, 0),
    "texts so far (SGLang)": (
        Ask(text="text"),
        [event({"text": text, "meta_info": {}}) for text in ("", "a", "ab", "abc")] + [LAST],
        {"ok": 1},
        3,
    ),
}


@pytest.mark.parametrize(("ask", "events", "ended", "count"), STREAMS.values(), ids=STREAMS)
def test_a_stream_means_the_same_however_it_is_read(
    ask: Ask, events: list[bytes], ended: dict[str, int], count: int
) -> None:
    part = read_all_ways(events, api="sse", ask=ask)
    assert part.ended == ended
    assert part.counters.events == count


def test_the_stamps_of_a_stream_are_those_of_its_texts() -> None:
    part = read_all_ways([event(b'""'), *WORDS, LAST], api="sse")
    assert values(part.latency, "ttft") == [120]
    assert values(part.latency, "itl") == [10, 10, 10]
    assert values(part.latency, "tpot") == [10], "tokens are events"
    assert values(part.latency, "e2e") == [160]
    assert part.finish == {"[DONE]": 1}
    assert part.counters.usage_seen == 0
    assert took_the_fast_path([*WORDS, LAST], api="sse") == [False, True, True, True, False]
    assert took_the_fast_path(TGI, api="sse", ask=TEXT) == [False, True, True]


def test_a_body_that_breaks_off_is_truncated() -> None:
    bench = Bench(api="sse")
    bench.begin()
    bench.read(100, HEAD, *map(chunk, WORDS))
    bench.lose(None)
    assert bench.steady().ended == {"truncated": 1}


def test_a_body_that_ends_properly_gives_its_stamp() -> None:
    bench = Bench(api="sse")
    bench.begin()
    bench.read(100, HEAD, *map(chunk, WORDS))
    bench.read(150, END)
    part = bench.steady()
    assert part.finish == {"end of body": 1}
    assert values(part.latency, "e2e") == [150]
