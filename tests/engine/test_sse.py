"""Server-sent events: the rules of the standard one by one. Events do not depend on the cuts of the body, and each
comes in time."""

import pytest
from helpers.cuts import cut_at, one_by_one
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.http import sse
from llmstress.engine.http.response import Malformed
from llmstress.engine.http.sse import Decoder, ServerEvent

BOM = b"\xef\xbb\xbf"

Events = list[ServerEvent]


def decode(*pieces: bytes) -> tuple[Events, ServerEvent | None]:
    """The events of a body, and the last event if its blank line is missing."""
    decoder = Decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.end()


def refused(*pieces: bytes) -> bool:
    try:
        decode(*pieces)
    except Malformed:
        return True
    return False


def reference(body: bytes) -> tuple[Events, ServerEvent | None, bool]:
    """The algorithm of the standard for a whole body. Also returns whether the last line was blank."""
    lines = body.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    unfinished = lines.pop()
    events: Events = []
    data = name = b""
    for line in lines:
        if line == b"":
            if data != b"":
                events.append(ServerEvent(name, data[:-1]))
            data = name = b""
        else:
            data, name = _take_line(line, data, name)
    blank = bool(lines) and lines[-1] == b"" == unfinished
    if unfinished != b"":
        data, name = _take_line(unfinished, data, name)
    return events, ServerEvent(name, data[:-1]) if data != b"" else None, blank


def _take_line(line: bytes, data: bytes, name: bytes) -> tuple[bytes, bytes]:
    if line.startswith(b":"):
        return data, name
    field, value = line.split(b":", 1) if b":" in line else (line, b"")
    if value.startswith(b" "):
        value = value[1:]
    if field == b"data":
        data += value + b"\n"
    if field == b"event":
        name = value
    if field == b"error" and value.startswith(b"{"):  # not the standard's, but llama.cpp's
        data += value + b"\n"
        name = field
    if field == b'{"error"':  # nor is this
        data += line + b"\n"
        name = b"error"
    return data, name


def event(data: bytes, name: bytes = b"") -> ServerEvent:
    return ServerEvent(name, data)


A, B = event(b"a"), event(b"b")

