"""The encoders of each API: a stream and an answer that is not streamed have the same content."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from helpers.mock_answers import (
    Event,
    Heard,
    anthropic_stream,
    anthropic_whole,
    chat_stream,
    chat_whole,
    completions_stream,
    completions_whole,
    events_in,
    responses_stream,
    responses_whole,
    tell,
)

from llmstress.engine.mock.buckets import Allowance
from llmstress.engine.mock.dialects import anthropic, limits, openai, openai_chat, openai_completions, openai_responses
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, words
from llmstress.engine.mock.dialects.azure import Azure
from llmstress.engine.mock.dialects.dialect import Dialect, RateLimitState
from llmstress.engine.mock.dialects.plain import Plain
from llmstress.engine.mock.http import Request

AZURE_CHAT = Azure(openai_chat, openai_chat.ChatEncoder)
AZURE_COMPLETIONS = Azure(openai_completions, openai_completions.CompletionsEncoder)

ANSWER = AnswerSpec("ab" * 12, 1_700_000_000, 'the "größte" %d', prompt_tokens=9, cached_tokens=4, tokens=7)
VARIANTS = {
    "text": ANSWER,
    "one token": msgspec.structs.replace(ANSWER, tokens=1),
    "nothing": msgspec.structs.replace(ANSWER, tokens=0, finish_reason="length"),
    "reasoning": msgspec.structs.replace(ANSWER, reasoning_tokens=5),
    "hidden reasoning": msgspec.structs.replace(ANSWER, hidden_reasoning_tokens=6, finish_reason="length"),
    "both": msgspec.structs.replace(ANSWER, reasoning_tokens=1, hidden_reasoning_tokens=6),
    "reasoning alone": msgspec.structs.replace(ANSWER, reasoning_tokens=3, tokens=0, finish_reason="length"),
    "tool": msgspec.structs.replace(ANSWER, tool_call=True, finish_reason="tool_call"),
    "reasoning, then a tool": msgspec.structs.replace(
        ANSWER, reasoning_tokens=2, tool_call=True, finish_reason="tool_call"
    ),
    "filtered": msgspec.structs.replace(ANSWER, finish_reason="content_filter"),
}


APIS: dict[str, tuple[Dialect, Callable[[list[Event]], Heard], Callable[[dict[str, Any]], Heard]]] = {
    "openai-chat": (openai_chat, chat_stream, chat_whole),
    "openai-completions": (openai_completions, completions_stream, completions_whole),
    "openai-responses": (openai_responses, responses_stream, responses_whole),
    "anthropic": (anthropic, anthropic_stream, anthropic_whole),
    "azure-chat": (AZURE_CHAT, chat_stream, chat_whole),
    "azure-completions": (AZURE_COMPLETIONS, completions_stream, completions_whole),
}
TALKATIVE = {"openai-completions", "azure-completions"}
"""APIs without reasoning and tools, which send all tokens as text."""


@pytest.mark.parametrize("per_event", [1, 3])
@pytest.mark.parametrize("answer", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("api", APIS)
def test_streamed_and_whole_say_the_same(api: str, answer: AnswerSpec, per_event: int) -> None:
    dialect, of_stream, of_whole = APIS[api]
    assert dialect.name == api
    encoder = dialect.encoder(answer, RequestParams(tool="get"))
    events = tell(encoder, answer, per_event)
    whole = of_whole(json.loads(encoder.body()))
    assert of_stream(events_in(b"".join(events))) == whole
    reasoning, text, arguments, tool = whole
    if api in TALKATIVE:
        assert text == "".join(answer.text(part.kind) for part in answer.parts)
        return
    assert reasoning == words(0, answer.reasoning_tokens)
    assert (text, tool) == (("", "get") if answer.tool_call else (words(0, answer.tokens), ""))
    if answer.tool_call:
        assert json.loads(arguments) == {"words": words(0, answer.tokens)}


@pytest.mark.parametrize("api", APIS)
def test_token_events_are_equally_long_and_the_last_word_is_the_last(api: str) -> None:
    encoder = APIS[api][0].encoder(ANSWER, RequestParams())
    for kind in ("reasoning", "text", "tool"):
        assert len({len(encoder.token_event(kind, words(i, 2))) for i in range(10)}) == 1
    assert b"".join(encoder.closing()).endswith(encoder.end_mark)
    assert bool(encoder.end_mark) == (api != "openai-responses")


def usage_of(api: str, answer: AnswerSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """The usage at the end of a stream, and that of an answer that is not streamed."""
    encoder = APIS[api][0].encoder(answer, RequestParams())
    whole = json.loads(encoder.body())["usage"]
    *_, (_, last) = [
        e for e in events_in(b"".join(tell(encoder, answer))) if isinstance(e[1], dict) and "usage" in str(e)
    ]
    return last.get("response", last)["usage"], whole


def test_the_usage_counts_all_that_is_charged() -> None:
    answer = msgspec.structs.replace(ANSWER, reasoning_tokens=2, hidden_reasoning_tokens=3)
    for api in ("openai-chat", "openai-completions", "azure-chat", "azure-completions"):
        streamed, whole = usage_of(api, answer)
        assert streamed == whole
        assert whole == {
            "prompt_tokens": 9,
            "completion_tokens": 12,
            "total_tokens": 21,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5},
        }
    streamed, whole = usage_of("openai-responses", answer)
    assert streamed == whole
    assert whole == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 21,
    }


def test_anthropic_counts_cached_input_apart_and_output_cumulatively() -> None:
    answer = msgspec.structs.replace(ANSWER, reasoning_tokens=2, hidden_reasoning_tokens=3)
    streamed, whole = usage_of("anthropic", answer)
    assert streamed == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert whole.items() >= streamed.items()
    (_, start), *_ = events_in(b"".join(tell(anthropic.encoder(answer, RequestParams()), answer)))
    assert start["message"]["usage"]["output_tokens"] == 1
    assert start["message"]["usage"]["input_tokens"] == 5


@pytest.mark.parametrize("api", ["openai-chat", "openai-completions", "azure-chat"])
def test_usage_that_runs_along(api: str) -> None:
    answer = msgspec.structs.replace(ANSWER, tokens=3, hidden_reasoning_tokens=2, choices=2)
    encoder = APIS[api][0].encoder(answer, RequestParams(running_usage=True))
    events = [e for _, e in events_in(b"".join(tell(encoder, answer))) if isinstance(e, dict) and e["id"]]
    counts = [e["usage"]["completion_tokens"] for e in events]
    roles = [] if api == "openai-completions" else [4, 4]
    assert counts == [*roles, 6, 6, 8, 8, 10, 10, 10, 10, 10]
    assert all(e["usage"]["total_tokens"] == e["usage"]["completion_tokens"] + 9 for e in events)
    not_requested = openai_chat.encoder(answer, RequestParams())
    assert not not_requested.fills_in


@pytest.mark.parametrize("api", ["openai-chat", "openai-completions"])
def test_a_stream_without_usage_does_not_mention_it(api: str) -> None:
    answer = msgspec.structs.replace(ANSWER, usage=False)
    assert b"usage" not in b"".join(tell(APIS[api][0].encoder(answer, RequestParams(running_usage=True)), answer))


FINISHES = {
    "openai-chat": ("stop", "length", "content_filter"),
    "openai-completions": ("stop", "length", "content_filter"),
    "openai-responses": ("completed", "max_output_tokens", "content_filter"),
    "anthropic": ("end_turn", "max_tokens", "refusal"),
}


@pytest.mark.parametrize("api", FINISHES)
def test_why_an_answer_ends(api: str) -> None:
    def reason(body: dict[str, Any]) -> str:
        body = body.get("response", body)
        if "choices" in body:
            return str(body["choices"][0]["finish_reason"])
        if "status" in body:
            return str((body["incomplete_details"] or {"reason": body["status"]})["reason"])
        return str(body.get("delta", body)["stop_reason"])

    for name, wanted in zip(("text", "nothing", "filtered"), FINISHES[api], strict=True):
        answer = VARIANTS[name]
        encoder = APIS[api][0].encoder(answer, RequestParams())
        assert reason(json.loads(encoder.body())) == wanted
        closing = b"".join(encoder.fill_in(event, 0, 0) for event in encoder.closing())
        assert reason(events_in(closing)[0][1]) == wanted


# Responses


def names(events: list[bytes]) -> list[str]:
    """The names of events; equal names in a row are given once."""
    found: list[str] = []
    for name, _ in events_in(b"".join(events)):
        short = name.removeprefix("response.")
        if not found or found[-1] != short:
            found.append(short)
    return found


ITEM = ["output_item.added", "content_part.added"]
ITEM_DONE = ["content_part.done", "output_item.done"]
BEGIN = ["created", "in_progress"]


@pytest.mark.parametrize(
    ("variant", "summary", "middle"),
    [
        ("text", False, [*ITEM, "output_text.delta", "output_text.done", *ITEM_DONE, "completed"]),
        ("nothing", False, ["incomplete"]),
        (
            "reasoning alone",
            False,
            [*ITEM, "reasoning_text.delta", "reasoning_text.done", *ITEM_DONE, "incomplete"],
        ),
        (
            "reasoning alone",
            True,
            [
                "output_item.added",
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
                "output_item.done",
                "incomplete",
            ],
        ),
        (
            "hidden reasoning",
            False,
            [
                *("output_item.added", "output_item.done"),
                *(*ITEM, "output_text.delta", "output_text.done", *ITEM_DONE, "incomplete"),
            ],
        ),
        (
            "tool",
            False,
            [
                *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
                *("output_item.done", "completed"),
            ],
        ),
    ],
)
def test_the_events_of_responses_come_in_order(variant: str, summary: bool, middle: list[str]) -> None:
    answer = VARIANTS[variant]
    encoder = openai_responses.encoder(answer, RequestParams(summary=summary))
    written = tell(encoder, answer)
    assert names(written) == [*BEGIN, *middle]
    events = [event for _, event in events_in(b"".join(written))]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all(name == event["type"] for name, event in events_in(b"".join(written)))
    assert {e["response"]["id"] for e in events if "response" in e} == {f"resp_{answer.id}"}
    whole = json.loads(encoder.body())
    assert events[-1]["response"] == whole
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert done == whole["output"]
    added = [e["item"]["id"] for e in events if e["type"] == "response.output_item.added"]
    assert added == [item["id"] for item in done]
    for event in events:
        if "item_id" in event:
            assert event["item_id"] == added[event["output_index"]]


def test_only_the_item_that_was_cut_is_incomplete() -> None:
    answer = msgspec.structs.replace(VARIANTS["reasoning, then a tool"], finish_reason="length")
    _, call = json.loads(openai_responses.encoder(answer, RequestParams()).body())["output"]
    assert call["status"] == "incomplete"
    assert (
        json.loads(openai_responses.encoder(VARIANTS["tool"], RequestParams()).body())["output"][0]["status"]
        == "completed"
    )


def test_pings_and_errors_of_responses_are_numbered() -> None:
    encoder = openai_responses.encoder(ANSWER, RequestParams())
    ping = encoder.fill_in(encoder.ping(), 7, 3)
    assert events_in(ping) == [("keepalive", {"type": "keepalive", "sequence_number": 7})]
    events = b"".join(
        encoder.fill_in(event, 8 + i, 3) for i, event in enumerate(encoder.error_events("oh", "server_error"))
    )
    (_, error), (_, failed) = events_in(events)
    assert (error["sequence_number"], failed["sequence_number"]) == (8, 9)
    assert (error["type"], error["error"]["message"]) == ("error", "oh")
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "oh"}


# Anthropic


@pytest.mark.parametrize(
    ("variant", "middle"),
    [
        ("text", ["content_block_start", "ping", "content_block_delta", "content_block_stop"]),
        ("nothing", []),
        (
            "reasoning, then a tool",
            [
                *("content_block_start", "ping", "content_block_delta", "content_block_stop"),
                *("content_block_start", "content_block_delta", "content_block_stop"),
            ],
        ),
    ],
)
def test_the_events_of_anthropic_come_in_order(variant: str, middle: list[str]) -> None:
    answer = VARIANTS[variant]
    events = tell(anthropic.encoder(answer, RequestParams()), answer)
    assert names(events) == ["message_start", *middle, "message_delta", "message_stop"]
    assert all(name == event["type"] for name, event in events_in(b"".join(events)))


def test_a_thought_is_signed_and_a_call_begins_with_an_empty_fragment() -> None:
    answer = VARIANTS["reasoning, then a tool"]
    events = events_in(b"".join(tell(anthropic.encoder(answer, RequestParams(tool="get")), answer)))
    blocks = [event["content_block"] for name, event in events if name == "content_block_start"]
    assert blocks == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "tool_use", "id": f"toolu_{answer.id}", "name": "get", "input": {}},
    ]
    deltas = [(event["index"], event["delta"]) for name, event in events if name == "content_block_delta"]
    assert [delta["type"] for _, delta in deltas[:4]] == [
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
    ]
    assert deltas[3][1]["partial_json"] == ""
    assert [place for place, _ in deltas] == [0] * 3 + [1] * 8


def test_thoughts_that_are_left_out_still_have_a_block() -> None:
    answer = VARIANTS["hidden reasoning"]
    encoder = anthropic.encoder(answer, RequestParams(reasoning="hidden"))
    events = events_in(b"".join(tell(encoder, answer)))
    first = [event["delta"]["type"] for name, event in events if name == "content_block_delta" and event["index"] == 0]
    assert first == ["signature_delta"]
    assert [block["type"] for block in json.loads(encoder.body())["content"]] == ["thinking", "text"]
    not_requested = json.loads(anthropic.encoder(answer, RequestParams()).body())["content"]
    assert [block["type"] for block in not_requested] == ["text"]


# Azure


def test_azure_says_what_its_filter_found_in_each_choice() -> None:
    answer = msgspec.structs.replace(ANSWER, choices=2)
    encoder = AZURE_CHAT.encoder(answer, RequestParams())
    (_, first), *events, (_, done) = events_in(b"".join(tell(encoder, answer)))
    assert (first["id"], first["choices"], done) == ("", [], "[DONE]")
    assert not first["prompt_filter_results"][0]["content_filter_results"]["hate"]["filtered"]
    choices = [choice for _, event in events for choice in event["choices"]]
    assert len(choices) == 2 * (1 + 7 + 1)
    assert all(choice["content_filter_results"]["violence"]["severity"] == "safe" for choice in choices)
    whole = json.loads(encoder.body())
    assert whole["prompt_filter_results"] == first["prompt_filter_results"]
    assert [c["content_filter_results"] for c in whole["choices"]] == [choices[0]["content_filter_results"]] * 2


@pytest.mark.parametrize(("per_event", "spans"), [(1, [(0, 50), (50, 100), (100, 115)]), (4, [(0, 60), (60, 115)])])
def test_the_asynchronous_filter_says_so_in_chunks_of_its_own(per_event: int, spans: list[tuple[int, int]]) -> None:
    answer = msgspec.structs.replace(ANSWER, model="gpt-async", tokens=23, reasoning_tokens=12)
    events = events_in(b"".join(tell(AZURE_CHAT.encoder(answer, RequestParams()), answer, per_event)))
    text, found = "", []
    for choice in (c for _, e in events if isinstance(e, dict) for c in e["choices"]):
        if "delta" in choice:
            assert "content_filter_results" not in choice
            text += choice["delta"].get("content", "")
        else:
            offsets = choice["content_filter_offsets"]
            found.append((offsets["start_offset"], offsets["end_offset"]))
            assert len(text) == offsets["end_offset"], "what it speaks of has been said"
    assert found == spans


# errors and limits


def test_errors_in_the_words_of_each_api() -> None:
    def error(dialect: Dialect, status: int, code: str = "") -> Any:
        return json.loads(dialect.error_body(status, "m", code, "id"))

    assert error(openai_chat, 429)["error"]["code"] == "rate_limit_exceeded"
    quota = error(openai_chat, 429, "insufficient_quota")["error"]
    assert (quota["type"], quota["code"]) == ("insufficient_quota", "insufficient_quota")
    assert error(openai_chat, 503)["error"]["code"] == "server_is_overloaded"
    assert error(anthropic, 529) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "m"},
        "request_id": "req_id",
    }
    assert error(anthropic, 429, "insufficient_quota")["error"]["details"] == {
        "error_code": "enforced_spend_limit_reached"
    }
    assert error(anthropic, 418)["error"]["type"] == "invalid_request_error"
    assert error(anthropic, 500)["error"]["type"] == "api_error"
    assert error(AZURE_CHAT, 429) == {"error": {"code": "429", "message": "m"}}
    blocked = error(AZURE_CHAT, 400, "content_filter")["error"]
    assert (blocked["code"], blocked["innererror"]["code"]) == ("content_filter", "ResponsibleAIPolicyViolation")
    assert error(Plain("sse"), 400) == {"detail": "m"}


def test_errors_within_a_stream() -> None:
    chat = b"".join(openai_chat.encoder(ANSWER, RequestParams()).error_events("m", "server_error"))
    assert events_in(chat)[0][1]["error"]["message"] == "m"
    message = b"".join(anthropic.encoder(ANSWER, RequestParams()).error_events("m", ""))
    assert events_in(message) == [("error", {"type": "error", "error": {"type": "overloaded_error", "message": "m"}})]
    assert Plain("text").encoder(ANSWER, RequestParams()).error_events("m", "") == []


LIMIT = RateLimitState(
    requests=Allowance(10, 9, 12_000),
    tokens=Allowance(1_000, 0, 360_000_000),
    now_s=1_700_000_000,
    retry_after_s=1.2,
)


def test_what_is_left_of_an_allowance() -> None:
    openais = dict(openai.rate_limit_headers(LIMIT))
    assert openais["x-ratelimit-remaining-tokens"] == "0"
    assert (openais["x-ratelimit-reset-requests"], openais["x-ratelimit-reset-tokens"]) == ("12ms", "6m0s")
    azures = dict(AZURE_CHAT.rate_limit_headers(LIMIT))
    assert (azures["x-ratelimit-reset-requests"], azures["x-ratelimit-reset-tokens"]) == ("1", "360")
    anthropics = dict(anthropic.rate_limit_headers(LIMIT))
    assert anthropics["anthropic-ratelimit-requests-remaining"] == "9"
    assert anthropics["anthropic-ratelimit-output-tokens-reset"] == "2023-11-14T22:19:20Z"
    assert openais["retry-after"] == azures["retry-after"] == anthropics["retry-after"] == "2"
    assert Plain("json").rate_limit_headers(LIMIT) == (("retry-after", "2"),)


@pytest.mark.parametrize("dialect", [openai, AZURE_CHAT, anthropic])
def test_of_a_limit_that_is_not_there_nothing_is_told(dialect: Dialect) -> None:
    headers = dict(dialect.rate_limit_headers(msgspec.structs.replace(LIMIT, tokens=None, retry_after_s=None)))
    assert len(headers) == 3
    assert all("requests" in name for name in headers)


def test_when_to_come_back() -> None:
    def headers(style: str, wait_s: float | None = 1.2) -> dict[str, str]:
        return dict(limits.retry_after(msgspec.structs.replace(LIMIT, retry_after=style, retry_after_s=wait_s)))

    assert headers("seconds") == {"retry-after": "2"}
    assert headers("ms") == {"retry-after": "2", "retry-after-ms": "1200"}
    assert headers("date") == {"retry-after": "Tue, 14 Nov 2023 22:13:22 GMT"}
    assert headers("none") == headers("ms", None) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0121, "12ms"), (0.9999, "1s"), (1.5, "1.5s"), (60, "1m0s"), (3_661.25, "1h1m1.25s")],
)
def test_durations_as_go_writes_them(seconds: float, text: str) -> None:
    assert limits.go_duration(seconds) == text


# reading requests


def read_params(dialect: Dialect, body: Any, *headers: tuple[str, str]) -> RequestParams:
    return dialect.read(Request("POST", "/", False, True, json.dumps(body).encode(), headers=headers))


MESSAGES = [{"role": "user", "content": "a b"}]


@pytest.mark.parametrize(
    ("dialect", "fields", "wanted"),
    [
        (openai_chat, {"messages": MESSAGES, "reasoning_effort": "none"}, "none"),
        (openai_chat, {"messages": MESSAGES, "include_reasoning": False}, "hidden"),
        (openai_chat, {"messages": MESSAGES, "reasoning_effort": "high"}, "shown"),
        (openai_responses, {"input": "a", "reasoning": {"effort": "none"}}, "none"),
        (openai_responses, {"input": "a", "reasoning": {"effort": "low"}}, "shown"),
        (anthropic, {"messages": MESSAGES, "max_tokens": 1, "thinking": {"type": "disabled"}}, "none"),
        (
            anthropic,
            {"messages": MESSAGES, "max_tokens": 1, "thinking": {"type": "adaptive", "display": "omitted"}},
            "hidden",
        ),
        (
            anthropic,
            {"messages": MESSAGES, "max_tokens": 1, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "shown",
        ),
    ],
)
def test_what_the_client_wants_to_see_of_reasoning(dialect: Dialect, fields: Any, wanted: str) -> None:
    assert read_params(dialect, fields).reasoning == wanted


CHAT_TOOL = {"type": "function", "function": {"name": "get"}}
FLAT_TOOL = {"type": "function", "name": "get"}


@pytest.mark.parametrize(
    ("dialect", "fields", "wanted"),
    [
        (openai_chat, {"messages": []}, ("write", False)),
        (openai_chat, {"messages": [], "tools": [CHAT_TOOL], "tool_choice": "auto"}, ("get", False)),
        (openai_chat, {"messages": [], "tools": [CHAT_TOOL], "tool_choice": "required"}, ("get", True)),
        (
            openai_chat,
            {"messages": [], "tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "put"}}},
            ("put", True),
        ),
        (openai_responses, {"input": "a", "tools": [FLAT_TOOL], "tool_choice": "required"}, ("get", True)),
        (openai_responses, {"input": [], "tool_choice": FLAT_TOOL}, ("get", True)),
        (
            anthropic,
            {"messages": [], "max_tokens": 1, "tools": [{"name": "get"}], "tool_choice": {"type": "any"}},
            ("get", True),
        ),
        (
            anthropic,
            {"messages": [], "max_tokens": 1, "tools": [{"name": "get"}], "tool_choice": {"type": "auto"}},
            ("get", False),
        ),
    ],
)
def test_which_tool_is_called(dialect: Dialect, fields: Any, wanted: tuple[str, bool]) -> None:
    read = read_params(dialect, fields)
    assert (read.tool, read.must_call) == wanted


def test_the_counts_of_prompts() -> None:
    assert read_params(openai_chat, {"messages": [*MESSAGES, *MESSAGES]}).prompt_tokens == 2 * (2 + 4)
    assert read_params(openai_responses, {"input": "a b c"}).prompt_tokens == 3 + 4
    spoken = {"role": "user", "content": [{"type": "input_text", "text": "a b"}]}
    assert read_params(openai_responses, {"input": [spoken], "instructions": "x"}).prompt_tokens == 2 + 4 + 1 + 4
    system = [{"type": "text", "text": "be kind"}]
    assert read_params(anthropic, {"messages": MESSAGES, "max_tokens": 1, "system": system}).prompt_tokens == 2 + 4 + 2


@pytest.mark.parametrize(
    ("prompt", "tokens", "choices"),
    [("a b", 2, 1), (["a", "b c"], 3, 2), ([5, 6, 7], 3, 1), ([[5], [6, 7]], 3, 2)],
)
def test_prompts_of_all_forms(prompt: Any, tokens: int, choices: int) -> None:
    read = read_params(openai_completions, {"prompt": prompt, "n": 2})
    assert (read.prompt_tokens, read.choices) == (tokens, 2 * choices)


@pytest.mark.parametrize("prompt", [[], [[]], [1, "a"], [["a"]], [True], 7, None])
def test_prompts_of_no_form(prompt: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_params(openai_completions, {"prompt": prompt})
