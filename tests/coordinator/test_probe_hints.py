"""The advice of a probe against servers that answer in many wrong ways: it helps, and it does not mislead."""

import asyncio
import gzip
import json
from typing import Any

import msgspec
import pytest
from helpers.bench import DONE, END, FINISH, HEAD, ROLE, TOKEN, answer, chunk, event
from helpers.http_servers import Handler, served
from helpers.probe_reports import WHERE, failed, strange
from helpers.proxies import saying
from hypothesis import example, given
from hypothesis import strategies as st

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.probe.command import probe_target
from llmstress.coordinator.probe.hints import hint_of
from llmstress.coordinator.probe.report import Head, Probe
from llmstress.coordinator.target.refusals import Refusal, read_refusal
from llmstress.coordinator.target.url_typos import suspected
from llmstress.engine.api import APIS
from llmstress.engine.witness import WatchedLoop

JSON_TYPE = "Content-Type: application/json"
CHUNK = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a"}}]}
COMPLETION = {"object": "text_completion", "choices": [{"index": 0, "text": "a"}]}
MESSAGE_START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
RESPONSE_CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
NDJSON = b'{"token":"a"}\n{"token":"b"}\n'
OLLAMA = (
    b'{"model":"m","created_at":"2026","response":"a","done":false}\n{"model":"m","created_at":"2026","done":true}\n'
)

SSE, CLAUDE, RESPONSES, COMPLETIONS = (
    {"api": api} for api in ("sse", "anthropic", "openai-responses", "openai-completions")
)


def said(value: Any, status: str = "200 OK", *lines: str) -> bytes:
    """An answer with a JSON body."""
    return answer(status, json.dumps(value).encode(), JSON_TYPE, *lines)


