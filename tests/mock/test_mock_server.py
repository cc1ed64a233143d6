"""The mock server: its pure parts separately, and the whole server as a process with small delays."""

import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from helpers.processes import alive, children_of, wait_until_gone

from llmstress.engine.mock.chunking import StreamedReply
from llmstress.engine.mock.dialects import openai_chat
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, FinishReason, RequestParams
from llmstress.engine.mock.endings import plan_for
from llmstress.engine.mock.framing import WireFormat
from llmstress.engine.mock.heads import head
from llmstress.engine.mock.http import HEAD_LIMIT, Request, RequestError, RequestParser
from llmstress.engine.mock.replies import whole_reply
from llmstress.engine.mock.truth import Truth, TruthRecorder
from llmstress.engine.mock.wheel import SLOT_US, Wheel

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
DEADLINE_S = 10


# requests

WIRE = (
    b"POST /v1/chat/completions?beta=true HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"\r\n"
    b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n"
    b"POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    b"POST /empty HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n"
    b"POST /expect HTTP/1.1\r\nExpect: 100-continue\r\ncontent-length:2\r\n\r\n\r\n"
    b"GET /old%20one HTTP/1.0\r\n\r\n"
    b"GET /bye HTTP/1.1\r\nConnection: foo, Close\r\n\r\n"
)
HOST = (("host", "x"),)
REQUESTS = [
    Request(
        "POST",
        "/v1/chat/completions",
        False,
        True,
        b"hello",
        query="beta=true",
        headers=(*HOST, ("content-length", "5")),
    ),
    Request("GET", "/models", False, True, b"", headers=HOST),
    Request("POST", "/chunked", False, True, b"abc0123456789", headers=(("transfer-encoding", "chunked"),)),
    Request("POST", "/empty", False, True, b"", headers=(("transfer-encoding", "Chunked"),)),
    Request("POST", "/expect", False, True, b"\r\n", headers=(("expect", "100-continue"), ("content-length", "2"))),
    Request("GET", "/old one", True, False, b""),
    Request("GET", "/bye", False, False, b"", headers=(("connection", "foo, Close"),)),
]


def parse(*pieces: bytes) -> list[Request]:
    parser = RequestParser()
    requests: list[Request] = []
    for piece in pieces:
        parser.feed(piece)
        while request := parser.take():
            requests.append(request)
    return requests


def test_requests_parse_whole_and_split_at_every_byte() -> None:
    assert parse(WIRE) == REQUESTS
    for cut in range(1, len(WIRE)):
        assert parse(WIRE[:cut], WIRE[cut:]) == REQUESTS, cut
    assert parse(*[WIRE[i : i + 1] for i in range(len(WIRE))]) == REQUESTS


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GARBAGE\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00\x01\x00", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/2.0\r\n\r\n", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nname : x\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            HTTPStatus.BAD_REQUEST,
        ),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", HTTPStatus.NOT_IMPLEMENTED),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        ),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", HTTPStatus.BAD_REQUEST),
        (
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        ),
        (b"GET /" + b"x" * (HEAD_LIMIT + 5), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_what_is_no_request_is_refused(wire: bytes, status: HTTPStatus) -> None:
    with pytest.raises(RequestError) as refused:
        parse(wire)
    assert refused.value.status is status


def test_a_head_of_64_kib_is_taken() -> None:
    filler = b"X: " + b"x" * (HEAD_LIMIT - len(b"GET / HTTP/1.1\r\nX: "))
    assert len(parse(b"GET / HTTP/1.1\r\n" + filler + b"\r\n\r\n")) == 1


def test_continue_is_wanted_once_and_only_before_the_body() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    parser = RequestParser()
    parser.feed(head)
    assert parser.take() is None
    assert [parser.take_continue(), parser.take_continue()] == [True, False]
    parser.feed(b"ok" + head + b"ok")
    assert parser.take() is not None
    assert parser.take() is not None
    assert not parser.take_continue()


def chat_of(body: bytes) -> RequestParams:
    return openai_chat.read(Request("POST", "/chat/completions", False, True, body))


def test_chat_requests_are_read_leniently() -> None:
    chat = chat_of(
        b'{"stream":true,"max_tokens":9,"max_completion_tokens":"7","n":1,"stream_options":{"x":1},'
        b'"messages":[{"role":"system","content":"a b"},{"content":[{"type":"text","text":"c d e"},'
        b'{"type":"image_url"},7]},{"content":null}]}'
    )
    assert (chat.limit, chat.usage, chat.prompt_tokens) == (7, False, 5 + 3 * 4)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"max_tokens":0}', b'{"messages":{}}', b"\xff"])
