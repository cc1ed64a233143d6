"""How a request ends, what becomes of its connection, and that the fast path means what the long way means."""

import gzip
import json
import zlib

import pytest
from helpers.bench import (
    BEGIN,
    DONE,
    END,
    FINISH,
    HEAD,
    MS,
    REASONING,
    ROLE,
    TOKEN,
    Bench,
    answer,
    body_of,
    chunk,
    delta,
    event,
    usage,
    values,
)
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.control import Timeouts
from llmstress.engine.outcome import End
from llmstress.engine.schedule import windows
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.messages import Delta

WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 7},
}


def as_json(value: object) -> bytes:
    return answer("200 OK", json.dumps(value).encode(), "Content-Type: application/json")


def coded(stream: bytes, how: str = "gzip") -> bytes:
    """A stream's head with one chunk of coded body."""
    return HEAD[:-2] + b"Content-Encoding: %b\r\n\r\n" % how.encode() + chunk(stream)


def flushed(data: bytes) -> bytes:
    """The beginning of a compressed body, with all of `data` in it."""
    encoder = zlib.compressobj(wbits=31)
    return encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH)


def packed(value: object) -> bytes:
    return json.dumps(value).encode()


STREAM = body_of(ROLE, TOKEN, TOKEN, TOKEN, FINISH, DONE)
"""The body of a good answer."""
GZIP = ("Content-Encoding: gzip", "Content-Type: application/json")

CLOSED = None
ERROR = ConnectionResetError()

