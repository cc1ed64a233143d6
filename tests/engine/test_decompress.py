"""Content codings: the output does not depend on the cuts, comes in time, and has a limited size."""

import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import pytest
from helpers.cuts import one_by_one
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.http import decompress
from llmstress.engine.http.decompress import MAX_BURST, decoded_prefix, inflater_of
from llmstress.engine.http.response import Malformed


def packed(data: bytes, wbits: int, level: int = 6) -> bytes:
    made = zlib.compressobj(level, zlib.DEFLATED, wbits)
    return made.compress(data) + made.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", lambda data: packed(data, 31)),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip in capitals": (" GZip ", gzip.compress),
    "gzip beside identity": ("identity, gzip,", gzip.compress),
    "gzip of several members": (
        "gzip",
        lambda data: gzip.compress(data[:5]) + gzip.compress(b"") + packed(data[5:], 31),
    ),
    "deflate with zlib's wrapping": ("deflate", lambda data: packed(data, 15)),
    "deflate with a small window": ("deflate", lambda data: packed(data, 9)),
    "bare deflate": ("deflate", lambda data: packed(data, -15)),
    "bare deflate, stored": ("deflate", lambda data: packed(data, -15, 0)),
}
TEXT = b'data: {"choices":[{"delta":{"content":"' + bytes(range(256)) * 2 + b'"}}]}\n\n'
WIRES = {name: (header, encode(TEXT)) for name, (header, encode) in ENCODERS.items()}


def decode(header: str, pieces: Iterable[bytes]) -> tuple[bytes, str]:
    """The decoded data of `pieces`, and how decoding ends."""
    inflater = inflater_of(header)
    assert inflater is not None
    out = b""
    try:
        for piece in pieces:
            for part in inflater.feed(piece):
                out += part
    except Malformed:
        return out, "malformed"
    return out, "complete" if inflater.complete else "cut"


@pytest.mark.parametrize(("header", "wire"), WIRES.values(), ids=WIRES)
def test_a_body_is_decoded_however_it_is_cut(header: str, wire: bytes) -> None:
    assert decode(header, [wire]) == (TEXT, "complete")
    assert decode(header, one_by_one(wire)) == (TEXT, "complete")
    for cut in range(1, len(wire), 7):
        assert decode(header, [wire[:cut], wire[cut:]]) == (TEXT, "complete"), cut


@pytest.mark.parametrize(("header", "wire"), WIRES.values(), ids=WIRES)
def test_a_body_that_is_cut_short_is_not_complete(header: str, wire: bytes) -> None:
    out, how = decode(header, [wire[:-1]])
    assert how == "cut"
    assert TEXT.startswith(out)


@pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "bare"])
def test_flushed_data_is_decoded_at_once(wbits: int) -> None:
    encoder = zlib.compressobj(6, zlib.DEFLATED, wbits)
    inflater = inflater_of("gzip" if wbits == 31 else "deflate")
    assert inflater is not None
    for number in range(50):
        event = b"data: %d\n\n" % number
        wire = encoder.compress(event) + encoder.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(inflater.feed(wire)) == event
    assert not inflater.complete
    assert b"".join(inflater.feed(encoder.flush())) == b""
    assert inflater.complete


@pytest.mark.parametrize("header", ["", "identity", " Identity ,", ","])
def test_a_plain_body_needs_no_decoder(header: str) -> None:
    assert inflater_of(header) is None


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, gzip", "deflate, gzip", "compress", "gzip;q=1"])
def test_other_codings_are_refused_by_name(header: str) -> None:
    with pytest.raises(Malformed, match=f"{header!r}.*Accept-Encoding asked for identity"):
        inflater_of(header)


