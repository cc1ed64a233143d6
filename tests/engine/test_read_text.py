"""What answers say: texts, reasoning and tool calls as each API sends them, and bodies that are broken."""

import json
from typing import Any

import msgspec
import pytest
from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, ROLE, TOKEN, Bench, answer, delta
from helpers.examples import examples
from helpers.fuzzing import EVENTS
from helpers.mock_answers import tell
from helpers.odd_json import VALUES
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.api import APIS, make_api
from llmstress.engine.api.answers import Answer, ToolCall
from llmstress.engine.api.ask import Ask
from llmstress.engine.mock.dialects import anthropic, openai_chat, openai_completions, openai_responses
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, words
from llmstress.engine.mock.dialects.azure import Azure
from llmstress.engine.mock.dialects.dialect import Dialect
from llmstress.engine.mock.dialects.plain import Plain
from llmstress.engine.outcome import End
from llmstress.engine.stream.keeper import Keeper

SPEC = AnswerSpec("ab" * 12, 1_700_000_000, "m", tokens=7)
DIALECTS: dict[str, Dialect] = {
    "openai-chat": openai_chat,
    "azure-openai": Azure(openai_chat, openai_chat.ChatEncoder),
    "openai-completions": openai_completions,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
}
FINISHES = {
    "stop": ("stop", "completed", "end_turn"),
    "length": ("length", "max_output_tokens", "max_tokens"),
    "tool_call": ("tool_calls", "completed", "tool_use"),
}
"""Why the mock's answer ends -> what its APIs call that: OpenAI's, Responses, Anthropic."""
SPECS = {
    "text": SPEC,
    "nothing": msgspec.structs.replace(SPEC, tokens=0, finish_reason="length"),
    "two choices": msgspec.structs.replace(SPEC, choices=2, reasoning_tokens=2),
    "reasoning, then a tool": msgspec.structs.replace(
        SPEC, reasoning_tokens=2, tool_call=True, finish_reason="tool_call"
    ),
}


def said(api: str, body: bytes, *, streamed: bool = True, **ask: Any) -> Answer:
    made = make_api(api, Ask(model="m", stream=streamed or api == "sse", **ask))
    return made.read_text(body, streamed=streamed)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("api", DIALECTS)
def test_the_mocks_answers_say_the_same_streamed_and_whole(api: str, spec: AnswerSpec) -> None:
    several = api in ("openai-chat", "azure-openai", "openai-completions")
    spec = spec if several else msgspec.structs.replace(spec, choices=1)
    encoder = DIALECTS[api].encoder(spec, RequestParams(tool="get", choices=spec.choices))
    kind = {"openai-responses": 1, "anthropic": 2}.get(api, 0)
    finish = FINISHES[spec.finish_reason][kind]
    if api == "openai-completions":
        expected = Answer(
            "".join(spec.text(part.kind) for part in spec.parts), finish=finish.replace("tool_calls", "stop")
        )
    else:
        tools = (ToolCall("get", spec.text("tool")),) if spec.tool_call else ()
        text = "" if spec.tool_call else words(0, spec.tokens)
        expected = Answer(text, words(0, spec.reasoning_tokens), tools, finish)
    stream = b"".join(tell(encoder, spec, 3))
    assert said(api, stream) == expected
    assert said(api, stream.replace(b"\n", b"\r\n")[:-2]) == expected, "other line ends, the last blank line missing"
    whole = encoder.body()
    assert said(api, whole, streamed=False) == expected
    assert said(api, whole) == expected, "a server that ignores that a stream was asked for"


def test_endpoints_without_a_known_api() -> None:
    stream = b"".join(tell(Plain("sse").encoder(SPEC, RequestParams(stream=True)), SPEC))
    assert said("sse", stream) == Answer(words(0, 7), finish="[DONE]")
    assert said("sse", b'data: " a"\n\ndata:  b\n\nevent: error\ndata: no\n\n') == Answer(" a b")
    events = b'data: {"x":{"y":["a"]}}\n\ndata: {"x":{"y":[1]}}\n\ndata: {"x":{}}\n\ndata: {"end":1}\n\ndata: END\n\n'
    assert said("sse", events, text="x.y.0", done="END") == Answer("a1", finish="END")
    assert said("text", "größer".encode()) == Answer("größer", finish="end of body")
    assert said("http", b'{"a": 1}\xff', streamed=False) == Answer('{"a": 1}\ufffd', finish="end of body")
    assert said("openai-embeddings", EVENTS["openai-embeddings"][0], streamed=False) == Answer()


