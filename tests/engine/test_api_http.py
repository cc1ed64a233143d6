"""Plain requests: any method; every 2xx answer is ok; an answer with the Content-Type of JSON must be JSON."""

import pytest
from helpers.bench import Bench, values
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, anything, check_api, nested
from hypothesis import given

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.http import Http
from llmstress.engine.api.meaning import Meaning

GOOD = Meaning(finish="end of body", tokenless=True)

BODIES = {
    "JSON": (b'{"a":1}', "application/json", True),
    "JSON of a kind of its own": (b"[]", "application/problem+json; charset=utf-8", True),
    "JSON in capitals": (b"1", "Application/JSON", True),
    "half a surrogate pair": (b'"\\ud83d"', "application/json", True),
    "an error is no error of HTTP": (b'{"error":"boom"}', "application/json", True),
    "an empty body": (b"", "application/json", True),
    "broken JSON with its type": (b'{"a":', "application/json", False),
    "HTML with the type of JSON": (b"<html>", "application/json", False),
    "anything without a type": (b'{"a":', "", True),
    "anything of another type": (b"<html>", "text/html", True),
    "lines of JSON": (b"{}\n{}", "application/x-ndjson", True),
    "bytes": (b"\xff\x00", "application/octet-stream", True),
}


@pytest.mark.parametrize(("body", "kind", "good"), BODIES.values(), ids=BODIES)
def test_the_meaning_of_an_answer(body: bytes, kind: str, good: bool) -> None:
    event = Http(Ask()).read_answer(body, kind)
    assert event == (GOOD if good else Meaning(malformed=event.malformed))
    assert bool(event.malformed) != good


@examples(200)
@given(data=anything([{"a": [1]}]), name=NAMES)
def test_any_data_has_a_meaning(data: bytes, name: bytes) -> None:
    check_api(Http(Ask()), data, name)


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
def test_no_depth_of_nesting_raises(depth: int) -> None:
    for data in nested("a", depth):
        check_api(Http(Ask()), data)


ENDS = {
    "200": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", True),
    "200 in chunks": ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", True),
    "200 without a body": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "ok", True),
    "200 of blanks": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\r\n", "ok", True),
    "204": ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", "ok", True),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", "ok", True),
    "an event stream is a body": (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: a\n\n",
        "ok",
        True,
    ),
    "404": ("GET", b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "http_404", True),
    "a redirect": ("GET", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "http_302", True),
    "429": ("GET", b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", "rate_limited", True),
    "cut off": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "truncated", False),
    "bad JSON": (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\noops",
        "malformed",
        True,
    ),
}


@pytest.mark.parametrize(("method", "answer", "outcome", "kept"), ENDS.values(), ids=ENDS)
def test_how_a_request_ends(method: str, answer: bytes, outcome: str, kept: bool) -> None:
    for size in (len(answer), 1, 7):
        bench = Bench(api="http", ask=Ask(method=method))
        bench.begin()
        for at in range(0, len(answer), size):
            bench.read(200, answer[at : at + size])
        if not bench.freed:
            bench.lose(None)
        assert bench.steady().ended == {outcome: 1}
        assert bench.links[0].closed != kept


def test_what_is_measured() -> None:
    bench = Bench(api="http")
    bench.begin()
    bench.read(30, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    bench.read(40, b"good")
    part = bench.steady()
    assert values(part.latency, "ttfb") == [29]
    assert values(part.latency, "e2e") == [40]
    assert not {"ttft", "itl", "tpot"} & part.latency.keys()
    counters = part.counters
    assert (counters.output, counters.input, counters.inputs, counters.events) == (0, 0, 0, 0)
    assert counters.usage_seen == 1, "nothing had to be counted in events"
    assert counters.stream_ignored == 0


@pytest.mark.parametrize(
    ("ask", "method"),
    [(Ask(), "GET"), (Ask(body="x"), "POST"), (Ask(method="PATCH", body="x"), "PATCH"), (Ask(method="HEAD"), "HEAD")],
)
def test_the_method(ask: Ask, method: str) -> None:
    assert Http(ask).method == method