def test_impossible_chat_requests_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        chat_of(body)


# pacing


def test_the_wheel_is_never_early_nor_more_than_a_slot_late() -> None:
    start = 1_234_567
    wheel: Wheel[int] = Wheel(start)
    dues = [start + (i * 7_919) % 60_011 for i in range(3_000)] + [start + 90_000_000]
    for due in dues:
        wheel.add(due, due)
    came: list[int] = []
    now = start
    while wheel:
        before = now
        now += 137 if now < start + 100_000 else 1_000_000
        for due in wheel.take(now):
            # an item that was due a slot before the last call would have come up in that call
            assert before - SLOT_US < due <= now
            came.append(due)
    assert sorted(came) == sorted(dues)


def test_the_wheel_takes_what_is_already_due_with_the_next_call() -> None:
    wheel: Wheel[str] = Wheel(10 * SLOT_US)
    wheel.add(9 * SLOT_US, "past")
    assert wheel
    assert wheel.take(10 * SLOT_US) == ["past"]
    assert wheel.take(10 * SLOT_US) == []
    assert not wheel


def test_after_a_long_pause_slots_come_in_order() -> None:
    wheel: Wheel[str] = Wheel(0)
    wheel.add(5 * SLOT_US, "b")
    wheel.add(2 * SLOT_US, "a")
    wheel.add(3_600_000_000, "c")
    assert wheel.take(3_000_000_000) == ["a", "b"]
    assert wheel.take(3_600_000_000) == ["c"]


# answers


def answer_of(tokens: int, *, usage: bool = True, finish_reason: FinishReason = "stop") -> AnswerSpec:
    return AnswerSpec(
        '"1', 1_700_000_000, "größe", prompt_tokens=5, tokens=tokens, usage=usage, finish_reason=finish_reason
    )


def streamed(answer: AnswerSpec, *, chunked: bool = True) -> StreamedReply:
    return StreamedReply(answer, openai_chat.encoder(answer, RequestParams()), wire_format=WireFormat(chunked=chunked))


def unchunk(wire: bytes) -> list[bytes]:
    """The HTTP chunks of a body, with the empty one at its end."""
    chunks, at = [], 0
    while at < len(wire):
        begin = wire.index(b"\r\n", at) + 2
        end = begin + int(wire[at : begin - 2], 16)
        assert wire[end : end + 2] == b"\r\n"
        chunks.append(wire[begin:end])
        at = end + 2
    return chunks


def events(chunks: list[bytes]) -> list[dict[str, Any]]:
    """The chunks' events: one each, the last one `[DONE]`."""
    *data, done = chunks
    assert done == b"data: [DONE]\n\n"
    assert all(d.startswith(b"data: ") and d.endswith(b"}\n\n") and d.count(b"\n") == 2 for d in data)
    return [json.loads(d[6:]) for d in data]