BODIES: dict[str, tuple[bytes, Events, ServerEvent | None]] = {
    "an empty body has no event": (b"", [], None),
    "a blank line ends an event": (b"data: a\n\ndata: b\n\n", [A, B], None),
    "lines end with CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [A, B], None),
    "lines end with CR": (b"data: a\r\rdata: b\r\r", [A, B], None),
    "line ends are mixed": (b"data: a\r\n\ndata: b\n\r\ndata: a\r\n\rdata: b\r\r\n", [A, B, A, B], None),
    "LF then CR are two line ends": (b"data: a\n\rdata: b\n\r", [A, B], None),
    "one BOM is dropped": (BOM + b"data: a\n\n", [A], None),
    "only one BOM is dropped": (BOM + BOM + b"data: a\n\ndata: b\n\n", [B], None),
    "a BOM elsewhere is text": (b"data: a\n\n" + BOM + b"data: b\n\ndata: " + BOM + b"\n\n", [A, event(BOM)], None),
    "a BOM before a blank line is dropped": (BOM + b"\ndata: a\n\n", [A], None),
    "a BOM before an unfinished first line is dropped": (BOM + b"data: a", [], A),
    "a BOM alone is nothing": (BOM, [], None),
    "a line with a colon first is a comment": (b": ping\n\n:\n\n:data: x\ndata: a\n: y\n\n", [A], None),
    "one space after the colon is dropped": (b"data:  a\n\n", [event(b" a")], None),
    "no space after the colon is needed": (b"data:a\n\n", [A], None),
    "a tab after the colon stays": (b"data:\ta\n\n", [event(b"\ta")], None),
    "spaces at the end stay": (b"data: a \n\n", [event(b"a ")], None),
    "only the first colon counts": (b"data: a:b: c\n\n", [event(b"a:b: c")], None),
    "a field name without a colon has an empty value": (b"data\n\n", [event(b"")], None),
    "empty data is an event": (b"data:\n\ndata: \n\n", [event(b""), event(b"")], None),
    "two empty data lines are a newline": (b"data\ndata\n\n", [event(b"\n")], None),
    "data lines are joined by LF": (b"data: a\r\ndata: b\rdata:\n\n", [event(b"a\nb\n")], None),
    "an event has a name": (b"event: x\ndata: a\n\n", [event(b"a", b"x")], None),
    "a name may follow the data": (b"data: a\nevent:x\n\n", [event(b"a", b"x")], None),
    "the last name wins": (b"event: x\nevent: y\ndata: a\n\n", [event(b"a", b"y")], None),
    "an empty name takes a name back": (b"event: x\nevent\ndata: a\n\n", [A], None),
    "a name is for one event only": (b"event: x\ndata: a\n\ndata: b\n\n", [event(b"a", b"x"), B], None),
    "a name without data is forgotten": (b"event: x\n\ndata: a\n\n", [A], None),
    "id and retry are no events": (b"id: 1\n\nretry: 5\n\nid\nretry: x\ndata: a\n\n", [A], None),
    "field names have their case": (b"Data: x\nDATA: x\ndata: a\n\n", [A], None),
    "field names are not trimmed": (b" data: x\ndata : x\ndata: a\n\n", [A], None),
    "unknown fields are ignored": (b'err: {"a":1}\n{"a":1}\ndata: a\n\n', [A], None),
    "an error as a field is an event (llama.cpp)": (
        b'data: a\n\nerror: {"code":500}\n\ndata: b\n\n',
        [A, event(b'{"code":500}', b"error"), B],
        None,
    ),
    "an error as bare JSON is an event": (
        b'data: a\n\n{"error": {"code":500}}\n\ndata: b\n\n',
        [A, event(b'{"error": {"code":500}}', b"error"), B],
        None,
    ),
    "an error as bare JSON without a line's end": (
        b'data: a\n\n{"error":"boom"}',
        [A],
        event(b'{"error":"boom"}', b"error"),
    ),
    "an error as a field that is no object is unknown": (b"error: 5\nerror\nerror:\ndata: a\n\n", [A], None),
    "blank lines alone are nothing": (b"\n\r\n\r\r\n\n", [], None),
    "NUL is text": (b"data: \0\n\nid: \0\ndata: a\n\n", [event(b"\0"), A], None),
    "bytes that are no UTF-8 pass": (b"data: \xff\xc3\nevent: \x80\n\n", [event(b"\xff\xc3", b"\x80")], None),
    "other line ends of Unicode are text": (
        "data: a\u2028b\u0085c\x0bd\x0c\n\n".encode(),
        [event("a\u2028b\u0085c\x0bd\x0c".encode())],
        None,
    ),
    "the last event may lack its blank line": (b"data: a\n\ndata: [DONE]\n", [A], event(b"[DONE]")),
    "the last event may lack its line end": (b"data: a\n\nevent: x\ndata: [DONE]", [A], event(b"[DONE]", b"x")),
    "an unfinished field at the end is ignored": (b"data: a\ndat", [], A),
    "an unfinished comment at the end is ignored": (b"data: a\n\n: pi", [A], None),
    "a CR at the end ends the line": (b"data: a\r\n\r", [A], None),
}


@pytest.mark.parametrize(("body", "events", "pending"), [pytest.param(*row, id=rule) for rule, row in BODIES.items()])
def test_a_rule_holds_however_the_body_is_cut(body: bytes, events: Events, pending: ServerEvent | None) -> None:
    assert decode(body) == (events, pending)
    for cut in range(1, len(body)):
        assert decode(body[:cut], body[cut:]) == (events, pending), cut
    assert decode(*one_by_one(body)) == (events, pending)
    assert reference(body)[:2] == (events, pending)


FRAGMENTS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b":", b" ", b": ", BOM, b"\xef", b"\xbb", b"\0", b"\xff"),
    *(b"data", b"data: x", b"data:", b"event", b"event: e", b"id: 1", b"retry: 1", b": ping", b"dat", b"a"),
    b"error: {",
    b'{"error":',
]
FRAGMENTED = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join)
BODY = FRAGMENTED | st.tuples(st.just(BOM), FRAGMENTED).map(b"".join) | st.binary(max_size=60)
CUTS = st.lists(st.integers(0, 1 << 20), max_size=12)


@examples(600)
@given(body=BODY, cuts=CUTS)
def test_any_bytes_decode_as_the_reference_does(body: bytes, cuts: list[int]) -> None:
    expected = reference(body)[:2]
    assert decode(*cut_at(body, cuts)) == expected
    assert decode(body) == expected


