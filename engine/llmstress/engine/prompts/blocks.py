"""Prompts that share prefixes as the hash ids of a trace say: the same id is the same block of text, wherever it
stands."""

import random
from collections.abc import Sequence
from functools import lru_cache

from llmstress.engine.prompts.order import mixed
from llmstress.engine.prompts.words import WORDS, Words

CACHED_BLOCKS = 2_048
"""Blocks of text that a worker keeps: 6 MB of 512 words each. Making one again takes 10 µs."""


class BlockMaker:
    """Makes prompts of blocks. Blocks of two ids begin differently, in a run and in two runs with one seed."""

    def __init__(self, block: int, seed: int, salt: int, words: Sequence[str] = WORDS) -> None:
        """block: tokens of a block, each a word. salt: that of the run."""
        self.block = block
        self._seed, self._salt = seed, salt
        self._words = Words(seed, words)
        self._numbers = random.Random()
        self._block = lru_cache(CACHED_BLOCKS)(self._made)

    def make(self, number: int, tokens: int, ids: Sequence[int] = ()) -> str:
        """The prompt of the request of a number: its blocks, cut to `tokens`. What is longer than its blocks is its own
        text, which no other request has."""
        whole, rest = divmod(tokens, self.block)
        parts = [self._block(each) for each in ids[:whole]]
        if len(ids) > whole:
            if rest:
                parts.append(" ".join(self._block(ids[whole]).split(" ", rest)[:rest]))
        else:
            own = tokens - len(ids) * self.block
            self._numbers.seed(self._seed << 64 | number)
            parts += [
                self._words.salt(number, self._salt, own),
                self._words.draw(self._numbers, own - self._words.salt_words),
            ]
        return " ".join(filter(None, parts))

    def _made(self, id: int) -> str:
        words = self._words
        self._numbers.seed(self._seed << 64 | mixed(id) | 1 << 63)
        return " ".join(
            filter(
                None,
                (words.salt(id, self._salt, self.block), words.draw(self._numbers, self.block - words.salt_words)),
            )
        )
