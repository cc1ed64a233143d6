"""Invariants of the whole read path for any bytes as an answer, and a corpus of answers to start from."""

import gzip
import json
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from helpers.bench import (
    DONE,
    END,
    FINISH,
    HEAD,
    MS,
    REASONING,
    ROLE,
    TOKEN,
    Bench,
    body_of,
    chunk,
    delta,
    event,
    usage,
)
from helpers.cuts import cut_at

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.http import retry_after
from llmstress.engine.http.ratelimits import limits_in
from llmstress.engine.stream.linger import LONGEST_NS

BODY = body_of(ROLE, TOKEN, REASONING, TOKEN, FINISH, usage(3), DONE)
"""The body of a good stream."""
JSON_ANSWER = json.dumps(
    {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 7}}
).encode()


def answer(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]) + b"\r\n\r\n" + body


def coded(coding: bytes, body: bytes) -> bytes:
    return HEAD[:-2] + b"Content-Encoding: " + coding + b"\r\n\r\n" + chunk(body[:30]) + chunk(body[30:]) + END


def flushed(*parts: bytes, wbits: int = 31) -> bytes:
    encoder = zlib.compressobj(wbits=wbits)
    return b"".join(encoder.compress(part) + encoder.flush(zlib.Z_SYNC_FLUSH) for part in parts) + encoder.flush()


CORPUS = (
    HEAD + ROLE + TOKEN + TOKEN + REASONING + FINISH + usage(3) + DONE + END,
    HEAD + TOKEN + delta(content="b", index=1) + delta(finish="length", content="c") + END,
    HEAD + TOKEN + event({"error": {"message": "boom"}}) + DONE + END,
    HEAD + TOKEN + chunk(b": ping\n\n") + event({"type": "new"}) + delta(finish="content_filter") + END,
    HEAD + chunk(b"event: error\r\ndata: {}\r\n\r\n") + END,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + BODY,
    HEAD + b'4;x="y"\r\ndata\r\n' + chunk(BODY[4:]) + b"0\r\nX-Sum: 1\r\n\r\n",
    answer(BODY, b"Content-Type: text/event-stream"),
    answer(JSON_ANSWER, b"Content-Type: application/json"),
    answer(gzip.compress(JSON_ANSWER, mtime=0), b"Content-Encoding: gzip"),
    answer(b'{"error":{"code":"insufficient_quota"}}', status=b"429 No"),
    answer(gzip.compress(b'{"error":"billing"}', mtime=0), b"Content-Encoding: gzip", status=b"429 No"),
    answer(b"<html>", status=b"503 No"),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    coded(b"gzip", gzip.compress(BODY, mtime=0)),
    coded(b"gzip", flushed(BODY[:200], BODY[200:])),
    coded(b"deflate", zlib.compress(BODY)),
    coded(b"deflate", flushed(BODY[:200], BODY[200:], wbits=-15)),
    coded(b"gzip, br", b"x"),
)
"""Answers of every kind: what is to be mutated."""

EVENTS = {
    "openai-completions": [
        b'data: {"choices":[{"index":0,"text":"a","finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"text":"b","finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}],"usage":{"completion_tokens":3}}\n\n',
        b"data: [DONE]\n\n",
    ],
    "openai-responses": [
        b'event: response.created\ndata: {"type":"response.created","response":{"status":"in_progress"}}\n\n',
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n',
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"b"}\n\n',
        b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":{"output_tokens":3}}}\n\n',
    ],
    "anthropic": [
        b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"b"}}\n\n',
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ],
    "sse": [b"data: a\n\n", b'data: "b"\n\n', b"data: c\n\n", b": ping\n\n", b"data: [DONE]\n\n"],
    "text": [b"once", b" upon", b" a time"],
    "openai-embeddings": [b'{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":2}}'],
    "http": [b'{"a":', b"1}"],
}
"""API -> the body of a good answer in pieces: one of its events each, if it has events."""


WAITS = (
    b"1500",
    b"2.5, 3",
    b"1h6m0.5s",
    b"Wed, 21 Oct 2026 07:28:00 GMT",
    b"2026-10-21T07:28:00.123456789Z",
    b'{"retryDelay": "5.723s"}',
)
"""When to come back, in all forms that providers use."""

