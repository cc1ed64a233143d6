"""The mock's switches for the content and the wire format of answers, checked byte by byte."""

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from helpers.processes import mock_server
from helpers.wire_client import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Client, Heard, ask

FAST = ("--ttft-ms", "1", "--gap-ms", "1")
WORDS = [f" tok{i % 10}" for i in range(8)]
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def one(*switches: str, path: str = CHAT, **fields: Any) -> tuple[Heard, dict[str, Any]]:
    """An answer of a mock with these switches, and the mock's statistics."""
    with mock_server(*FAST, *switches) as server:
        heard = ask(server.url, path, **fields)
        return heard, server.stop()


def names(heard: Heard) -> list[str]:
    """The data of named events."""
    return [line[7:].decode() for line in heard.text.split(b"\n") if line.startswith(b"event: ")]


# content of answers


def test_lengths_are_drawn_from_the_range_and_are_the_same_for_the_same_seed() -> None:
    def lengths(seed: str) -> list[int]:
        with mock_server(*FAST, "--gap-ms", "0", "--tokens", "3..7", "--seed", seed) as server, Client(server.url) as c:
            return [len(c.ask().words) for _ in range(60)]

    drawn = lengths("1")
    assert set(drawn) == {3, 4, 5, 6, 7}
    assert lengths("1") == drawn
    assert lengths("2") != drawn


def test_a_client_s_limit_cuts_a_drawn_length() -> None:
    with mock_server(*FAST, "--gap-ms", "0", "--tokens", "3..7") as server, Client(server.url) as client:
        answers = [client.ask(max_tokens=5) for _ in range(40)]
    assert {len(each.words) for each in answers} == {3, 4, 5}
    assert {each.finish[0] for each in answers if len(each.words) < 5} == {"stop"}
    assert {each.finish[0] for each in answers if len(each.words) == 5} == {"stop", "length"}


def test_reasoning_comes_first_and_counts_as_output() -> None:
    heard, truth = one("--reasoning", "3", **USAGE)
    deltas = [each["choices"][0]["delta"] for each in heard.events if each["choices"]]
    kinds = [next(iter(delta), "") for delta in deltas]
    assert kinds == ["role", *["reasoning_content"] * 3, *["content"] * 8, ""]
    assert heard.usage is not None
    assert heard.usage["completion_tokens"] == 11
    assert heard.usage["completion_tokens_details"]["reasoning_tokens"] == 3
    assert truth["tokens_by_kind"] == {"reasoning": 3, "text": 8}
    assert truth["events"] == truth["tokens"] == 11
    assert truth["usage"] == {"answers": 1, "input": 7, "output": 11, "reasoning": 3}


def test_prepared_events_of_the_text_go_on_where_they_should_after_reasoning() -> None:
    heard, _ = one("--reasoning", "13", "--tokens", "27")
    assert heard.words == [f" tok{i % 10}" for i in range(27)]


def test_hidden_reasoning_is_in_the_usage_alone() -> None:
    heard, truth = one("--hidden-reasoning", "100", **USAGE)
    assert heard.words == WORDS
    assert heard.usage is not None
    assert heard.usage["completion_tokens"] == 108
    assert truth["usage"] == {"answers": 1, "input": 7, "output": 108, "reasoning": 100}
    assert truth["tokens_by_kind"] == {"text": 8}


def test_what_is_thought_uses_up_the_limit() -> None:
    with mock_server(*FAST, "--hidden-reasoning", "4", "--reasoning", "3") as server, Client(server.url) as client:
        some = client.ask(max_tokens=9, **USAGE)
        none = client.ask(max_tokens=2, **USAGE)
        truth = server.stop()
    assert some.words == WORDS[:2]
    assert some.usage is not None
    assert some.usage["completion_tokens"] == 9
    assert none.words == []
    assert none.finish == ["length"]
    assert none.usage is not None
    assert none.usage["completion_tokens"] == 2
    assert truth["endings"] == {"length": 2}
    assert truth["ttft_ms"]["count"] == 1, "the other one has no token to wait for"


