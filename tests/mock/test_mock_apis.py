"""The mock server over HTTP, in every API: streams, answers that are not streamed, and errors for invalid requests."""

import base64
import http.client
import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from helpers.mock_answers import (
    Heard,
    anthropic_stream,
    anthropic_whole,
    chat_stream,
    chat_whole,
    choices_in,
    completions_stream,
    completions_whole,
    events_in,
    responses_stream,
    responses_whole,
)
from helpers.processes import DEADLINE_S, MockServer, mock_server

TEXT = "".join(f" tok{i}" for i in range(8))
MESSAGES: Any = [{"role": "user", "content": "one two three"}]
CHAT: Any = {"model": "m", "messages": MESSAGES}
CLAUDE: Any = {"model": "m", "messages": MESSAGES, "max_tokens": 100}
VERSION = "?api-version=2024-10-21"


@pytest.fixture(scope="module")
def server() -> Iterator[MockServer]:
    """Answers have 8 tokens."""
    with mock_server("--ttft-ms", "1", "--gap-ms", "1") as server:
        yield server


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def kind(self) -> str | None:
        return self.headers["Content-Type"]

    def json(self) -> Any:
        return json.loads(self.body)


def send(server: MockServer, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Send a request on a new connection; `body` is sent as JSON unless it is bytes."""
    host = server.url.partition("://")[2]
    client = http.client.HTTPConnection(host, timeout=DEADLINE_S)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        client.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        response = client.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        client.close()


def post(server: MockServer, path: str, body: Any, **headers: str) -> Answer:
    answer = send(server, "POST", path, body, **headers)
    assert answer.status == 200, answer.body
    return answer


STREAMS: dict[str, tuple[str, dict[str, Any], Callable[..., Heard], Callable[..., Heard]]] = {
    "chat": ("/chat/completions", CHAT, chat_stream, chat_whole),
    "completions": ("/completions", {"prompt": "one two three"}, completions_stream, completions_whole),
    "responses": ("/responses", {"input": "one two three"}, responses_stream, responses_whole),
    "messages": ("/messages", CLAUDE, anthropic_stream, anthropic_whole),
    "azure chat": (f"/openai/deployments/d/chat/completions{VERSION}", CHAT, chat_stream, chat_whole),
    "azure completions": (
        f"/openai/deployments/d/completions{VERSION}",
        {"prompt": "a"},
        completions_stream,
        completions_whole,
    ),
    "azure responses": ("/openai/responses?api-version=preview", {"input": "a"}, responses_stream, responses_whole),
    "azure v1 chat": ("/openai/v1/chat/completions", CHAT, chat_stream, chat_whole),
    "azure v1 responses": ("/openai/v1/responses", {"input": "a"}, responses_stream, responses_whole),
}


PREFIXED = [(api, prefix) for api in STREAMS for prefix in (("",) if api.startswith("azure") else ("", "/v1"))]


@pytest.mark.parametrize(("api", "prefix"), PREFIXED)
def test_every_api_streams_and_answers_in_one_piece(server: MockServer, api: str, prefix: str) -> None:
    path, body, of_stream, of_whole = STREAMS[api]
    streamed = post(server, prefix + path, {**body, "stream": True})
    assert streamed.kind == "text/event-stream; charset=utf-8"
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert of_stream(events_in(streamed.body)) == Heard(text=TEXT)
    whole = post(server, prefix + path, {**body, "stream": False})
    assert whole.kind == "application/json"
    assert of_whole(whole.json()) == Heard(text=TEXT)


@pytest.mark.parametrize("api", STREAMS)
def test_a_limit_ends_an_answer(server: MockServer, api: str) -> None:
    path, body, of_stream, _ = STREAMS[api]
    name, why = "max_tokens", '"finish_reason":"length"'
    if "input" in body:
        name, why = "max_output_tokens", '"incomplete_details":{"reason":"max_output_tokens"}'
    elif body is CLAUDE:
        why = '"stop_reason":"max_tokens"'
    for stream in (True, False):
        answer = post(server, path, {**body, "stream": stream, name: 3})
        assert answer.body.decode().count(why) == 1
        if stream:
            assert of_stream(events_in(answer.body)).text == TEXT[: 3 * 5]


# chat and completions


def test_choices_take_turns_and_each_has_its_end(server: MockServer) -> None:
    body = {**CHAT, "n": 3, "stream": True, "stream_options": {"include_usage": True}}
    events = events_in(post(server, "/v1/chat/completions", body).body)
    *chunks, usage, (_, done) = events
    assert [chunk["choices"][0]["index"] for _, chunk in chunks] == [0, 1, 2] * (1 + 8 + 1)
    for index in range(3):
        assert chat_stream(events, index).text == TEXT
        finishes = [choice["finish_reason"] for choice in choices_in(events, index)]
        assert finishes == [None] * 9 + ["stop"]
    assert (usage[1]["choices"], usage[1]["usage"]["completion_tokens"], done) == ([], 24, "[DONE]")
    whole = post(server, "/v1/chat/completions", {**CHAT, "n": 3}).json()
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert whole["usage"]["completion_tokens"] == 24


def test_a_tool_is_announced_by_name_and_then_called_in_fragments(server: MockServer) -> None:
    tools = [{"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}]
    body = {**CHAT, "tools": tools, "tool_choice": "required", "stream": True}
    events = events_in(post(server, "/v1/chat/completions", body).body)
    role, name, *rest = [choice["delta"] for choice in choices_in(events)]
    assert role == {"role": "assistant", "content": None}
    (announced,) = name["tool_calls"]
    assert announced["function"] == {"name": "get", "arguments": ""}
    assert (announced["index"], announced["type"], announced["id"][:5]) == (0, "function", "call_")
    fragments = [delta["tool_calls"][0] for delta in rest[:-1]]
    assert all(fragment.keys() == {"index", "function"} for fragment in fragments)
    assert json.loads("".join(fragment["function"]["arguments"] for fragment in fragments)) == {"words": TEXT}
    assert choices_in(events)[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("prompt", "echoes"),
    [
        ("a b", ["a b"]),
        (["a", "b c"], ["a", "b c"]),
        ([5, 6], [" 5 6"]),
        ([[5], [6, 7]], [" 5", " 6 7"]),
    ],
)
def test_completions_of_one_prompt_or_many(server: MockServer, prompt: Any, echoes: list[str]) -> None:
    body = {"prompt": prompt, "n": 2, "echo": True}
    whole = post(server, "/v1/completions", body).json()
    texts = [echo + TEXT for echo in echoes for _ in range(2)]
    assert [choice["text"] for choice in whole["choices"]] == texts
    assert whole["usage"]["completion_tokens"] == 8 * len(texts)
    events = events_in(post(server, "/v1/completions", {**body, "stream": True}).body)
    assert [completions_stream(events, index).text for index in range(len(texts))] == texts
    quiet = post(server, "/v1/completions", {"prompt": prompt}).json()
    assert [choice["text"] for choice in quiet["choices"]] == [TEXT] * len(echoes)


# embeddings


@pytest.mark.parametrize("path", ["/v1/embeddings", f"/openai/deployments/d/embeddings{VERSION}"])
def test_embeddings_packed_and_not(server: MockServer, path: str) -> None:
    body = {"model": "e", "input": ["a b", "c"], "dimensions": 5}
    numbers = post(server, path, body).json()
    packed = post(server, path, {**body, "encoding_format": "base64"}).json()
    assert [entry["index"] for entry in numbers["data"]] == [0, 1]
    assert numbers["usage"] == packed["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    for plain, coded in zip(numbers["data"], packed["data"], strict=True):
        assert sum(number**2 for number in plain["embedding"]) == pytest.approx(1)
        assert struct.unpack("<5f", base64.b64decode(coded["embedding"])) == pytest.approx(plain["embedding"])
    assert len(post(server, path, {"input": [1, 2, 3]}).json()["data"][0]["embedding"]) == 1_536


# Anthropic


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": "k", "anthropic_version": "2023-06-01"},
        {"Authorization": "Bearer k", "anthropic_version": "2026-10-21", "anthropic_beta": "a,b"},
    ],
)
def test_both_versions_of_anthropic(server: MockServer, headers: dict[str, str]) -> None:
    answer = post(server, "/v1/messages?beta=true", CLAUDE, **headers)
    assert answer.headers["request-id"].startswith("req_")
    message = answer.json()
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert message["usage"].items() >= {"input_tokens": 3 + 4, "output_tokens": 8}.items()


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_sampling_is_refused_by_the_newer_version(server: MockServer, name: str) -> None:
    body = {**CLAUDE, name: 1}
    post(server, "/v1/messages", body, anthropic_version="2023-06-01")
    answer = send(server, "POST", "/v1/messages", body, anthropic_version="2026-10-21")
    assert answer.status == 400
    assert name in answer.json()["error"]["message"]


def test_a_message_of_no_tokens(server: MockServer) -> None:
    body = {**CLAUDE, "max_tokens": 0}
    message = post(server, "/v1/messages", body).json()
    assert (message["content"], message["stop_reason"], message["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    events = events_in(post(server, "/v1/messages", {**body, "stream": True}).body)
    assert [name for name, _ in events] == ["message_start", "message_delta", "message_stop"]


# Azure


def test_the_deployment_is_the_model(server: MockServer) -> None:
    path = f"/openai/deployments/{quote('my gpt')}/chat/completions{VERSION}"
    answer = post(server, path, {"messages": MESSAGES}, api_key="k")
    assert answer.json()["model"] == "my gpt"
    assert answer.headers["apim-request-id"]


def test_azure_opens_with_what_it_found_in_the_prompt(server: MockServer) -> None:
    body = {**CHAT, "stream": True}
    (_, first), *_ = events_in(post(server, f"/openai/deployments/d/chat/completions{VERSION}", body).body)
    assert (first["choices"], first["model"]) == ([], "")
    assert first["prompt_filter_results"][0]["prompt_index"] == 0
    events = events_in(post(server, f"/openai/deployments/d-async/chat/completions{VERSION}", body).body)
    without = [choice for choice in choices_in(events) if "delta" not in choice]
    assert [choice["content_filter_offsets"]["end_offset"] for choice in without] == [len(TEXT)]


# self-made endpoints


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/stream?prompt=one%20two", None),
        ("GET", "/v1/stream?prompt=one&max_tokens=99", None),
        ("POST", "/stream", {"prompt": "one two"}),
    ],
)
def test_events_of_bare_tokens(server: MockServer, method: str, path: str, body: Any) -> None:
    answer = send(server, method, path, body)
    assert (answer.status, answer.kind) == (200, "text/event-stream; charset=utf-8")
    # one space belongs to the field, the other one to the token
    assert answer.body.decode() == "".join(f"data:  tok{i}\n\n" for i in range(8)) + "data: [DONE]\n\n"


def test_text_without_any_framing(server: MockServer) -> None:
    answer = post(server, "/text", {"prompt": "one"})
    assert answer.kind == "text/plain; charset=utf-8"
    assert (answer.body.decode(), answer.headers["Transfer-Encoding"]) == (TEXT, "chunked")
    assert post(server, "/text", {"prompt": "one", "max_tokens": 2}).body.decode() == TEXT[:10]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_json_object_for_any_method(server: MockServer, method: str) -> None:
    answer = send(server, method, "/json?max_tokens=2", None if method == "GET" else {"max_tokens": 2})
    assert (answer.status, answer.kind) == (200, "application/json")
    assert answer.json().items() >= {"text": TEXT[:10], "tokens": 2, "model": "mock-7b"}.items()


# models and errors


@pytest.mark.parametrize(
    "path", ["/models", "/v1/models", "/openai/v1/models", f"/openai/models{VERSION}", "/v1/models?limit=20"]
)
def test_the_models(server: MockServer, path: str) -> None:
    page = send(server, "GET", path).json()
    (model,) = page["data"]
    assert (page["object"], model["object"], model["type"], model["id"]) == ("list", "model", "model", "mock-7b")
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "mock-7b", "mock-7b")


def test_a_script_may_ask_whether_it_is_there(server: MockServer) -> None:
    assert send(server, "GET", "/health").json() == {"status": "ok"}


@pytest.mark.parametrize("base", ["", "/v1", "/openai/v1", "/openai"])
def test_the_model_is_found_by_its_name(server: MockServer, base: str) -> None:
    query = VERSION if base == "/openai" else ""
    (model,) = send(server, "GET", f"{base}/models{query}").json()["data"]
    assert send(server, "GET", f"{base}/models/mock-7b{query}").json() == model


def test_a_model_s_name_may_have_slashes() -> None:
    with mock_server("--model", "org/größe 7b") as server:
        for name in ("org/gr%C3%B6%C3%9Fe%207b", "org%2Fgr%C3%B6%C3%9Fe%207b"):
            assert send(server, "GET", f"/v1/models/{name}").json()["id"] == "org/größe 7b"


@pytest.mark.parametrize(
    ("path", "body", "tokens"),
    [
        ("/v1/messages/count_tokens", {"messages": MESSAGES}, 7),
        ("/messages/count_tokens", {"messages": MESSAGES, "system": [{"type": "text", "text": "be brief"}]}, 9),
        ("/v1/responses/input_tokens", {"input": "one two three"}, 7),
        ("/responses/input_tokens", {"input": MESSAGES, "instructions": "be brief"}, 13),
    ],
)
def test_how_long_a_prompt_is(server: MockServer, path: str, body: Any, tokens: int) -> None:
    assert post(server, path, body).json()["input_tokens"] == tokens


FORMS = {
    "chat": ("/chat/completions", {**CHAT, "response_format": {"type": "json_object"}}, chat_stream, chat_whole),
    "responses": (
        "/responses",
        {"input": "x", "text": {"format": {"type": "json_object"}}},
        responses_stream,
        responses_whole,
    ),
    "messages": (
        "/messages",
        {**CLAUDE, "output_format": {"type": "json_schema", "schema": {"const": {"words": TEXT}}}},
        anthropic_stream,
        anthropic_whole,
    ),
}


@pytest.mark.parametrize(("path", "body", "of_stream", "of_whole"), FORMS.values(), ids=FORMS)
def test_json_is_the_same_streamed_and_whole(
    server: MockServer, path: str, body: Any, of_stream: Any, of_whole: Any
) -> None:
    streamed = of_stream(events_in(post(server, path, {**body, "stream": True}).body))
    whole = of_whole(post(server, path, body).json())
    assert streamed == whole
    assert json.loads(whole.text) == {"words": TEXT}


OPENAI, ANTHROPIC, AZURE, PLAIN = "openai", "anthropic", "azure", "plain"


def whose(error: Any) -> str:
    """The API whose error format a body has."""
    if error.keys() == {"detail"}:
        return PLAIN
    if error.get("type") == "error":
        assert error.keys() == {"type", "error", "request_id"}
        return ANTHROPIC
    assert error.keys() == {"error"}
    return OPENAI if error["error"].keys() == {"message", "type", "param", "code"} else AZURE


@pytest.mark.parametrize(
    ("method", "path", "status", "api"),
    [
        ("GET", "/v1/nothing", 404, OPENAI),
        ("GET", "/", 404, OPENAI),
        ("POST", "/v1/v1/chat/completions", 404, OPENAI),
        ("GET", "/v1/models/other", 404, OPENAI),
        ("GET", "/openai/v1/models/other", 404, AZURE),
        ("GET", "/openai/models/mock-7b", 404, AZURE),
        ("DELETE", "/v1/models/mock-7b", 405, OPENAI),
        ("GET", "/v1/messages/count_tokens", 405, ANTHROPIC),
        ("GET", "/v1/responses/input_tokens", 405, OPENAI),
        ("POST", "/v1/messages/batches", 404, ANTHROPIC),
        ("POST", "/openai/nothing", 404, AZURE),
        ("POST", f"/openai/deployments/d/responses{VERSION}", 404, AZURE),
        ("POST", f"/openai/chat/completions{VERSION}", 404, AZURE),
        ("POST", "/openai/deployments/d/chat/completions", 404, AZURE),
        ("POST", "/openai/responses", 404, AZURE),
        ("GET", "/v1/chat/completions", 405, OPENAI),
        ("GET", "/v1/completions", 405, OPENAI),
        ("PUT", "/v1/responses", 405, OPENAI),
        ("GET", "/v1/embeddings", 405, OPENAI),
        ("POST", "/v1/models", 405, OPENAI),
        ("GET", "/v1/messages", 405, ANTHROPIC),
        ("GET", f"/openai/deployments/d/embeddings{VERSION}", 405, AZURE),
        ("POST", "/openai/v1/models", 405, AZURE),
        ("PUT", "/stream", 405, PLAIN),
        ("GET", "/text", 405, PLAIN),
        ("OPTIONS", "/json", 405, PLAIN),
    ],
)
def test_what_is_not_served_is_refused_in_the_words_of_its_api(
    server: MockServer, method: str, path: str, status: int, api: str
) -> None:
    answer = send(server, method, path)
    assert (answer.status, whose(answer.json())) == (status, api)
    assert (answer.headers["Allow"] is not None) == (status == 405)


@pytest.mark.parametrize("body", [b"", b"{nonsense", b"[]", b"{}", b"\xff"])
@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", OPENAI),
        ("/v1/completions", OPENAI),
        ("/v1/responses", OPENAI),
        ("/v1/embeddings", OPENAI),
        ("/v1/messages", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
        ("/v1/responses/input_tokens", OPENAI),
        (f"/openai/deployments/d/chat/completions{VERSION}", AZURE),
        (f"/openai/deployments/d/embeddings{VERSION}", AZURE),
        ("/openai/v1/responses", AZURE),
        ("/stream", PLAIN),
        ("/text", PLAIN),
    ],
)
def test_bodies_that_ask_for_nothing(server: MockServer, path: str, api: str, body: bytes) -> None:
    answer = send(server, "POST", path, body)
    assert (answer.status, whose(answer.json())) == (400, api)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {**CHAT, "max_tokens": 0}),
        ("/v1/chat/completions", {**CHAT, "max_tokens": 5, "max_completion_tokens": 0}),
        ("/v1/chat/completions", {**CHAT, "n": 0}),
        ("/v1/chat/completions", {**CHAT, "n": 129}),
        ("/v1/completions", {"prompt": []}),
        ("/v1/completions", {"prompt": ["a"] * 100, "n": 100}),
        ("/v1/responses", {"input": "a", "max_output_tokens": 0}),
        ("/v1/embeddings", {"input": "a", "dimensions": 0}),
        ("/v1/embeddings", {"input": "a", "dimensions": 4_097}),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}),
        ("/v1/embeddings", {"input": ["a"] * 2_049}),
        ("/v1/messages", {"messages": MESSAGES}),
        ("/v1/messages", {**CLAUDE, "max_tokens": -1}),
        ("/json", {"max_tokens": 0}),
        ("/v1/chat/completions", {**CHAT, "response_format": {"type": "yaml"}}),
        ("/v1/chat/completions", {**CHAT, "response_format": "json_object"}),
        ("/v1/chat/completions", {**CHAT, "response_format": {"type": "json_schema", "json_schema": {}}}),
        ("/v1/chat/completions", {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"schema": []}}}),
        ("/v1/responses", {"input": "a", "text": {"format": {"type": "json_schema", "schema": False}}}),
        ("/v1/messages", {**CLAUDE, "output_config": {"format": {"type": "json_schema"}}}),
        ("/v1/chat/completions", {**CHAT, "model": "m" * 1_001}),
        ("/v1/messages", {**CLAUDE, "model": "m" * 1_001}),
        ("/v1/embeddings", {"input": "a", "model": "m" * 1_001}),
        ("/v1/responses", {"input": "a", "tools": [{"name": "t" * 1_001}]}),
        ("/v1/completions", {"prompt": "a" * 1_000_000, "echo": True, "n": 100}),
        ("/v1/completions", {"prompt": [1_000_000] * 100_000, "echo": True, "n": 128}),
    ],
)
def test_fields_with_impossible_values(server: MockServer, path: str, body: Any) -> None:
    assert send(server, "POST", path, body).status == 400


@pytest.mark.parametrize(
    ("path", "api"),
    [("/v1/messages", ANTHROPIC), ("/v1/responses", OPENAI), ("/openai/v1/embeddings", AZURE), ("/stream", PLAIN)],
)
@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        ("Content-Length", str(64 * 1024 * 1024 + 1), 413),
        ("Transfer-Encoding", "chunked\r\n\r\nfffffff\r\n", 413),
        ("Transfer-Encoding", "chunked\r\n\r\nnone\r\n", 400),
    ],
    ids=["too long", "too long in chunks", "no chunk"],
)
def test_a_body_that_is_none_is_refused_in_the_words_of_its_api(
    server: MockServer, path: str, api: str, header: str, body: str, status: int
) -> None:
    host, _, port = server.url.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\n{header}: {body}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    head, _, words = answer.partition(b"\r\n\r\n")
    assert (int(head.split()[1]), whose(json.loads(words))) == (status, api)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("HEAD", "/v1/models", b""), ("HEAD", "/v1/nothing", b""), ("HEAD", "/v1/chat/completions", b"{}")],
)
def test_no_words_follow_the_head_that_a_head_asks_for(server: MockServer, method: str, path: str, body: bytes) -> None:
    request = f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    last = b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n"
    host, _, port = server.url.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as client:
        client.sendall(request + last)
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    head, _, rest = answers.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 40")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("depth", [900, 50_000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_bodies_as_deep_as_they_come(server: MockServer, path: str, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    answer = send(server, "POST", path, b'{"max_tokens":1,"messages":[{"content":' + deep + b"}]}")
    assert answer.status == (200 if depth < 1_000 else 400)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("depth", [300, 900, 980])
def test_schemas_as_deep_as_they_come(server: MockServer, depth: int, stream: bool) -> None:
    deep = "[" * depth + "]" * depth
    asked = json.dumps(
        {"input": "x", "stream": stream, "text": {"format": {"type": "json_schema", "schema": {"const": "deep"}}}}
    )
    body = asked.replace('"deep"', deep)
    answer = send(server, "POST", "/v1/responses", body.encode())
    assert answer.status in (200, 400)
    assert deep.encode()[:20] in answer.body or answer.status == 400