ENDS = {
    "a finished stream": ([HEAD + ROLE, TOKEN, FINISH + DONE + END], ..., "ok", True),
    "a finish without [DONE]": ([HEAD + TOKEN + FINISH + END], ..., "ok", True),
    "a finish that brings the last token": ([HEAD, delta(content="x", finish="stop") + END], ..., "ok", True),
    "finished, then closed within the body": ([HEAD + TOKEN + FINISH], CLOSED, "ok", False),
    "finished, then reset": ([HEAD + TOKEN + FINISH + DONE], ERROR, "ok", False),
    "one of two choices finished, then closed": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH],
        CLOSED,
        "truncated",
        False,
    ),
    "the other one finished, then closed": (
        [HEAD + TOKEN + delta(index=1, content="b") + delta(index=1, finish="stop")],
        CLOSED,
        "truncated",
        False,
    ),
    "one of two choices finished, then the end of the body": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH + END],
        ...,
        "truncated",
        True,
    ),
    "one of two choices finished, then [DONE]": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH + DONE + END],
        ...,
        "ok",
        True,
    ),
    "both choices finished, then closed": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH + delta(index=1, finish="length")],
        CLOSED,
        "ok",
        False,
    ),
    "both choices finished in one event, then closed": (
        [
            HEAD + TOKEN + delta(index=1, content="b"),
            event({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"} for index in (0, 1)]}),
        ],
        CLOSED,
        "ok",
        False,
    ),
    "a choice finished without a word before the other began": (
        [HEAD + delta(index=1, finish="stop") + TOKEN],
        CLOSED,
        "truncated",
        False,
    ),
    "a choice finished twice, the other one never": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH + FINISH],
        CLOSED,
        "truncated",
        False,
    ),
    "one of two choices was moderated": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH + delta(index=1, finish="content_filter") + DONE + END],
        ...,
        "filtered",
        True,
    ),
    "moderation after the finish changes nothing": (
        [HEAD + TOKEN + FINISH + delta(finish="content_filter") + DONE + END],
        ...,
        "ok",
        True,
    ),
    "an error after the finish changes nothing": (
        [HEAD + TOKEN + FINISH + event({"error": {"message": "late"}}) + DONE + END],
        ...,
        "ok",
        True,
    ),
    "junk after the finish changes nothing": (
        [HEAD + TOKEN + FINISH + event(b"{junk") + DONE + END],
        ...,
        "ok",
        True,
    ),
    "an error after a finish without a token": (
        [HEAD + ROLE + FINISH + event({"error": {"message": "boom"}}) + DONE + END],
        ...,
        "stream_error",
        True,
    ),
    "an error after one of two choices has finished": (
        [HEAD + TOKEN + delta(index=1, content="b") + FINISH + event({"error": {"message": "boom"}}) + DONE + END],
        ...,
        "stream_error",
        True,
    ),
    "moderation": ([HEAD + TOKEN + delta(finish="content_filter") + DONE + END], ..., "filtered", True),
    "finished without a token": ([HEAD + ROLE + FINISH + DONE + END], ..., "empty", True),
    "[DONE] without a finish": ([HEAD + TOKEN + DONE + END], ..., "ok", True),
    "[DONE] without a finish or a token": ([HEAD + ROLE + DONE + END], ..., "truncated", True),
    "closed before the head": ([], CLOSED, "reset", False),
    "reset within the head": ([b"HTTP/1.1 200"], ERROR, "reset", False),
    "closed after the head": ([HEAD], CLOSED, "truncated", False),
    "closed within a chunk": ([HEAD + TOKEN[:-9]], CLOSED, "truncated", False),
    "the body ends without a finish": ([HEAD + TOKEN + END], ..., "truncated", True),
    "close-delimited, finished": (
        [
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            + b'data: {"choices":[{"delta":{"content":"a"},'
            b'"finish_reason":"stop"}]}\n\n'
        ],
        CLOSED,
        "ok",
        False,
    ),
    "close-delimited, cut": (
        [b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n'],
        CLOSED,
        "truncated",
        False,
    ),
    "a last event without its blank line": ([HEAD + TOKEN + FINISH + chunk(b"data: [DONE]") + END], ..., "ok", True),
    "an error in the stream": (
        [HEAD + TOKEN + event({"error": {"message": "boom"}}) + DONE + END],
        ...,
        "stream_error",
        True,
    ),
    "an error as a field of its own (llama.cpp)": (
        [HEAD + TOKEN + chunk(b'error: {"code":500,"message":"boom"}\n\n') + END],
        ...,
        "stream_error",
        True,
    ),
    "an error as bare JSON between events": (
        [HEAD + TOKEN + chunk(b'{"error": {"message": "boom"}}\n\n') + END],
        ...,
        "stream_error",
        True,
    ),
    "an error as bare JSON without a line's end": (
        [HEAD + TOKEN + chunk(b'{"error":"boom"}') + END],
        ...,
        "stream_error",
        True,
    ),
    "an error as the only field": ([HEAD + chunk(b'error: {"code":500}\n\n') + END], ..., "stream_error", True),
    "an error and its type (TGI)": (
        [HEAD + TOKEN + event({"error": "boom", "error_type": "overloaded"}) + END],
        ...,
        "stream_error",
        True,
    ),
    "a flat error, then [DONE] (SGLang)": (
        [HEAD + TOKEN + event({"object": "error", "message": "boom", "code": 500}) + DONE + END],
        ...,
        "stream_error",
        True,
    ),
    "comments of a queue, and usage with the last text (OpenRouter)": (
        [
            HEAD + chunk(b": OPENROUTER PROCESSING\n\n") * 3 + TOKEN,
            event(
                {
                    "choices": [{"delta": {"content": "."}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.1},
                }
            )
            + DONE
            + END,
        ],
        ...,
        "ok",
        True,
    ),
    "a bare JSON error in an event stream": ([HEAD + chunk(b'{"error":"boom"}') + END], ..., "stream_error", True),
    "a JSON error instead of a stream": ([as_json({"error": {"message": "boom"}})], ..., "stream_error", True),
    "a JSON answer instead of a stream": ([as_json(WHOLE)], ..., "ok", True),
    "JSON of another shape instead of a stream": ([as_json({"hello": 1})], ..., "malformed", True),
    "an empty body": ([answer("200 OK", b"", "Content-Type: text/event-stream")], ..., "truncated", True),
    "no HTTP": ([b"SSH-2.0-OpenSSH_9.2\r\n"], ..., "malformed", False),
    "a bad chunk size": ([HEAD + b"xyz\r\n"], ..., "malformed", False),
    "an event that is no JSON": ([HEAD + event(b"{oops") + DONE + END], ..., "malformed", True),
    "a compressed stream": ([coded(gzip.compress(STREAM)), END], ..., "ok", True),
    "a compressed stream of bare deflate": ([coded(zlib.compress(STREAM)[2:-4], "deflate") + END], ..., "ok", True),
    "a compressed stream without its end, finished": ([coded(gzip.compress(STREAM)[:-9]) + END], ..., "ok", True),
    "a compressed stream without its end": ([coded(gzip.compress(STREAM)[:60]) + END], ..., "truncated", True),
    "a compressed stream with a bad sum, finished": ([coded(gzip.compress(STREAM)[:-8] + bytes(8))], ..., "ok", False),
    "a compressed stream that breaks off": ([coded(gzip.compress(STREAM)[:60])], ERROR, "truncated", False),
    "a compressed stream that isn't one": ([coded(STREAM) + END], ..., "malformed", True),
    "a compressed stream that turns bad": ([coded(flushed(TOKEN) + b"\xff")], ..., "malformed", False),
    "a coding that can't be decoded": ([coded(STREAM, "br") + END], ..., "malformed", True),
    "two codings": ([coded(gzip.compress(gzip.compress(STREAM)), "gzip, gzip") + END], ..., "malformed", True),
    "a compressed JSON answer": ([answer("200 OK", gzip.compress(packed(WHOLE)), *GZIP)], ..., "ok", True),
    "a compressed JSON error": ([answer("200 OK", gzip.compress(b'{"error":"no"}'), *GZIP)], ..., "stream_error", True),
    "a compressed JSON answer without its end": (
        [answer("200 OK", gzip.compress(packed(WHOLE))[:-20], *GZIP)],
        ...,
        "truncated",
        True,
    ),
    "429": ([answer("429 Too Many Requests", b"slow down")], ..., "rate_limited", True),
    "429 that means money": ([answer("429 No", b'{"error":{"code":"insufficient_quota"}}')], ..., "quota", True),
    "402": ([answer("402 Payment Required", b"")], ..., "quota", True),
    "529": ([answer("529 Overloaded", b"{}")], ..., "rate_limited", True),
    "a compressed 429": ([answer("429 No", gzip.compress(b"slow down"), *GZIP)], ..., "rate_limited", True),
    "a compressed 429 that means money": (
        [answer("429 No", gzip.compress(b"insufficient_quota"), *GZIP)],
        ...,
        "quota",
        True,
    ),
    "a 429 that isn't compressed": ([answer("429 No", b"slow down", *GZIP)], ..., "rate_limited", True),
    "an error in a coding that can't be decoded": (
        [answer("503 No", b"\x0b\x02\x80", "Content-Encoding: br")],
        ...,
        "http_503",
        True,
    ),
    "503 with HTML": ([answer("503 Busy", b"<html>busy</html>")], ..., "http_503", True),
    "404": ([answer("404 Not Found", b'{"error":"no"}')], ..., "http_404", True),
    "204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], ..., "http_204", True),
    "a redirect": ([answer("307 Go", b"", "Location: /x")], ..., "http_307", True),
    "an error body cut short": ([b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\noh"], CLOSED, "http_500", False),
    "an error body without end": ([b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 70_000], ..., "http_500", False),
    "interim answers first": ([b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + TOKEN + FINISH + END], ..., "ok", True),
    "a server that closes": (
        [HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + TOKEN + FINISH + END],
        ...,
        "ok",
        False,
    ),
    "bytes after the end": ([HEAD + TOKEN + FINISH + END + b"HTTP/1.1 200"], ..., "ok", False),
    "usage and pings after [DONE]": (
        [HEAD + TOKEN + FINISH + DONE + usage(1) + chunk(b": ping\n\n") + event(b"{junk") + END],
        ...,
        "ok",
        True,
    ),
    "events with one newline between them": (
        [HEAD + chunk(TOKEN[4:-4] + b"\n" + FINISH[4:-4] + b"\n\n") + END],
        ...,
        "ok",
        True,
    ),
    "an unknown event on the way": ([HEAD + TOKEN + event({"type": "new"}) + FINISH + END], ..., "ok", True),
}


@pytest.mark.parametrize(("reads", "lost", "outcome", "kept"), ENDS.values(), ids=ENDS)
def test_each_ends_as_exactly_one_class(reads: list[bytes], lost: object, outcome: str, kept: bool) -> None:
    for sizes in (None, 1, 7):
        bench = Bench()
        bench.begin()
        for data in reads:
            for at in range(0, len(data), sizes or len(data)):
                if bench.freed:
                    break
                bench.read(200, data[at : at + (sizes or len(data))])
        if lost is not ...:
            assert bench.freed == []
            bench.lose(lost)  # type: ignore[arg-type]
        part = bench.steady()
        assert part.ended == {outcome: 1}
        assert bench.freed == [outcome not in ("ok", "filtered")]
        assert bench.recorder.open == 0
        if sizes is None:
            assert (bench.stream.link is not None) == kept
            assert bench.links[0].closed != kept


def test_a_read_that_would_burst_is_malformed() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, coded(gzip.compress(b"\n" * (17 << 20))))
    assert bench.steady().ended == {"malformed": 1}


def test_compressed_events_have_the_stamps_of_their_reads_and_take_no_short_cut() -> None:
    encoder = zlib.compressobj(wbits=31)

    def part(data: bytes) -> bytes:
        return chunk(encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH))

    bench = Bench()
    bench.begin()
    bench.read(200, coded(b"")[: -len(chunk(b""))])
    token = body_of(TOKEN)
    for ms in (210, 230, 260):
        bench.read(ms, part(token))
        assert bench.stream.fast is None
    bench.read(270, part(STREAM), END)
    part_of_run = bench.steady()
    assert part_of_run.ended == {"ok": 1}
    assert values(part_of_run.latency, "ttft") == [210]
    assert values(part_of_run.latency, "itl") == [0, 0, 10, 20, 30]
    assert part_of_run.counters.events_shared == 3


def test_the_words_of_a_compressed_error_are_read() -> None:
    bench = Bench()
    for body, header in ((gzip.compress(b"sk-secret is wrong"), "gzip"), (b"\x0b", "br")):
        bench.begin()
        bench.read(10, answer("401 No", body, f"Content-Encoding: {header}"))
    first, second = bench.cut().samples
    assert first.text == "*** is wrong"
    assert "'br'" in second.text
    assert "Accept-Encoding" in second.text


def test_a_failure_leaves_a_sample_without_secrets() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, answer("401 No", b"bad key sk-secret " + b"x" * 300, "X-Request-Id: r1"))
    [sample] = bench.cut().samples
    assert (sample.error, sample.status, sample.request_id) == ("http_401", 401, "r1")
    assert sample.text.startswith("bad key *** x")
    assert len(sample.text) <= 200


