"""OpenAI's older Completions: bodies, the meaning of each event, and whole streams, cut in all ways."""

import json
from typing import Any

import pytest
from helpers.bench import values
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, anything, check, check_api, nested, objects_of, packed
from helpers.read_ways import read_all_ways
from hypothesis import given

from llmstress.engine.api import guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import DONE, FOREIGN, NOTHING, TOKEN, UNKNOWN, Meaning, TokenOf, Usage
from llmstress.engine.api.openai_completions import OpenAICompletions, classify, read_answer

PLAIN = {
    "model": "m",
    "prompt": "Hi",
    "max_tokens": 5,
    "stream": True,
    "stream_options": {"include_usage": True},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, PLAIN, id="a minimal request asks for a stream with usage"),
        pytest.param({"prompt_ids": (1, 2, 3)}, PLAIN | {"prompt": [1, 2, 3]}, id="token ids stand for the prompt"),
        pytest.param({"max_tokens": None}, PLAIN | {"max_tokens": 128}, id="there is always a limit"),
        pytest.param(
            {"ignore_eos": True, "min_tokens": 5},
            PLAIN | {"ignore_eos": True, "min_tokens": 5},
            id="a fixed length is asked for",
        ),
        pytest.param({"usage": False}, {k: v for k, v in PLAIN.items() if k != "stream_options"}, id="without usage"),
        pytest.param(
            {"stream": False},
            {k: v for k, v in PLAIN.items() if k != "stream_options"} | {"stream": False},
            id="no stream has no stream options",
        ),
        pytest.param(
            {"extra": {"best_of": 2, "max_tokens": None}},
            {k: v for k, v in PLAIN.items() if k != "max_tokens"} | {"best_of": 2},
            id="extra keys are added, null removes one",
        ),
    ],
)
def test_the_body_of_a_request(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    ask: dict[str, Any] = {"model": "m", "prompt": "Hi", "max_tokens": 5} | changes
    asked = Ask(**ask)
    assert json.loads(OpenAICompletions(asked).body(asked)) == expected


def test_a_url_of_completions_is_no_url_of_chat_completions() -> None:
    assert guess_api("h", "/v1/completions") == "openai-completions"
    assert guess_api("h", "/v1/chat/completions") == "openai-chat"


def chunk(*choices: Any, **more: Any) -> bytes:
    return packed({"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": choices, **more})


def text(value: Any, finish: Any = None, index: int = 0) -> bytes:
    """A chunk with one choice, in OpenAI's format."""
    return chunk({"index": index, "text": value, "logprobs": None, "finish_reason": finish}, usage=None)


TEXT = TokenOf(choice=0, visible=True, reasoning=False)
OTHER = TokenOf(choice=1, visible=True, reasoning=False)
COUNTS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
COUNTED = Usage(input=3, output=4)

EVENTS: dict[str, tuple[bytes, Meaning]] = {
    "text is a token": (text("Hi"), TOKEN),
    "whitespace counts": (text("\n"), TOKEN),
    "empty text is no token": (text(""), NOTHING),
    "null text is no token": (text(None), NOTHING),
    "a missing text is no token": (chunk({"index": 0}), NOTHING),
    "text of another type counts if it is not empty": (text(["Hi"]), TOKEN),
    "a choice without an index is the first": (chunk({"text": "Hi"}), TOKEN),
    "the second choice": (text("Hi", index=1), Meaning((OTHER,))),
    "two choices in one chunk": (chunk({"index": 0, "text": "a"}, {"index": 1, "text": "b"}), Meaning((TEXT, OTHER))),
    "no choices": (chunk(), NOTHING),
    "the last text shares its chunk with the finish (vLLM)": (text(".", "stop"), Meaning((TEXT,), "stop")),
    "a finish without text": (text("", "length"), Meaning(finish="length")),
    "the finish of another choice": (text("", "stop", 2), Meaning(finish="stop", finished=(2,))),
    "an empty finish reason is none": (text("Hi", ""), TOKEN),
    "the provider's moderation": (text("", "content_filter"), Meaning(finish="content_filter", filtered=True)),
    "a stop reason beside it (vLLM)": (
        chunk({"index": 0, "text": "", "finish_reason": "stop", "stop_reason": 2, "matched_stop": 2}),
        Meaning(finish="stop"),
    ),
    "usage on its own": (chunk(usage=COUNTS), Meaning(usage=COUNTED)),
    "usage in every chunk": (chunk({"text": "Hi"}, usage=COUNTS), Meaning((TEXT,), usage=COUNTED)),
    "usage without choices": (packed({"usage": COUNTS}), Meaning(usage=COUNTED)),
    "half a surrogate pair is text": (text("\ud83d"), TOKEN),
    "text that is no UTF-8 is text": (b'{"choices":[{"index":0,"text":"a\xff"}]}', TOKEN),
    "[DONE]": (b"[DONE]", DONE),
    "an empty event": (b"", FOREIGN),
    "an object of another API": (packed({"type": "progress"}), UNKNOWN),
    "a ping as an object": (packed({"type": "ping"}), FOREIGN),
    "choices of another shape": (packed({"choices": "x"}), UNKNOWN),
    "a list": (b"[1]", UNKNOWN),
    "a nested error": (packed({"error": {"message": "boom", "code": 500}}), Meaning(error="500: boom")),
    "an error string with its type beside it (TGI)": (
        packed({"error": "boom", "error_type": "x"}),
        Meaning(error="x: boom"),
    ),
    "a flat error (SGLang)": (packed({"object": "error", "message": "boom", "code": 400}), Meaning(error="400: boom")),
    "an error in the choice": (chunk({"text": "", "error": {"message": "boom"}}), Meaning(error="boom")),
    "an error beside choices": (chunk({"text": "Hi"}, error={"message": "boom"}), Meaning(error="boom")),
    "a finish that is an error": (text("", "abort"), Meaning(error="finish_reason is abort")),
}


@pytest.mark.parametrize(("data", "expected"), [pytest.param(*row, id=name) for name, row in EVENTS.items()])
def test_the_meaning_of_an_event(data: bytes, expected: Meaning) -> None:
    event = classify(data)
    assert event == expected
    if expected in (TOKEN, NOTHING, DONE):
        assert any(event is each for each in (TOKEN, NOTHING, DONE)), "compared by identity"


def test_an_event_named_error_is_an_error() -> None:
    assert classify(packed({"message": "boom"}), b"error") == Meaning(error="boom")
    assert classify(b"boom", b"error") == Meaning(error="boom")


def test_invalid_json_is_malformed() -> None:
    assert classify(b'{"choices": [').malformed.startswith("not JSON")


ANSWERS: dict[str, tuple[bytes, Meaning]] = {
    "a text": (
        chunk({"index": 0, "text": "Hi", "finish_reason": "stop"}, usage=COUNTS),
        Meaning((TEXT,), "stop", usage=COUNTED),
    ),
    "two texts": (
        chunk(*({"index": i, "text": "x", "finish_reason": "stop"} for i in (0, 1))),
        Meaning((TEXT, OTHER), "stop", finished=(0, 1)),
    ),
    "an error": (packed({"error": {"message": "boom"}}), Meaning(error="boom")),
    "another object": (packed({"hello": 1}), Meaning(malformed='the answer is not a completion: {"hello":1}')),
    "[DONE]": (b"[DONE]", Meaning(malformed="the answer is not a completion: [DONE]")),
}


@pytest.mark.parametrize(("body", "expected"), [pytest.param(*row, id=name) for name, row in ANSWERS.items()])
def test_the_meaning_of_a_whole_answer(body: bytes, expected: Meaning) -> None:
    assert read_answer(body) == expected


API = OpenAICompletions(Ask())


@examples(200)
@given(data=anything(objects_of(data for data, _ in (*EVENTS.values(), *ANSWERS.values()))), name=NAMES)
def test_any_data_has_a_meaning(data: bytes, name: bytes) -> None:
    check_api(API, data, name)


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["id", "error", "usage", "choices"])
def test_no_depth_of_nesting_raises(key: str, depth: int) -> None:
    for data in nested(key, depth):
        check(classify(data))
        check(classify(data, b"error"))


