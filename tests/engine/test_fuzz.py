"""Any bytes may be an answer: nothing raises, everything ends once, how it was cut doesn't matter, and the work it
makes is in proportion to its size."""

import gzip
import re
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, TOKEN, Bench, chunk, event
from helpers.examples import examples
from helpers.fuzzing import CORPUS, EVENTS, answer, check, coded, flushed, outcome, wires_of
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.http import body as answers
from llmstress.engine.http import response
from llmstress.engine.http.sse import Decoder

pytestmark = pytest.mark.slow

CUTS = st.lists(st.integers(0, 1 << 16), max_size=10)
SPLICES = st.sampled_from(
    [
        *(
            b"",
            b"\r",
            b"\n",
            b"\n\n",
            b"\r\n\r\n",
            b"0\r\n\r\n",
            b"ffff\r\n",
            b"data: ",
            b"{",
            b" ",
            b"\xff",
            b"\x1f\x8b",
        ),
        *(TOKEN, FINISH, DONE, END, event(b"{junk"), b"\xef\xbb\xbf"),
        *(b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"Content-Length: 5\r\n"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn, corpus: Sequence[bytes] = CORPUS) -> bytes:
    """A good answer to which a few things have happened."""
    wire = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(wire)))
        end = draw(st.integers(begin, min(len(wire), begin + 12)))
        wire[begin:end] = draw(SPLICES | st.binary(max_size=6))
    return bytes(wire[: draw(st.none() | st.integers(0, len(wire)))])


@examples(600)
@given(wire=mutated() | st.binary(max_size=200), cuts=CUTS, lost=st.booleans(), streamed=st.booleans())
def test_any_bytes_end_a_request_once_and_cuts_change_nothing(
    wire: bytes, cuts: list[int], lost: bool, streamed: bool
) -> None:
    check(wire, cuts, lost=lost, streamed=streamed)


@pytest.mark.parametrize("api", EVENTS)
@examples(150)
@given(data=st.data(), cuts=CUTS, lost=st.booleans())
def test_any_bytes_end_a_request_of_any_api_once(api: str, data: st.DataObject, cuts: list[int], lost: bool) -> None:
    check(data.draw(mutated(wires_of(api))), cuts, lost=lost, api=api)


@pytest.mark.slow
@pytest.mark.parametrize("api", EVENTS)
def test_every_good_answer_of_any_api_cut_everywhere(api: str) -> None:
    chunked, plain = wires_of(api)
    for wire in (chunked, plain):
        assert outcome([wire], lost=False, api=api).ended == {"ok": 1}
        check(wire, range(len(wire)), lost=True, api=api)
    for cut in range(len(chunked)):
        check(chunked, [cut], lost=True, api=api)


@pytest.mark.slow
@pytest.mark.parametrize("wire", CORPUS, ids=range(len(CORPUS)))
def test_every_answer_of_the_corpus_cut_everywhere(wire: bytes) -> None:
    for cut in range(len(wire)):
        check(wire, [cut], lost=True)
    check(wire, range(len(wire)), lost=True)


# --- work and memory


