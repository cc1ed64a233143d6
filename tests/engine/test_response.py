"""HTTP/1.1 responses: the result does not depend on the cuts, and no exception but `Malformed` is raised."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from helpers.cuts import cut_at, one_by_one
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.http import response
from llmstress.engine.http.response import MAX_CHUNK_LINE, MAX_HEAD, Head, Malformed, ResponseReader


class Seen(NamedTuple):
    """What a reader has read from some bytes."""

    head: Head | None
    body: bytes
    complete: bool
    keep_alive: bool
    surplus: bool
    ends_at_eof: bool


def read(*pieces: bytes) -> Seen | None:
    """The result of feeding `pieces`; None: they are malformed."""
    reader = ResponseReader()
    body = b""
    try:
        for piece in pieces:
            body += b"".join(reader.feed(piece))
    except Malformed:
        return None
    complete = reader.complete
    return Seen(reader.head, body, complete, reader.keep_alive, reader.surplus, reader.eof())


def seen(
    body: bytes = b"",
    *,
    status: int = 200,
    headers: dict[str, str],
    minor: int = 1,
    complete: bool = True,
    keep_alive: bool = True,
    surplus: bool = False,
    ends_at_eof: bool | None = None,
) -> Seen:
    proper = complete if ends_at_eof is None else ends_at_eof
    return Seen(Head(status, headers, minor), body, complete, keep_alive, surplus, proper)


def every_cut_in_two(wire: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((wire[:cut], wire[cut:]) for cut in range(1, len(wire)))


CUTS = st.lists(st.integers(0, 1 << 20), max_size=12)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TE = {"transfer-encoding": "chunked"}

READ: dict[str, tuple[bytes, Seen]] = {
    "a body of a known length": (
        OK + b"Content-Length: 5\r\nX-Request-Id: a:b\r\n\r\nhello",
        seen(b"hello", headers={"content-length": "5", "x-request-id": "a:b"}),
    ),
    "a body of length 0 is complete with its head": (
        OK + b"Content-Length: 0\r\n\r\n",
        seen(headers={"content-length": "0"}),
    ),
    "a body that is cut short is not complete": (
        OK + b"Content-Length: 5\r\n\r\nhell",
        seen(b"hell", headers={"content-length": "5"}, complete=False),
    ),
    "an unfinished head is no head": (OK + b"Content-Length: 5\r\n", Seen(None, b"", False, False, False, False)),
    "chunks are joined": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", seen(b"hello world", headers=TE)),
    "chunks that stop before the last one are not complete": (
        CHUNKED + b"5\r\nhello\r\n",
        seen(b"hello", headers=TE, complete=False),
    ),
    "the last chunk's blank line is part of the body": (
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        seen(b"hello", headers=TE, complete=False),
    ),
    "chunk extensions are ignored": (
        CHUNKED + b'5;x=y\r\nhello\r\n1 ; a="b;c"\r\n!\r\n0;last\r\n\r\n',
        seen(b"hello!", headers=TE),
    ),
    "chunk sizes have digits of either case": (
        CHUNKED + b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n",
        seen(b"01234567890123456789a", headers=TE),
    ),
    "chunk sizes may begin with zeros": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", seen(b"hello", headers=TE)),
    "chunk sizes may stand between blanks": (CHUNKED + b" 5\t \r\nhello\r\n0 \r\n\r\n", seen(b"hello", headers=TE)),
    "chunk data is not looked into": (
        CHUNKED + b"d\r\n\r\n0\r\n\r\nHTTP/1\r\n0\r\n\r\n",
        seen(b"\r\n0\r\n\r\nHTTP/1", headers=TE),
    ),
    "trailers are read and dropped": (
        CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nConnection: close\r\n\r\n",
        seen(b"hello", headers=TE),
    ),
    "header names and codings have any case": (
        b"HTTP/1.1 200 OK\r\ntRANSFER-eNCODING: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        seen(b"ok", headers={"transfer-encoding": "Chunked"}),
    ),
    "lines may end with a bare LF": (
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX: y\n\n",
        seen(b"ok", headers=TE),
    ),
    "line ends may be mixed": (
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\r\n\n2\r\nok\n0\n\r\n",
        seen(b"ok", headers=TE),
    ),
    "a status line may lack its reason": (
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2"}),
    ),
    "a head may have no headers": (
        b"HTTP/1.1 200 OK\r\n\r\nx",
        seen(b"x", headers={}, complete=False, keep_alive=False, ends_at_eof=True),
    ),
    "repeated headers are joined by a comma": (
        OK + b"Via: a\r\nContent-Length: 1\r\nvia:b\r\n\r\nx",
        seen(b"x", headers={"via": "a, b", "content-length": "1"}),
    ),
    "blanks around names and values go": (
        OK + b"Content-Length :\t 1 \r\nEmpty:\r\n\r\nx",
        seen(b"x", headers={"content-length": "1", "empty": ""}),
    ),
    "a folded header is one header": (
        OK + b"X: a\r\n Content-Length: 9\r\n\t b\r\nContent-Length: 1\r\n\r\nx",
        seen(b"x", headers={"x": "a Content-Length: 9 b", "content-length": "1"}),
    ),
    "header values are bytes": (
        OK + b"X: \xe9\xff\r\nContent-Length: 0\r\n\r\n",
        seen(headers={"x": "éÿ", "content-length": "0"}),
    ),
    "the end of the connection ends a body without a length": (
        OK + b"Content-Type: text/event-stream\r\n\r\ndata: x\n\n",
        seen(
            b"data: x\n\n",
            headers={"content-type": "text/event-stream"},
            complete=False,
            keep_alive=False,
            ends_at_eof=True,
        ),
    ),
    "a coding whose last part isn't chunked lasts until the end": (
        OK + b"Transfer-Encoding: chunked, foo\r\n\r\nabc",
        seen(
            b"abc",
            headers={"transfer-encoding": "chunked, foo"},
            complete=False,
            keep_alive=False,
            ends_at_eof=True,
        ),
    ),
    "HTTP/1.0 does not keep the connection": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2"}, minor=0, keep_alive=False),
    ),
    "HTTP/1.0 keeps the connection on request": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2", "connection": "Keep-Alive"}, minor=0),
    ),
    "HTTP/1.0 with both options closes": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2", "connection": "keep-alive, close"}, minor=0, keep_alive=False),
    ),
    "HTTP/1.0 with chunks is read but not trusted again": (
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        seen(b"ok", headers={**TE, "connection": "keep-alive"}, minor=0, keep_alive=False),
    ),
    "Connection: close closes": (
        OK + b"Content-Length: 2\r\nConnection: foo, Close\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2", "connection": "foo, Close"}, keep_alive=False),
    ),
    "an option that only contains close does not": (
        OK + b"Content-Length: 2\r\nConnection: closed\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2", "connection": "closed"}),
    ),
    "interim responses are skipped": (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 7\r\n\r\n"
        b"HTTP/1.1 102\n\n" + OK + b"Content-Length: 2\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2"}),
    ),
    "an interim response alone is no head": (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        Seen(None, b"", False, False, False, False),
    ),
    "101 is final and ends what can be read here": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        seen(status=101, headers={"upgrade": "x"}, keep_alive=False),
    ),
    "204 has no body whatever its head says": (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        seen(status=204, headers={"content-length": "5"}),
    ),
    "304 has no body whatever its head says": (
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        seen(status=304, headers=TE),
    ),
    "what follows a 204 is surplus": (
        b"HTTP/1.1 204 No Content\r\n\r\nhello",
        seen(status=204, headers={}, surplus=True),
    ),
    "of two lengths chunked wins and the connection closes": (
        OK + b"Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        seen(b"ok", headers={"content-length": "99", **TE}, keep_alive=False),
    ),
    "lengths that agree are one": (
        OK + b"Content-Length: 2\r\nContent-Length: 2, 2\r\n\r\nok",
        seen(b"ok", headers={"content-length": "2, 2, 2"}),
    ),
    "bytes after a body of known length are surplus": (
        OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        seen(b"ok", headers={"content-length": "2"}, surplus=True),
    ),
    "bytes after the last chunk are surplus": (
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n\r\n",
        seen(b"ok", headers=TE, surplus=True),
    ),
    "an error has a body too": (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        seen(b"busy", status=503, headers={"content-length": "4"}),
    ),
}

REFUSED: dict[str, bytes] = {
    "garbage": b"\x16\x03\x01\x00garbage",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "a lower-case protocol": b"http/1.1 200 OK\r\n\r\n",
    "blank lines before the head": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a header without a colon": OK + b"no colon\r\n\r\n",
    "garbage after an interim response": b"HTTP/1.1 100 Continue\r\n\r\nhello",
    "lengths that differ": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": OK + b"Content-Length: +1\r\n\r\nx",
    "a length with an underscore": OK + b"Content-Length: 1_0\r\n\r\n",
    "a length in hexadecimal": OK + b"Content-Length: 0x5\r\n\r\n",
    "a length with a digit that isn't ASCII": OK + b"Content-Length: \xb2\r\n\r\n",
    "a length beyond reason": OK + b"Content-Length: 9999999999999999999\r\n\r\n",
    "an empty length": OK + b"Content-Length:\r\n\r\n",
    "a chunk size that is no number": CHUNKED + b"xyz\r\n",
    "a negative chunk size": CHUNKED + b"-5\r\nhello\r\n",
    "a chunk size with a prefix": CHUNKED + b"0x5\r\nhello\r\n",
    "a chunk size with an underscore": CHUNKED + b"1_0\r\n",
    "a chunk size in two words": CHUNKED + b"5 5\r\nhello\r\n",
    "a chunk size beyond reason": CHUNKED + b"1" + b"0" * 16 + b"\r\n",
    "an empty chunk size": CHUNKED + b"\r\n5\r\nhello\r\n",
    "an extension without a size": CHUNKED + b";x=y\r\n",
    "a chunk longer than its size": CHUNKED + b"4\r\nhello\r\n",
    "a chunk shorter than its size": CHUNKED + b"7\r\nhello\r\n0\r\n\r\n",
}

# a head of 64 bytes at most, a chunk line of 16
AT_LIMIT: dict[str, bytes] = {
    "a head": b"HTTP/1.1 200 OK ".ljust(60, b"x") + b"\r\n\r\n",
    "a head between others": b"HTTP/1.1 100\n\n".join([b""] * 9) + b"HTTP/1.1 204 ".ljust(60, b"x") + b"\r\n\r\n",
    "a chunk line": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n" + b"1;".ljust(15, b"x") + b"\r\n!\r\n0\r\n\r\n",
    "one trailer": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n0\n" + b"x" * 16 + b"\n\n",
    "all trailers": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n0\n" + (b"x" * 16 + b"\n") * 4 + b"\n",
}
OVER_LIMIT: dict[str, bytes] = {
    "a head": b"HTTP/1.1 200 OK ".ljust(61, b"x") + b"\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK".ljust(65, b"x"),
    "a head between others": b"HTTP/1.1 100\n\n".join([b""] * 9) + b"HTTP/1.1 204 ".ljust(61, b"x") + b"\r\n\r\n",
    "a chunk line": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n" + b"1;".ljust(16, b"x") + b"\r\n!\r\n0\r\n\r\n",
    "a chunk line without an end": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n" + b"1;".ljust(17, b"x"),
    "a chunk's end": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n1\n!" + b"\r" * 17,
    "one trailer": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n0\n" + b"x" * 17 + b"\n\n",
    "one trailer without an end": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n0\n" + b"x" * 17,
    "all trailers": b"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n0\n" + (b"x" * 13 + b"\n") * 5 + b"\n",
}


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "MAX_HEAD", 64)
    monkeypatch.setattr(response, "MAX_CHUNK_LINE", 16)


def cases(table: dict[str, Any]) -> Any:
    """The rows of `table` as parameters; their keys are the IDs."""
    return [pytest.param(*(row if isinstance(row, tuple) else (row,)), id=name) for name, row in table.items()]


@pytest.mark.parametrize(("wire", "expected"), cases(READ))
def test_a_response_is_read_however_it_is_cut(wire: bytes, expected: Seen) -> None:
    assert read(wire) == expected
    for pieces in every_cut_in_two(wire):
        assert read(*pieces) == expected, pieces
    assert read(*one_by_one(wire)) == expected


@pytest.mark.parametrize("wire", cases(REFUSED))
def test_an_invalid_response_is_refused_however_it_is_cut(wire: bytes) -> None:
    assert read(wire) is None
    for pieces in every_cut_in_two(wire):
        assert read(*pieces) is None, pieces
    assert read(*one_by_one(wire)) is None


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize("wire", cases(AT_LIMIT))
def test_input_at_a_limit_is_read_however_it_is_cut(wire: bytes) -> None:
    expected = read(wire)
    assert expected is not None
    assert expected.head is not None
    assert {read(*pieces) == expected for pieces in (*every_cut_in_two(wire), one_by_one(wire))} == {True}


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize("wire", cases(OVER_LIMIT))
def test_input_beyond_a_limit_is_refused_however_it_is_cut(wire: bytes) -> None:
    assert read(wire) is None
    assert {read(*pieces) for pieces in (*every_cut_in_two(wire), one_by_one(wire))} == {None}


@examples(300)
@given(wire=st.sampled_from([*(wire for wire, _ in READ.values()), *REFUSED.values()]), cuts=CUTS)
def test_random_cuts_change_nothing(wire: bytes, cuts: list[int]) -> None:
    assert read(*cut_at(wire, cuts)) == read(wire)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid response with a few random changes."""
    wire = bytearray(draw(st.sampled_from([wire for wire, _ in READ.values()])))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(wire)))
        end = draw(st.integers(begin, min(len(wire), begin + 8)))
        fragments = st.sampled_from([b"", b"\r", b"\n", b"\r\n\r\n", b"0", b"ffff", b":", b" ", b"HTTP/1.1 ", b"\x85"])
        wire[begin:end] = draw(fragments | st.binary(max_size=4))
    return bytes(wire)