def typed(kind: str, body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    """An answer of another content type."""
    return answer(status, body, f"Content-Type: {kind}", *lines)


def fastapi(kind: str, *loc: str, words: str = "Field required") -> bytes:
    """FastAPI's refusal, which repeats the request."""
    request = {"model": "m", "max_tokens": 5, "stream_options": {"include_usage": True}, "note": "model not found"}
    entry = {"type": kind, "loc": list(loc), "msg": words, "input": request}
    return said({"detail": [entry]}, "422 Unprocessable")


async def probed(words: bytes, path: str = "", **given: Any) -> Probe:
    """The result of a probe against a server that sends this answer and closes the connection."""
    async with saying(words) as port:
        url = f"http://127.0.0.1:{port}{path}"
        told = {"url": url, "model": "m", "prompt": "Hi", "procs": 1, "streams": 1, "requests": 1, **given}
        return await probe_target(Options(**told), url, lambda where: None, [], raw=False)


def hint(words: bytes, path: str = "", **given: Any) -> str:
    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        return runner.run(probed(words, path, **given)).hint


BODIES: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "text under sse": (typed("text/plain", b"Hello world, this is text"), SSE, "no data: line"),
    "text under chat": (typed("text/plain", b"Hello world, this is text"), {}, "--api text"),
    "text that is called a stream": (HEAD + chunk(b"Hello\n\nworld\n\n") + END, SSE, "--api text"),
    "text that breaks off": (HEAD + chunk(b"Hello\n\nworld\n\n"), SSE, "--api text"),
    "text that begins like a field": (HEAD + chunk(b"data science and ideas"), SSE, "--api text"),
    "names without data": (HEAD + chunk(b"event: token\nid: 1\n\nevent: token\n\n") + END, SSE, "no data: line"),
    "comments alone": (HEAD + chunk(b": ping\n\n: ping\n\n") + END, {}, "comments but no events"),
    "NDJSON under sse": (typed("application/x-ndjson", NDJSON), SSE, "NDJSON"),
    "NDJSON that is called a stream": (HEAD + chunk(NDJSON) + END, SSE, "NDJSON"),
    "NDJSON that is called JSON": (typed("application/json", NDJSON), SSE, "NDJSON"),
    "NDJSON under chat": (typed("application/json; charset=utf-8", NDJSON), {}, "NDJSON"),
    "NDJSON that breaks off": (HEAD + chunk(NDJSON[:-5]), {}, "NDJSON"),
    "one line of NDJSON": (typed("application/jsonl", NDJSON[:14]), {}, "NDJSON"),
    "NDJSON under anthropic": (typed("text/plain", NDJSON), CLAUDE, "NDJSON"),
    "NDJSON under responses": (typed("text/plain", b"\n" + NDJSON.replace(b"\n", b"\r\n")), RESPONSES, "NDJSON"),
    "Ollama's stream": (typed("application/x-ndjson", OLLAMA), {}, "Ollama's own API"),
    "Ollama's answer": (said({"created_at": "2026", "response": "hi", "done": True}), {}, "Ollama's own API"),
    "chat cut off": (HEAD + ROLE, {}, "the answer is incomplete"),
    "chat cut off in an event": (HEAD + chunk(b'data: {"choices":[{"del'), {}, "within its first event"),
    "chat cut off after its head": (HEAD, {}, "the answer is incomplete"),
    "chat without an end": (HEAD + ROLE + END, {}, "without a finish reason"),
    "chat with tokens and no end": (HEAD + ROLE + TOKEN + END, {}, "without a finish reason"),
    "anthropic cut off": (HEAD + chunk(MESSAGE_START) + chunk(PING), CLAUDE, "the answer is incomplete"),
    "responses cut off": (HEAD + chunk(RESPONSE_CREATED), RESPONSES, "the answer is incomplete"),
    "completions cut off": (HEAD + event({**COMPLETION, "choices": [{"text": ""}]}), COMPLETIONS, "is incomplete"),
    "text at a path, cut off": (HEAD + event({"t": ""}), {**SSE, "text": "t"}, "the answer is incomplete"),
    "responses under chat": (HEAD + chunk(RESPONSE_CREATED) + END, {}, "--api openai-responses"),
    "anthropic under chat, cut off": (HEAD + chunk(MESSAGE_START), {}, "--api anthropic"),
    "chat under anthropic": (HEAD + ROLE + TOKEN + DONE + END, CLAUDE, "--api openai-chat"),
    "chat under responses": (HEAD + event(CHUNK) + DONE + END, RESPONSES, "--api openai-chat"),
    "completions under chat": (HEAD + event(COMPLETION) + DONE + END, {}, "--api openai-completions"),
    "chat under completions": (HEAD + event(CHUNK) + END, COMPLETIONS, "--api openai-chat"),
    "a whole message under chat": (
        said({"type": "message", "role": "assistant", "content": []}),
        {},
        "--api anthropic",
    ),
    "another stream": (HEAD + event({"token": {"text": "a"}}) + END, {}, "another --api"),
    "another answer": (said({"generated_text": "a"}), {}, "another --api"),
    "a stream where none was asked for": (HEAD + ROLE + FINISH + END, {"stream": False}, "drop --no-stream"),
    "a whole answer under sse": (said({"text": "a"}), SSE, "--api http"),
    "no text at the path": (HEAD + event({"token": "a"}) + END, {**SSE, "text": "x.y"}, "set the place with --text"),
    "chat at a wrong path": (HEAD + event(CHUNK) + END, {**SSE, "text": "x"}, "--api openai-chat"),
    "no last event": (HEAD + event({"t": "a"}) + END, {**SSE, "text": "t", "done": "[END]"}, "check --done"),
    "an empty body": (answer("200 OK", b"", JSON_TYPE), {}, "the body is empty"),
    "an empty stream": (HEAD + END, SSE, "the body is empty"),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", {}, "204"),
    "the list of models": (said({"object": "list", "data": [{"id": "m", "object": "model"}]}), {}, "list of models"),
    "a JSON list": (said([{"candidates": []}]), {}, "?alt=sse"),
    "a page without a type": (answer("200 OK", b"<!DOCTYPE html><p>hi"), SSE, "a web page"),
    "XML": (typed("application/xml", b"<?xml version='1.0'?><Error/>"), {}, "XML"),
    "brotli": (HEAD[:-2] + b"Content-Encoding: br\r\n\r\n" + chunk(b"xx") + END, {}, "with br"),
    "compressed text": (
        HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n" + chunk(gzip.compress(b"Hello world")) + END,
        SSE,
        "--api text",
    ),
    "bad framing": (HEAD + b"zz\r\n", {}, "--raw"),
    "finished without a word": (HEAD + ROLE + FINISH + DONE + END, {}, "without any text"),
}


