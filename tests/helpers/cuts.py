"""Cutting bytes into pieces, as reads would."""

import itertools
from collections.abc import Iterable


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut_at(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut at any numbers, of which those beyond the end count from the beginning again; pieces may be empty."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]