def test_three_distinct_samples_are_kept_of_a_class() -> None:
    bench = Bench()
    for number in (1, 1, 2, 3, 4):
        bench.begin()
        bench.read(1, answer("500 No", b"%d" % number))
    assert [sample.text for sample in bench.cut().samples] == ["1", "2", "3"]


def test_a_stale_connection_is_tried_once_more_and_counted() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.begin(20)
    bench.at(21).lose(ConnectionResetError())
    assert bench.redials == 1
    bench.connect()
    bench.read(30, HEAD + TOKEN + FINISH + END)
    part = bench.steady()
    assert part.ended == {"ok": 2}
    assert part.counters.stale_retries == 1
    assert part.counters.started == 2
    assert [link.written for link in bench.links] == [[b"REQUEST", b"REQUEST"], [b"REQUEST"]]


def test_a_stale_connection_is_not_tried_twice() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.begin(20)
    bench.lose(None)
    bench.connect()
    bench.lose(None)
    assert bench.redials == 1
    assert bench.steady().ended == {"ok": 1, "reset": 1}


def test_a_fresh_connection_is_not_tried_again() -> None:
    bench = Bench()
    bench.begin()
    bench.lose(None)
    assert bench.redials == 0
    assert bench.steady().ended == {"reset": 1}


def test_a_connection_whose_first_byte_was_read_is_not_tried_again() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.begin(20)
    bench.read(21, b"HTTP/1.1 100 Continue\r\n\r\n")
    bench.lose(None)
    assert bench.redials == 0
    assert bench.steady().ended == {"ok": 1, "reset": 1}