@pytest.mark.parametrize(("words", "asked", "helps"), BODIES.values(), ids=BODIES)
def test_the_hint_goes_by_what_the_body_looks_like(words: bytes, asked: dict[str, Any], helps: str) -> None:
    found = hint(words, **asked)
    assert helps in found
    if "is incomplete" in helps:
        assert "--api" not in found


OPENAI_404 = {"error": {"message": "The model `gpt-9` does not exist", "code": "model_not_found"}}
REFUSALS: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "model of OpenAI": (said(OPENAI_404, "404 No"), {}, "does not have this model"),
    "model of Anthropic": (
        said({"type": "error", "error": {"message": "model: claude-9"}}, "404 No"),
        {},
        "does not have this model",
    ),
    "model of Ollama": (
        said({"error": 'model "x" not found, try pulling it first'}, "404 No"),
        {},
        "does not have this model",
    ),
    "model of LiteLLM": (
        said({"error": {"message": "Invalid model name passed in model=x"}}, "400 No"),
        {},
        "does not have this model",
    ),
    "model in an event": (HEAD + event(OPENAI_404) + END, {}, "does not have this model"),
    "model of DeepSeek": (said({"error": {"message": "Model Not Exist"}}, "400 No"), {}, "does not have this model"),
    "no model in the body": (said({"message": "model: Field required"}, "422 No"), {}, "--model"),
    "a tool in the middle of an answer": (
        HEAD + TOKEN + event({"error": {"message": "the model asked for tool x: unknown model call, not found"}}) + END,
        {},
        "with this error",
    ),
    "a region": (said({"error": {"message": "the model is not available in your region"}}, "403 No"), {}, "no key"),
    "a rate of tokens": (said({"error": {"message": "reduce max_tokens: exceeds limit"}}, "429 No"), {}, "wait"),
    "a model's file": (said({"error": "model file not found on disk"}, "500 No"), {}, "the server's log"),
    "another endpoint": (
        said({"error": {"message": "This is not a chat model. Did you mean to use v1/completions?"}}, "404 No"),
        {},
        "--api openai-completions",
    ),
    "only another endpoint": (
        said({"error": {"message": "only supported in v1/responses and not in v1/chat/completions."}}, "404 No"),
        {},
        "--api openai-responses",
    ),
    "a reason of its own": (said({"error": {"message": "No endpoints found for x"}}, "404 No"), {}, "own reason"),
    "Not Found": (said({"detail": "Not Found"}, "404 No"), {}, "path does not exist"),
    "File Not Found": (
        said({"error": {"code": 404, "message": "File Not Found"}}, "404 No"),
        {},
        "path does not exist",
    ),
    "Spring": (said({"status": 404, "error": "Not Found", "path": "/v1/x"}, "404 No"), {}, "path does not exist"),
    "Kong": (said({"message": "no Route matched with those values"}, "404 No"), {}, "path does not exist"),
    "Kubernetes": (typed("text/plain", b"default backend - 404", "404 No"), {}, "path does not exist"),
    "NestJS": (said({"message": "Cannot POST /v1/x", "error": "Not Found"}, "404 No"), {}, "path does not exist"),
    "aiohttp": (typed("text/plain", b"404: Not Found", "404 No"), {}, "path does not exist"),
    "with its path": (said({"error": "Not Found: /v1/chat/completions"}, "404 No"), {}, "path does not exist"),
    "Groq": (
        said({"error": {"message": "Unknown request URL: POST /v1/x. See docs."}}, "404 No"),
        {},
        "path does not exist",
    ),
    "LM Studio": (said({"error": "Unexpected endpoint or method. (POST /v1/x)"}), {}, "path does not exist"),
    "Amazon": (said({"message": "Missing Authentication Token"}, "403 No"), {}, "check --url"),
    "400 of a gateway": (typed("text/html", b"<html>400 Request Header Too Large", "400 No"), {}, "a gateway"),
    "Go": (typed("text/plain", b"404 page not found\n", "404 No"), {}, "path does not exist"),
    "Invalid URL": (said({"error": {"message": "Invalid URL (POST /v1/x)"}}, "404 No"), {}, "path does not exist"),
    "a page": (answer("404 No", b"<!DOCTYPE html><p>404 model not found"), {}, "a web page"),
    "no words": (answer("404 No", b""), SSE, "exactly as given"),
    "405 of a path for POST": (said({"detail": "No"}, "405 No", "Allow: POST, OPTIONS"), SSE, "add --body"),
    "405": (said({"detail": "Method Not Allowed"}, "405 No", "Allow: GET"), {}, "it allows GET"),
    "415": (said({"detail": "Unsupported Media Type"}, "415 No"), {}, "Content-Type"),
    "422, a field of completions": (fastapi("missing", "body", "prompt"), {}, "--api openai-completions"),
    "422, a field of nobody": (fastapi("missing", "body", "inputs"), {}, "requires inputs"),
    "422, a field of the query": (fastapi("missing", "query", "prompt"), SSE, "prompt in the query"),
    "422, a header": (fastapi("missing", "header", "x-team"), {}, "x-team in the header"),
    "422, a field too many": (fastapi("extra_forbidden", "body", "stream_options"), {}, "--no-usage"),
    "422, another field too many": (fastapi("extra_forbidden", "body", "store"), RESPONSES, "'{\"store\": null}'"),
    "422, its own body": (fastapi("missing", "body", "prompt"), {**SSE, "body": "{}"}, "add it to --body"),
    "422, a number": (
        fastapi("less_than_equal", "body", "n", words="Input should be less than 5"),
        {},
        "--extra-body changes it",
    ),
    "400, missing": (
        said({"error": {"message": "Missing required parameter: 'input'."}}, "400 No"),
        {},
        "openai-responses",
    ),
    "400, too long": (said({"error": "maximum context length is 4096 tokens"}, "400 No"), {}, "a lower --max-tokens"),
    "400, the request repeated": (
        said(
            {"error": {"message": "bad temperature"}, "request": {"stream_options": 1, "model": "not found"}}, "400 No"
        ),
        {},
        "--extra-body changes it",
    ),
    "https": (answer("301 No", b"", "Location: https://h/v1/chat/completions"), {}, "to https://h/v1/chat/completions"),
    "moved on the host": (
        answer("308 No", b"", "Location: /api/v1/chat/completions"),
        {},
        "/api/v1/chat/completions; use",
    ),
    "a slash": (answer("307 No", b"", "Location: /v1/chat/completions/"), {}, "a slash at the end"),
    "a login": (answer("302 No", b"", "Location: /login?next=/v1"), {}, "a login page"),
    "Go's https port": (
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        {},
        "expects https://",
    ),
    "Apache's https port": (
        typed("text/html", b"<html>Reason: You're speaking plain HTTP to an SSL-enabled server port", "400 Bad"),
        {},
        "expects https://",
    ),
    "TLS": (b"\x15\x03\x01\x00\x02\x02F", {}, "expects https://"),
    "Basic": (answer("401 No", b"", 'WWW-Authenticate: Basic realm="x"'), {}, "requires a user and password"),
    "a key in a header of its own": (said({}, "401 No"), {"headers": (("X-Api-Token", "t"),)}, "refused the key"),
    "403 without a key": (said({}, "403 No"), {}, "no key was sent"),
    "403 of a firewall": (typed("text/html", b"<html>Cloudflare", "403 No"), {}, "firewall"),
    "overloaded": (said({"error": {"type": "overloaded_error"}}, "529 No"), {}, "for all clients"),
    "no POST": (typed("text/html", b"<html>Unsupported method ('POST')", "501 No"), {}, "check --url"),
}


