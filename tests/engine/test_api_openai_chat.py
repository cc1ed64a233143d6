"""OpenAI Chat Completions: bodies, and the meaning of each event in each dialect."""

import json
from typing import Any

import pytest
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, VALUES, check, damaged, grafted, nested, objects_of, packed
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import DONE, FOREIGN, NOTHING, REASONING, TOKEN, UNKNOWN, Meaning, TokenOf, Usage
from llmstress.engine.api.openai_chat import OpenAIChat, classify, read_answer

# requests


def body_of(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": "m",
        "prompt": "Hi",
        "max_tokens": 5,
    }
    ask = Ask(**arguments | changes)
    body: dict[str, Any] = json.loads(OpenAIChat(ask).body(ask))
    return body


PLAIN: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 5,
    "stream": True,
    "stream_options": {"include_usage": True},
}
SYSTEM = [{"role": "system", "content": "Be kind"}, *PLAIN["messages"]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, PLAIN, id="a minimal request asks for a stream with usage"),
        pytest.param({"system": "Be kind"}, PLAIN | {"messages": SYSTEM}, id="a system prompt comes first"),
        pytest.param(
            {"system": ""},
            PLAIN | {"messages": [{"role": "system", "content": ""}, *PLAIN["messages"]]},
            id="an empty system prompt is one",
        ),
        pytest.param({"prompt": 'é "\n'}, PLAIN | {"messages": [{"role": "user", "content": 'é "\n'}]}, id="any text"),
        pytest.param(
            {"usage": False}, {k: v for k, v in PLAIN.items() if k != "stream_options"}, id="usage is not asked for"
        ),
        pytest.param(
            {"stream": False},
            {k: v for k, v in PLAIN.items() if k != "stream_options"} | {"stream": False},
            id="no stream has no stream options",
        ),
        pytest.param(
            {"extra": {"temperature": 0, "stream_options": {"include_usage": False}, "stop": []}},
            PLAIN | {"temperature": 0, "stream_options": {"include_usage": False}, "stop": []},
            id="extra keys are added or replace ours",
        ),
        pytest.param(
            {"extra": {"max_tokens": None, "max_completion_tokens": 7, "unset": None}},
            {k: v for k, v in PLAIN.items() if k != "max_tokens"} | {"max_completion_tokens": 7},
            id="null removes a key",
        ),
        pytest.param({"extra": {"x": {"y": None}}}, PLAIN | {"x": {"y": None}}, id="a deeper null is a value"),
    ],
)
def test_the_body_of_a_request(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body_of(**changes) == expected


# events


def chunk(*choices: Any, **more: Any) -> bytes:
    return packed({"id": "c1", "object": "chat.completion.chunk", "created": 1, "choices": choices, **more})


def delta(finish: Any = None, **payload: Any) -> bytes:
    """A chunk with one choice, in OpenAI's format."""
    return chunk({"index": 0, "delta": payload, "logprobs": None, "finish_reason": finish}, usage=None)


def call(**function: Any) -> list[Any]:
    return [{"index": 0, "function": function}]


def meaning(
    *tokens: TokenOf, finish: str = "", usage: Usage | None = None, finished: tuple[int, ...] = (0,)
) -> Meaning:
    return Meaning(tokens, finish, finish == "content_filter", usage, finished=finished)


TEXT = TokenOf(choice=0, visible=True, reasoning=False)
THOUGHT = TokenOf(choice=0, visible=False, reasoning=True)
BOTH = TokenOf(choice=0, visible=True, reasoning=True)
TEXT_PART = {"type": "text", "text": "Hi"}

TOKENS: dict[str, tuple[bytes, Meaning]] = {
    "text": (delta(content="Hi"), TOKEN),
    "whitespace counts": (delta(content=" "), TOKEN),
    "a newline counts": (delta(content="\n"), TOKEN),
    "the role chunk is no token": (delta(role="assistant", content=""), NOTHING),
    "the role may be repeated beside text": (delta(role="assistant", content="Hi"), TOKEN),
    "empty text is no token": (delta(content=""), NOTHING),
    "null text is no token": (delta(role="assistant", content=None, tool_calls=None, refusal=None), NOTHING),
    "an empty delta is no token": (delta(), NOTHING),
    "a refusal is visible": (delta(refusal="No"), TOKEN),
    "an empty refusal is no token": (delta(refusal=""), NOTHING),
    "reasoning (vLLM)": (delta(reasoning="Hm"), REASONING),
    "reasoning_content (DeepSeek, SGLang)": (delta(content=None, reasoning_content="Hm"), REASONING),
    "reasoning in parts (OpenRouter, MiniMax)": (
        delta(content="", reasoning_details=[{"type": "reasoning.text", "text": "Hm"}]),
        REASONING,
    ),
    "reasoning summarized in parts": (
        delta(content="", reasoning_details=[{"type": "reasoning.summary", "summary": "Hm"}]),
        REASONING,
    ),
    "reasoning that was made unreadable is no token": (
        delta(content="", reasoning=None, reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]),
        NOTHING,
    ),
    "text beside reasoning in parts": (delta(content="Hi", reasoning_details=[{"text": "Hm"}]), meaning(BOTH)),
    "empty text beside reasoning": (delta(content="", reasoning_content="Hm"), REASONING),
    "text beside empty reasoning is plain text": (delta(content="Hi", reasoning_content=""), TOKEN),
    "text beside null reasoning is plain text": (delta(content="Hi", reasoning_content=None, reasoning=None), TOKEN),
    "empty reasoning is no token": (delta(content=None, reasoning="", reasoning_content=""), NOTHING),
    "text and reasoning in one delta": (delta(content="Hi", reasoning="Hm"), meaning(BOTH)),
    "reasoning before a tool call": (delta(reasoning="Hm", tool_calls=call(name="get")), meaning(BOTH)),
    "a tool's name": (delta(tool_calls=[{"id": "c", **call(name="get", arguments="")[0]}]), TOKEN),
    "a tool's arguments": (delta(tool_calls=call(arguments='{"a":')), TOKEN),
    "arguments as an object": (delta(tool_calls=call(name=None, arguments={"a": 1})), TOKEN),
    "the second of two tools": (delta(tool_calls=[*call(arguments=""), *call(arguments="1}")]), TOKEN),
    "a tool call without name and arguments": (delta(tool_calls=call(arguments="")), NOTHING),
    "a tool call without a function": (delta(tool_calls=[{"index": 0}, None, 5, "x"]), NOTHING),
    "tool calls of an odd type": (delta(tool_calls={"a": 1}), NOTHING),
    "no tool calls": (delta(tool_calls=[]), NOTHING),
    "an old function's name": (delta(function_call={"name": "get", "arguments": ""}), TOKEN),
    "an old function's arguments": (delta(function_call={"arguments": "{"}), TOKEN),
    "an old function without either": (delta(function_call={"name": "", "arguments": ""}), NOTHING),
    "audio data": (delta(audio={"id": "a", "data": "UklGRg=="}), TOKEN),
    "an audio transcript": (delta(audio={"transcript": "Hi"}), TOKEN),
    "audio that only has an id": (delta(audio={"id": "a", "expires_at": 5}), NOTHING),
    "audio of an odd type": (delta(audio="x"), NOTHING),
    "text as a list of parts (Mistral)": (delta(content=[TEXT_PART]), TOKEN),
    "parts without text": (delta(content=[{"type": "text", "text": ""}, {"type": "reference"}, None]), NOTHING),
    "no parts": (delta(content=[]), NOTHING),
    "a thinking part is reasoning (Mistral)": (
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]),
        REASONING,
    ),
    "a thinking part as a string": (delta(content=[{"type": "thinking", "thinking": "Hm"}]), REASONING),
    "an empty thinking part": (delta(content=[{"type": "thinking", "thinking": [{"text": ""}]}]), NOTHING),
    "thinking and text parts together": (delta(content=[{"thinking": "Hm"}, TEXT_PART]), meaning(BOTH)),
    "another choice": (
        chunk({"index": 2, "delta": {"content": "Hi"}}),
        meaning(TokenOf(choice=2, visible=True, reasoning=False)),
    ),
    "several choices in one chunk": (
        chunk(
            {"index": 0, "delta": {"content": "Hi"}},
            {"index": 1, "delta": {"content": ""}},
            {"index": 2, "delta": {"reasoning": "Hm"}},
        ),
        meaning(TEXT, TokenOf(choice=2, visible=False, reasoning=True)),
    ),
    "a choice without an index is the first": (chunk({"delta": {"content": "Hi"}}), TOKEN),
    "a null index is the first": (chunk({"index": None, "delta": {"content": "Hi"}}), TOKEN),
    "unknown keys are ignored": (
        chunk(
            {"index": 0, "delta": {"content": "Hi", "x": {"y": 1}}, "token_ids": [1], "content_filter_results": {}},
            obfuscation="x9",
            service_tier=None,
        ),
        TOKEN,
    ),
    "half a surrogate pair is text": (delta(content="\ud83d"), TOKEN),
    "half a surrogate pair elsewhere is ignored": (
        b'{"id":"\\udc00","choices":[{"delta":{"content":"Hi"}}]}',
        TOKEN,
    ),
    "a whole surrogate pair is text": (delta(content="😀"), TOKEN),
    "text that is no UTF-8 is text": (b'{"choices":[{"index":0,"delta":{"content":"a\xff"}}]}', TOKEN),
    "a key that is no UTF-8 is unknown": (b'{"\xff":1,"choices":[{"index":0,"delta":{"content":"a"}}]}', TOKEN),
}