GARBAGE = st.binary(max_size=200)
SPLICED = st.tuples(st.sampled_from([OK, CHUNKED, b"HTTP/1.", OK + b"Content-Length: "]), GARBAGE).map(b"".join)


@examples(600)
@given(wire=mutated() | SPLICED | GARBAGE, cuts=CUTS)
def test_nothing_but_malformed_is_raised_and_cuts_change_nothing(wire: bytes, cuts: list[int]) -> None:
    assert read(*cut_at(wire, cuts)) == read(wire)


@examples(100)
@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8), cuts=CUTS)
def test_any_body_survives_its_chunks(chunks: list[bytes], cuts: list[int]) -> None:
    wire = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert read(*cut_at(wire, cuts)) == seen(b"".join(chunks), headers=TE)


@pytest.mark.parametrize(
    ("begin", "allowed"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", MAX_HEAD, id="a head"),
        pytest.param(CHUNKED + b"5;", len(CHUNKED) + MAX_CHUNK_LINE, id="a chunk line"),
        pytest.param(CHUNKED + b"1\r\n!", len(CHUNKED) + 4 + MAX_CHUNK_LINE, id="the line after a chunk"),
        pytest.param(CHUNKED + b"0\r\nX: ", len(CHUNKED) + 3 + MAX_CHUNK_LINE, id="a trailer"),
    ],
)
def test_endless_input_is_refused_at_its_limit(begin: bytes, allowed: int) -> None:
    reader = ResponseReader()
    for byte in one_by_one(begin) + [b"\r"] * (allowed - len(begin)):
        reader.feed(byte)
    with pytest.raises(Malformed):
        reader.feed(b"\r")