FAULTS = {
    "gzip that is none": ("gzip", TEXT, b""),
    "gzip that begins like one": ("gzip", b"\x1f\x8b\x08\xff" + TEXT, b""),
    "gzip with a bad sum": ("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8, TEXT),
    "gzip with something after it": ("gzip", gzip.compress(TEXT) + b"data: x\n\n", TEXT),
    "zlib with a bad sum": ("deflate", zlib.compress(TEXT)[:-4] + b"\0" * 4, TEXT),
    "zlib with something after it": ("deflate", zlib.compress(TEXT) + b"x", TEXT),
    "bare deflate of a bad kind": ("deflate", b"\x07", b""),
    "bare deflate with something after it": ("deflate", packed(TEXT, -15) + b"x", TEXT),
}


@pytest.mark.parametrize(("header", "wire", "before"), FAULTS.values(), ids=FAULTS)
def test_output_before_a_fault_comes_first_however_it_is_cut(header: str, wire: bytes, before: bytes) -> None:
    assert decode(header, [wire]) == decode(header, one_by_one(wire)) == (before, "malformed")


@examples(300)
@given(st.data())
def test_damage_and_cuts_change_nothing_but_the_moment(data: st.DataObject) -> None:
    header, wire = data.draw(st.sampled_from(list(WIRES.values())))
    damaged = bytearray(wire)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=8)))
    pieces = [bytes(damaged[a:b]) for a, b in itertools.pairwise([0, *cuts, len(wire)])]
    assert decode(header, pieces) == decode(header, [bytes(damaged)])


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 131_072, 1_000_000])
@pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "bare"])
def test_a_piece_of_any_size_comes_out_whole(size: int, wbits: int) -> None:
    """zlib may hold back output after it has consumed all input."""
    encoder = zlib.compressobj(9, zlib.DEFLATED, wbits)
    wire = encoder.compress(b"x" * size) + encoder.flush(zlib.Z_SYNC_FLUSH)
    inflater = inflater_of("gzip" if wbits == 31 else "deflate")
    assert inflater is not None
    pieces = list(inflater.feed(wire))
    assert sum(map(len, pieces)) == size
    assert max(map(len, pieces)) <= 65_536


def test_a_decompression_bomb_is_refused_before_it_expands() -> None:
    wire = gzip.compress(b"\n" * (MAX_BURST + 1))
    assert len(wire) < 20_000
    tracemalloc.start()
    try:
        inflater = inflater_of("gzip")
        assert inflater is not None
        seen = 0
        try:
            for piece in inflater.feed(wire):
                seen += len(piece)
        except Malformed as fault:
            assert "expands to more than" in str(fault)  # noqa: PT017 (how far it came matters as well)
        assert MAX_BURST - 65_536 < seen <= MAX_BURST
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


class _Meter:
    """zlib's decoder with a count of the bytes that it copies: input, output, and unused input."""

    copied = 0

    def __init__(self, inner: "zlib._Decompress") -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def copy(self) -> "_Meter":
        return _Meter(self._inner.copy())

    def decompress(self, data: bytes, most: int) -> bytes:
        made = self._inner.decompress(data, most)
        _Meter.copied += len(made) + len(self._inner.unused_data) + len(self._inner.unconsumed_tail)
        return made


@pytest.mark.parametrize(
    "wire_of",
    [
        pytest.param(lambda n: gzip.compress(b"x" * 1000 * n), id="a body that shrinks"),
        pytest.param(lambda n: packed(bytes(range(256)) * 4 * n, 31, 0), id="a body that does not"),
        pytest.param(lambda n: gzip.compress(b"", mtime=0) * 50 * n, id="tiny members"),
        pytest.param(lambda n: gzip.compress(b"x" * 100_000, mtime=0) * n, id="members that shrink"),
        pytest.param(lambda n: packed(b"x" * 1000 * n, 31)[:-1] + b"\0\0\0", id="a fault at the end"),
    ],
)
def test_work_is_linear_in_input_and_output(wire_of: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    make = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda wbits: _Meter(make(wbits)))

    def work(size: int) -> int:
        _Meter.copied = 0
        decode("gzip", [wire_of(size)])
        return _Meter.copied

    assert 0 < work(160) <= 2.2 * work(80) + 2 * decompress._SLICE


def test_an_error_body_is_decoded_as_far_as_possible() -> None:
    body = b'{"error":{"code":"insufficient_quota"}}'
    whole = gzip.compress(body)
    assert decoded_prefix("", body, 10) == body[:10]
    assert decoded_prefix("gzip", whole, 1000) == body
    assert decoded_prefix("gzip", whole, 5) == body[:5]
    assert decoded_prefix("gzip", whole[:-9], 1000) == body[: len(decoded_prefix("gzip", whole[:-9], 1000))] != b""
    assert decoded_prefix("gzip", whole[:-8] + b"\0" * 8, 1000) == body
    assert b"not have the encoding" in decoded_prefix("gzip", body, 1000)
    assert b"'br'" in decoded_prefix("br", body, 1000)
    assert decoded_prefix("gzip", gzip.compress(b"x" * 10**8), 100) == b"x" * 100