FINISHES: dict[str, tuple[bytes, Meaning]] = {
    **{
        f"finish {reason}": (delta(finish=reason), meaning(finish=reason))
        for reason in ("stop", "length", "tool_calls", "function_call", "eos_token", "model_length")
    },
    "the last text shares its chunk with the finish (vLLM)": (
        delta(finish="stop", content="."),
        meaning(TEXT, finish="stop"),
    ),
    "the provider's moderation": (
        delta(finish="content_filter"),
        Meaning(finish="content_filter", filtered=True),
    ),
    "an empty finish reason is none": (delta(finish="", content="Hi"), TOKEN),
    "an empty finish reason without text": (delta(finish=""), NOTHING),
    "one choice of two finishes": (
        chunk({"index": 0, "delta": {"content": "x"}}, {"index": 1, "delta": {}, "finish_reason": "stop"}),
        meaning(TEXT, finish="stop", finished=(1,)),
    ),
    "two choices finish, the moderation's doing": (
        chunk(
            {"index": 1, "delta": {}, "finish_reason": "stop"},
            {"index": 0, "delta": {}, "finish_reason": "content_filter"},
        ),
        Meaning(finish="stop", filtered=True, finished=(1, 0)),
    ),
    "the finish may lack its delta": (chunk({"index": 0, "finish_reason": "stop"}), meaning(finish="stop")),
    "vLLM adds a stop reason": (
        chunk({"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "stop_reason": 128001}),
        meaning(finish="stop"),
    ),
    "[DONE]": (b"[DONE]", DONE),
    "[DONE] with a suffix": (b"[DONE] bye", DONE),
    "[DONE] with a CR too many": (b"[DONE]\r", DONE),
}

COUNTED = Usage(input=3, output=4)
PLAIN_USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DETAILED = PLAIN_USAGE | {
    "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1, "accepted_prediction_tokens": 0},
}

USAGES: dict[str, tuple[bytes, Meaning]] = {
    "usage on its own": (chunk(usage=PLAIN_USAGE), meaning(usage=COUNTED)),
    "usage with details": (
        chunk(usage=DETAILED),
        meaning(usage=Usage(input=3, output=4, cached_input=2, reasoning=1)),
    ),
    "null details": (
        chunk(usage=PLAIN_USAGE | {"prompt_tokens_details": None, "completion_tokens_details": None}),
        meaning(usage=COUNTED),
    ),
    "details of an odd type": (
        chunk(usage=PLAIN_USAGE | {"prompt_tokens_details": [], "completion_tokens_details": "x"}),
        meaning(usage=COUNTED),
    ),
    "reasoning tokens at the top (SGLang)": (
        chunk(usage=PLAIN_USAGE | {"reasoning_tokens": 1}),
        meaning(usage=Usage(input=3, output=4, reasoning=1)),
    ),
    "usage in every chunk (continuous)": (
        chunk({"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}, usage=PLAIN_USAGE),
        meaning(TEXT, usage=COUNTED),
    ),
    "usage beside the finish": (
        chunk({"index": 0, "delta": {}, "finish_reason": "stop"}, usage=PLAIN_USAGE),
        meaning(finish="stop", usage=COUNTED),
    ),
    "usage without choices": (packed({"usage": PLAIN_USAGE}), meaning(usage=COUNTED)),
    "usage beside null choices": (packed({"choices": None, "usage": PLAIN_USAGE}), meaning(usage=COUNTED)),
    "half of the counts": (chunk(usage={"prompt_tokens": 3}), meaning(usage=Usage(input=3))),
    "no count is no usage": (chunk(usage={}), NOTHING),
    "usage with the names of other APIs": (
        chunk(usage={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}),
        meaning(usage=COUNTED),
    ),
    "usage of 0 and 0 is none": (
        chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        NOTHING,
    ),
    "null usage": (chunk({"index": 0, "delta": {"content": "Hi"}}, usage=None), TOKEN),
    "usage of an odd type": (chunk({"index": 0, "delta": {"content": "Hi"}}, usage="free"), TOKEN),
    "counts of an odd type": (
        chunk(usage={"prompt_tokens": "3", "completion_tokens": 4}),
        meaning(usage=Usage(output=4)),
    ),
    "counts that are floats": (chunk(usage={"prompt_tokens": 3.0, "completion_tokens": 4.0}), meaning(usage=COUNTED)),
    "negative counts are none": (
        chunk(usage={"prompt_tokens": 3, "completion_tokens": -1}),
        meaning(usage=Usage(input=3)),
    ),
    "counts that no sum could hold are none": (
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 1 << 64}),
        meaning(usage=Usage(input=3)),
    ),
    "counts beyond any number are none": (
        b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1e999}}',
        meaning(usage=Usage(input=3)),
    ),
}