@pytest.mark.parametrize(("words", "asked", "helps"), REFUSALS.values(), ids=REFUSALS)
def test_the_hint_goes_by_the_server_s_own_reason(words: bytes, asked: dict[str, Any], helps: str) -> None:
    assert helps in hint(words, **asked)


STREAMS = {
    "openai-chat": (HEAD, ROLE, event(CHUNK)),
    "anthropic": (HEAD, chunk(MESSAGE_START), chunk(PING)),
    "openai-responses": (HEAD, chunk(RESPONSE_CREATED)),
    "openai-completions": (HEAD, event(COMPLETION)),
}


@pytest.mark.parametrize("api", STREAMS)
@pytest.mark.parametrize("share", [0.35, 0.5, 0.65, 0.8, 0.95])
def test_a_stream_that_is_cut_anywhere_speaks_no_other_api(api: str, share: float) -> None:
    stream = b"".join(STREAMS[api])
    least = len(HEAD)
    found = hint(stream[: least + int(share * (len(stream) - least))], api=api)
    assert "--api" not in found


# --- models


class Lists(Handler):
    """A server with two models, but not with the requested one."""

    def do_GET(self) -> None:
        self.answer(200, json.dumps({"data": [{"id": "llama-3-8b"}, {"id": "qwen-7b"}]}).encode())

    def do_POST(self) -> None:
        self.body()
        self.answer(404, json.dumps(OPENAI_404).encode())