@pytest.mark.parametrize("tokens", [1, 2, 23])
@pytest.mark.parametrize("usage", [False, True])
def test_a_streamed_answer_is_openai_chunks(tokens: int, usage: bool) -> None:
    reply = streamed(answer_of(tokens, usage=usage, finish_reason="length" if usage else "stop"))
    writes = [reply.write(i) for i in range(tokens)]
    assert (reply.writes, reply.tokens_in(tokens)) == (tokens, {"text": tokens})
    prepared, until = reply.prepared(1)
    assert until == max(1, tokens - 1)
    assert all(writes[i] == prepared[i % 10] for i in range(1, until))
    *chunks, end = unchunk(b"".join(writes))
    assert end == b""
    assert writes[-1].endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    role, *rest = events(chunks)
    assert role["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    if usage:
        *rest, last = rest
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == tokens
        assert last["usage"]["total_tokens"] == tokens + 5
    *content, finish = rest
    assert [e["choices"][0]["delta"]["content"] for e in content] == [f" tok{i % 10}" for i in range(tokens)]
    assert {e["choices"][0]["finish_reason"] for e in content} == {None}
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == (
        {},
        "length" if usage else "stop",
    )
    for event in (role, *rest):
        assert (event["id"], event["model"]) == ('chatcmpl-"1', "größe")
        assert (event["object"], event["created"]) == ("chat.completion.chunk", 1_700_000_000)
        assert ("usage" in event, event.get("usage")) == (usage, None)


def test_without_chunks_the_answer_is_the_same_events() -> None:
    plain, chunked = (streamed(answer_of(3), chunked=chunked) for chunked in (False, True))
    framed = unchunk(b"".join(chunked.write(i) for i in range(3)))
    assert b"".join(plain.write(i) for i in range(3)) == b"".join(framed)


def test_an_answer_in_one_piece_says_its_length() -> None:
    answer = answer_of(11)
    reply = whole_reply(
        answer,
        openai_chat.encoder(answer, RequestParams()).body,
        lambda: b"",
        lambda length: head(200, "application/json", length, keep_alive=False),
        plan_for(None, 0, 11),
    )
    assert (reply.writes, reply.gaps_before(0), reply.events_in(0), reply.tokens_in(1)) == (1, 10, 0, {"text": 11})
    top, _, body = reply.write(0).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in top
    assert b"Connection: close" in top
    told = json.loads(body)
    assert told["choices"][0]["message"]["content"].split() == [f"tok{i % 10}" for i in range(11)]
    assert told["usage"]["completion_tokens"] == 11


def test_truths_merge_by_addition_and_survive_the_wire() -> None:
    truths = []
    for n in (1, 2):
        recorder = TruthRecorder()
        truth = recorder.truth
        truth.connections = truth.done = truth.cpu_ns = n
        truth.tokens = {"text": n, f"kind{n}": n}
        truth.apis = {"chat": {"requests": n}, f"api{n}": {"requests": n}}
        recorder.understood("chat")
        recorder.responded(200)
        truth.ttft.record(1_000)
        truth.gap.record_many([20_000] * n)
        recorder.lateness_us += [3] * (n + 1)
        recorder.fold_all()
        truths.append(msgspec.msgpack.decode(msgspec.msgpack.encode(truth), type=Truth))
    both = Truth.merged(truths)
    assert (both.connections, both.requests, both.done, both.cpu_ns) == (3, 2, 3, 3)
    assert both.tokens == {"text": 3, "kind1": 1, "kind2": 2}
    assert both.apis == {"chat": {"requests": 5}, "api1": {"requests": 1}, "api2": {"requests": 2}}
    assert both.statuses == {"200": 2}
    summary = both.summary()
    assert (summary["ttft_ms"]["p50"], summary["gap_ms"]["max"], summary["lateness_ms"]["max"]) == (1, 20, 0.003)
    assert (summary["tokens"], summary["gap_ms"]["count"], summary["lateness_ms"]["count"]) == (6, 3, 5)
    assert [len(truth.gap.counts) for truth in truths] == [1, 1], "merging leaves them as they were"


# the server


class Mock:
    """A running mock server."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        assert process.stdout is not None
        self.url: str = json.loads(process.stdout.readline())["listening"]
        port = self.url.rpartition(":")[2]
        self.port = int(port) if port.isdigit() else 0

    def stop(self, number: int = signal.SIGTERM) -> dict[str, Any]:
        """Stop the mock and return its statistics."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0
        return json.loads(out)  # type: ignore[no-any-return]

    def client(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)


@contextlib.contextmanager
def start(*args: str, stderr: int | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    """The mock as a process; it is killed at the end if it is still running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "llmstress.engine.mock", *args],
        stdout=subprocess.PIPE,
        stderr=stderr,
        # the package may be on this process's path only because of pytest
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def mock(*args: str) -> Iterator[Mock]:
    """A mock with small delays; `args` override them."""
    small = ["--port", "0", "--ttft-ms", "5", "--gap-ms", "1", "--tokens", "12"]
    with start(*small, "--parent-pid", str(os.getpid()), *args) as process:
        yield Mock(process)


def post(client: HTTPConnection, **fields: Any) -> tuple[int, str, bytes]:
    client.request("POST", "/v1/chat/completions", json.dumps({**CHAT, **fields}))
    response = client.getresponse()
    return response.status, response.headers["Content-Type"], response.read()


def ask(server: Mock, **fields: Any) -> None:
    """Send a request on a new connection."""
    with contextlib.closing(server.client()) as client:
        assert post(client, **fields)[0] == 200


def chat_wire(**fields: Any) -> bytes:
    body = json.dumps({**CHAT, **fields}).encode()
    return b"POST /chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def read_until(sock: socket.socket, end: bytes, times: int = 1) -> bytes:
    data = b""
    while data.count(end) < times:
        piece = sock.recv(65_536)
        assert piece, data
        data += piece
    return data


def test_everything_over_one_connection_and_the_truth_about_it() -> None:
    with mock() as server:
        client = server.client()
        client.connect()
        first = client.sock

        status, kind, body = post(client, stream=True)
        assert (status, kind) == (200, "text/event-stream; charset=utf-8")
        answer = events([piece + b"\n\n" for piece in body.split(b"\n\n")[:-1]])
        assert len(answer) == 12 + 2
        assert answer[-1]["choices"][0]["finish_reason"] == "stop"

        _, _, body = post(client, stream=True, max_tokens=3, stream_options={"include_usage": True})
        *_, finish, usage = events([piece + b"\n\n" for piece in body.split(b"\n\n")[:-1]])
        assert finish["choices"][0]["finish_reason"] == "length"
        assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (3 + 4, 3)

        status, kind, body = post(client, max_completion_tokens=12)
        assert (status, kind) == (200, "application/json")
        assert json.loads(body)["choices"][0]["finish_reason"] == "stop"
        assert json.loads(body)["usage"]["completion_tokens"] == 12

        for method, path, wanted in [
            ("GET", "/v1/models", 200),
            ("GET", "/models?x=1", 200),
            ("GET", "/v1/chat/completions", 405),
            ("POST", "/v1/models", 405),
            ("GET", "/v1/nothing", 404),
            ("POST", "/v1/chat/completions", 400),
        ]:
            client.request(method, path, b"{nonsense" if method == "POST" else None)
            response = client.getresponse()
            assert response.status == wanted
            value = json.loads(response.read())
            if wanted == 200:
                assert [m["id"] for m in value["data"]] == ["mock-7b"]
            else:
                assert set(value["error"]) == {"message", "type", "param", "code"}
                assert value["error"]["type"] == "invalid_request_error"

        assert client.sock is first  # http.client would have connected anew, had it been closed
        client.close()
        truth = server.stop()
    assert {k: truth[k] for k in ("connections", "requests", "done", "aborted", "events", "tokens", "open_max")} == {
        "connections": 1,
        "requests": 3,
        "done": 3,
        "aborted": 0,
        "events": 15,
        "tokens": 27,
        "open_max": 1,
    }
    assert truth["ttft_ms"]["max"] >= 4
    assert truth["lateness_ms"]["max"] >= 0


def test_pipelined_requests_are_answered_in_order() -> None:
    with mock() as server, server.socket() as sock:
        wire = chat_wire(stream=True, max_tokens=2) + b"GET /models HTTP/1.1\r\n\r\n"
        wire += chat_wire(stream=True, max_tokens=4) + b"GET /bye HTTP/1.1\r\nConnection: close\r\n\r\n"
        sock.sendall(wire)
        answers = b"".join(iter(lambda: sock.recv(65_536), b""))
        assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"200", b"404"]
        assert [part.count(b'"content":" tok') for part in answers.split(b"HTTP/1.1 ")[1:]] == [2, 0, 4, 0]
        truth = server.stop(signal.SIGINT)
    assert (truth["requests"], truth["done"], truth["aborted"]) == (2, 2, 0)


def test_continue_chunked_bodies_and_http_1_0() -> None:
    body = json.dumps({**CHAT, "stream": True, "max_tokens": 1}).encode()
    with mock() as server:
        with server.socket() as sock:
            head = b"POST /chat/completions HTTP/1.1\r\nExpect: 100-continue\r\n"
            sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            assert b" tok0" in read_until(sock, b"0\r\n\r\n")
        with server.socket() as sock:
            sock.sendall(b"POST /chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            head, _, rest = b"".join(iter(lambda: sock.recv(65_536), b"")).partition(b"\r\n\r\n")
            assert b"chunked" not in head
            assert rest.startswith(b"data: {")
            assert rest.endswith(b"data: [DONE]\n\n")
        with server.socket() as sock:
            sock.sendall(b"NONSENSE\r\n\r\n")
            assert b"".join(iter(lambda: sock.recv(65_536), b"")).startswith(b"HTTP/1.1 400 ")


def test_clients_that_go_away_are_counted() -> None:
    with mock("--ttft-ms", "0", "--gap-ms", "20", "--tokens", "100000") as server:
        for reset in (False, True):
            with server.socket() as sock:
                sock.sendall(chat_wire(stream=True))
                read_until(sock, b" tok0")
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with server.socket() as sock:
            sock.sendall(chat_wire())
        # this request was sent after all others had disconnected, and took the server some iterations of its loop
        ask(server, max_tokens=2)
        truth = server.stop()
    assert (truth["requests"], truth["done"], truth["aborted"]) == (4, 1, 3)


@pytest.mark.parametrize("reads_at_last", [False, True])
def test_a_stream_rests_while_its_client_does_not_read(reads_at_last: bool) -> None:
    tokens = 60_000
    with mock("--ttft-ms", "0", "--gap-ms", "0", "--tokens", str(tokens)) as server, socket.socket() as sock:
        # with default buffer sizes the kernel alone would hold up to 37 MB, more than the whole answer
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sock.settimeout(DEADLINE_S)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(chat_wire(stream=True))
        wire = [sock.recv(16)]
        # without gaps a stream is written at once: the first of these may still be answered between its first events,
        # the second one is answered only after the stream has stalled
        ask(server, max_tokens=2)
        ask(server, max_tokens=2)
        while reads_at_last and not wire[-1].endswith(b"0\r\n\r\n"):
            wire.append(sock.recv(1 << 20))
            assert wire[-1]
        truth = server.stop()
    assert (truth["requests"], truth["aborted"]) == (3, 0)
    if not reads_at_last:
        assert truth["done"] == 2
        assert truth["events"] < tokens / 2
        return
    assert (truth["done"], truth["events"]) == (3, tokens)
    chunks = unchunk(b"".join(wire).partition(b"\r\n\r\n")[2])
    assert chunks.pop() == b""
    _, *content, _ = events(chunks)
    assert [c["choices"][0]["delta"]["content"] for c in content] == [f" tok{i % 10}" for i in range(tokens)]


def test_two_processes_share_the_port_and_their_truth_is_summed() -> None:
    with mock("--procs", "2") as server:
        clients = [server.client() for _ in range(24)]
        for client in clients:
            client.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True}))
        for client in clients:
            assert client.getresponse().read().count(b'"content":" tok') == 12
            client.close()
        children = children_of(server.process.pid)
        assert len(children) == 2
        truth = server.stop()
        assert not any(alive(pid) for pid in children)
    assert (truth["requests"], truth["done"], truth["events"]) == (24, 24, 24 * 12)


def test_no_child_survives_the_parent() -> None:
    with mock("--procs", "2") as server:
        children = children_of(server.process.pid)
        assert len(children) == 2
        server.process.kill()
        wait_until_gone(children)


def test_a_dead_child_ends_the_server() -> None:
    with mock("--procs", "2") as server:
        children = children_of(server.process.pid)
        os.kill(children[0], signal.SIGKILL)
        assert server.process.wait(DEADLINE_S) == 1
        assert not any(alive(pid) for pid in children)


def test_a_port_in_use_is_refused() -> None:
    with mock() as server, start("--port", str(server.port), stderr=subprocess.DEVNULL) as second:
        assert second.wait(DEADLINE_S) == 1


# TLS and Unix sockets


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificate files: certificate and key in one file, in two files, and the authority."""
    directory = tmp_path_factory.mktemp("tls")
    leaf = authority.issue_cert("127.0.0.1")
    blobs = {
        "both": leaf.private_key_and_cert_chain_pem,
        "cert": leaf.cert_chain_pems[0],
        "key": leaf.private_key_pem,
        "ca": authority.cert_pem,
    }
    for name, blob in blobs.items():
        blob.write_to_path(directory / name)
    return {name: str(directory / name) for name in blobs}


@pytest.mark.parametrize("procs", [1, 2])
def test_https(authority: trustme.CA, pem: dict[str, str], procs: int) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with mock("--tls-cert", pem["cert"], "--tls-key", pem["key"], "--procs", str(procs)) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        clients = [HTTPSConnection("127.0.0.1", server.port, context=context, timeout=DEADLINE_S) for _ in range(4)]
        for client in clients * 3:
            _, _, body = post(client, stream=True)
            assert body.count(b'"content":" tok') == 12
        for client in clients:
            client.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            HTTPSConnection("127.0.0.1", server.port, timeout=DEADLINE_S).connect()
        truth = server.stop()
    assert [truth[k] for k in ("connections", "requests", "done", "aborted", "events")] == [4, 12, 12, 0, 144]


def test_clients_of_a_server_that_wants_certificates(authority: trustme.CA, pem: dict[str, str]) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with mock("--tls-cert", pem["both"], "--tls-client-ca", pem["ca"]) as server:
        with (
            contextlib.closing(HTTPSConnection("127.0.0.1", server.port, context=context)) as client,
            pytest.raises((OSError, HTTPException)),
        ):
            post(client)
        authority.issue_cert("client@llm.test").configure_cert(context)
        with contextlib.closing(HTTPSConnection("127.0.0.1", server.port, context=context)) as client:
            assert post(client, stream=True)[0] == 200
        truth = server.stop()
    assert [truth[k] for k in ("connections", "requests", "done")] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("reads_at_last", [False, True])
def test_a_stream_over_tls_rests_while_its_client_does_not_read(
    authority: trustme.CA, pem: dict[str, str], reads_at_last: bool
) -> None:
    tokens = 60_000
    context = ssl.create_default_context()
    authority.configure_trust(context)
    fast = ("--ttft-ms", "0", "--gap-ms", "0", "--tokens", str(tokens))
    with mock(*fast, "--tls-cert", pem["both"]) as server, socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        plain.settimeout(DEADLINE_S)
        plain.connect(("127.0.0.1", server.port))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
            sock.sendall(chat_wire(stream=True))
            end = sock.recv(16)
            for _ in range(2):
                with contextlib.closing(HTTPSConnection("127.0.0.1", server.port, context=context)) as client:
                    post(client, max_tokens=2)
            while reads_at_last and not end.endswith(b"0\r\n\r\n"):
                piece = sock.recv(1 << 20)
                assert piece
                end = (end + piece)[-16:]
            truth = server.stop()
    assert truth["aborted"] == 0
    assert (truth["done"], truth["events"] == tokens) == ((3, True) if reads_at_last else (2, False))


def over(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE_S)
    sock.connect(str(path))
    return sock


@pytest.mark.parametrize("procs", [1, 2])
def test_a_unix_socket(tmp_path: Path, procs: int) -> None:
    path = tmp_path / "mock.sock"
    with mock("--unix-socket", str(path), "--procs", str(procs)) as server:
        assert server.url == "http://localhost"
        for _ in range(5):
            with over(path) as sock:
                sock.sendall(chat_wire(stream=True))
                assert read_until(sock, b"0\r\n\r\n").count(b'"content":" tok') == 12
        with start("--unix-socket", str(path), stderr=subprocess.DEVNULL) as second:
            assert second.wait(DEADLINE_S) == 1, "somebody listens there"
        truth = server.stop()
    assert [truth[k] for k in ("requests", "done", "aborted")] == [5, 5, 0]
    assert not path.exists()


def test_a_unix_socket_that_was_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "mock.sock"
    with mock("--unix-socket", str(path)) as server:
        server.process.kill()
        server.process.wait()
    assert path.is_socket()
    with mock("--unix-socket", str(path)) as server, over(path) as sock:
        sock.sendall(b"GET /models HTTP/1.1\r\n\r\n")
        assert b"mock-7b" in read_until(sock, b"}")
        server.stop()
    path.write_text("of somebody else")
    with start("--unix-socket", str(path), stderr=subprocess.DEVNULL) as refused:
        assert refused.wait(DEADLINE_S) == 1
    assert path.read_text() == "of somebody else"