NO_TOKENS: dict[str, tuple[bytes, Meaning]] = {
    "no choices": (chunk(), NOTHING),
    "Azure's filter results for the prompt": (
        chunk(id="", object="", created=0, prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}]),
        NOTHING,
    ),
    "Azure's annotation of what came before": (
        chunk({"index": 0, "finish_reason": None, "content_filter_results": {}, "content_filter_offsets": {}}),
        NOTHING,
    ),
    "SGLang's own chunk": (chunk(sglext={"x": 1}), NOTHING),
    "a null delta": (chunk({"index": 0, "delta": None, "finish_reason": None}), NOTHING),
    "llama.cpp's progress": (
        chunk({"index": 0, "delta": {"role": "assistant", "content": None}}, prompt_progress={"total": 5}),
        NOTHING,
    ),
    "an empty event": (b"", FOREIGN),
    "an event of white space": (b" \t", FOREIGN),
    "an object of another API": (packed({"type": "progress"}), UNKNOWN),
    "a ping as an object": (packed({"type": "ping"}), FOREIGN),
    "an empty object": (b"{}", UNKNOWN),
    "null": (b"null", FOREIGN),
    "a string": (b'"keepalive"', FOREIGN),
    "the end event as a string": (b'"[DONE]"', DONE),
    "the end event in small letters": (b"[done]", DONE),
    "the end event after a space": (b" [DONE]", DONE),
    "a ping in brackets": (b"[PING]", FOREIGN),
    "a line of a log": (b"[2026-01-02 03:04:05] still working", FOREIGN),
    "a number": (b"5", FOREIGN),
    "a word": (b"keepalive", FOREIGN),
    "a date": (b"2026-01-02 03:04:05.678901", FOREIGN),
    "a comment as data": (b": OPENROUTER PROCESSING", FOREIGN),
    "text": (b"Internal Server Error", FOREIGN),
    "a page": (b"<html><body>Bad Gateway</body></html>", FOREIGN),
    "no text": (b"\xff\xfe", FOREIGN),
    "a list": (b"[1]", UNKNOWN),
    "choices of another shape": (packed({"choices": "x"}), UNKNOWN),
    "a choice of another shape": (packed({"choices": [5]}), UNKNOWN),
    "a delta of another shape": (packed({"choices": [{"delta": "Hi"}]}), UNKNOWN),
    "a finish reason of another shape": (packed({"choices": [{"finish_reason": {"type": "stop"}}]}), UNKNOWN),
    "an error that is none": (chunk({"index": 0, "delta": {"content": "Hi"}}, error=None), TOKEN),
    "an error that is empty": (chunk({"index": 0, "delta": {"content": "Hi"}}, error={}), TOKEN),
    "an error that is empty without choices": (packed({"error": ""}), UNKNOWN),
    "a key that is no UTF-8": (b'{"\xff":1}', UNKNOWN),
    "half a surrogate pair": (b'{"id":"\\ud800"}', UNKNOWN),
    "half a surrogate pair as the value": (b'"\\udfff"', FOREIGN),
    "an integer beyond any register": (b'{"id":' + b"9" * 5000 + b"}", UNKNOWN),
    "a float beyond any register": (b'{"id":-1e999}', UNKNOWN),
    "a number beyond any register in a field": (b'{"choices":[],"usage":' + b"9" * 5000 + b"}", NOTHING),
    "nesting that is just deep": (b'{"id":' + b"[" * 200 + b"]" * 200 + b"}", UNKNOWN),
}

