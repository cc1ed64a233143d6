"""The loads of a sweep and of a search, as they are written."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.sweep_text import (
    MOST_POINTS,
    level_text,
    level_words,
    parse_attain,
    parse_bound,
    parse_sweep,
)


@pytest.mark.parametrize(
    ("text", "levels", "rate"),
    [
        ("1,10,100,1000", [1, 10, 100, 1000], False),
        ("7", [7], False),
        ("1..16x2", [1, 2, 4, 8, 16], False),
        ("1..20x2", [1, 2, 4, 8, 16, 20], False),
        ("1..10x1.5", [1, 2, 3, 5, 8, 10], False),
        ("1,2,4..64x4", [1, 2, 4, 16, 64], False),
        ("10..20+4", [10, 14, 18, 20], False),
        ("10/s..50/s+10", [10, 20, 30, 40, 50], True),
        ("10..50/s+10", [10, 20, 30, 40, 50], True),
        ("30/m..2/s+0.5", [0.5, 1, 1.5, 2], True),
        ("0.5/s, 2/s", [0.5, 2], True),
    ],
)
def test_the_loads_of_a_sweep(text: str, levels: list[float], rate: bool) -> None:
    sweep = parse_sweep(text)
    assert (list(sweep.levels), sweep.rate, str(sweep)) == (levels, rate, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "1,", "0", "0,1", "1,1", "2,1", "1..1x2", "5..1x2", "1..1000", "1..10x1", "1..10x0.5", "1..10+0"),
        *("1,1/s", "1/s..10x2", "1..10+1.5", "1..2..3x2", "a..bx2", "1..300+1", "1..1000000x1.0001", "-1,2", "1;2"),
        *("9" * 5000, "1..2x" + "9" * 30, "nan", "1e3,1e4", "600k-tokens/m", "1..10*2", "1x2", "..", "1..x2"),
    ],
)
def test_what_is_no_sweep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w{3}"):
        parse_sweep(text)


@given(first=st.integers(1, 1000), more=st.integers(1, 10_000), step=st.integers(1, 500), factor=st.floats(1.05, 10))
def test_a_range_rises_from_its_begin_to_its_end(first: int, more: int, step: int, factor: float) -> None:
    for text in (f"{first}..{first + more}+{step}", f"{first}..{first + more}x{factor:.3f}"):
        if "+" in text and more > step * (MOST_POINTS - 1):
            continue  # too many points
        levels = parse_sweep(text).levels
        assert (levels[0], levels[-1]) == (first, first + more)
        assert all(before < after for before, after in itertools.pairwise(levels))
        assert all(level == round(level) for level in levels)


def test_levels_in_words() -> None:
    assert [level_text(level, rate=False) for level in (1.0, 100.0, 1_000_000.0)] == ["1", "100", "1000000"]
    assert [level_text(level, rate=True) for level in (0.5, 12.34, 100.0)] == ["0.5/s", "12.34/s", "100/s"]
    assert [level_words(level, rate=False) for level in (1.0, 2000.0)] == ["1 stream", "2,000 streams"]


def test_bounds_and_shares() -> None:
    assert [parse_bound(text) for text in ("5", "50/s", "0.5", "30/m")] == [
        (5, False), (50, True), (0.5, False), (0.5, True)
    ]  # fmt: skip
    assert [parse_attain(text) for text in ("99%", "0.95", "99.5 %")] == [0.99, 0.95, 0.995]
    for text in ("0", "", "x", "0/s", "1..2"):
        with pytest.raises(ValueError, match=r"\w{3}"):
            parse_bound(text)
    for text in ("0%", "49%", "100%", "1", "1%", "x", "", "99,5%", "99.95%"):
        with pytest.raises(ValueError, match=r"from 50% to 99\.9%"):
            parse_attain(text)