def chat(*payloads: Any) -> bytes:
    return b"".join(b"data: " + json.dumps({"choices": [{"delta": each}]}).encode() + b"\n\n" for each in payloads)


def cut(data: bytes) -> tuple[bytes, bytes]:
    """The two events of chat completions whose contents are the two parts of `data`, which are not UTF-8."""
    at = len(data) // 2
    return tuple(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % each for each in (data[:at], data[at:]))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        pytest.param(cut("😀".encode()), "😀", id="the bytes of a character"),
        pytest.param(cut("a😀漢é".encode()), "a😀漢é", id="bytes among others"),
        pytest.param(cut(rb"\ud83d\ude00"), "😀", id="a surrogate pair"),
        pytest.param(cut(rb"x \ud83d\udc80 y"), "x 💀 y", id="a pair whose half could be a byte"),
        pytest.param(cut(rb"\ud83d xx \ude00"), "\ufffd xx \ufffd", id="halves that do not belong together"),
        pytest.param(cut(rb"\ud83d  \ud83d"), "\ufffd  \ufffd", id="first halves only"),
        pytest.param(cut("😀".encode())[:1], "\ufffd", id="half of a character's bytes"),
    ],
)
def test_a_character_in_two_events_is_one(parts: tuple[bytes, ...], text: str) -> None:
    assert said("openai-chat", b"".join(parts)).text == text


def test_halves_of_characters_in_other_places() -> None:
    first, second = "data: 😀".encode()[:8] + b"\n\n", b"data: " + "😀".encode()[2:] + b"\n\n"
    assert said("sse", first + second).text == "😀"
    texts = b'data: {"t":"\\ud83d"}\n\ndata: {"t":"\\ude00"}\n\ndata: {"t":["\\ud83d"]}\n\n'
    assert said("sse", texts, text="t").text == '😀["\ufffd"]'
    call = {"name": "f\ud83d", "arguments": {"x": "\ud83d"}}
    answer = chat({"reasoning": "\ud83d"}, {"reasoning": "\ude00"}, {"function_call": call})
    assert said("openai-chat", answer) == Answer("", "😀", (ToolCall("f\ufffd", '{"x":"\ufffd"}'),))


def test_dialects_of_chat_completions() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hi"}]
    assert said("openai-chat", chat({"content": parts})) == Answer("hi", "hm"), "Mistral"
    both = {"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}
    assert said("openai-chat", chat(both, {"refusal": "no"})) == Answer("no", "hm"), "OpenRouter"
    assert said("openai-chat", chat({"thought_text": "hm"}, {"x": {"thinking": "so"}})).reasoning == "hmso"
    old = chat({"function_call": {"name": "get"}}, {"function_call": {"arguments": "{}"}})
    assert said("openai-chat", old).tools == (ToolCall("get", "{}"),)
    # two calls at once: by their numbers, by their IDs alone, and with arguments that are an object
    numbered = chat(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "["}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "]"}}, {"index": 1, "function": {"arguments": "}"}}]},
    )
    assert said("openai-chat", numbered).tools == (ToolCall("f", "[]"), ToolCall("g", "{}"))
    by_id = chat(
        {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]},
    )
    assert said("openai-chat", by_id).tools == (ToolCall("f", '{"x":1}'), ToolCall("g", "{}"))
    one_newline = chat({"content": "a"}, {"content": "b"}).replace(b"\n\n", b"\n")
    assert said("openai-chat", one_newline).text == "ab"