ERRORS: dict[str, tuple[bytes, bytes, str]] = {
    "an error object": (packed({"error": {"message": "boom", "type": "t", "code": None}}), b"", "t: boom"),
    "an error object with a code": (packed({"error": {"message": "boom", "code": 503}}), b"", "503: boom"),
    "an error string": (packed({"error": "boom"}), b"", "boom"),
    "an error of another shape": (packed({"error": ["boom"]}), b"", "boom"),
    "an error object without a message": (packed({"error": {"x": 1}}), b"", '{"x":1}'),
    "an error with its type beside it (TGI)": (
        packed({"error": "boom", "error_type": "overloaded"}),
        b"",
        "overloaded: boom",
    ),
    "a flat error (SGLang, older vLLM)": (
        packed({"object": "error", "message": "boom", "code": 400}),
        b"",
        "400: boom",
    ),
    "a flat error with null choices": (packed({"object": "error", "choices": None, "message": "boom"}), b"", "boom"),
    "an error beside choices (OpenRouter)": (
        chunk({"index": 0, "delta": {"content": ""}, "finish_reason": "error"}, error={"code": 502, "message": "boom"}),
        b"",
        "502: boom",
    ),
    "an error beside text": (chunk({"index": 0, "delta": {"content": "Hi"}}, error={"message": "boom"}), b"", "boom"),
    "an error within a choice": (
        chunk({"index": 0, "delta": {"content": "Hi"}, "error": {"message": "boom"}}),
        b"",
        "boom",
    ),
    "a finish reason that is an error": (delta(finish="error"), b"", "finish_reason is error"),
    "an aborted answer (SGLang, vLLM)": (delta(finish="abort", content="x"), b"", "finish_reason is abort"),
    "an event named error with an object": (packed({"message": "boom"}), b"error", "boom"),
    "an event named error with an error": (packed({"error": {"message": "boom"}}), b"error", "boom"),
    "an event named error with a string": (b'"boom"', b"error", "boom"),
    "an event named error with text": (b"boom \xff", b"error", "boom \ufffd"),
    "an event named error with usage": (packed({"usage": PLAIN_USAGE, "message": "boom"}), b"error", "boom"),
    "an event named error with no choices": (chunk(message="boom"), b"error", "boom"),
    "an error that is no UTF-8": (b'{"error":{"message":"boom \xff"}}', b"", "boom \ufffd"),
    "an error with half a surrogate pair": (b'{"error":"boom \\ud800"}', b"", "boom ?"),
}