@pytest.mark.parametrize(
    ("path", "fields", "finish"),
    [(CHAT, {}, "tool_calls"), (MESSAGES, {}, "tool_use"), (RESPONSES, {"input": "x"}, "function_call")],
)
def test_a_tool_is_called(path: str, fields: dict[str, Any], finish: str) -> None:
    heard, truth = one("--tool-call", path=path, **fields)
    assert finish in heard.text.decode()
    assert truth["tokens_by_kind"] == {"tool": 8}
    # the event that names the tool is sent in the same write and is the first token-bearing event
    assert truth["events"] == 9
    assert (truth["ttft_ms"]["count"], truth["gap_ms"]["count"]) == (1, 8)
    assert truth["endings"] == {"tool_call": 1}


@pytest.mark.parametrize(
    ("switch", "asked", "told"),
    [("asked", False, False), ("asked", True, True), ("always", False, True), ("never", True, False)],
)
def test_the_usage_is_told(switch: str, asked: bool, told: bool) -> None:
    heard, truth = one("--usage", switch, **(USAGE if asked else {}))
    assert (heard.usage is not None) == told
    assert truth["usage"] == ({"answers": 1, "input": 7, "output": 8, "reasoning": 0} if told else {})


def test_an_api_that_always_tells_its_usage_does() -> None:
    _, truth = one("--usage", "never", path=MESSAGES)
    assert truth["usage"] == {"answers": 1, "input": 7, "output": 8, "reasoning": 0}


@pytest.mark.parametrize(
    ("path", "last"),
    [(CHAT, b"data: [DONE]\n\n"), (MESSAGES, b'event: message_stop\ndata: {"type":"message_stop"}\n\n')],
)
def test_the_last_word_may_be_missing(path: str, last: bytes) -> None:
    whole, _ = one(path=path)
    cut, truth = one("--no-done", path=path)
    assert whole.body.endswith(last)
    assert last not in cut.body
    assert cut.ended == "order"
    assert len(cut.events) == len(whole.events) - (path == MESSAGES)
    assert (truth["done"], truth["endings"]) == (1, {"stop": 1})


def test_an_api_without_a_last_word_loses_nothing() -> None:
    heard, _ = one("--no-done", path=RESPONSES, input="x")
    assert names(heard)[-1] == "response.completed"


# wire format


@pytest.mark.parametrize("size", [3, 8, 100])
def test_several_tokens_in_an_event(size: int) -> None:
    heard, truth = one("--tokens-per-event", str(size), "--tokens", "38", **USAGE)
    words = [f" tok{i % 10}" for i in range(38)]
    assert heard.words == ["".join(words[i : i + size]) for i in range(0, 38, size)]
    assert heard.usage is not None
    assert heard.usage["completion_tokens"] == truth["tokens"] == 38
    assert truth["events"] == len(heard.words) == truth["gap_ms"]["count"] + 1


@pytest.mark.parametrize(("size", "events"), [(3, [3, 3, 2]), (8, [8]), (5, [5, 3])])
def test_several_events_in_a_write(size: int, events: list[int]) -> None:
    heard, truth = one("--events-per-write", str(size))
    assert [chunk.count(b'"content":" tok') for chunk in heard.chunks] == events
    assert heard.words == WORDS
    assert b'"role":"assistant"' in heard.chunks[0]
    assert heard.chunks[-1].endswith(b"data: [DONE]\n\n")
    assert (truth["writes"], truth["events"], truth["lateness_ms"]["count"]) == (len(events), 8, len(events))
    assert (truth["ttft_ms"]["count"], truth["gap_ms"]["count"]) == (1, 7)


def test_a_write_of_several_events_is_not_due_before_its_last_one() -> None:
    heard, truth = one("--events-per-write", "4", "--ttft-ms", "10", "--gap-ms", "20", "--jitter", "0")
    assert heard.words == WORDS
    # never early: the fourth event is due 60 ms after the time of the first, the eighth 80 ms after the fourth
    assert truth["ttft_ms"]["max"] >= 70
    assert truth["gap_ms"]["max"] >= 80 - truth["lateness_ms"]["max"]
    assert truth["gap_ms"]["p50"] == 0, "those of one write have none"