def test_bytes_while_idle_close_the_connection() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.read(20, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert bench.links[0].closed
    assert bench.stream.link is None
    assert bench.steady().ended == {"ok": 1}


def test_an_idle_connection_that_is_lost_ends_nothing() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.lose(None)
    assert bench.stream.link is None
    assert bench.steady().ended == {"ok": 1}


def test_no_connection_ends_the_request_in_its_class() -> None:
    bench = Bench()
    bench.stream.begin(bench.task.request(0), BEGIN)
    bench.at(5).stream.not_connected(End("connect_refused", "nobody there"))
    part = bench.steady()
    assert part.ended == {"connect_refused": 1}
    assert "connect" not in part.latency_failed


def test_what_is_in_flight_at_the_end_is_cancelled_and_its_samples_stay() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, HEAD + TOKEN)
    bench.read(220, TOKEN)
    bench.stream.cut(BEGIN + 230 * MS)
    part = bench.steady()
    assert part.ended == {"cancelled": 1}
    assert part.counters.output_cancelled == 2
    assert part.latency["itl"].count == part.latency["ttft"].count == 1
    assert "e2e" not in part.latency
    assert bench.links[0].closed


def test_what_has_finished_before_the_end_is_not_cancelled() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, HEAD + TOKEN + FINISH)
    bench.stream.cut(BEGIN + 230 * MS)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [200]


