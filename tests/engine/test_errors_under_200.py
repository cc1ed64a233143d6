"""Data under status 200 that is not of the API: errors of every shape fail the request, pings change nothing, and the
sample of a failed request has the server's text."""

import json
from typing import Any

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, MS, TOKEN, Bench, answer, chunk, event
from helpers.examples import examples
from helpers.odd_json import packed
from hypothesis import example, given
from hypothesis import strategies as st

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.error_shapes import error_text_in, plain_text_of, text_in
from llmstress.engine.api.lenient import is_ping
from llmstress.engine.api.meaning import FOREIGN, UNKNOWN, Meaning
from llmstress.engine.control import Timeouts
from llmstress.engine.stream.failures import MAX_TEXT

STREAMED = ("openai-chat", "azure-openai", "openai-completions", "openai-responses", "anthropic")
WHOLE = (*STREAMED, "openai-embeddings", "sse")

# errors

ERRORS: dict[str, tuple[Any, str]] = {
    "code and message": ({"code": "Refused", "message": "not this question"}, "Refused: not this question"),
    "a number as the code": ({"code": 30001, "message": "no credit", "data": None}, "30001: no credit"),
    "a negative code": ({"code": -1, "msg": "no credit"}, "-1: no credit"),
    "a code in digits": ({"code": "1301", "msg": "no credit"}, "1301: no credit"),
    "success is false": ({"success": False, "code": 30001, "message": "no credit"}, "30001: no credit"),
    "success is false, in a word": ({"success": "false", "reason": "no credit"}, "no credit"),
    "success is false, and no message": ({"success": False, "x": "no credit"}, '{"success":false,"x":"no credit"}'),
    "detail (FastAPI)": ({"detail": "out of memory"}, "out of memory"),
    "detail of a validation (FastAPI)": (
        {"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]},
        "missing: field required; body; model",
    ),
    "a list of errors": ({"errors": [{"message": "too long"}, {"message": "too late"}]}, "too long; too late"),
    "a list of texts": ({"errors": ["too long", "too late"]}, "too long; too late"),
    "errors by field": ({"errors": {"prompt": ["too long"]}}, "too long"),
    "error_msg (Baidu)": ({"error_code": 336, "error_msg": "no quota", "id": "x"}, "336: no quota"),
    "errorMessage (AWS Lambda)": ({"errorMessage": "no memory", "errorType": "MemoryError"}, "MemoryError: no memory"),
    "errmsg": ({"errcode": 40001, "errmsg": "bad key"}, "40001: bad key"),
    "a message alone (AWS)": ({"message": "Service Unavailable", "request_id": "r"}, "Service Unavailable"),
    "msg alone": ({"msg": "busy"}, "busy"),
    "status is a word": ({"status": "error", "reason": "busy"}, "busy"),
    "status is a number (Spring)": (
        {"timestamp": "2026", "status": 500, "error": "Internal", "message": "no memory", "path": "/v1"},
        "500: Internal: no memory",
    ),
    "problem details": (
        {"type": "https://h/no-credit", "title": "No credit", "detail": "30 are missing"},
        "https://h/no-credit: 30 are missing: No credit",
    ),
    "fault (Apigee)": ({"fault": {"faultstring": "too fast", "detail": {"errorcode": "x.Quota"}}}, "too fast"),
    "an error that is true": ({"error": True, "message": "no memory"}, "no memory"),
    "an error within another object (MiniMax)": (
        {"id": "x", "choices": None, "base_resp": {"status_code": 1004, "status_msg": "bad key"}},
        "1004: bad key",
    ),
    "a header of its own (iFlytek)": ({"header": {"code": 10013, "message": "refused"}}, "10013: refused"),
    "a list of one (Gemini)": ([{"error": {"code": 429, "message": "slow down"}}], "429: slow down"),
    "names in capitals": ({"Code": "Throttled", "Message": "slow down", "RequestId": "r"}, "Throttled: slow down"),
    "a type that is an error's": ({"type": "server_error", "message": "no memory"}, "server_error: no memory"),
    "a type of throttling (AWS)": ({"__type": "Throttling", "Message": "slow down"}, "Throttling: slow down"),
    "an error within the data": (
        {"data": {"error": {"message": "no memory"}}},
        '{"data":{"error":{"message":"no memory"}}}',
    ),
    "a code within the result": (
        {"id": 1, "result": {"code": 500, "message": "no memory"}},
        '{"id":1,"result":{"code":500,"message":"no memory"}}',
    ),
    "what is nested": (
        {"error": {"code": "error", "message": "it failed", "value": {"error_message": "the prompt is too long"}}},
        "it failed; the prompt is too long",
    ),
    "what the provider behind a gateway reported": (
        {"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "the prompt is too long"}}},
        "400: Provider returned error; the prompt is too long",
    ),
}

NO_ERRORS: dict[str, Any] = {
    "nothing": {},
    "another object": {"hello": "you"},
    "success": {"code": 0, "message": "success", "data": {}},
    "success as HTTP has it": {"code": 200, "msg": "OK"},
    "success in a word": {"status": "ok", "message": "connected"},
    "success in Chinese": {"code": 1, "msg": "成功"},
    "an error that is none": {"error": None, "errors": [], "detail": ""},
    "an error of a success": {"error": {"code": 0, "message": "success"}},
    "a message of a queue": {"message": "you are next", "position": 1},
    "a message of a kind": {"type": "notice", "message": "it will take a while"},
    "the progress of something": {"event": "progress", "detail": "loading"},
    "a number": 5,
    "a list": [1, 2],
    "an empty list": [],
}


@pytest.mark.parametrize(("value", "words"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_any_shape_is_recognized(value: Any, words: str) -> None:
    assert words in error_text_in(value)
    for name in STREAMED:
        event = make_api(name, Ask(model="m")).classify(packed(value))
        assert event == Meaning(error=event.error), name
        assert words in event.error
    for name in WHOLE:
        assert words in make_api(name, Ask(model="m")).read_answer(packed(value), "application/json").error


@pytest.mark.parametrize("value", NO_ERRORS.values(), ids=NO_ERRORS)
def test_an_object_without_an_error_is_unknown(value: Any) -> None:
    assert error_text_in(value) == ""
    for name in STREAMED:
        event = make_api(name, Ask(model="m")).classify(packed(value))
        assert (name, event) in ((name, UNKNOWN), (name, FOREIGN))
    for name in WHOLE:
        event = make_api(name, Ask(model="m")).read_answer(packed(value), "application/json")
        assert event.malformed.startswith("the answer is not a")
        assert event.malformed.endswith(text_in(json.loads(packed(value))))


@pytest.mark.parametrize(
    "more", [{"message": "from the cache"}, {"code": 7, "msg": "x"}, {"detail": "y"}, {"success": False}], ids=str
)
def test_members_beside_an_answer_are_no_error(more: dict[str, Any]) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}], **more}
    assert make_api("openai-chat", Ask()).classify(packed(said)).tokens
    said = {"choices": [{"index": 0, "text": "Hi", "finish_reason": None}], **more}
    assert make_api("openai-completions", Ask()).classify(packed(said)).tokens
    said = {"type": "response.output_text.delta", "delta": "Hi", **more}
    assert make_api("openai-responses", Ask()).classify(packed(said)).tokens
    said = {"type": "content_block_delta", "delta": {"text": "Hi"}, **more}
    assert make_api("anthropic", Ask()).classify(packed(said)).tokens


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"Internal\n  Server Error", "Internal Server Error"),
        (b"<html><title>Bad Gateway</title><p>nginx</html>", "Bad Gateway nginx"),
        (b"<!DOCTYPE html>\n<style>p {x}</style><script>if (a<b) c()</script><p>No&nbsp;entry", "No entry"),
        (b"<!-- x --><p>late</p>", "late"),
        ("<p>服务不可用".encode(), "服务不可用"),
        (b"<img src=x>", "<img src=x>"),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_text_of_data_that_is_not_json(page: bytes, words: str) -> None:
    assert plain_text_of(page) == words