def test_trailers_that_never_end_are_refused_at_their_limit() -> None:
    reader = ResponseReader()
    reader.feed(CHUNKED + b"0\r\n")
    for _ in range(MAX_HEAD // 8):
        reader.feed(b"12345678\n")
    with pytest.raises(Malformed):
        reader.feed(b"1\n")


class Metered(bytes):
    """Bytes that count how many of them are copied by slices or searched by `find`."""

    work = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(key, slice):
            self.work += len(part)
        return part

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start, len(self) if end is None else end)
        self.work += (found if found >= 0 else len(self)) - start
        return found


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"HTTP/1.1 100\n\n" * 10_000 + OK + b"Content-Length: 0\r\n\r\n", id="interim responses"),
        pytest.param(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", id="tiny chunks"),
        pytest.param(CHUNKED + b"0\r\n" + b"a\n" * 20_000 + b"\n", id="trailers"),
        pytest.param(OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000, id="one large body"),
    ],
)
def test_work_is_linear_in_one_large_read(wire: bytes) -> None:
    data = Metered(wire)
    reader = ResponseReader()
    reader.feed(data)
    assert reader.complete
    assert 0 < data.work <= 5 * len(wire)


def test_the_state_of_a_reader() -> None:
    reader = ResponseReader()
    assert (reader.untouched, reader.between_chunks, reader.eof()) == (True, False, False)
    reader.feed(CHUNKED)
    assert (reader.untouched, reader.between_chunks) == (False, True)
    between = []
    for byte in one_by_one(b"2\r\nok\r\n0\r\n\r\n"):
        reader.feed(byte)
        between.append(reader.between_chunks)
    assert between == [False] * 6 + [True] + [False] * 5
    assert reader.complete
    assert reader.eof()
