"""Texts of common words, each of which is one token in the usual vocabularies, with the space before it."""

import itertools
import random
from collections.abc import Sequence

WORDS = tuple(
    """
    time year people way day man thing woman life child world school state family student group country problem hand
    part place case week company system program question work number night point home water room mother area money
    story fact month lot right study book eye job word business issue side kind head house service friend father
    power hour game line end member law car city name president team minute idea body back parent face others level
    office door health person art war history party result change morning reason research girl moment air teacher
    force education foot boy age policy music market road table field river garden paper window machine letter plan
    green white black small large long short early late high low old new good open close front
    """.split()  # noqa: SIM905
)
"""Common words; 128 of them, so that a word is 7 bits of a number."""

BYTES_PER_TOKEN = 4.0
"""Of a text whose tokens nobody has counted: English text has 4.3 bytes a token, and other scripts are close to it."""

_NUMBER_BITS = 35

SALT_WORDS = 5
"""2^35 requests of a run begin differently."""

_ODD = 0x5_A1B2_C3D5
"""Odd, so that the product with a number is another one for each number below 2^35."""

_TEXT_WORDS = 1 << 16


def salted_number(number: int, salt: int) -> int:
    """35 bits that no other number of a run has. salt: the random number of the run."""
    return (number * _ODD + salt) % (1 << _NUMBER_BITS)


class Words:
    """Texts of given numbers of words. All that is drawn follows from the seed."""

    def __init__(self, seed: int, words: Sequence[str] = WORDS) -> None:
        """words: their number is a power of two."""
        self._bits = len(words).bit_length() - 1
        self.salt_words = -(-_NUMBER_BITS // self._bits)
        """Number of words that say which request of which run it is: 5 for 128 different words."""
        self._words = words
        drawn = random.Random(f"{seed}/words").choices(words, k=_TEXT_WORDS)
        self._text = " ".join(drawn)
        self._begins = [0, *itertools.accumulate(len(word) + 1 for word in drawn)]

    def salt(self, number: int, salt: int, length: int | None = None) -> str:
        """Words that no other number of a run has; salt: the random number of the run. length: most words; None: all
        that are needed."""
        mixed = salted_number(number, salt)
        most = self.salt_words if length is None else min(length, self.salt_words)
        bits, mask, words = self._bits, (1 << self._bits) - 1, self._words
        return " ".join([words[mixed >> (bits * place) & mask] for place in range(most)])

    def draw(self, numbers: random.Random, length: int) -> str:
        """`length` words; empty if it is not positive."""
        parts = []
        while length > 0:
            begin = numbers.randrange(_TEXT_WORDS)
            end = min(_TEXT_WORDS, begin + length)
            parts.append(self._text[self._begins[begin] : self._begins[end] - 1])
            length -= end - begin
        return " ".join(parts)