def test_each_byte_alone() -> None:
    plain, _ = one(**USAGE)
    heard, truth = one("--one-byte-writes", "--tokens", "2", max_tokens=2, **USAGE)
    assert {len(chunk) for chunk in heard.chunks} == {1}
    assert heard.words == WORDS[:2]
    assert heard.data[-1] == plain.data[-1] == "[DONE]"
    assert (truth["writes"], truth["events"], truth["done"]) == (2, 2, 1)


def test_each_byte_alone_where_there_are_no_chunks() -> None:
    heard, _ = one("--one-byte-writes", "--close")
    assert heard.words == WORDS
    assert heard.ended == "closed"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_crlf(path: str) -> None:
    heard, _ = one("--crlf", path=path)
    assert heard.body.count(b"\n") == heard.body.count(b"\r\n") > 20
    assert heard.ended == "order"
    assert len(heard.events) >= 10


def test_other_line_ends_than_those_of_events_stay() -> None:
    with mock_server(*FAST, "--crlf") as server:
        heard = ask(server.url, "/text", prompt="x")
    assert heard.body == "".join(WORDS).encode()


def test_compressed_streams_are_flushed_after_each_event() -> None:
    heard, truth = one("--gzip", **USAGE)
    assert heard.headers["content-encoding"] == "gzip"
    decoder = zlib.decompressobj(31)
    pieces = [decoder.decompress(chunk) for chunk in heard.chunks]
    assert decoder.eof, "the coded body is complete"
    assert pieces.pop() == b"", "its end alone"
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") and piece.count(b"\n") == 2 for piece in pieces)
    assert heard.words == WORDS
    assert truth["usage"]["output"] == 8


def test_compressed_in_larger_pieces() -> None:
    heard, _ = one("--gzip", "--events-per-write", "4", "--crlf")
    assert len(heard.chunks) == 3
    assert heard.words == WORDS


def test_the_whole_stream_at_its_end() -> None:
    heard, truth = one("--content-length", "--gap-ms", "5", "--jitter", "0", **USAGE)
    assert int(heard.headers["content-length"]) == len(heard.body)
    assert "transfer-encoding" not in heard.headers
    assert heard.headers["content-type"].startswith("text/event-stream")
    assert heard.words == WORDS
    assert (truth["writes"], truth["events"], truth["gap_ms"]["max"]) == (1, 8, 0)
    assert truth["ttft_ms"]["max"] >= 1 + 7 * 5
    assert truth["usage"]["output"] == 8
    assert truth["statuses"] == {"200": 1}


def test_the_whole_stream_at_its_end_over_a_kept_connection_and_compressed() -> None:
    with mock_server(*FAST, "--content-length", "--gzip") as server, Client(server.url) as client:
        answers = [client.ask(**USAGE) for _ in range(3)]
        truth = server.stop()
    assert [each.words for each in answers] == [WORDS] * 3
    assert truth["connections"] == 1
    assert truth["usage"]["answers"] == 3


def test_the_end_of_the_connection_ends_the_body() -> None:
    heard, truth = one("--close")
    assert (heard.headers["connection"], heard.ended) == ("close", "closed")
    assert "transfer-encoding" not in heard.headers
    assert heard.data[-1] == "[DONE]"
    assert heard.words == WORDS
    assert (truth["done"], truth["aborted"]) == (1, 0)


@pytest.mark.parametrize("switch", ["--close", "--content-length", "--gzip", "--crlf", "--one-byte-writes"])
def test_an_answer_that_is_not_streamed_stays_what_it_is(switch: str) -> None:
    heard, truth = one(switch, stream=False)
    told = json.loads(heard.body)
    assert told["choices"][0]["message"]["content"] == "".join(WORDS)
    assert int(heard.headers["content-length"]) == len(heard.body)
    assert "content-encoding" not in heard.headers
    assert (truth["done"], truth["events"], truth["tokens"]) == (1, 0, 8)


# pings


