"""The mock with the official clients of OpenAI, Azure and Anthropic, over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import enum
import importlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pydantic
import pytest
from helpers.processes import DEADLINE_S, MockServer, mock_server

from llmstress.engine.mock.dialects.answer_spec import words

if TYPE_CHECKING:
    import anthropic
    import openai

TEXT = "".join(f" tok{i}" for i in range(8))
MESSAGES: Any = [{"role": "user", "content": "one two three"}]
CHAT: Any = {"model": "m", "messages": MESSAGES}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}
FLAT_TOOL: Any = {"type": "function", "name": "get", "parameters": {"type": "object"}}
CLAUDE: Any = {"model": "m", "max_tokens": 100, "messages": MESSAGES}
CLAUDE_TOOL: Any = {"name": "get", "input_schema": {"type": "object"}}
OURS: Any = {"api_key": "k", "max_retries": 0, "timeout": DEADLINE_S}


@pytest.fixture(scope="module", autouse=True)
def sdks() -> None:
    """Their import takes 2 s of CPU. Each process of the suite collects these tests, few of them run some."""
    for name in ("anthropic", "openai"):
        globals()[name] = importlib.import_module(name)


@pytest.fixture(scope="module", autouse=True)
def direct() -> Iterator[None]:
    """Remove proxies from the environment, which the clients would use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[MockServer]:
    """Answers have 8 tokens."""
    with mock_server("--ttft-ms", "1", "--gap-ms", "1") as server:
        yield server


