"""Plain text: the data of one read is an event, and the proper end of the body ends the answer."""

import pytest
from helpers.bench import END, Bench, chunk, values
from helpers.examples import examples
from helpers.read_ways import read_so, seen
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import NOTHING, TOKEN, Meaning
from llmstress.engine.api.text import Text, classify, read_answer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_any_bytes_are_text() -> None:
    assert classify(b"a") is classify(b" ") is classify(b"\n") is classify(b"\xe2\x82") is classify(b"{}") is TOKEN
    assert classify(b"") is NOTHING


def test_a_whole_text_is_one_token() -> None:
    assert read_answer(b"all of it") == Meaning(TOKEN.tokens, "end of body")
    assert read_answer(b"") == Meaning(finish="end of body")


def test_what_is_sent_is_a_template() -> None:
    api = Text(Ask(prompt='a "b"', body='{"text":"{prompt}"}'))
    assert (api.method, api.body(api.ask)) == ("POST", b'{"text":"a \\"b\\""}')


def measured(*reads: tuple[float, bytes]) -> Bench:
    bench = Bench(api="text")
    bench.begin()
    for ms, data in reads:
        bench.read(ms, data)
    return bench


def test_the_stamps_are_those_of_the_reads() -> None:
    bench = measured(
        (90, HEAD),
        (200, chunk(b"one")),
        (220, chunk("é".encode()[:1])),
        (250, chunk("é".encode()[1:]) + chunk(b"two")),
        (260, END),
    )
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert part.finish == {"end of body": 1}
    assert values(part.latency, "ttfb") == [89]
    assert values(part.latency, "ttft") == values(part.latency, "ttfa") == [200]
    assert values(part.latency, "itl") == [20, 30], "two chunks in one read are one event"
    assert values(part.latency, "tpot") == [25]
    assert values(part.latency, "e2e") == [260]
    assert (part.counters.events, part.counters.output, part.counters.usage_seen) == (3, 3, 0)


def test_text_that_comes_with_its_head_is_the_first_token() -> None:
    part = measured((90, HEAD + chunk(b"one")), (110, chunk(b"two") + END)).steady()
    assert values(part.latency, "ttft") == [90]
    assert values(part.latency, "itl") == [20]
    assert values(part.latency, "e2e") == [110]


def test_framing_alone_is_no_event() -> None:
    part = measured((90, HEAD), (100, b"5\r\n"), (110, b"hel"), (120, b"lo"), (130, b"\r\n"), (140, END)).steady()
    assert part.counters.events == 2
    assert values(part.latency, "ttft") == [110]


ENDS = {
    "a proper end": ([HEAD + chunk(b"a") + END], None, "ok"),
    "a body of known length": ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], None, "ok"),
    "a body that the connection's end ends": ([b"HTTP/1.1 200 OK\r\n\r\nhello"], None, "ok"),
    "JSON is text, too": ([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a":1}'], None, "ok"),
    "cut off between chunks": ([HEAD + chunk(b"a")], None, "truncated"),
    "cut off within a chunk": ([HEAD + b"9\r\nabc"], None, "truncated"),
    "reset": ([HEAD + chunk(b"a")], ConnectionResetError(), "truncated"),
    "a body that is too short": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"], None, "truncated"),
    "an empty body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], None, "empty"),
    "a status that is an error": ([b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"], None, "http_503"),
}


@pytest.mark.parametrize(("reads", "lost", "outcome"), ENDS.values(), ids=ENDS)
def test_how_an_answer_ends(reads: list[bytes], lost: Exception | None, outcome: str) -> None:
    for sizes in (None, 1, 7):
        bench = Bench(api="text")
        bench.begin()
        whole = b"".join(reads)
        for at in range(0, len(whole), sizes or len(whole)):
            if not bench.freed:
                bench.read(100, whole[at : at + (sizes or len(whole))])
        if not bench.freed:
            bench.lose(lost)
        part = bench.steady()
        assert part.ended == {outcome: 1}
        assert part.counters.events > 0 or outcome in ("truncated", "empty", "http_503")


PIECES = st.sampled_from(
    [
        *(chunk(b"a"), chunk(b"\n\n"), chunk(b"b" * 5000), chunk("é".encode()), chunk(b"a") + chunk(b"b")),
        *(b"3\r\nab", b"c\r\n", b"\r\n", b"2;x=y\r\nab\r\n", b"03\r\nabc\r\n", END, b"zz\r\n"),
    ]
)


@examples(150)
@given(st.lists(st.lists(PIECES, max_size=4).map(b"".join), max_size=8))
def test_fast_path_and_slow_path_agree(reads: list[bytes]) -> None:
    reads = [HEAD + chunk(b"first"), *filter(None, reads)]
    fast, slow = (read_so(reads, api="text", fast=way) for way in (True, False))
    assert seen(fast) == seen(slow)
    assert fast == slow
