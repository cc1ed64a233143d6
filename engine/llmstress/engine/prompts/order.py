"""Which row of a file the request of a number asks with. Pure functions, the same in every process."""

from collections.abc import Callable
from typing import Literal

Order = Literal["sequential", "shuffled", "random"]

ORDERS: tuple[Order, ...] = ("sequential", "shuffled", "random")

_WORD = (1 << 64) - 1
_ROUNDS = 4


def row_of_number(order: Order, rows: int, seed: int) -> Callable[[int], int]:
    """The function from the number of a request to the number of a row, both from 0.

    `sequential`: the rows as they stand, again and again. `shuffled`: every row once in each pass, and in another order
    in each. `random`: each request draws one of all rows. It needs no memory, whatever the number of rows, and takes
    about 5 µs.
    """
    key = mixed(seed)
    match order:
        case "sequential":
            return lambda number: number % rows
        case "random":
            return lambda number: mixed(key + number) * rows >> 64
    bits = max(2, (rows - 1).bit_length())

    def shuffled(number: int) -> int:
        passes, place = divmod(number, rows)
        pass_key = mixed(key + passes)
        place = permuted(place, bits, pass_key)
        while place >= rows:  # fewer than 2 steps on average: at least half of all places are rows
            place = permuted(place, bits, pass_key)
        return place

    return shuffled


def permuted(place: int, bits: int, key: int) -> int:
    """A permutation of the numbers of `bits` bits (at least 2): a Feistel network with halves that may differ by a bit.

    Walking on from a number until one below `rows` comes makes it a permutation of the numbers below `rows`.
    """
    low_bits = bits // 2
    high_bits = bits - low_bits
    high, low = place >> low_bits, place & (1 << low_bits) - 1
    for turn in range(_ROUNDS):
        if turn % 2:
            low ^= mixed(key ^ high << 3 ^ turn) & (1 << low_bits) - 1
        else:
            high ^= mixed(key ^ low << 3 ^ turn) & (1 << high_bits) - 1
    return high << low_bits | low


def mixed(number: int) -> int:
    """64 bits that look random (the last step of the generator splitmix64)."""
    number = (number + 0x9E3779B97F4A7C15) & _WORD
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _WORD
    return number ^ number >> 31