@pytest.mark.parametrize(
    ("data", "expected"),
    [pytest.param(*row, id=name) for table in (TOKENS, FINISHES, USAGES, NO_TOKENS) for name, row in table.items()],
)
def test_the_meaning_of_an_event(data: bytes, expected: Meaning) -> None:
    event = classify(data)
    assert event == expected
    singletons = (TOKEN, REASONING, NOTHING, DONE, UNKNOWN, FOREIGN)
    if event in singletons:
        assert any(event is known for known in singletons), "one of the singletons"


@pytest.mark.parametrize(("data", "name", "text"), [pytest.param(*row, id=name) for name, row in ERRORS.items()])
def test_the_text_of_an_error(data: bytes, name: bytes, text: str) -> None:
    assert classify(data, name) == Meaning(error=text)


@pytest.mark.parametrize("data", [b"", b"null", b"{}", b'{"error":""}', b'{"message":""}'], ids=repr)
def test_an_event_named_error_is_an_error_whatever_its_data_is(data: bytes) -> None:
    assert classify(data, b"error").error


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"choices":[', id="cut short"),
        pytest.param(b"{'choices':[]}", id="Python"),
        pytest.param(b'{"choices":[]}\n{"choices":[]}', id="two objects joined by a newline"),
        pytest.param(b'{"id":NaN}', id="NaN"),
        pytest.param(b'{"id":-Infinity}', id="infinity"),
        pytest.param(b'{"id":01}', id="a leading zero"),
        pytest.param(b'{"id":"a\nb"}', id="a newline within a string"),
        pytest.param(b'{"id":"\\x"}', id="an unknown escape"),
        pytest.param(b"{\0}", id="NUL"),
        pytest.param(b'{"id":' + b"[" * 100_000, id="deep nesting cut short"),
        pytest.param(b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep nesting"),
        pytest.param(b'{"error":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, id="a deep error"),
        pytest.param(b'[{"choices":[', id="a list cut short"),
    ],
)
def test_invalid_json_is_malformed(data: bytes) -> None:
    event = classify(data)
    assert event == Meaning(malformed=event.malformed)
    assert event.malformed.startswith("not JSON")
    assert len(event.malformed) < 1000


# whole answers


def answer(finish: str | None = "stop", usage: Any = PLAIN_USAGE, **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return packed({"id": "c1", "object": "chat.completion", "choices": [choice], "usage": usage})


ANSWERS: dict[str, tuple[bytes, Meaning]] = {
    "text": (answer(content="Hi"), meaning(TEXT, finish="stop", usage=COUNTED)),
    "text without usage": (answer(content="Hi", usage=None), meaning(TEXT, finish="stop")),
    "no text": (answer(finish="length", content=""), meaning(finish="length", usage=COUNTED)),
    "a refusal": (answer(content=None, refusal="No"), meaning(TEXT, finish="stop", usage=COUNTED)),
    "reasoning and text": (answer(content="Hi", reasoning="Hm"), meaning(BOTH, finish="stop", usage=COUNTED)),
    "reasoning alone": (answer(content=None, reasoning_content="Hm"), meaning(THOUGHT, finish="stop", usage=COUNTED)),
    "a tool call": (
        answer(finish="tool_calls", content=None, tool_calls=call(name="get", arguments="{}")),
        meaning(TEXT, finish="tool_calls", usage=COUNTED),
    ),
    "moderated": (answer(finish="content_filter", content=None), meaning(finish="content_filter", usage=COUNTED)),
    "without a finish reason": (answer(finish=None, content="Hi", usage=None), TOKEN),
    "two choices": (
        packed({"choices": [{"index": i, "message": {"content": "x"}, "finish_reason": "stop"} for i in (0, 1)]}),
        meaning(TEXT, TokenOf(choice=1, visible=True, reasoning=False), finish="stop", finished=(0, 1)),
    ),
    "an error": (packed({"error": {"message": "boom"}}), Meaning(error="boom")),
    "a flat error": (packed({"object": "error", "message": "boom"}), Meaning(error="boom")),
    "no choices": (packed({"choices": []}), NOTHING),
}


@pytest.mark.parametrize(("body", "expected"), [pytest.param(*row, id=name) for name, row in ANSWERS.items()])
def test_the_meaning_of_a_whole_answer(body: bytes, expected: Meaning) -> None:
    assert read_answer(body) == expected


@pytest.mark.parametrize(
    "body", [b"hello", b"<html>", b"{}", b'{"hello":"x"}', b"[]", b"null", b"[DONE]"], ids=bytes.decode
)
def test_a_body_that_is_no_chat_completion_is_malformed(body: bytes) -> None:
    event = read_answer(body)
    assert event.malformed
    assert event == Meaning(malformed=event.malformed)


# any JSON

WHOLE = objects_of(data for table in (TOKENS, USAGES, ANSWERS) for data, _ in table.values())


@examples(600)
@given(data=grafted(WHOLE), name=NAMES)
def test_any_json_at_any_place_has_a_meaning(data: bytes, name: bytes) -> None:
    event = classify(data, name)
    check(event)
    assert not event.malformed
    answered = read_answer(data)
    check(answered)
    assert not answered.unknown


@examples(300)
@given(data=VALUES.map(packed), name=NAMES)
def test_any_json_has_a_meaning(data: bytes, name: bytes) -> None:
    event = classify(data, name)
    check(event)
    assert not event.malformed
    check(read_answer(data))


@examples(500)
@given(data=damaged(WHOLE) | st.binary(max_size=60), name=NAMES)
def test_any_bytes_have_a_meaning(data: bytes, name: bytes) -> None:
    check(classify(data, name))
    check(read_answer(data))


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["id", "error", "usage", "choices"])
def test_no_depth_of_nesting_raises(key: str, depth: int) -> None:
    for name in (b"", b"error"):
        for data in nested(key, depth):
            check(classify(data, name))