@pytest.mark.parametrize(
    ("model", "helps"),
    [
        ("llama3-8b", "did you mean llama-3-8b?"),
        ("gpt-9", "it lists llama-3-8b, qwen-7b"),
        ("qwen-7b", "but refuses it"),
    ],
)
def test_a_wrong_model_is_told_which_ones_there_are(model: str, helps: str) -> None:
    async def found(url: str) -> str:
        options = Options(url=url, model=model, prompt="Hi", procs=1, streams=1, requests=1)
        return (await probe_target(options, url, lambda where: None, [], raw=False)).hint

    with served(Lists) as url, asyncio.Runner(loop_factory=WatchedLoop) as runner:
        assert helps in runner.run(found(url))


# --- misspelled paths

CHAT = "/chat/completions"


@pytest.mark.parametrize(
    ("asked", "path", "meant"),
    [
        ("/v1/chat/completion/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/chat/compeltions/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/chat-completions/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/chat/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/models/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/completion/chat/completions", CHAT, "/v1/completions"),
        ("/v1/response/chat/completions", CHAT, "/v1/responses"),
        ("/v1/message/messages", "/messages", "/v1/messages"),
        ("/api/v1/chat/completion/chat/completions", CHAT, "/api/v1/chat/completions"),
        ("/chat/completions", CHAT, "/v1/chat/completions"),
        ("/chat/completion/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/v1/chat/completions", CHAT, "/v1/chat/completions"),
        ("/vl/chat/completions", CHAT, "/v1/chat/completions"),
        ("/llm/chat/completions", CHAT, "/llm/v1/chat/completions"),
        ("/v1/chat/completions", CHAT, ""),
        ("/openai/v1/chat/completions", CHAT, ""),
        ("/v1beta/openai/chat/completions", CHAT, ""),
        ("/openai/deployments/x/chat/completions", CHAT, ""),
        ("/api/generate/chat/completions", CHAT, "/v1/chat/completions"),
        ("/llm/api/chat/chat/completions", CHAT, "/llm/v1/chat/completions"),
        ("/generate_stream/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/chat/completion", "", "/v1/chat/completions"),
        ("/v1/chat/completions", "", ""),
        ("/generate", "", ""),
        ("/", "", ""),
    ],
)
def test_what_a_misspelled_path_was_meant_to_be(asked: str, path: str, meant: str) -> None:
    assert suspected(f"http://h:1{asked}?a=b", path) == (f"http://h:1{meant}?a=b" if meant else "")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (said({"detail": "Not Found"}, "404 No"), True),
        (typed("text/html", b"<html>Not Found", "404 No"), True),
        (said({"detail": "Method Not Allowed"}, "405 No"), True),
        (said(OPENAI_404, "404 No"), False),
    ],
)
def test_a_misspelled_path_is_suspected_unless_the_server_names_a_reason(words: bytes, named: bool) -> None:
    assert ("/v1/chat/completions?" in hint(words, "/v1/chat/completion")) == named


