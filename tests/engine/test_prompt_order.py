"""Orders of the rows of a file of prompts."""

import statistics
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.prompts.order import ORDERS, permuted, row_of_number


def test_sequential_rows_are_used_as_they_stand_again_and_again() -> None:
    assert [*map(row_of_number("sequential", 3, 9), range(7))] == [0, 1, 2, 0, 1, 2, 0]


@given(st.integers(1, 300), st.integers(0, 2**63 - 1))
def test_each_pass_of_shuffled_rows_has_every_row_once(rows: int, seed: int) -> None:
    row = row_of_number("shuffled", rows, seed)
    for turn in range(3):
        assert sorted(map(row, range(turn * rows, (turn + 1) * rows))) == [*range(rows)]


@given(st.integers(2, 12), st.integers(0, 2**64 - 1))
def test_a_permutation_has_every_number_once(bits: int, key: int) -> None:
    assert len({permuted(place, bits, key) for place in range(1 << bits)}) == 1 << bits


def test_every_pass_has_another_order_and_every_seed_has() -> None:
    rows = 1000
    orders = [[*map(row_of_number("shuffled", rows, seed), range(2 * rows))] for seed in (1, 2)]
    passes = [order[begin : begin + rows] for order in orders for begin in (0, rows)]
    for at, one in enumerate(passes):
        assert one != [*range(rows)]
        for other in passes[at + 1 :]:
            # two random orders agree in one place on average; 10 or more of 1,000 come once in 10 million pairs
            assert sum(a == b for a, b in zip(one, other, strict=True)) < 10


def test_a_shuffled_order_looks_random() -> None:
    rows = 5000
    order = [*map(row_of_number("shuffled", rows, 7), range(rows))]
    # Spearman's correlation of place and row, and of neighbours: their deviation is 1/√n
    assert abs(statistics.correlation(range(rows), order)) < 5 / rows**0.5
    assert abs(statistics.correlation(order[1:], order[:-1])) < 5 / rows**0.5
    ascents = sum(a < b for a, b in pairwise(order))
    assert abs(ascents - rows / 2) < 5 * (rows / 12) ** 0.5


@pytest.mark.parametrize("rows", [1, 10, 37])
def test_random_rows_are_drawn_alike_and_independently(rows: int) -> None:
    draws = 200 * rows
    row = row_of_number("random", rows, 3)
    counts = Counter(map(row, range(draws)))
    chi_squared = sum((counts[each] - 200) ** 2 / 200 for each in range(rows))
    assert chi_squared < rows + 5 * (2 * rows) ** 0.5
    again = sum(row(number) == row(number + 1) for number in range(draws))
    assert abs(again - draws / rows) <= 5 * (draws / rows) ** 0.5
    assert [*map(row, range(100))] == [*map(row_of_number("random", rows, 3), range(100))]


def test_rows_of_any_number_take_no_memory() -> None:
    rows = 10**15
    for order in ORDERS:
        row = row_of_number(order, rows, 1)
        assert all(0 <= row(number) < rows for number in (0, 1, rows - 1, rows, 10**18))