# streams


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


A, B, STOP, LAST = event(text("a")), event(text("b")), event(text("", "stop")), event(b"[DONE]")
COUNT = event(chunk(usage=COUNTS))

STREAMS: dict[str, tuple[list[bytes], dict[str, int], int, int]] = {
    "a stream with usage": ([A, B, A, STOP, COUNT, LAST], {"ok": 1}, 3, 4),
    "a stream without usage": ([A, B, A, STOP, LAST], {"ok": 1}, 3, 3),
    "the finish beside the last text, no [DONE]": ([A, B, event(text("c", "length"))], {"ok": 1}, 3, 3),
    "an empty text between": ([A, event(text("")), B, STOP], {"ok": 1}, 2, 2),
    "no text at all": ([event(text("")), STOP, LAST], {"empty": 1}, 0, 0),
    "no finish": ([A, B], {"truncated": 1}, 2, 0),
    "no finish but [DONE]": ([A, B, LAST], {"ok": 1}, 2, 2),
    "an error on the way": ([A, event(packed({"error": "boom"})), LAST], {"stream_error": 1}, 1, 0),
    "two choices, one of which never finished": ([A, event(text("x", index=1)), STOP], {"truncated": 1}, 2, 0),
    "two choices, both finished": (
        [A, event(text("x", index=1)), STOP, event(text("", "stop", 1)), LAST],
        {"ok": 1},
        2,
        2,
    ),
}


@pytest.mark.parametrize(("events", "ended", "count", "output"), STREAMS.values(), ids=STREAMS)
def test_a_stream_means_the_same_however_it_is_read(
    events: list[bytes], ended: dict[str, int], count: int, output: int
) -> None:
    part = read_all_ways(events, api="openai-completions")
    assert part.ended == ended
    assert part.counters.events == count
    assert part.counters.output == output


def test_the_stamps_of_a_stream_are_those_of_its_texts() -> None:
    part = read_all_ways([event(text("")), A, B, A, STOP, COUNT, LAST], api="openai-completions")
    assert values(part.latency, "ttft") == [120]
    assert values(part.latency, "itl") == [10, 10]
    assert values(part.latency, "tpot") == [10], "20 ms for 3 events: 1 of the 4 tokens ended the answer"
    assert values(part.latency, "e2e") == [170]