def test_the_path_of_another_api_is_told_with_its_name() -> None:
    words = said({"detail": "Not Found"}, "404 No")
    assert hint(words, "/v1/message", api="openai-chat").endswith("/v1/messages --api anthropic?")
    assert hint(words, "/v1/message").endswith("/v1/messages?")


# --- the content of refusals


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("", Refusal()),
        ("no", Refusal("no")),
        ('{"detail":"Not Found"}', Refusal("Not Found")),
        ('{"error":{"message":"cut o', Refusal("cut o")),
        ('{"error":{"message":"a","type":"t","code":"c"}}', Refusal("a", ("c", "t"))),
        ('{"errors":[{"message":"a"},{"message":"b"}],"success":false}', Refusal("a; b")),
        ("<html><script>x</script><h1>No</h1></html>", Refusal("No", page=True)),
        ('{"message":"messages: Field required"}', Refusal("messages: Field required", missing=("messages",))),
        ("Unknown parameter: 'store'.", Refusal("Unknown parameter: 'store'.", unwanted=("store",))),
        (
            json.dumps({"message": "[{'type': 'missing', 'loc': ('body', 'prompt'), 'msg': 'F', 'input': {'x': 1}}]"}),
            Refusal("F", missing=("prompt",)),
        ),
    ],
)
def test_a_refusal_is_read_without_what_it_repeats(words: str, refusal: Refusal) -> None:
    assert read_refusal(words) == refusal


NAMES = st.sampled_from(["error", "detail", "loc", "msg", "type", "message", "x"])


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)


ANY_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), containers, max_leaves=12)


@given(ANY_JSON, st.integers(0, 200))
def test_any_refusal_can_be_read(value: Any, end: int) -> None:
    words = json.dumps(value)
    for each in (words, words[:end]):
        assert isinstance(read_refusal(each).text, str)


WORDS_OF_SERVERS = st.lists(
    st.sampled_from(
        [
            *(
                "model",
                "not found",
                "path",
                "/v1/",
                "max_tokens",
                "context length",
                "https",
                "<html>",
                "stream_options",
            ),
            *("{", "}", '"message"', ":", "'loc': (", "field required", "unknown parameter: 'n'", "\x00", "\n", "ü"),
        ]
    ),
    max_size=12,
).map(" ".join)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "location", "allow", "retry-after", "www-authenticate", "content-encoding"]),
    st.sampled_from(["text/html", "application/json", "/", "//[", "http://[::1", "POST", "Basic", "br", ""]),
)


@example("truncated", "text", "model", {}, [], False)
@given(
    st.sampled_from(["http_400", "http_401", "http_404", "http_405", "http_422", "http_301", "malformed", "truncated"]),
    st.sampled_from([*APIS, "mine"]),
    WORDS_OF_SERVERS,
    HEADERS,
    st.lists(WORDS_OF_SERVERS, max_size=3),
    st.booleans(),
)
def test_whatever_a_server_says_the_hint_is_one_line_and_names_no_api_that_is_spoken(
    outcome: str, api: str, words: str, headers: dict[str, str], data: list[str], whole: bool
) -> None:
    seen = tuple(strange(each) for each in data)
    where = msgspec.structs.replace(WHERE, api=api)
    changes = {"where": where, "events": seen, "whole": whole, "body": words, "head": Head(404, "1.1", headers)}
    found = hint_of(failed(outcome, words, **changes))
    assert "\n" not in found
    assert f"--api {api} " not in f"{found} "
