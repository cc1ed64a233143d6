"""Servers that misbehave: each fault ends as exactly one class, and the other streams don't notice."""

import gzip
import logging
import zlib
from collections.abc import Iterator

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, MS, ROLE, TOKEN, answer, chunk, delta, event, usage
from helpers.faulty_servers import (
    CUT,
    GOOD,
    STREAM,
    Drip,
    Fault,
    Script,
    Step,
    gone,
    head,
    kept,
    scene,
    serving,
    suffer,
)
from helpers.live_load import live

from llmstress.engine.control import Timeouts

ASKED, HEARD, HANG = Step.ASKED, Step.HEARD, Step.HANG
CLOSE, RESET, PLAIN = Step.CLOSE, Step.RESET, Step.PLAIN
MIB = 1 << 20


def chunked(body: bytes, *lines: str) -> bytes:
    return head("Content-Type: text/event-stream", "Transfer-Encoding: chunked", *lines) + chunk(body) + END


def flushed(*parts: bytes, wbits: int = 31) -> tuple[bytes, ...]:
    """A compressed body, each part of it flushed."""
    encoder = zlib.compressobj(wbits=wbits)
    pieces = [encoder.compress(part) + encoder.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    return (*pieces[:-1], pieces[-1] + encoder.flush())


def coded(coding: str, *parts: bytes) -> Script:
    """A good head, then each part in a chunk of its own."""
    return (
        ASKED,
        head("Content-Type: text/event-stream", "Transfer-Encoding: chunked", f"Content-Encoding: {coding}"),
        *map(chunk, parts[:-1]),
        chunk(parts[-1]) + END,
    )


def late(ends: str, *script: bytes | Step | Drip, first: int = 0, idle: int = 0, total: int = 0, ms: int = 0) -> Fault:
    """Limits in seconds."""
    limits = Timeouts(0, *(seconds * 1000 * MS for seconds in (first, idle, total)))
    return Fault(ends, False, (ASKED, *script, HANG), limits, ms or 1000 * max(first, idle, total) + 1000)


CONNECTION = {
    "closed on accept": Fault("reset", False, (CLOSE,)),
    "reset on accept": Fault("reset", False, (RESET,)),
    "closed before the status": gone("reset", CLOSE),
    "reset before the status": gone("reset", RESET),
    "closed within the status line": gone("reset", b"HTTP/1.1 2", CLOSE),
    "reset within the head": gone("reset", b"HTTP/1.1 200 OK\r\nX: y\r\n", RESET),
    "closed after 100 Continue": gone("reset", b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE),
    "closed after the head": gone("truncated", HEAD, CLOSE),
    "reset after the head": gone("truncated", HEAD, RESET),
    "closed in mid-chunk": gone("truncated", HEAD + TOKEN + TOKEN[:-9], CLOSE),
    "reset in mid-chunk": gone("truncated", HEAD + TOKEN + TOKEN[:-9], RESET),
    "closed within a chunk size": gone("truncated", HEAD + TOKEN + b"4", CLOSE),
    "closed between chunks": gone("truncated", HEAD + TOKEN, CLOSE),
    "reset between chunks": gone("truncated", HEAD + TOKEN, RESET),
    "closed in mid-body, Content-Length": gone("truncated", answer("200 OK", STREAM)[:-60], CLOSE),
    "reset in mid-body, Content-Length": gone("truncated", answer("200 OK", STREAM)[:-60], RESET),
    "closed in mid-body, close-delimited": gone("truncated", head() + CUT[:-20], CLOSE),
    "reset in mid-body, close-delimited": gone("truncated", head() + CUT[:-20], RESET),
    "ended without finish signal, chunked": kept("truncated", HEAD + ROLE + TOKEN + END),
    "ended without finish signal, Content-Length": kept("truncated", answer("200 OK", CUT)),
    "ended without finish signal, close-delimited": gone("truncated", head() + CUT, CLOSE),
    "[DONE] without finish signal": kept("ok", HEAD + TOKEN + DONE + END),
    "[DONE] without finish signal or token": kept("truncated", HEAD + ROLE + DONE + END),
    "an empty body, chunked": kept("truncated", HEAD + END),
    "an empty body, Content-Length": kept("truncated", answer("200 OK", b"")),
    "an empty body, close-delimited": gone("truncated", head(), CLOSE),
    "a JSON answer reset in its middle": gone("truncated", head() + b'{"choices":[{"mess', RESET),
    "a JSON answer closed in its middle": gone("truncated", head() + b'{"choices":[{"mess', CLOSE),
    "closed after the finish signal": gone("ok", HEAD + TOKEN + FINISH, CLOSE),
    "reset after the finish signal": gone("ok", HEAD + TOKEN + FINISH, RESET),
    "reset after [DONE]": gone("ok", HEAD + TOKEN + FINISH + DONE, RESET),
    "closed after a good answer": gone("ok", GOOD, CLOSE)._replace(stale=1),
    "reset after a good answer": gone("ok", GOOD, RESET)._replace(stale=1),
    "a stale kept-alive connection, closed": Fault("ok", False, (ASKED, GOOD, ASKED, CLOSE), stale=1),
    "a stale kept-alive connection, reset": Fault("ok", False, (ASKED, GOOD, ASKED, RESET), stale=1),
    "a kept-alive connection lost in the second head": Fault(
        "reset", False, (ASKED, GOOD, ASKED, b"HTTP/1.1 200", CLOSE)
    ),
}

HTTP = {
    "garbage instead of HTTP": gone("malformed", b"\x00\xff\x13garbage" * 50),
    "a TLS alert instead of HTTP": gone("malformed", b"\x15\x03\x01\x00\x02\x02\x46", CLOSE),
    "a banner on accept": Fault("malformed", False, (b"SSH-2.0-OpenSSH_9.2\r\n",)),
    "HTTP/2 instead of HTTP/1.1": gone("malformed", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", CLOSE),
    "HTTP/0.9": gone("malformed", b"<html>hello</html>", CLOSE),
    "a status that is none": gone("malformed", head(status="2OO OK")),
    "a header without a colon": gone("malformed", head("no colon")),
    "a bad chunk size": gone("malformed", HEAD + TOKEN + b"xyz\r\n"),
    "a negative chunk size": gone("malformed", HEAD + TOKEN + b"-5\r\nhello\r\n"),
    "a huge chunk size": gone("malformed", HEAD + TOKEN + b"f" * 17 + b"\r\n"),
    "a huge chunk size of 64 bits, then closed": gone("truncated", HEAD + b"f" * 16 + b"\r\n" + CUT, CLOSE),
    "a chunk size line that never ends": gone("malformed", HEAD + b"5;" + b"x" * 5000),
    "a chunk longer than its size": gone("malformed", HEAD + b"4\r\nhello\r\n"),
    "a chunk shorter than its size": gone("malformed", HEAD + TOKEN + b"40\r\nshort\r\n" + 20 * TOKEN),
    "a bad chunk size after [DONE]": gone("ok", HEAD + TOKEN + FINISH + DONE + b"xyz\r\n"),
    "a negative Content-Length": gone("malformed", head("Content-Length: -1") + STREAM),
    "a huge Content-Length": gone("malformed", head("Content-Length: " + "9" * 30) + STREAM),
    "lengths that differ": gone("malformed", head("Content-Length: 5", "Content-Length: 6") + STREAM),
    "chunked and Content-Length at once": gone(
        "ok", head("Content-Length: 5", "Transfer-Encoding: chunked") + GOOD[len(HEAD) :]
    ),
    "chunk extensions": kept("ok", HEAD + GOOD[len(HEAD) :].replace(b"\r\n", b';x="y;z"\r\n', 1)),
    "trailers": kept("ok", GOOD[:-2] + b"X-Sum: 1\r\nConnection: close\r\n\r\n"),
    "trailers over 64 KiB after [DONE]": gone("ok", GOOD[:-2] + b"X: y\r\n" * 20_000),
    "1xx before the answer": kept(
        "ok", head(status="100 Continue"), head("Link: </x>", status="103 Early Hints"), head(status="102 P") + GOOD
    ),
    "odd header case": kept(
        "ok", head("tRANSFER-eNCODING: ChunKed", "CONTENT-TYPE: Text/Event-Stream") + GOOD[len(HEAD) :]
    ),
    "bare LF instead of CRLF": kept("ok", head("Transfer-Encoding: chunked").replace(b"\r", b"") + GOOD[len(HEAD) :]),
    "folded headers": kept("ok", head("X: a\r\n Content-Length: 3", "Transfer-Encoding: chunked") + GOOD[len(HEAD) :]),
    "NUL in a header": kept("ok", head("X: a\0b", "Transfer-Encoding: chunked") + GOOD[len(HEAD) :]),
    "HTTP/1.0, close-delimited": gone("ok", head(version="1.0") + STREAM, CLOSE),
    "HTTP/1.0, Content-Length": gone("ok", head(f"Content-Length: {len(STREAM)}", version="1.0") + STREAM),
    "HTTP/1.0, keep-alive": kept(
        "ok", head("Connection: keep-alive", f"Content-Length: {len(STREAM)}", version="1.0") + STREAM
    ),
    "HTTP/1.0, chunked": gone("ok", head("Transfer-Encoding: chunked", version="1.0") + GOOD[len(HEAD) :]),
    "no content type": kept("ok", head("Transfer-Encoding: chunked") + GOOD[len(HEAD) :]),
    "a JSON content type on a stream": kept("ok", answer("200 OK", STREAM, "Content-Type: application/json")),
    "surplus bytes after the body": gone("ok", GOOD + b"HTTP/1.1 200 OK\r\n\r\n"),
    "Connection: close with chunked": gone("ok", chunked(STREAM, "Connection: close")),
    "an answer before the request": Fault("http_503", False, (answer("503 No", b"busy", "Connection: close"), CLOSE)),
    "an answer before the request, then reset": Fault("http_413", False, (answer("413 No", b"too large"), RESET)),
    "[DONE] but the body never ends": Fault("ok", False, (ASKED, HEAD + TOKEN + FINISH + DONE, HANG), ms=1000),
    "pings after [DONE] for ever": Fault(
        "ok", False, (ASKED, HEAD + TOKEN + FINISH + DONE, Drip(chunk(b": ping\n\n") * 9), HANG), ms=2000
    ),
    "1 MB of headers": gone("malformed", head(*(f"X-{n}: {'y' * 1000}" for n in range(1000))) + GOOD),
    "one header of 1 MB": gone("malformed", head("X: " + "y" * MIB) + GOOD),
    "1 MB of 1xx": kept("ok", head("X: " + "y" * 1000, status="100 Continue") * 1000 + GOOD),
    "204": kept("http_204", head(status="204 No Content")),
    "204 with a body": gone("http_204", head(status="204 No Content") + b"hello"),
    "304": kept("http_304", head(status="304 Not Modified")),
    "101": gone("http_101", head("Upgrade: x", status="101 Switching Protocols") + b"\x81\x00"),
    "205": kept("truncated", answer("205 Reset Content", b"")),
    "a redirect": kept("http_307", answer("307 Go", b"", "Location: /elsewhere")),
    "a redirect with a body": kept("http_301", answer("301 Go", b"<html>moved</html>", "Location: //127.0.0.2/")),
    "a redirect loop": kept(
        "http_308",
        answer("308 Go", b"", "Location: /v1/chat/completions"),
        ASKED,
        answer("308 Go", b"", "Location: /v1/chat/completions"),
        ASKED,
        answer("308 Go", b"", "Location: /v1/chat/completions"),
        times=3,
    ),
}

STATUSES = {
    f"{status} with {kind}": (kept if len(body) < MIB else gone)(ends, answer(f"{status} No", body, *lines))
    for status, ends in {
        400: "http_400",
        401: "http_401",
        404: "http_404",
        429: "rate_limited",
        500: "http_500",
        503: "http_503",
        529: "rate_limited",
    }.items()
    for kind, body, lines in (
        ("JSON", b'{"error":{"message":"no","code":"slow_down"}}', ["Content-Type: application/json"]),
        ("HTML", b"<html><body>no</body></html>", ["Content-Type: text/html"]),
        ("an empty body", b"", []),
        ("1 MB", b"x" * MIB, []),
    )
} | {
    "402": kept("quota", answer("402 Pay", b"{}")),
    "429 that means money": kept("quota", answer("429 No", b'{"error":{"code":"insufficient_quota"}}')),
    "500 in chunks": kept("http_500", head("Transfer-Encoding: chunked", status="500 No") + chunk(b"no") + END),
    "500 without a length": gone("http_500", head(status="500 No") + b"no", CLOSE),
    "500 that is cut short": gone("http_500", answer("500 No", b"no more")[:-3], CLOSE),
    "500 that is reset": gone("http_500", answer("500 No", b"no more")[:-3], RESET),
    "500 with a bad chunk size": gone("http_500", head("Transfer-Encoding: chunked", status="500 No") + b"zz\r\n"),
    "500 with events in it": kept("http_500", head("Transfer-Encoding: chunked", status="500 No") + GOOD[len(HEAD) :]),
    "500 that never ends": late("http_500", head("Content-Length: 9", status="500 No"), idle=2),
    "429 in gzip that means money": kept(
        "quota", answer("429 No", gzip.compress(b"insufficient_quota"), "Content-Encoding: gzip")
    ),
    "503 that claims gzip and is not": kept("http_503", answer("503 No", b"<html>", "Content-Encoding: gzip")),
    "503 in br": kept("http_503", answer("503 No", b"\x0b\x02\x80", "Content-Encoding: br")),
}


def nested(depth: int) -> bytes:
    return event(b'{"id":' + b"[" * depth + b"]" * depth + b"}")


MEANING = {
    "malformed JSON": kept("malformed", HEAD + TOKEN + event(b'{"choices":[') + DONE + END),
    "malformed JSON, and no end": gone("malformed", HEAD + TOKEN + event(b'{"choices":[')),
    "JSON of another shape": kept(
        "ok", HEAD + TOKEN + event({"x": 1}) + event([1]) + event({"choices": 5}) + FINISH + END
    ),
    "invalid UTF-8": kept(
        "ok", HEAD + event(b'{"choices":[{"delta":{"content":"\xff\xc3"}}]}') + event(b'{"\xff":1}') + FINISH + END
    ),
    "nothing but bytes that are no UTF-8": kept("truncated", HEAD + event(b"\xff\xfe") + END),
    "nesting as deep as may be": kept("ok", HEAD + TOKEN + nested(200) + FINISH + END),
    "deep nesting": kept("malformed", HEAD + TOKEN + nested(100_000) + END),
    "a number of 100,000 digits": kept("ok", HEAD + TOKEN + event(b'{"id":' + b"9" * 100_000 + b"}") + FINISH + END),
    "null usage": kept(
        "ok", HEAD + TOKEN + event({"choices": [], "usage": None}) + event({"usage": None}) + FINISH + END
    ),
    "events after the end": kept(
        "ok", HEAD + TOKEN + FINISH + DONE + TOKEN + event(b"{junk") + event({"error": "late"}) + usage(1) + END
    ),
    "an error event": kept("stream_error", HEAD + TOKEN + event({"error": {"message": "boom"}}) + DONE + END),
    "an error event by name": kept("stream_error", HEAD + chunk(b"event: error\ndata: boom\n\n") + END),
    "an error that is a string": kept("stream_error", HEAD + event({"error": "boom"}) + END),
    "an error as the finish reason": kept("stream_error", HEAD + TOKEN + delta(finish="error") + DONE + END),
    "a JSON error instead of a stream": kept(
        "stream_error", answer("200 OK", b'{"error":{"message":"boom"}}', "Content-Type: application/json")
    ),
    "a JSON error under the name of a stream": kept("stream_error", HEAD + chunk(b'{"error":"boom"}') + END),
    "a JSON error after blanks": kept("stream_error", HEAD, chunk(b"\r\n "), chunk(b'{"error":"boom"}') + END),
    "JSON of another shape instead of a stream": kept(
        "malformed", answer("200 OK", b'{"hello":1}', "Content-Type: application/json")
    ),
    "HTML instead of a stream": kept("malformed", answer("200 OK", b"<html>log in</html>", "Content-Type: text/html")),
    "a JSON answer over 16 MiB": gone("malformed", head() + b'{"a":"' + b"x" * 17 * MIB),
    "an empty completion": kept("empty", HEAD + ROLE + FINISH + DONE + END),
    "an empty completion of the allowed length": kept("empty", HEAD + delta(finish="length") + usage(64, 64) + END),
    "a completion of a token without text": kept("ok", HEAD + delta(finish="length") + usage(1) + END),
    "moderation": kept("filtered", HEAD + TOKEN + delta(finish="content_filter") + DONE + END),
    "moderation before any token": kept("filtered", HEAD + delta(finish="content_filter") + DONE + END),
    "a line that never ends": gone("malformed", HEAD + b"%x\r\n" % (1 << 40) + b"data: " + b"x" * 17 * MIB),
    "an event that never ends": gone("malformed", HEAD + b"%x\r\n" % (1 << 40) + b"data: xxxxxxxxx\n" * (19 << 16)),
    "comments for ever": late("timeout_first_token", HEAD, Drip(chunk(b": ping\n\n") * 2), first=4),
}

STALLS = {
    "a stall on accept": late("timeout_first_token", first=2)._replace(script=(HANG,)),
    "a stall before the head": late("timeout_first_token", first=2),
    "a stall before the head, longer than the idle limit": late("timeout_first_token", first=4, idle=2),
    "a stall within the head": late("timeout_first_token", HEAD[:40], first=2),
    "a stall before the first token": late("timeout_first_token", HEAD + ROLE, first=2, idle=9),
    "a stall in mid-stream": late("timeout_idle", HEAD + TOKEN + TOKEN, first=2, idle=2),
    "a stall in mid-event": late("timeout_idle", HEAD + TOKEN + TOKEN[:20], idle=2),
    "a stall in mid-stream, by the total limit": late("timeout_total", HEAD + TOKEN, idle=9, total=3),
    "a stall after the finish signal": late("ok", HEAD + TOKEN + FINISH, idle=2),
    "one byte a second, the head": late("timeout_first_token", Drip(HEAD), first=6, idle=3),
    "one byte a second, before the first token": late("timeout_first_token", HEAD, Drip(TOKEN), first=6, idle=3),
    "one byte a second, after the first token": late("timeout_idle", HEAD + TOKEN, Drip(TOKEN), first=2, idle=5),
    "one byte a second, by the total limit": late("timeout_total", HEAD, Drip(TOKEN), total=5),
    "one byte a second, after the finish signal": Fault(
        "ok", False, (ASKED, HEAD + TOKEN + FINISH, Drip(END), HANG), Timeouts(0, 0, 9000 * MS, 0), 3000
    ),
    "one byte a second, after [DONE]": Fault("ok", False, (ASKED, GOOD[:-5], Drip(END), HANG), ms=3000),
}

CODINGS = {
    "gzip": Fault("ok", True, coded("gzip", *flushed(ROLE[4:-2], CUT, STREAM))),
    "gzip in one piece": Fault("ok", True, coded("gzip", gzip.compress(STREAM))),
    "x-gzip of several members": Fault("ok", True, coded("x-gzip", gzip.compress(CUT), gzip.compress(STREAM))),
    "deflate with zlib's wrapping": Fault("ok", True, coded("deflate", *flushed(CUT, STREAM, wbits=15))),
    "bare deflate": Fault("ok", True, coded("deflate", *flushed(CUT, STREAM, wbits=-15))),
    "gzip cut short after the finish signal": Fault("ok", True, coded("gzip", gzip.compress(STREAM)[:-8])),
    "gzip cut short": Fault("truncated", True, coded("gzip", flushed(CUT, STREAM)[0])),
    "gzip, then closed": gone("truncated", head("Content-Encoding: gzip"), flushed(CUT, STREAM)[0], CLOSE),
    "gzip with a bad sum": Fault("ok", True, coded("gzip", gzip.compress(STREAM)[:-8] + bytes(8))),
    "a body that claims gzip and is not": Fault("malformed", True, coded("gzip", STREAM)),
    "a body that claims deflate and is not": Fault("malformed", True, coded("deflate", b"\xff" + STREAM)),
    "a body that stops being gzip": Fault("malformed", True, coded("gzip", flushed(CUT, b"")[0], b"\xff" * 20)),
    "gzip in gzip": Fault("malformed", False, coded("gzip, gzip", gzip.compress(gzip.compress(STREAM)))),
    "br": Fault("malformed", False, coded("br", b"\x0b\x02\x80")),
    "zstd": Fault("malformed", False, coded("zstd", b"\x28\xb5\x2f\xfd")),
    "a bomb": Fault("malformed", True, coded("gzip", gzip.compress(b"\n" * 17 * MIB))),
    "a JSON error in gzip": kept(
        "stream_error", answer("200 OK", gzip.compress(b'{"error":"boom"}'), "Content-Encoding: gzip")
    ),
}

FAULTS: dict[str, Fault] = {**CONNECTION, **HTTP, **STATUSES, **MEANING, **STALLS, **CODINGS}


@pytest.fixture(autouse=True)
def _nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=[f"{name}: {fault.ends}" for name, fault in FAULTS.items()])
@live
async def test_a_fault_ends_as_its_class_and_nobody_else_notices(fault: Fault) -> None:
    async with serving(fault.script) as server, scene(server, timeouts=fault.limits) as made:
        await suffer(made, fault)