def test_a_secret_across_the_end_of_a_sample_is_redacted_too() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, answer("400 No", b"x" * 195 + b"sk-secret", "X-Request-Id: sk-secret" + "y" * 900))
    [sample] = bench.cut().samples
    assert "sk-" not in sample.text + sample.request_id
    assert len(sample.request_id) == 100


TIMEOUTS = Timeouts(connect_s=0, first_token_ns=1000 * MS, idle_ns=500 * MS, total_ns=3000 * MS)


@pytest.mark.parametrize(
    ("reads", "checks", "outcome"),
    [
        ([], (999, 1001), "timeout_first_token"),
        ([(300, HEAD), (700, chunk(b": ping\n\n"))], (999, 1001), "timeout_first_token"),
        ([(200, HEAD + TOKEN), (600, chunk(b": ping\n\n"))], (690, 710), "timeout_idle"),
        ([(ms, HEAD + TOKEN if ms == 400 else TOKEN) for ms in range(400, 3000, 400)], (3000, 3001), "timeout_total"),
        ([(200, answer("500 No", b"")[:-2])], (999, 1001), "timeout_first_token"),
        ([(200, b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n")], (400, 800), "http_500"),
        ([(200, HEAD + TOKEN + FINISH + DONE)], (600, 701), "ok"),
        ([(200, HEAD + TOKEN + DONE)], (690, 701), "ok"),
        ([(200, HEAD + DONE)], (690, 701), "truncated"),
        ([(200, HEAD + TOKEN + FINISH)], (690, 701), "ok"),
        ([(200, HEAD + FINISH), (700, chunk(b": ping\n\n"))], (999, 1001), "empty"),
    ],
    ids=[
        "nothing ever comes",
        "pings keep a stream alive only until its first token is due",
        "pings after the first token are no progress",
        "a stream that never ends",
        "a head that never ends",
        "a status that came before its body stalled",
        "a body that stays open after [DONE]",
        "a body that stays open after [DONE] without a finish",
        "a body that stays open after [DONE] alone",
        "a body that stays open after the finish, without [DONE]",
        "a finish before the first token may be revoked",
    ],
)
def test_time_limits(reads: list[tuple[float, bytes]], checks: tuple[float, float], outcome: str) -> None:
    bench = Bench(timeouts=TIMEOUTS)
    bench.begin()
    for ms, data in reads:
        bench.read(ms, data)
        bench.stream.check(bench.now)
    in_time, late = checks
    bench.at(in_time).stream.check(bench.now)
    assert bench.freed == []
    bench.at(late).stream.check(bench.now)
    assert bench.steady().ended == {outcome: 1}
    assert bench.links[0].closed


def test_an_answer_in_one_piece_has_tokens_but_no_ttft() -> None:
    bench = Bench(streamed=False)
    bench.begin()
    bench.read(200, as_json(WHOLE))
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert (part.counters.output, part.counters.output_streamed, part.counters.events) == (7, 0, 0)
    assert part.counters.stream_ignored == 0
    assert "ttft" not in part.latency
    assert part.latency["e2e"].count == 1


def test_a_stream_that_was_ignored_is_counted() -> None:
    bench = Bench()
    bench.begin()
    bench.read(200, as_json(WHOLE))
    assert bench.steady().counters.stream_ignored == 1


PIECES = st.sampled_from(
    [
        TOKEN,
        REASONING,
        ROLE,
        delta(content=""),
        delta(content="\n"),
        delta(content="é" * 30),
        delta(content="y" * 5000),
        delta(content="b", index=1),
        delta(finish="stop", index=1),
        event({"choices": [{"delta": {"content": "x"}}], "usage": {"completion_tokens": 3}}),
        event({"type": "unknown"}),
        chunk(b": ping\n\n"),
        chunk(b'data:{"choices":[{"delta":{"content":"no space"}}]}\n\n'),
        chunk(b'data: {"choices":[{"delta":{"content":"crlf"}}]}\r\n\r\n'),
        chunk(b'event: message\ndata: {"choices":[{"delta":{"content":"named"}}]}\n\n'),
        chunk(b'data: {"choices":[{"delta":\r{"content":"raw cr"}}]}\n\n'),
        chunk(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}\n\n'),
        TOKEN.upper().replace(b"DATA", b"data"),
        b"0" + TOKEN,
        FINISH,
        usage(5),
        DONE,
        END,
        b"zz\r\n",
    ]
)


def outcome_of(reads: list[bytes], *, fast: bool) -> Delta:
    bench = Bench()
    bench.begin()
    for number, data in enumerate(reads):
        if bench.freed:
            break
        if not fast:
            bench.stream.fast = None
        bench.read(100 + 10 * number, data)
    bench.at(100 + 10 * len(reads)).stream.cut(bench.now)
    made = bench.cut()
    for part in made.parts.values():
        part.counters.cpu_ns = 0
    return made


@examples(400)
@given(st.lists(st.lists(PIECES, max_size=5).map(b"".join), max_size=8))
def test_the_fast_path_means_what_the_long_way_means(reads: list[bytes]) -> None:
    reads = [HEAD + TOKEN, *reads]
    assert outcome_of(reads, fast=True) == outcome_of(reads, fast=False)


@examples(200)
@given(st.lists(PIECES, max_size=12), st.data())
def test_cuts_between_reads_don_t_change_the_end(pieces: list[bytes], data: st.DataObject) -> None:
    body = HEAD + TOKEN + b"".join(pieces)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(body) - 1), max_size=12)))
    reads = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole, split = outcome_of([body], fast=True), outcome_of(reads, fast=True)
    assert [part.ended for part in whole.parts.values()] == [part.ended for part in split.parts.values()]
    assert whole.parts[2].counters.events == split.parts[2].counters.events
    assert whole.parts[2].counters.output == split.parts[2].counters.output