@pytest.fixture(scope="module")
def gpt(server: MockServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", **OURS) as client:
        yield client


@pytest.fixture(scope="module")
def azure(server: MockServer) -> Iterator[openai.AzureOpenAI]:
    with openai.AzureOpenAI(azure_endpoint=server.url, api_version="2024-10-21", **OURS) as client:
        yield client


@pytest.fixture(scope="module")
def claude(server: MockServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, **OURS) as client:
        yield client


def test_both_list_the_models(gpt: openai.OpenAI, azure: openai.AzureOpenAI, claude: anthropic.Anthropic) -> None:
    assert [model.id for model in gpt.models.list()] == ["mock-7b"]
    assert [model.id for model in azure.models.list()] == ["mock-7b"]
    assert [model.id for model in claude.models.list()] == ["mock-7b"]


# chat completions


def test_chat(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(**CHAT)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason, answer.model) == (TEXT, "stop", "m")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 8, 15)
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_chat_streamed(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in choices) == TEXT
    assert [choice.finish_reason for choice in choices] == [None] * 9 + ["stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


def test_chat_streamed_through_the_helper(gpt: openai.OpenAI) -> None:
    with gpt.chat.completions.stream(**CHAT, n=2, stream_options={"include_usage": True}) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert kinds == {"chunk", "content.delta", "content.done"}
    assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_two_choices(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(**CHAT, n=2)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(0, TEXT), (1, TEXT)]
    texts = ["", ""]
    finishes = []
    for chunk in gpt.chat.completions.create(**CHAT, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
    assert (texts, finishes) == ([TEXT, TEXT], ["stop", "stop"])


def test_a_tool_called_in_chat(gpt: openai.OpenAI) -> None:
    asked: Any = {**CHAT, "tools": [CHAT_TOOL], "tool_choice": "required"}
    (choice,) = gpt.chat.completions.create(**asked).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls: Any = choice.message.tool_calls
    (call,) = calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get", {"words": TEXT})
    with gpt.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion()
    (choice,) = streamed.choices
    calls = choice.message.tool_calls
    (call,) = calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get", {"words": TEXT})
    assert choice.finish_reason == "tool_calls"


def test_many_at_once(server: MockServer) -> None:
    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.url, **OURS) as client:

            async def one() -> str:
                stream = await client.chat.completions.create(**CHAT, stream=True)
                return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

            return await asyncio.gather(*[one() for _ in range(20)])

    assert asyncio.run(all_of_them()) == [TEXT] * 20


# completions, embeddings


@pytest.mark.parametrize("prompt", ["a b", ["a b"], [1, 2], [[1, 2]]])
def test_completions(gpt: openai.OpenAI, prompt: Any) -> None:
    answer = gpt.completions.create(model="m", prompt=prompt, max_tokens=3)
    assert [(choice.text, choice.finish_reason) for choice in answer.choices] == [(TEXT[:15], "length")]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 3)
    chunks = list(gpt.completions.create(model="m", prompt=prompt, max_tokens=3, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT[:15]
    assert chunks[-1].choices[0].finish_reason == "length"


def test_embeddings(gpt: openai.OpenAI) -> None:
    asked: Any = {"model": "e", "input": ["a b", "c"], "dimensions": 6}
    packed = gpt.embeddings.create(**asked)  # unless told otherwise this client asks for base64
    numbers = gpt.embeddings.create(**asked, encoding_format="float")
    assert [entry.index for entry in packed.data] == [0, 1]
    assert packed.usage.prompt_tokens == 3
    for coded, plain in zip(packed.data, numbers.data, strict=True):
        assert len(plain.embedding) == 6
        assert coded.embedding == pytest.approx(plain.embedding)


# Responses


def test_responses(gpt: openai.OpenAI) -> None:
    answer = gpt.responses.create(model="m", input="one two three")
    assert (answer.output_text, answer.status, answer.model) == (TEXT, "completed", "m")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 8, 15)
    short = gpt.responses.create(model="m", input=[{"role": "user", "content": "x"}], max_output_tokens=2)
    assert (short.status, short.output_text) == ("incomplete", TEXT[:10])
    assert short.incomplete_details is not None
    assert short.incomplete_details.reason == "max_output_tokens"


def test_responses_streamed(gpt: openai.OpenAI) -> None:
    events = list(gpt.responses.create(model="m", input="one two three", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == TEXT


def test_responses_streamed_through_the_helper(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model="m", input="one two three") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        answer = stream.get_final_response()
    assert snapshots == [TEXT[: 5 * (i + 1)] for i in range(8)]
    assert answer.output_text == TEXT
    assert answer.usage is not None
    assert answer.usage.output_tokens == 8
    with gpt.responses.stream(model="m", input="x", max_output_tokens=2) as stream:
        assert [event.type for event in stream][-1] == "response.incomplete"


def test_a_tool_called_in_responses(gpt: openai.OpenAI) -> None:
    asked: Any = {"model": "m", "input": "x", "tools": [FLAT_TOOL], "tool_choice": "required"}
    output: Any = gpt.responses.create(**asked).output
    (call,) = output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get", {"words": TEXT})
    with gpt.responses.stream(**asked) as stream:
        output = stream.get_final_response().output
    (call,) = output
    assert (call.name, json.loads(call.arguments)) == ("get", {"words": TEXT})


def test_responses_of_the_asynchronous_client(server: MockServer) -> None:
    async def answer() -> str:
        async with (
            openai.AsyncOpenAI(base_url=f"{server.url}/v1", **OURS) as client,
            client.responses.stream(model="m", input="x") as stream,
        ):
            return (await stream.get_final_response()).output_text

    assert asyncio.run(answer()) == TEXT


# Azure


def test_chat_at_azure(azure: openai.AzureOpenAI) -> None:
    answer = azure.chat.completions.create(**{**CHAT, "model": "my gpt"})
    assert (answer.choices[0].message.content, answer.model) == (TEXT, "my gpt")
    first, *chunks = azure.chat.completions.create(**CHAT, stream=True)
    assert (first.choices, first.id) == ([], "")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_asynchronous_filter_of_azure_has_chunks_without_a_delta(azure: openai.AzureOpenAI) -> None:
    chunks = azure.chat.completions.create(**{**CHAT, "model": "gpt-async"}, stream=True)
    deltas: list[Any] = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert deltas.count(None) == 1
    assert "".join(delta.content or "" for delta in deltas if delta is not None) == TEXT


def test_everything_else_at_azure(azure: openai.AzureOpenAI, server: MockServer) -> None:
    assert azure.completions.create(model="d", prompt="x").choices[0].text == TEXT
    assert len(azure.embeddings.create(model="d", input="x", dimensions=3).data[0].embedding) == 3
    assert azure.responses.create(model="d", input="x").output_text == TEXT
    with openai.OpenAI(base_url=f"{server.url}/openai/v1/", **OURS) as client:
        assert client.chat.completions.create(**CHAT).choices[0].message.content == TEXT
        assert client.responses.create(model="d", input="x").output_text == TEXT


# Anthropic


def test_messages(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(**CLAUDE)
    assert [(block.type, block.text) for block in message.content] == [("text", TEXT)]
    assert (message.stop_reason, message.model) == ("end_turn", "m")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 8)
    assert message._request_id is not None
    assert message._request_id.startswith("req_")


def test_messages_as_events(claude: anthropic.Anthropic) -> None:
    events = list(claude.messages.create(**{**CLAUDE, "max_tokens": 4}, stream=True))
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[-2].delta.stop_reason == "max_tokens"
    assert events[-2].usage.output_tokens == 4


def test_messages_through_the_helper(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(**CLAUDE) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == TEXT
    content: Any = message.content
    assert [block.text for block in content] == [TEXT]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 7, 8)


def test_messages_of_the_asynchronous_client(server: MockServer) -> None:
    async def answer() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=server.url, **OURS) as client:
            message = await client.messages.create(**CLAUDE)
            async with client.messages.stream(**CLAUDE) as stream:
                return message.content[0].text, await stream.get_final_text()

    assert asyncio.run(answer()) == (TEXT, TEXT)


def test_a_tool_called_in_messages(claude: anthropic.Anthropic) -> None:
    asked: Any = {**CLAUDE, "tools": [CLAUDE_TOOL], "tool_choice": {"type": "any"}}
    message = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    for told in (message, streamed):
        assert told.stop_reason == "tool_use"
        content: Any = told.content
        (block,) = content
        assert (block.type, block.name, block.input) == ("tool_use", "get", {"words": TEXT})


def test_the_older_version_of_anthropic(server: MockServer) -> None:
    older = {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    with anthropic.Anthropic(base_url=server.url, default_headers=older, **OURS) as client:
        assert client.messages.create(**CLAUDE, extra_body={"temperature": 1}).stop_reason == "end_turn"


# errors


def test_errors_before_an_answer(
    gpt: openai.OpenAI, azure: openai.AzureOpenAI, claude: anthropic.Anthropic, server: MockServer
) -> None:
    with pytest.raises(openai.BadRequestError, match="n has to be") as refused:
        gpt.chat.completions.create(**CHAT, n=0)
    assert (refused.value.type, refused.value.code) == ("invalid_request_error", None)
    with pytest.raises(openai.BadRequestError) as refused:
        azure.chat.completions.create(**CHAT, max_tokens=0)
    assert refused.value.code == "400"
    with pytest.raises(openai.NotFoundError):
        gpt.files.list()
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.batches.list()
    with pytest.raises(anthropic.BadRequestError, match="temperature") as wrong:
        claude.messages.create(**CLAUDE, extra_body={"temperature": 1})
    assert wrong.value.type == "invalid_request_error"
    assert wrong.value.request_id is not None


# other kinds of answers


@contextlib.contextmanager
def clients(*options: str) -> Iterator[tuple[openai.OpenAI, anthropic.Anthropic]]:
    """Clients of a mock of their own; answers have 8 tokens."""
    with (
        mock_server("--ttft-ms", "1", "--gap-ms", "1", *options) as server,
        openai.OpenAI(base_url=server.url, **OURS) as gpt,
        anthropic.Anthropic(base_url=server.url, **OURS) as claude,
    ):
        yield gpt, claude


THOUGHT = words(0, 2)
RESPONSES: Any = {"model": "m", "input": "one two three"}


@pytest.mark.parametrize("tool_call", [False, True])
def test_thinking_in_messages(tool_call: bool) -> None:
    options = ["--reasoning", "2", *(["--tool-call"] if tool_call else [])]
    asked: Any = {**CLAUDE, "tools": [CLAUDE_TOOL]}
    with clients(*options) as (_, claude):
        with claude.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
        whole = claude.messages.create(**asked)
    for message in (streamed, whole):
        content: Any = message.content
        thinking, block = content
        assert (thinking.type, thinking.thinking) == ("thinking", THOUGHT)
        assert thinking.signature
        if tool_call:
            assert (block.type, block.input, message.stop_reason) == ("tool_use", {"words": TEXT}, "tool_use")
        else:
            assert (block.type, block.text, message.stop_reason) == ("text", TEXT, "end_turn")
        assert message.usage.output_tokens == 10
        assert message.usage.output_tokens_details is not None
        assert message.usage.output_tokens_details.thinking_tokens == 2


def test_reasoning_that_is_shown() -> None:
    with clients("--reasoning", "2") as (gpt, _):
        for summary in (False, True):
            asked: Any = {**RESPONSES, **({"reasoning": {"summary": "auto"}} if summary else {})}
            with gpt.responses.stream(**asked) as stream:
                kind = "response.reasoning_summary_text.delta" if summary else "response.reasoning_text.delta"
                said = [str(getattr(event, "delta", "")) for event in stream if event.type == kind]
                answer = stream.get_final_response()
            assert "".join(said) == THOUGHT
            output: Any = answer.output
            thought, message = output
            assert [part.text for part in (thought.summary if summary else thought.content)] == [THOUGHT]
            assert (message.type, answer.output_text) == ("message", TEXT)
            assert answer.usage is not None
            assert answer.usage.output_tokens_details.reasoning_tokens == 2
        deltas = [chunk.choices[0].delta for chunk in gpt.chat.completions.create(**CHAT, stream=True)]
        assert "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas) == THOUGHT
        assert "".join(delta.content or "" for delta in deltas) == TEXT


def test_reasoning_that_is_hidden() -> None:
    with clients("--hidden-reasoning", "2") as (gpt, claude):
        with gpt.responses.stream(**RESPONSES) as responses:
            answer = responses.get_final_response()
        with claude.messages.stream(
            **CLAUDE, extra_body={"thinking": {"type": "adaptive", "display": "omitted"}}
        ) as messages:
            message = messages.get_final_message()
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output_text == TEXT
    content: Any = message.content
    thinking, text = content
    assert (thinking.thinking, bool(thinking.signature), text.text) == ("", True, TEXT)
    assert message.usage.output_tokens == 10


def test_what_the_provider_s_filter_ended() -> None:
    with clients("--fault", "filtered=100%") as (gpt, claude):
        *_, last = gpt.chat.completions.create(**CHAT, stream=True)
        assert last.choices[0].finish_reason == "content_filter"
        *_, end = gpt.responses.create(**RESPONSES, stream=True)
        assert end.response.incomplete_details.reason == "content_filter"
        with claude.messages.stream(**CLAUDE) as stream:
            message = stream.get_final_message()
    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.type == "refusal"


def test_pings_are_no_answer() -> None:
    with clients("--ping-every-ms", "2", "--gap-ms", "5") as (gpt, claude):
        with gpt.chat.completions.stream(**CHAT) as chat:
            assert chat.get_final_completion().choices[0].message.content == TEXT
        with gpt.responses.stream(**RESPONSES) as responses:
            assert "keepalive" in [event.type for event in responses]
            assert responses.get_final_response().output_text == TEXT
        with claude.messages.stream(**CLAUDE) as messages:
            assert messages.get_final_text() == TEXT


def test_errors_within_a_stream_raise() -> None:
    with clients("--fault", "error_event=100%") as (gpt, claude):
        with pytest.raises(openai.APIError, match="the model has failed") as raised:
            list(gpt.chat.completions.create(**CHAT, stream=True))
        assert raised.value.code == "server_error"
        with pytest.raises(openai.APIError, match="the model has failed"):
            list(gpt.responses.create(**RESPONSES, stream=True))
        with (
            claude.messages.stream(**CLAUDE) as stream,
            pytest.raises(anthropic.APIStatusError, match="the model has failed") as failed,
        ):
            stream.get_final_message()
        assert (failed.value.status_code, failed.value.type) == (200, "api_error")


@pytest.mark.parametrize(
    ("fault", "status", "of_openai", "of_anthropic"),
    [
        ("http_400", 400, "BadRequestError", "invalid_request_error"),
        ("http_401", 401, "AuthenticationError", "authentication_error"),
        ("http_404", 404, "NotFoundError", "not_found_error"),
        ("http_429", 429, "RateLimitError", "rate_limit_error"),
        ("http_quota", 429, "RateLimitError", "rate_limit_error"),
        ("http_500", 500, "InternalServerError", "api_error"),
        ("http_503_html", 503, "InternalServerError", None),
        ("http_529", 529, "InternalServerError", "overloaded_error"),
    ],
)
def test_errors_with_a_status_raise(fault: str, status: int, of_openai: str, of_anthropic: str | None) -> None:
    with clients("--fault", f"{fault}=100%") as (gpt, claude):
        for stream in (False, True):
            with pytest.raises(getattr(openai, of_openai)) as raised:
                gpt.chat.completions.create(**CHAT, stream=stream)
            assert raised.value.status_code == status
            assert (raised.value.code == "insufficient_quota") == (fault == "http_quota")
            with pytest.raises(anthropic.APIStatusError) as wrong:
                claude.messages.create(**CLAUDE, stream=stream)
            assert (wrong.value.status_code, wrong.value.type) == (status, of_anthropic)


# models, and token counts of prompts


def test_one_model_is_retrieved(gpt: openai.OpenAI, azure: openai.AzureOpenAI, claude: anthropic.Anthropic) -> None:
    assert gpt.models.retrieve("mock-7b").owned_by == "llmstress"
    assert azure.models.retrieve("mock-7b").id == "mock-7b"
    found = claude.models.retrieve("mock-7b")
    assert (found.id, found.type, found.display_name, found.created_at.year) == ("mock-7b", "model", "mock-7b", 1970)


def test_another_model_is_not_found(gpt: openai.OpenAI, azure: openai.AzureOpenAI, claude: anthropic.Anthropic) -> None:
    for client in (gpt, azure):
        with pytest.raises(openai.NotFoundError, match="'org/other' does not exist") as wrong:
            client.models.retrieve("org/other")
        assert wrong.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError, match="'other' does not exist") as unknown:
        claude.models.retrieve("other")
    assert unknown.value.type == "not_found_error"
    assert unknown.value.request_id is not None


def test_a_prompt_is_counted_as_an_answer_counts_it(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "m", "messages": MESSAGES, "system": "be brief"}
    assert claude.messages.count_tokens(**asked).input_tokens == 9
    assert claude.messages.create(**asked, max_tokens=1).usage.input_tokens == 9
    assert gpt.responses.input_tokens.count(model="m", input="one two three").input_tokens == 7
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        claude.messages.count_tokens(model="m", messages="no")  # type: ignore[arg-type]


# answers in a requested format


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Step(pydantic.BaseModel):
    text: str
    weight: float
    after: Step | None = None


class Plan(pydantic.BaseModel):
    """Models nested as in practice."""

    title: str
    colour: Colour
    kind: Literal["plan"]
    count: int = pydantic.Field(ge=3, le=7)
    done: bool
    either: int | str
    steps: list[Step]
    day: datetime.date


def test_a_model_of_pydantic_is_parsed_from_chat(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.parse(**CHAT, response_format=Plan)
    (choice,) = answer.choices
    assert isinstance(choice.message.parsed, Plan)
    assert (choice.message.parsed.colour, choice.finish_reason) == (Colour.RED, "stop")
    with gpt.chat.completions.stream(**CHAT, response_format=Plan) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta" and event.delta]
        streamed = stream.get_final_completion()
    assert streamed.choices[0].message.parsed == choice.message.parsed
    assert "".join(pieces) == choice.message.content
    assert {len(piece) for piece in pieces[:-1]} == {5}
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(pieces)


def test_a_model_of_pydantic_is_parsed_at_azure(azure: openai.AzureOpenAI) -> None:
    assert isinstance(azure.chat.completions.parse(**CHAT, response_format=Plan).choices[0].message.parsed, Plan)


def test_a_model_of_pydantic_is_parsed_from_responses(gpt: openai.OpenAI) -> None:
    answer = gpt.responses.parse(**RESPONSES, text_format=Plan)
    assert isinstance(answer.output_parsed, Plan)
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.type == "json_schema"
    with gpt.responses.stream(**RESPONSES, text_format=Plan) as stream:
        streamed = stream.get_final_response()
    assert streamed.output_parsed == answer.output_parsed


def test_a_model_of_pydantic_is_parsed_from_messages(claude: anthropic.Anthropic) -> None:
    message = claude.messages.parse(**{**CLAUDE, "max_tokens": 1_000}, output_format=Step)
    assert isinstance(message.parsed_output, Step)
    with claude.messages.stream(**{**CLAUDE, "max_tokens": 1_000}, output_format=Step) as stream:
        assert stream.get_final_message().parsed_output == message.parsed_output


def test_a_strict_tool_is_called_with_what_it_takes(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    tool = openai.pydantic_function_tool(Step)
    (choice,) = gpt.chat.completions.parse(**CHAT, tools=[tool], tool_choice="required").choices
    (call,) = choice.message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Step)
    strict: Any = {"name": "get", "strict": True, "input_schema": Step.model_json_schema()}
    with claude.messages.stream(**CLAUDE, tools=[strict], tool_choice={"type": "any"}) as stream:
        block = stream.get_final_message().content[-1]
    assert block.type == "tool_use"
    Step.model_validate(block.input)


def test_any_json_object(gpt: openai.OpenAI) -> None:
    wanted: Any = {"type": "json_object"}
    content = gpt.chat.completions.create(**CHAT, response_format=wanted).choices[0].message.content
    assert json.loads(content or "") == {"words": TEXT}
    with gpt.chat.completions.stream(**CHAT, response_format=wanted) as stream:
        assert stream.get_final_completion().choices[0].message.content == content
    assert gpt.responses.create(**RESPONSES, text={"format": wanted}).output_text == content


def test_an_answer_that_is_cut_off_is_no_json(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        gpt.chat.completions.parse(**CHAT, response_format=Plan, max_tokens=2)


def test_a_schema_that_cannot_be_fulfilled_is_refused(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    schema: Any = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match="too large a value"):
        gpt.chat.completions.create(**CHAT, response_format=wanted, stream=True)
    with pytest.raises(anthropic.BadRequestError, match="too large a value"):
        claude.messages.create(**CLAUDE, output_config={"format": {"type": "json_schema", "schema": schema}})
    unknown: Any = {"type": "yaml"}
    with pytest.raises(openai.BadRequestError, match="text, json_object or json_schema"):
        gpt.chat.completions.create(**CHAT, response_format=unknown)


def test_faults_befall_an_answer_of_a_wanted_form_too() -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": Plan.model_json_schema()}}
    with clients("--fault", "filtered=100%", "--reasoning", "2") as (gpt, _):
        *_, last = gpt.chat.completions.create(**CHAT, response_format=wanted, stream=True)
        assert last.choices[0].finish_reason == "content_filter"