@pytest.mark.parametrize(
    ("path", "fields", "ping"),
    [
        (CHAT, {}, b": ping\n\n"),
        (COMPLETIONS, {"prompt": "x"}, b": ping\n\n"),
        (MESSAGES, {}, b'event: ping\ndata: {"type":"ping"}\n\n'),
    ],
)
def test_pings_come_before_the_first_token_too(path: str, fields: dict[str, Any], ping: bytes) -> None:
    with mock_server("--ping-every-ms", "2", "--ttft-ms", "3600000") as server, Client(server.url) as client:
        client.send(path, **fields)
        heard = client.hear(lambda data: data.count(ping) >= 5)
        client.socket.close()
        ask(server.url, "/v1/nothing")
        truth = server.stop()
    assert heard.ended == "left"
    assert b" tok" not in heard.body
    assert truth["pings"] >= 5
    assert (truth["aborted"], truth["writes"], truth["events"]) == (1, 0, 0)


def test_pings_are_numbered_where_events_are() -> None:
    with mock_server("--ping-every-ms", "2", "--gap-ms", "10") as server:
        heard = ask(server.url, RESPONSES, input="x")
        truth = server.stop()
    told = heard.events
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    assert names(heard)[0] == "response.created"
    pings = [each for each in told if each["type"] == "keepalive"]
    assert len(pings) == truth["pings"] > 0
    assert truth["done"] == 1


def test_what_pings_do_not_change() -> None:
    with mock_server("--ping-every-ms", "3", "--gap-ms", "4", "--gzip", "--crlf") as server:
        heard = ask(server.url)
        truth = server.stop()
    assert heard.words == WORDS
    assert heard.text.count(b": ping\n\n") == truth["pings"] > 0
    assert (truth["events"], truth["gap_ms"]["count"], truth["writes"]) == (8, 7, 8)


def test_a_stream_that_is_sent_as_a_whole_has_no_pings() -> None:
    heard, truth = one("--content-length", "--ping-every-ms", "1", "--gap-ms", "5")
    assert truth["pings"] == 0
    assert b"ping" not in heard.body


# delays


def test_the_shape_of_delays_is_the_one_asked_for() -> None:
    with mock_server("--ttft-ms", "0", "--gap-ms", "20", "--tokens", "30", "--delays", "exponential") as server:
        clients = [Client(server.url) for _ in range(20)]
        for client in clients:
            client.send()
        for client in clients:
            assert len(client.hear().words) == 30
            client.socket.close()
        truth = server.stop()
    # a tenth of exponential gaps is above 46 ms; of uniform gaps with a jitter of 20 %, none is above 24 ms
    assert truth["gap_ms"]["count"] == 20 * 29
    assert truth["gap_ms"]["p90"] > 35


EVERYTHING: list[Callable[[str], Heard]] = [
    lambda url: ask(url, stream=False),
    lambda url: ask(url, MESSAGES),
    lambda url: ask(url, COMPLETIONS, prompt="x"),
    lambda url: ask(url, RESPONSES, input="x"),
    lambda url: ask(url, "/v1/embeddings", input=["a", "b c"], stream=None),
    lambda url: ask(url, n=3),
]


def test_counts_are_kept_for_each_api() -> None:
    with mock_server(*FAST) as server:
        assert [each(server.url).status for each in EVERYTHING] == [200] * 6
        assert ask(server.url, messages=3).status == 400
        assert ask(server.url, "/v1/nothing").status == 404
        truth = server.stop()
    assert truth["apis"] == {
        "openai-chat": {"requests": 2, "done": 2, "events": 24, "tokens": 32},
        "anthropic": {"requests": 1, "done": 1, "events": 8, "tokens": 8},
        "openai-completions": {"requests": 1, "done": 1, "events": 8, "tokens": 8},
        "openai-responses": {"requests": 1, "done": 1, "events": 8, "tokens": 8},
        "openai-embeddings": {"requests": 1, "done": 1, "events": 0},
    }
    assert truth["inputs"] == 2
    assert truth["statuses"] == {"200": 6, "400": 1, "404": 1}
    assert (truth["requests"], truth["done"], truth["tokens"]) == (6, 6, 56)
    # three choices: three events for each token, and as many gaps
    assert (truth["ttft_ms"]["count"], truth["gap_ms"]["count"]) == (4, 3 * 7 + 3 * 7)