def assert_in_time(body: bytes) -> None:
    """Byte by byte: each event comes with the first byte that ends its blank line, and `between_events` is right."""
    decoder = Decoder()
    seen: Events = []
    assert not decoder.between_events  # a BOM may come
    for end in range(1, len(body) + 1):
        prefix = body[:end]
        seen += decoder.feed(prefix[-1:])
        events, _, blank = reference(prefix)
        assert seen == events, prefix
        # after a CR, the LF of the same line end may follow
        assert decoder.between_events == (blank and not prefix.endswith(b"\r")), prefix


@pytest.mark.parametrize("body", [pytest.param(row[0], id=rule) for rule, row in BODIES.items()])
def test_an_event_comes_with_the_first_byte_of_its_end(body: bytes) -> None:
    assert_in_time(body)


@examples(300)
@given(body=BODY)
def test_any_event_comes_with_the_first_byte_of_its_end(body: bytes) -> None:
    assert_in_time(body)


def test_an_empty_piece_changes_nothing() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\n\r") == [A]
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n") == []
    assert decoder.between_events
    assert decoder.feed(b"") == []
    assert decoder.between_events


@pytest.mark.parametrize(
    "line", [b": ping", b"id: 1", b"retry: 1", b"event: x", b"data", b"data: x", b"foo"], ids=bytes.decode
)
def test_a_line_of_any_field_is_within_an_event(line: bytes) -> None:
    decoder = Decoder()
    decoder.feed(b"\n")
    assert decoder.between_events
    decoder.feed(line + b"\n")
    assert not decoder.between_events
    decoder.feed(b"\n")
    assert decoder.between_events


def test_comments_are_counted() -> None:
    decoder = Decoder()
    decoder.feed(b": ping\n\n:\r\n: data: x\ndata: a\nfoo\n:unfinished")
    assert decoder.comments == 3
    decoder.end()
    assert decoder.comments == 4


LIMIT = 32
WITHIN: dict[str, bytes] = {
    "a data line": b"data: ".ljust(32, b"x") + b"\n\n",
    "a line without an end": b"data: ".ljust(32, b"x"),
    "several lines": b"event: 56789012\ndata: 7890123\r\ndata\n\n",
    "many events": b"data: 7890123456789012345678901\n\n" * 20,
    "many comments with blank lines": b": ping\n\n" * 20,
    "many blank lines": b"\n" * 100,
}
BEYOND: dict[str, bytes] = {
    "a data line": b"data: ".ljust(33, b"x") + b"\n\n",
    "a data line without an end": b"data: ".ljust(33, b"x"),
    "a comment": b": ".ljust(33, b"x") + b"\n\n",
    "an unknown field": b"x" * 33 + b"\n\n",
    "a name": b"event: ".ljust(33, b"x") + b"\n\n",
    "several lines": b"data: 7890123456\ndata: 7890123456\ndat: 7\n\n",
    "empty data lines": b"data\n" * 9,
    "a rest after several lines": b"data: 7890123456\ndata: 7890123456\nx",
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in WITHIN.items()])
def test_an_event_of_the_largest_size_is_decoded_however_it_is_cut(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", LIMIT)
    expected = decode(body)
    assert expected == reference(body)[:2]
    for cut in range(1, len(body)):
        assert decode(body[:cut], body[cut:]) == expected, cut
    assert decode(*one_by_one(body)) == expected


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BEYOND.items()])
def test_an_event_beyond_the_limit_is_refused_however_it_is_cut(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", LIMIT)
    assert refused(body)
    assert {refused(body[:cut], body[cut:]) for cut in range(1, len(body))} == {True}
    assert refused(*one_by_one(body))


@examples(300)
@given(body=st.lists(st.sampled_from([f for f in FRAGMENTS if f != BOM]), max_size=40).map(b"".join), cuts=CUTS)
def test_the_limit_does_not_depend_on_the_cuts(body: bytes, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "MAX_EVENT", LIMIT)
        assert refused(*cut_at(body, cuts)) == refused(body) == refused(*one_by_one(body))


def test_an_event_of_ten_megabytes_is_decoded() -> None:
    value = b"x" * 10_000_000
    body = b"data: " + value + b"\n\n"
    pieces = [body[i : i + 65_536] for i in range(0, len(body), 65_536)]
    assert decode(*pieces) == ([event(value)], None)


def test_endless_input_is_refused_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 200_000)
    decoder = Decoder()
    for _ in range(200_000):
        decoder.feed(b"x")
    with pytest.raises(Malformed):
        decoder.feed(b"x")