def operations(work: Callable[[], object]) -> int:
    """How many bytecode instructions `work` takes."""
    count = 0

    def trace(frame: FrameType, what: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += what == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def in_pieces(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


def endless(body: bytes) -> bytes:
    """A stream of one huge chunk."""
    return HEAD + b"%x\r\n" % (1 << 40) + body


HOSTILE: dict[str, Callable[[int], list[bytes]]] = {
    "a head, byte by byte": lambda n: in_pieces(HEAD[:-2] + b"X: " + b"y" * n, 1),
    "headers of one name": lambda n: [HEAD[:-2] + b"x:y\n" * n + b"\r\n"],
    "folded headers": lambda n: [HEAD[:-2] + b"x: y" + b"\r\n \t \t " * n + b"\r\n\r\n"],
    "interim heads": lambda n: [b"HTTP/1.1 100\n\n" * n + HEAD],
    "tiny chunks": lambda n: [HEAD + b"1\r\nx\r\n" * n],
    "tiny chunks, byte by byte": lambda n: in_pieces(HEAD + b"1\r\nx\r\n" * n, 1),
    "chunk extensions": lambda n: [HEAD + b"1;x=y\r\nx\r\n" * n],
    "trailers": lambda n: [HEAD + chunk(b"data: x") + b"0\r\n" + b"x: y\r\n" * n],
    "tiny events": lambda n: [endless(b"data:1\n\n" * n)],
    "tiny events in chunks": lambda n: [HEAD + TOKEN + event(b"1") * n],
    "tokens in one read": lambda n: [HEAD + TOKEN, TOKEN * n],
    "tokens cut off their grid": lambda n: in_pieces(HEAD + TOKEN * n, len(TOKEN) + 1),
    "blank lines": lambda n: [endless(b"\n" * n)],
    "comments": lambda n: [endless(b":\r\n\r\n" * n)],
    "a line, byte by byte": lambda n: in_pieces(endless(b"data: " + b"x" * n), 1),
    "bare returns, byte by byte": lambda n: in_pieces(endless(b"data: x\r" * n), 1),
    "data lines of one event": lambda n: [endless(b"data: {}\n" * n + b"\n")],
    "choices of one event": lambda n: [
        HEAD + event(b'{"choices":[' + b",".join(b'{"index":%d,"delta":{"content":"x"}}' % i for i in range(n)) + b"]}")
    ],
    "choices of many events": lambda n: [
        HEAD + b"".join(event(b'{"choices":[{"index":%d,"delta":{"content":"x"}}]}' % i) for i in range(n))
    ],
    "choices that finish one by one": lambda n: [
        HEAD
        + b"".join(event(b'{"choices":[{"index":%d,"delta":{"content":"x"}}]}' % i) for i in range(n))
        + b"".join(event(b'{"choices":[{"index":%d,"delta":{},"finish_reason":"stop"}]}' % i) for i in range(n))
    ],
    "choices of which one has finished": lambda n: [
        HEAD + b"".join(event(b'{"choices":[{"index":%d,"delta":{"content":"x"}}]}' % i) for i in range(n)) + FINISH,
        *[chunk(b": ping\n\n")] * n,
    ],
    "odd numbers": lambda n: [HEAD + event(b'{"id":[1e999' + b",1e999" * n + b"]}")],
    "nesting": lambda n: [HEAD + event(b'{"id":' + b"[" * n + b"]" * n + b"}")],
    "a JSON body, byte by byte": lambda n: in_pieces(answer(b'{"a":"' + b"x" * n), 1),
    "an error's body, byte by byte": lambda n: in_pieces(answer(b"x" * n, status=b"500 No"), 1),
    "gzip, byte by byte": lambda n: in_pieces(coded(b"gzip", flushed(*[b"data: 1\n\n"] * (n // 8))), 1),
    "gzip members": lambda n: [coded(b"gzip", gzip.compress(b"data: 1\n\n") * n)],
    "gzip that shrinks": lambda n: [coded(b"gzip", gzip.compress(b"data: 1\n\n" * n))],
    "gzip with a fault at its end": lambda n: [coded(b"gzip", gzip.compress(b"data: 1\n\n" * n)[:-1] + b"\0")],
}


@pytest.mark.parametrize("wire", HOSTILE.values(), ids=HOSTILE)
def test_work_is_linear(wire: Callable[[int], list[bytes]]) -> None:
    """Counts bytecode instructions, which are blind to what C does in one of them: copies are counted by the meters
    below and in `test_framing`, and what is kept by the test of memory."""

    def work(size: int) -> int:
        reads = wire(size)
        return operations(lambda: outcome(reads, lost=True))

    work(1)  # what only the first does: imports, tables
    base, once, twice = work(0), work(400), work(800)
    assert twice - base <= 2.2 * (once - base) + 500


class Metered(bytearray):
    """A buffer that counts the bytes that are copied into it and out of it."""

    copied = 0

    def __iadd__(self, more: bytes) -> "Metered":  # type: ignore[override, misc]
        Metered.copied += len(more)
        super().__iadd__(more)
        return self

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(key, slice):
            Metered.copied += len(part)
        return part

    def __bytes__(self) -> bytes:
        Metered.copied += len(self)
        return bytes(memoryview(self))


class MeteredPattern:
    """A pattern that counts the bytes it looks through as if they were copied."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern

    def search(self, text: bytes, begin: int) -> re.Match[bytes] | None:
        found = self._pattern.search(text, begin)
        Metered.copied += (len(text) if found is None else found.end()) - begin
        return found


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(HEAD[:-2] + b"X: " + b"y" * 20_000 + b"\r\n\r\n", id="a head"),
        pytest.param(HEAD + b"1;" + b"x" * 4_000 + b"\r\n{\r\n" + b"1;" + b"x" * 4_000, id="lines of chunk sizes"),
        pytest.param(HEAD + b"0\r\n" + b"x: y\r\n" * 3_000, id="trailers"),
        pytest.param(answer(b'{"a":"' + b"x" * 20_000), id="a JSON body"),
        pytest.param(answer(b"x" * 20_000, status=b"500 No"), id="an error's body"),
    ],
)
def test_what_is_held_or_kept_is_copied_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch, wire: bytes) -> None:
    for module in (response, answers):
        monkeypatch.setattr(module, "bytearray", Metered, raising=False)
    monkeypatch.setattr(response, "_END_OF_HEAD", MeteredPattern(response._END_OF_HEAD))
    Metered.copied = 0
    outcome(in_pieces(wire, 1), lost=True)
    # to see that a head goes on, a few bytes of it are looked at in each read
    assert len(wire) // 2 < Metered.copied <= 15 * len(wire)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"x"] * 20_000, id="one line"),
        pytest.param([b"x\n"] * 10_000, id="lines"),
        pytest.param([b"x\ny"] * 10_000, id="lines cut in their middle"),
        pytest.param([b"data: x\n\ndat", b"a: x\n\n"] * 2_000, id="events cut in their middle"),
        pytest.param([b"x\r"] * 10_000, id="bare returns"),
    ],
)
def test_a_line_is_copied_a_fixed_number_of_times(pieces: list[bytes]) -> None:
    decoder = Decoder()
    decoder._held = Metered()
    Metered.copied = 0
    for piece in pieces:
        decoder.feed(piece)
    decoder.end()
    assert Metered.copied <= 3 * sum(map(len, pieces))


LINE = 17 << 20
"""Bytes: beyond every limit."""


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(endless(b"data: "), b"x" * 65_536, id="a line"),
        pytest.param(endless(b""), (b"data: " + b"x" * 249 + b"\n") * 256, id="an event of many lines"),
        pytest.param(HEAD + chunk(b"data: "), chunk(b"x" * 256) * 256, id="a line in small chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n{", b"x" * 65_536, id="a JSON body"),
        pytest.param(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 65_536, id="an error's body"),
    ],
)
def test_what_never_ends_takes_no_more_memory_than_its_limit(begin: bytes, piece: bytes) -> None:
    bench = Bench()
    bench.begin()
    bench.read(1, begin)
    tracemalloc.start()
    try:
        for ms in range(2, 2 + 2 * LINE // len(piece)):
            bench.read(ms, piece)
            if bench.freed:
                break
        assert tracemalloc.get_traced_memory()[1] < 3 * LINE
    finally:
        tracemalloc.stop()
    assert bench.freed == [True]
    assert bench.recorder.open == 0