def test_what_has_arrived_is_understood_in_slices_and_in_order() -> None:
    bench = Bench()
    bench.begin()
    bench.read(190, HEAD + TOKEN)
    for ms in (200, 220, 250):
        bench.at(ms).stream.data_received(TOKEN)
    bench.at(260).stream.data_received(FINISH + DONE + END)
    bench.at(300)
    bench.reads.process(2, bench.now)
    assert len(bench.reads.arrived) == 2
    assert bench.freed == []
    bench.reads.process(10, bench.now)
    assert not bench.reads.arrived
    part = bench.steady()
    assert values(part.latency, "itl") == [10, 20, 30]
    assert values(part.latency, "e2e") == [260], "the stamps are those of the reads"


def test_the_long_way_ends_a_slice_whose_time_is_over() -> None:
    bench = Bench()
    bench.begin()
    bench.at(200).stream.data_received(HEAD)
    bench.stream.data_received(TOKEN)
    bench.reads.process(10, bench.now - 1)
    assert len(bench.reads.arrived) == 1


def test_bytes_of_a_connection_that_was_given_up_are_not_the_next_one_s() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.begin(20)
    bench.at(21).stream.data_received(b"garbage")
    bench.stream.connection_lost(None)
    bench.stream.data_received(b"more of it")
    bench.reads.process(1, bench.now)
    assert bench.freed == [False, True], "no HTTP"
    bench.begin(30, sent=31)
    bench.reads.process(10, bench.now)
    bench.read(40, HEAD + TOKEN + FINISH + END)
    assert bench.steady().ended == {"ok": 2, "malformed": 1}
    assert len(bench.links) == 2


def test_bytes_that_came_before_the_request_was_sent_are_not_its_answer() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD + TOKEN + FINISH + END)
    bench.at(15).stream.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    bench.begin(20)
    bench.reads.process(10, bench.now)
    assert bench.redials == 1
    bench.connect()
    bench.read(40, HEAD + TOKEN + FINISH + END)
    assert bench.steady().ended == {"ok": 2}


def test_a_recorder_says_when_a_delta_could_not_be_sent() -> None:
    bench = Bench()
    bench.begin()
    first = bench.recorder.cut(bench.now, 0)
    bench.recorder.not_sent()
    bench.read(200, HEAD + TOKEN)
    second = bench.cut()
    assert (first.seq, second.seq, second.merged) == (0, 0, 1)
    assert second.parts[2].counters.started == 1
    assert second.parts[2].latency["ttft"].count == 1
    assert bench.cut().seq == 1


def test_open_requests_are_counted_at_their_most() -> None:
    recorder = Recorder(0, lambda: BEGIN)
    recorder.begin(BEGIN, windows(whole_run=True), tuple)
    for _ in range(3):
        recorder.samples(0).started()
    assert recorder.cut(BEGIN, 0).open_max == 3