# how requests end


def ended(*reads: bytes, api: str = "openai-chat", streamed: bool = True) -> tuple[str, str]:
    """The class of a request with this answer, and the text of its sample."""
    bench = Bench(api=api, ask=Ask(model="m", stream=streamed or api == "sse"))
    bench.begin()
    for number, data in enumerate(reads):
        bench.read(100 + number, data)
    if not bench.freed:
        bench.at(500).lose(None)
    made = bench.cut()
    [outcome] = made.parts[2].ended
    return outcome, made.samples[0].text if made.samples else ""


TEXT = b"Internal Server Error"
SHORT = "the stream ended before a finish signal"
SAID = f"{SHORT}; the server said: Internal Server Error"

ENDS: dict[str, tuple[tuple[bytes, ...], tuple[str, str]]] = {
    "text as the only event": ((HEAD, event(TEXT), END), ("truncated", SAID)),
    "text after tokens": ((HEAD, TOKEN, event(TEXT), END), ("truncated", SAID)),
    "text without its blank line": ((HEAD, chunk(b"data: " + TEXT), END), ("truncated", SAID)),
    "text, and the connection is lost": (
        (HEAD, event(TEXT)),
        ("truncated", "the connection was lost during the answer; the server said: Internal Server Error"),
    ),
    "text that is no event at all": ((HEAD, chunk(TEXT), END), ("truncated", SAID)),
    "lines that are no events": (
        (HEAD, TOKEN, chunk(b"Internal \nServer: Error\n"), END),
        ("truncated", f"{SAID[:-6]}: Error"),
    ),
    "JSON without the data field": (
        (HEAD, TOKEN, chunk(b'{"detail":"no memory"}\n\n'), END),
        ("truncated", f"{SHORT}; the server said: no memory"),
    ),
    "JSON of another shape": (
        (HEAD, event({"hello": "you"}), END),
        ("truncated", f'{SHORT}; the server said: {{"hello":"you"}}'),
    ),
    "pings say nothing": (
        (HEAD, event(TEXT), chunk(b"event: ping\ndata: 12:03\n\n"), event({"type": "ping"}), event(b" "), END),
        ("truncated", SAID),
    ),
    "nor do pings as text": (
        (
            *(HEAD, event(TEXT), event(b"keepalive"), event(b"[PING]"), event(b'"heartbeat"'), event(b"null")),
            *(event(b"2026-01-02T03:04:05Z"), event(b"17"), event(b": OPENROUTER PROCESSING"), END),
        ),
        ("truncated", SAID),
    ),
    "no text was sent": ((HEAD, TOKEN, chunk(b"id: 1\nretry: 5\n: ping\n\n"), END), ("truncated", SHORT)),
    "a finish without a token": (
        (HEAD, event(TEXT), FINISH, END),
        ("empty", "finished (stop) without a token; the server said: Internal Server Error"),
    ),
    "an error on the way": ((HEAD, TOKEN, event({"detail": "no memory"}), END), ("stream_error", "no memory")),
    "an error after the finish": ((HEAD, TOKEN, FINISH, event({"detail": "no memory"}), END), ("ok", "")),
    "text after the finish": ((HEAD, TOKEN, FINISH, event(TEXT), END), ("ok", "")),
    "a page": (
        (answer("200 OK", b"<html><p>Blocked</html>", "Content-Type: text/html"),),
        ("malformed", "the answer is not a chat completion: Blocked"),
    ),
    "text instead of JSON": (
        (answer("200 OK", TEXT, "Content-Type: application/json"),),
        ("malformed", "the answer is not a chat completion: Internal Server Error"),
    ),
    "a body that breaks off": (
        (b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"error":{"message":"no mem',),
        ("truncated", 'the connection was lost during the answer; the server said: {"error":{"message":"no mem'),
    ),
    "a good answer that breaks off has no text": (
        (HEAD, TOKEN),
        ("truncated", "the connection was lost during the answer"),
    ),
}


@pytest.mark.parametrize(("reads", "expected"), ENDS.values(), ids=ENDS)
def test_the_text_of_the_server_is_in_the_sample(reads: tuple[bytes, ...], expected: tuple[str, str]) -> None:
    assert ended(*reads) == expected


# pings

PINGS: dict[str, bytes] = {
    "a date under a name": b"event: ping\ndata: 2026-01-02 03:04:05.678901\n\n",
    "nothing under a name": b"event: heartbeat\ndata:\n\n",
    "JSON under a name": b'event: keep-alive\ndata: {"message": "still here", "code": 7}\n\n',
    "broken JSON under a name": b"event: PING\ndata: {12:03}\n\n",
    "another case": b"event: KeepAlive\ndata: x\n\n",
    "a comment as data": b"data: : OPENROUTER PROCESSING\n\n",
    "a word": b"data: keepalive\n\n",
    "a number": b"data: 1\n\n",
    "a string": b'data: "ping"\n\n',
    "null": b"data: null\n\n",
    "a date": b"data: 2026-01-02T03:04:05Z\n\n",
    "blanks": b"data:    \n\n",
    "a ping as an object": b'data: {"type": "ping", "ts": 5}\n\n',
    "two lines": b"data: still\ndata: here\n\n",
}


@pytest.mark.parametrize("ping", PINGS.values(), ids=PINGS)
def test_pings_are_counted_and_change_nothing(ping: bytes) -> None:
    bench = Bench()
    bench.begin()
    for ms, data in enumerate((HEAD, chunk(ping), TOKEN, chunk(ping) + TOKEN, chunk(ping), FINISH, DONE, END), 100):
        bench.read(ms, data)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    counters = part.counters
    assert (counters.events, counters.events_foreign, counters.events_unknown) == (2, 3, 0)


def test_text_joined_to_an_event_does_not_hide_it() -> None:
    line = b'{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}'
    assert ended(HEAD, chunk(b"data: : processing\ndata: " + line + b"\n\n"), END) == ("ok", "")
    assert ended(HEAD, chunk(b"data: " + line + b"\ndata: processing\n\n"), END) == ("ok", "")


@pytest.mark.parametrize("api", STREAMED)
def test_pings_are_no_progress(api: str) -> None:
    """The idle limit continues to run through pings, also through those of an API."""
    pings = {
        "anthropic": b'event: ping\ndata: {"type":"ping"}\n\n',
        "openai-responses": b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n',
    }
    tokens = {
        "openai-completions": b'data: {"choices":[{"index":0,"text":"Hi","finish_reason":null}]}\n\n',
        "anthropic": b'data: {"type":"content_block_delta","delta":{"text":"Hi"}}\n\n',
        "openai-responses": b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n',
    }
    bench = Bench(api=api, ask=Ask(model="m"), timeouts=Timeouts(0, 0, 1000 * MS, 0))
    bench.begin()
    token = chunk(tokens[api]) if api in tokens else TOKEN
    bench.read(100, HEAD, token, token)
    bench.read(900, chunk(pings.get(api, b"event: ping\ndata: 12:03\n\n")))
    bench.stream.check(bench.at(1099).now)
    assert not bench.freed
    bench.stream.check(bench.at(1101).now)
    assert bench.steady().ended == {"timeout_idle": 1}


@pytest.mark.parametrize("name", [b"ping", b"Ping", b"server.heartbeat", b"keep_alive", b"sse-ping", b"noop", b"PONG"])
def test_names_of_pings(name: bytes) -> None:
    assert is_ping(name)


@pytest.mark.parametrize("name", [b"", b"message", b"shipping", b"mapping", b"error", b"token", b"x" * 100 + b".ping"])
def test_names_that_are_not_of_pings(name: bytes) -> None:
    assert not is_ping(name)


# any object

WORDS = "the disk is full"
NAMES = st.sampled_from(
    [
        *(
            "message",
            "msg",
            "detail",
            "error",
            "errors",
            "code",
            "status",
            "success",
            "reason",
            "title",
            "data",
            "info",
        ),
        *("result", "response", "event", "level", "x", "Error", "errorMessage", "base_resp", "fault", "description"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.text("ab ", max_size=6) | st.sampled_from(["ok", "error"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """An object of no API that contains the text somewhere."""
    value: Any = WORDS
    for _ in range(draw(st.integers(1, 4))):
        around = draw(st.dictionaries(NAMES, VALUES, max_size=4))
        around[draw(NAMES)] = value
        value = draw(st.sampled_from([around, [around], {"x": around}]))
    return value if isinstance(value, dict) else {draw(NAMES): value}


@examples(150)
@given(value=objects(), api=st.sampled_from(WHOLE), joined=st.booleans())
@example(value={"code": 0, "msg": "success", "data": {"x": WORDS}}, api="openai-chat", joined=False)
@example(
    value={
        "message": {"message": None, "errorMessage": {"message": None, "msg": None}, "code": {"message": WORDS}},
        "reason": [{"error": [{"message": None, "msg": None, "detail": True}], "title": [None, {}, "", [None]]}],
    },
    api="openai-chat",
    joined=True,
)
def test_any_object_fails_with_its_text(value: dict[str, Any], api: str, joined: bool) -> None:
    data = packed(value)
    outcome, text = ended(answer("200 OK", data, "Content-Type: application/json"), api=api, streamed=joined)
    assert outcome in ("stream_error", "malformed")
    # Only other text of the same object may replace this text, because a sample is cut.
    assert WORDS in text or len(text) == MAX_TEXT, (value, text)
    assert len(text) <= MAX_TEXT
    if api in STREAMED:
        reads = (HEAD + event(data) + END,) if joined else (HEAD, event(data), END)
        outcome, text = ended(*reads, api=api)
        assert outcome in ("stream_error", "truncated", "empty")
        assert WORDS in text or len(text) == MAX_TEXT, (value, text)


@examples(100)
@given(value=VALUES | st.binary(max_size=50))
def test_any_value_has_a_text(value: Any) -> None:
    if isinstance(value, bytes):
        plain_text_of(value).encode()
        plain_text_of(b"<" + value).encode()
    else:
        assert isinstance(error_text_in(value), str)
        text_in(value).encode()


def test_long_texts_are_cut() -> None:
    value = {
        "errors": [{"message": f"{number} " * 100, "more": {"deep": [str(number)] * 100}} for number in range(500)]
    }
    assert 200 < len(error_text_in(value)) <= 2000
    assert error_text_in({"data": "x" * 5000, "error": "no memory"}).startswith("no memory")
