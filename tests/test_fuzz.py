"""Any bytes may be an answer: nothing raises, everything ends once, and how it was cut doesn't matter."""

import pytest
from fuzzing import CORPUS, check
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DONE, END, FINISH, TOKEN, event

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
def mutated(draw: st.DrawFn) -> bytes:
    """A good answer to which a few things have happened."""
    wire = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(wire)))
        end = draw(st.integers(begin, min(len(wire), begin + 12)))
        wire[begin:end] = draw(SPLICES | st.binary(max_size=6))
    return bytes(wire[: draw(st.none() | st.integers(0, len(wire)))])


@settings(max_examples=600, deadline=None)
@given(wire=mutated() | st.binary(max_size=200), cuts=CUTS, lost=st.booleans(), streamed=st.booleans())
def test_any_bytes_end_a_request_once_and_cuts_change_nothing(
    wire: bytes, cuts: list[int], lost: bool, streamed: bool
) -> None:
    check(wire, cuts, lost=lost, streamed=streamed)


@pytest.mark.parametrize("wire", CORPUS, ids=range(len(CORPUS)))
def test_every_answer_of_the_corpus_cut_everywhere(wire: bytes) -> None:
    for cut in range(len(wire)):
        check(wire, [cut], lost=True)
    check(wire, range(len(wire)), lost=True)
