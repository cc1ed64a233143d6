"""Dialects of the known APIs: usage under other names and in other places, reasoning in unknown fields, odd finish
reasons."""

import json
from typing import Any

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, TOKEN, Bench, delta, event, values
from helpers.odd_json import packed
from helpers.read_ways import read_all_ways, read_so, took_the_fast_path

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api
from llmstress.engine.api.meaning import NOTHING, REASONING, Meaning, TokenOf, Usage
from llmstress.engine.api.meaning import TOKEN as A_TOKEN
from llmstress.engine.api.openai_usage import usage_in
from llmstress.engine.api.unknown_text import MAX_NAME, unknown_text_field
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import MAX_FIELDS

CHAT = make_api("openai-chat", Ask())
COMPLETIONS = make_api("openai-completions", Ask())
RESPONSES = make_api("openai-responses", Ask(model="m"))
ANTHROPIC = make_api("anthropic", Ask(model="m"))

# usage

COUNTS = {"prompt_tokens": 9, "completion_tokens": 30, "total_tokens": 39}
OTHER_NAMES = {"input_tokens": 9, "output_tokens": 30, "total_tokens": 39}
COUNTED = Usage(9, 30)


def last(finish: str | None = "stop", more: dict[str, Any] | None = None, **choice: Any) -> dict[str, Any]:
    """The last chunk of a stream, with the usage."""
    return {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": finish, **choice}], **(more or {})}


ELSEWHERE: dict[str, tuple[dict[str, Any], Usage | None]] = {
    "in the choice (Moonshot)": (last(usage=COUNTS), COUNTED),
    "in the choice, null beside it": (last(usage=COUNTS, more={"usage": None}), COUNTED),
    "in each of two choices": (
        {
            "choices": [
                {
                    "index": n,
                    "delta": {},
                    "finish_reason": "stop",
                    "usage": {"prompt_tokens": 9, "completion_tokens": 15},
                }
                for n in (0, 1)
            ]
        },
        COUNTED,
    ),
    "x_groq": (last(more={"x_groq": {"id": "r", "usage": {**COUNTS, "queue_time": 0.1}}}), COUNTED),
    "x_groq without usage": (last(more={"x_groq": {"id": "r"}}), None),
    "timings (llama.cpp)": (last(more={"timings": {"prompt_n": 9, "predicted_n": 30, "predicted_ms": 300.0}}), COUNTED),
    "timings of a cached prompt": (
        last(more={"timings": {"cache_n": 7, "prompt_n": 2, "predicted_n": 30}}),
        Usage(9, 30, cached_input=7),
    ),
    "timings without counts": (last(more={"timings": {"predicted_ms": 3.0}}), None),
    "Bedrock's metrics": (
        last(more={"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 30}}),
        COUNTED,
    ),
    "other names": (last(more={"usage": OTHER_NAMES}), COUNTED),
    "other names in the choice": (last(usage=OTHER_NAMES), COUNTED),
    "names in camel case": (last(more={"usage": {"inputTokens": 9, "outputTokens": 30}}), COUNTED),
    "beside empty text": (last(delta={"content": ""}, more={"usage": COUNTS}), COUNTED),
    "usage goes before the others": (last(usage={"completion_tokens": 5}, more={"usage": COUNTS}), COUNTED),
    "zeros are none": (last(more={"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}), None),
    "zeros give way to the others": (
        last(usage=COUNTS, more={"usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
        COUNTED,
    ),
    "no input": (last(more={"usage": {"prompt_tokens": 0, "completion_tokens": 30}}), Usage(None, 30)),
    "no output yet": (last(more={"usage": {"prompt_tokens": 9, "completion_tokens": 0}}), Usage(9, 0)),
    "odd types": (last(usage=[5], more={"x_groq": 5, "timings": "x", "amazon-bedrock-invocationMetrics": []}), None),
}


@pytest.mark.parametrize(("sent", "counted"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_usage_is_found_where_servers_put_it(sent: dict[str, Any], counted: Usage | None) -> None:
    assert CHAT.classify(packed(sent)).usage == counted
    assert COMPLETIONS.classify(packed(sent)).usage == counted
    assert CHAT.classify(packed(sent)).finish == "stop"
    for choice in sent["choices"]:
        choice["message"] = {"content": "Hi"}
        del choice["delta"]
    answered = CHAT.read_answer(packed(sent))
    assert (answered.usage, answered.finish, len(answered.tokens)) == (counted, "stop", len(sent["choices"]))


@pytest.mark.parametrize("place", ["x_groq", "timings", "amazon-bedrock-invocationMetrics"])
def test_usage_may_come_without_choices(place: str) -> None:
    counts = {"x_groq": {"usage": COUNTS}, "timings": {"prompt_n": 9, "predicted_n": 30}}
    sent = {place: counts.get(place, {"inputTokenCount": 9, "outputTokenCount": 30})}
    assert CHAT.classify(packed(sent)) == CHAT.classify(packed({"choices": [], **sent})) == Meaning(usage=COUNTED)


def test_usage_in_other_places_counts_in_a_stream() -> None:
    part = read_all_ways(
        [
            b"data: " + packed(each) + b"\n\n"
            for each in ({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}, last(usage=COUNTS))
        ],
        api="openai-chat",
    )
    assert (part.counters.input, part.counters.output, part.counters.usage_seen) == (9, 30, 1)


def test_bedrock_counts_what_anthropic_says() -> None:
    metrics = {"inputTokenCount": 9, "outputTokenCount": 30, "cacheReadInputTokenCount": 7}
    event = ANTHROPIC.classify(packed({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}))
    assert event.done
    assert event.usage is not None
    assert (event.usage.input, event.usage.output, event.usage.cached_input) == (16, 30, 7)
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": COUNTS}
    assert ANTHROPIC.classify(packed(ended)).usage == COUNTED, "an imitator's names"
    ended["usage"] = {"input_tokens": 0, "output_tokens": 0}
    assert ANTHROPIC.classify(packed(ended)).usage is None
    answered = {"content": [{"text": "Hi"}], "stop_reason": "end_turn", "amazon-bedrock-invocationMetrics": metrics}
    assert getattr(ANTHROPIC.read_answer(packed(answered)).usage, "output", None) == 30


@pytest.mark.parametrize(
    ("counts", "output"),
    [
        pytest.param({"prompt": 12, "completion": 40, "reasoning": 30, "total": 82}, 70, id="the total: beside"),
        pytest.param({"prompt": 12, "completion": 40, "reasoning": 30, "total": 52}, 40, id="the total: within"),
        pytest.param({"prompt": 12, "completion": 20, "reasoning": 30, "total": 62}, 50, id="more than it, beside"),
        pytest.param({"prompt": 12, "completion": 20, "reasoning": 30, "total": 32}, 20, id="more than it, but within"),
        pytest.param({"prompt": 12, "completion": 40, "reasoning": 30}, 40, id="no total: within"),
        pytest.param({"prompt": 12, "completion": 40, "reasoning": 40}, 40, id="no total: all of it"),
        pytest.param({"prompt": 12, "completion": 20, "reasoning": 30}, 50, id="no total, more than it: beside"),
        pytest.param(
            {"prompt": 12, "completion": 40, "reasoning": 30, "total": 99}, 40, id="a total that fits neither"
        ),
        pytest.param(
            {"prompt": 12, "completion": 20, "reasoning": 30, "total": 99}, 50, id="neither, and more than it"
        ),
        pytest.param({"completion": 40, "reasoning": 30, "total": 70}, 70, id="no input"),
        pytest.param({"prompt": 12, "completion": 0, "reasoning": 30, "total": 42}, 30, id="reasoning only"),
        pytest.param({"prompt": 12, "completion": 40, "reasoning": 0, "total": 52}, 40, id="no reasoning"),
    ],
)
def test_output_contains_reasoning(counts: dict[str, int], output: int) -> None:
    for given, taken in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
        names = {"prompt": given, "completion": taken, "total": "total_tokens"}
        sent: dict[str, Any] = {names[name]: count for name, count in counts.items() if name in names}
        for place in ("completion_tokens_details", "output_tokens_details"):
            found = usage_in(sent | {place: {"reasoning_tokens": counts["reasoning"]}})
            assert found == Usage(counts.get("prompt"), output, reasoning=counts["reasoning"])
        assert usage_in(sent | {"reasoning_tokens": counts["reasoning"]}) == found


def test_reasoning_beside_the_completion_counts_as_output() -> None:
    total = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 17, "reasoning_tokens": 3}
    hidden = [HEAD, TOKEN, TOKEN, FINISH, event({"choices": [], "usage": total}), DONE + END]
    counters = read_so(hidden, api="openai-chat").parts[2].counters
    assert (counters.output, counters.reasoning) == (5, 3)


# finish reasons


@pytest.mark.parametrize("word", ["null", "None", "NULL", "none", ""])
def test_null_as_a_string_is_no_finish_reason(word: str) -> None:
    text = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": word}]}
    assert CHAT.classify(packed(text)) is A_TOKEN
    assert CHAT.classify(packed(last(word))) is NOTHING
    assert CHAT.read_answer(packed({"choices": [{"message": {"content": "Hi"}, "finish_reason": word}]})).finish == ""
    assert COMPLETIONS.classify(packed({"choices": [{"text": "Hi", "finish_reason": word}]})) is A_TOKEN
    assert ANTHROPIC.classify(packed({"type": "message_delta", "delta": {"stop_reason": word}})) == NOTHING
    part = read_so([HEAD, delta(finish=word, content="a"), delta(finish=word), END], api="openai-chat").parts[2]
    assert part.ended == {"truncated": 1}


# reasoning in unknown fields

FIELDS = [
    "thinking",
    "reasoning_text",
    "thought",
    "thinking_content",
    "thoughts",
    "cot",
    "internal_monologue",
    "analysis",
]
NO_TEXT = [
    *("role", "id", "name", "type", "tool_call_id", "model", "reasoning_signature", "thoughtSignature", "stop_reason"),
    *("encrypted_content", "native_finish_reason", "status", "obfuscation", "reasoning_id", "reasoning_effort"),
]


def thinking(field: str, text: Any = "hm") -> bytes:
    return delta(**{field: text})


@pytest.mark.parametrize("field", FIELDS)
def test_text_in_an_unknown_field_is_reasoning(field: str) -> None:
    expected = Meaning(REASONING.tokens, field=field)
    payload = {"role": "assistant", "content": "", field: "hm"}
    sent: dict[str, Any] = {"choices": [{"index": 0, "delta": payload, "finish_reason": None}]}
    event = CHAT.classify(packed(sent))
    assert event == expected
    assert CHAT.classify(packed(sent)) is event, "compared by identity"
    assert COMPLETIONS.classify(packed({"choices": [{"index": 0, "text": "", field: "hm"}]})) is event
    if field != "thinking":  # which Anthropic knows
        block = {"type": "content_block_delta", "delta": {"type": "x_delta", field: "hm"}}
        assert ANTHROPIC.classify(packed(block)) is event
    sent["choices"][0]["finish_reason"] = "stop"
    sent["usage"] = COUNTS
    assert CHAT.classify(packed(sent)) == Meaning(REASONING.tokens, "stop", usage=COUNTED, field=field)
    answered = {"choices": [{"message": {"content": None, field: "hm"}, "finish_reason": "length"}]}
    assert CHAT.read_answer(packed(answered)) == Meaning(REASONING.tokens, "length", field=field)


@pytest.mark.parametrize("field", NO_TEXT)
def test_a_field_without_text_is_no_token(field: str) -> None:
    assert CHAT.classify(packed({"choices": [{"index": 0, "delta": {"content": "", field: "x"}}]})) is NOTHING
    assert COMPLETIONS.classify(packed({"choices": [{"text": "", field: "x", "matched_stop": "y"}]})) is NOTHING
    assert ANTHROPIC.classify(packed({"type": "content_block_delta", "delta": {"type": "x", field: "x"}})) is NOTHING


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([{"type": "thinking", "thinking": "hm", "signature": "x"}], True),
        ({"text": "hm"}, True),
        ({"text": {"value": "hm"}}, True),
        ({"text": {"value": ""}, "content": []}, False),
        ([{"type": "thinking", "thinking": ""}], False),
        ([{"signature": "x"}], False),
        ({}, False),
        (5, False),
        (True, False),
        ("", False),
        (None, False),
    ],
    ids=repr,
)
def test_reasoning_may_be_nested(value: Any, says: bool) -> None:
    assert unknown_text_field({"thinking_blocks": value}, frozenset()) == ("thinking_blocks" if says else "")
    assert unknown_text_field({"safety": value}, frozenset()) == ""


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"provider_specific_fields": {"reasoning_content": "hm"}}, "provider_specific_fields.reasoning_content"),
        ({"extra": {"id": "x", "thought": "hm"}}, "extra.thought"),
        ({"model_extra": {"reasoning": {"content": "hm"}}}, "model_extra.reasoning"),
        ({"provider_specific_fields": {"reasoning_content": None, "citation": "x"}}, ""),
        ({"extra": {"text": "x", "thinking_id": "x", "reasoning_tokens": 5}}, ""),
        ({"usage": {"reasoning": 5}}, ""),
    ],
    ids=repr,
)
def test_reasoning_may_be_in_an_object_of_another_name(payload: dict[str, Any], field: str) -> None:
    event = CHAT.classify(packed({"choices": [{"index": 0, "delta": {"content": "", **payload}}]}))
    assert event == (Meaning(REASONING.tokens, field=field[:MAX_NAME]) if field else NOTHING)


def test_other_choices_may_have_reasoning() -> None:
    two = {"choices": [{"index": 0, "delta": {"content": "Hi"}}, {"index": 1, "delta": {"thinking": "hm"}}]}
    thought = TokenOf(choice=1, visible=False, reasoning=True)
    assert CHAT.classify(packed(two)) == Meaning((*A_TOKEN.tokens, thought), field="thinking")
    del two["choices"][0]
    assert CHAT.classify(packed(two)) == Meaning((thought,), field="thinking")


def test_text_in_known_fields_takes_precedence() -> None:
    both = {"choices": [{"index": 0, "delta": {"content": "Hi", "thinking": "hm"}}]}
    assert CHAT.classify(packed(both)) is A_TOKEN
    both["choices"][0]["delta"] = {"reasoning": "hm", "thinking": "hm"}
    assert CHAT.classify(packed(both)) is REASONING


def test_reasoning_in_unknown_fields_takes_the_fast_path() -> None:
    think = b'data: {"choices":[{"index":0,"delta":{"thinking":"hm"},"finish_reason":null}]}\n\n'
    text = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    assert took_the_fast_path([think, think, think, text, text], api="openai-chat") == [False, True, True, False, True]


def test_the_names_of_unknown_fields_are_reported_once() -> None:
    reads = [HEAD, thinking("thought"), thinking("thought"), thinking("cot"), TOKEN, FINISH, DONE, END]
    made = read_so(reads, api="openai-chat")
    part = made.parts[2]
    part.settle()
    assert made.fields == ["thought", "cot"]
    assert (part.ended, part.counters.events) == ({"ok": 1}, 4)
    assert (values(part.latency, "ttft"), values(part.latency, "ttfa")) == ([110], [140])
    aggregate = Aggregate.over([1, 1])
    aggregate.merge(made)
    made.seq, made.fields = 1, ["cot", "analysis"]
    aggregate.merge(made)
    assert aggregate.fields == ["thought", "cot", "analysis"]


def test_names_of_fields_are_few_and_short() -> None:
    bench = Bench()
    bench.begin()
    bench.read(100, HEAD, *(thinking(f"{'x' * 50}{number}") for number in range(3)))
    bench.read(110, *(thinking(f"text{number}") for number in range(2 * MAX_FIELDS)))
    fields = bench.cut().fields
    assert len(fields) == MAX_FIELDS
    assert max(map(len, fields)) == 40


# the last event of a response


def response(kind: str, **fields: Any) -> Meaning:
    counts = {"input_tokens": 9, "output_tokens": 30}
    sent = {"type": f"response.{kind}", "response": {"id": "r", "usage": counts, **fields}}
    return RESPONSES.classify(packed(sent))


CUT = {"incomplete_details": {"reason": "max_output_tokens"}}
BOOM = {"error": {"code": "server_error", "message": "engine died"}}

LAST: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "completed": ("completed", {"status": "completed"}, "completed", ""),
    "completed, but incomplete": ("completed", {"status": "incomplete", **CUT}, "max_output_tokens", ""),
    "completed, but incomplete without a reason": ("completed", {"status": "incomplete"}, "incomplete", ""),
    "completed, with the reason why it isn't": ("completed", {"status": "completed", **CUT}, "max_output_tokens", ""),
    "completed, but failed": ("completed", {"status": "failed", **BOOM}, "", "server_error: engine died"),
    "completed, but failed without a message": ("completed", {"status": "failed"}, "", "the response failed"),
    "completed, but cancelled": ("completed", {"status": "cancelled"}, "", "the response was cancelled"),
    "completed, with an error": ("completed", {"status": "completed", **BOOM}, "", "server_error: engine died"),
    "completed, with an error that is none": ("completed", {"status": "completed", "error": {}}, "completed", ""),
    "completed, in progress still": ("completed", {"status": "in_progress"}, "completed", ""),
    "completed, a status of an odd type": ("completed", {"status": 5}, "completed", ""),
    "incomplete, but failed": ("incomplete", {"status": "failed", **BOOM}, "", "server_error: engine died"),
    "failed, but completed": ("failed", {"status": "completed"}, "", "the response failed"),
    "cancelled": ("cancelled", {"status": "cancelled"}, "", "the response was cancelled"),
    "canceled": ("canceled", {"status": "canceled"}, "", "the response was cancelled"),
    "done": ("done", {"status": "completed"}, "completed", ""),
    "done, but incomplete": ("done", {"status": "incomplete", **CUT}, "max_output_tokens", ""),
    "done, but failed": ("done", {"status": "failed", **BOOM}, "", "server_error: engine died"),
    "done, with its details elsewhere": (
        "done",
        {"status": "incomplete", "status_details": {"type": "incomplete", "reason": "max_output_tokens"}},
        "max_output_tokens",
        "",
    ),
    "done, with its error in the details": (
        "done",
        {"status": "failed", "status_details": {"type": "failed", "error": {"message": "engine died"}}},
        "",
        "engine died",
    ),
}


@pytest.mark.parametrize(("kind", "fields", "finish", "error"), LAST.values(), ids=LAST)
def test_the_worse_status_in_the_last_event_counts(kind: str, fields: dict[str, Any], finish: str, error: str) -> None:
    event = response(kind, **fields)
    assert (event.finish, event.error) == (finish, error)
    if not error:
        assert event.done
        assert event.usage == Usage(9, 30)


def test_a_whole_answer_that_was_cancelled_is_an_error() -> None:
    sent = {"status": "cancelled", "output": [{"type": "message", "content": [{"text": "Hi"}]}]}
    assert RESPONSES.read_answer(packed(sent)).error == "the response was cancelled"


def test_deltas_of_other_names_are_reasoning() -> None:
    sent = {"type": "response.thinking.delta", "delta": "hm"}
    assert RESPONSES.classify(packed(sent)) == Meaning(REASONING.tokens, field="response.thinking.delta")
    assert RESPONSES.classify(packed(sent)) is RESPONSES.classify(packed(sent))
    assert RESPONSES.classify(packed(sent | {"delta": ""})).unknown
    assert RESPONSES.classify(packed(sent | {"delta": {"x": 1}})).unknown


@pytest.mark.parametrize("api", [CHAT, COMPLETIONS, RESPONSES, ANTHROPIC], ids=lambda api: type(api).__name__)
def test_odd_values_in_odd_places_raise_nothing(api: Api) -> None:
    for value in (5, "x", [], [5], {}, {"usage": 5}, None, [{"index": "x", "delta": {"thinking": "hm"}}]):
        for name in ("choices", "delta", "usage", "x_groq", "timings", "message", "response"):
            data = json.dumps({"type": "response.done", "choices": [{"delta": {}}], name: value}).encode()
            assert isinstance(api.classify(data), Meaning)
            assert isinstance(api.read_answer(data), Meaning)