def test_parts_that_only_an_end_event_or_the_start_of_a_block_has() -> None:
    response = {"status": "completed", "output": [{"type": "message", "content": [{"text": "hi"}, {"refusal": "!"}]}]}
    event = b"data: " + json.dumps({"type": "response.completed", "response": response}).encode() + b"\n\n"
    assert said("openai-responses", event) == Answer("hi!", finish="completed")
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    added = {"type": "response.output_item.added", "output_index": 0, "item": {**call, "arguments": ""}}
    done = {"type": "response.output_item.done", "output_index": 0, "item": call}
    part = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"}
    for events in ((added, done), (added, part, done)):
        body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)
        assert said("openai-responses", body).tools == (ToolCall("f", "{}"),)
    block = {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f", "input": {"x": 1}}}
    assert said("anthropic", b"data: " + json.dumps(block).encode() + b"\n\n").tools == (ToolCall("f", '{"x":1}'),)


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any values, some of these members among them."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, VALUES))


KINDS = ("response.output_item.added", "response.completed", "content_block_start", "content_block_delta", "x")
PAYLOADS = VALUES | objects("content", "tool_calls", "function_call", "reasoning", "audio", "thinking")
ODD = (
    VALUES
    | st.tuples(
        st.sampled_from(KINDS),
        objects("delta", "item", "response", "content_block", "index", "output_index", "content"),
    ).map(lambda pair: {"type": pair[0], **pair[1]})
    | PAYLOADS.map(lambda payload: {"choices": [{"delta": payload}]})
)


@pytest.mark.parametrize("api", APIS)
@examples(100)
@given(data=st.data(), streamed=st.booleans())
def test_any_body_can_be_read(api: str, data: st.DataObject, streamed: bool) -> None:
    good = b"".join(EVENTS.get(api, EVENTS["openai-completions"]))
    body = data.draw(
        st.binary(max_size=60)
        | ODD.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n")
        | ODD.map(lambda value: json.dumps(value).encode())
        | st.integers(0, len(good)).map(lambda cut: good[:cut] + b"\xff" + good[cut:])
    )
    found = said(api, body, streamed=streamed)
    assert all(isinstance(each, str) for each in (found.text, found.reasoning, found.finish))
    assert all(isinstance(each, str) for call in found.tools for each in (call.name, call.arguments))


@pytest.mark.parametrize("depth", [900, 1100, 100_000])
def test_deep_json_says_nothing(depth: int) -> None:
    for begin, end in ((b"[", b"]"), (b'{"content":', b"}")):
        deep = b'{"choices":[{"delta":{"content":' + begin * depth + b"1" + end * depth + b"}}]}"
        assert said("openai-chat", b"data: " + deep + b"\n\n") == Answer()


# --- keeping an answer


def kept(*reads: bytes, keeper: Keeper | None = None, **bench: Any) -> tuple[Answer | None, Bench]:
    keeper = keeper or Keeper()
    made = Bench(observer=keeper, **bench)
    made.begin()
    for number, data in enumerate(reads):
        made.read(10 * (number + 1), data)
    assert made.freed == [False]
    return keeper.answer(made.api), made


def test_a_keeper_has_the_answer_at_its_end_whichever_way_its_events_took() -> None:
    words = [delta(content=f" {number}") for number in range(6)]
    reads = [HEAD + ROLE, *words[:3], b"".join(words[3:]), FINISH + DONE, END]
    found, _ = kept(*reads)
    assert found == Answer(" 0 1 2 3 4 5", finish="stop")
    assert kept(b"".join(reads))[0] == found
    cut = [b"".join(reads)[at : at + 7] for at in range(0, len(b"".join(reads)), 7)]
    assert kept(*cut)[0] == found
    body = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
    assert kept(answer("200 OK", body), streamed=False)[0] == Answer("hi", finish="stop")


def test_a_keeper_is_bounded_and_begins_anew_with_each_attempt() -> None:
    reads = [HEAD + ROLE, TOKEN, TOKEN, FINISH + DONE + END]
    size = sum(len(each) for each in reads)
    assert kept(*reads, keeper=Keeper(size))[0] == Answer(" a a", finish="stop")
    for most in (0, 20, 100):
        assert kept(*reads, keeper=Keeper(most))[0] is None
    keeper = Keeper(20)
    keeper.piece(b"x" * 21, BEGIN)
    assert keeper.body() is None
    keeper.retried(End("http_503"), BEGIN)
    keeper.piece(b"y" * 20, BEGIN)
    assert keeper.body() == b"y" * 20