PLAIN_HEAD = HEAD.replace(b"text/event-stream", b"text/plain")


_WAIT_HEADERS = (
    *("retry-after", "retry-after-ms", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"),
    *("x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
)


def check_waits(text: str) -> None:
    """Whatever a server says of when to come back, it is a wait of bounded length, and no count is negative."""
    for name in _WAIT_HEADERS:
        asked = retry_after.requested_wait_s({name: text}, text, 1e9, throttled=True)
        assert asked is None or 0 <= asked <= retry_after.MAX_REQUESTED_WAIT_S, (name, asked)
    for said in limits_in(dict.fromkeys(_WAIT_HEADERS, text)):
        assert (said.limit or 0) >= 0 <= (said.remaining or 0)


def check_vectors(body: bytes) -> None:
    """The numbers of vectors that are passed over change nothing, unless they are none: then nobody looks."""
    api = make_api("openai-embeddings", Ask())
    escaped = body.replace(b'"embedding"', rb'"\u0065mbedding"')  # a name that only a decoder recognises
    full = api.read_answer(escaped)
    if not full.malformed.startswith("not JSON"):
        assert api.read_answer(body) == full, full


class Seen(NamedTuple):
    """What became of a request."""

    ended: dict[str, int]
    events: int
    output: int
    unknown: int
    kept: bool


def outcome(
    reads: Iterable[bytes], *, lost: bool, fast: bool = True, streamed: bool = True, api: str = "openai-chat"
) -> Seen:
    """Let a request be answered so; checks what must hold whatever the answer is.

    `lost`: the connection is closed at the end, and cut off by the run's end otherwise.
    """
    bench = Bench(streamed=streamed, api=api)
    bench.begin()
    ms = 100.0
    for data in reads:
        if bench.freed:
            break
        if not fast:
            bench.stream.fast = None
        bench.read(ms, data)
    ended_at_once = len(bench.freed)
    if not bench.freed:
        exchange = bench.stream.exchange
        assert exchange is not None
        if exchange.done_at:
            bench.now += LONGEST_NS + MS
            bench.stream.check(bench.now)
            assert bench.freed
        elif lost:
            bench.lose(None)
            assert bench.freed
        else:
            bench.stream.cut(bench.now)
    kept = bench.stream.link is not None and ended_at_once == 1
    part = bench.steady()
    # what comes after the end ends nothing once more
    bench.lose(None)
    bench.stream.check(bench.now)
    bench.stream.cut(bench.now)
    assert not bench.steady().ended
    assert bench.stream.exchange is None
    assert bench.recorder.open == 0
    assert part.counters.started == 1 == sum(part.ended.values())
    assert len(bench.freed) == 1
    assert bench.redials == 0
    counters = part.counters
    if "ok" in part.ended and bench.api.streamed and not counters.stream_ignored:
        assert counters.events > 0 or counters.without_text
    itl = part.latency.get("itl")
    assert (0 if itl is None else itl.count) <= max(0, counters.events - 1)
    return Seen(part.ended, counters.events, counters.output, counters.events_unknown, kept)


def wires_of(api: str) -> list[bytes]:
    """Good answers of an API: in chunks, and as long as they say."""
    chunked = HEAD if api in ("openai-completions", "openai-responses", "anthropic", "sse") else PLAIN_HEAD
    return [chunked + b"".join(map(chunk, EVENTS[api])) + END, answer(b"".join(EVENTS[api]))]


def check(wire: bytes, cuts: Iterable[int], *, lost: bool, streamed: bool = True, api: str = "openai-chat") -> None:
    """However `wire` is cut, the class and the counts are the same, and neither way raises."""
    pieces = [piece for piece in cut_at(wire, cuts) if piece]
    whole = outcome([wire] if wire else [], lost=lost, streamed=streamed, api=api)
    cut = outcome(pieces, lost=lost, streamed=streamed, api=api)
    slow = outcome(pieces, lost=lost, fast=False, streamed=streamed, api=api)
    assert cut == slow, (cut, slow)
    if api == "text":  # its events are the reads
        assert cut.ended == whole.ended, (cut, whole)
        return
    # what has ended doesn't hear of the bytes that come later, and whether the connection lives may hang on those
    assert cut[:-1] == whole[:-1], (cut, whole)
