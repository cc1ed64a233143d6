"""A prefix cache as the one of vLLM: which tokens at the beginning of a prompt were in earlier prompts."""

from collections import OrderedDict
from collections.abc import Sequence

from llmstress.engine.mock.dialects.prompts import Token


class PrefixCache:
    """The most recently used blocks of prompts.

    As in vLLM's automatic prefix caching, a prompt is cut into blocks of equal length, and the hash of a block includes
    the hash of the block before it, so that a block is found only behind the same beginning. Only full blocks are
    cached. At least the last token of a prompt is computed: a prompt whose last block is full and known has one hit
    less (`max_cache_hit_length = num_tokens - 1` in vLLM). The blocks at the end of a prompt are dropped before those
    at its beginning.

    Unlike vLLM, blocks are found as soon as they entered, even if the first token of their prompt is not yet due, and
    the tokens of answers are not cached before they come back in a prompt.
    """

    __slots__ = ("_block", "_blocks", "_hashes")

    def __init__(self, blocks: int, block: int) -> None:
        """`blocks`: maximum number of blocks. `block`: tokens per block."""
        self._blocks = blocks
        self._block = block
        self._hashes: OrderedDict[int, None] = OrderedDict()

    def enter(self, prompt: Sequence[Token]) -> int:
        """Put the blocks of a prompt into the cache; returns how many of its tokens were in the cache before."""
        size, known = self._block, self._hashes
        hashes: list[int] = []
        previous = 0
        for start in range(0, len(prompt) - size + 1, size):
            previous = hash((previous, *prompt[start : start + size]))
            hashes.append(previous)
        found = 0
        for each in hashes[: (len(prompt) - 1) // size]:
            if each not in known:
                break
            found += 1
        for each in reversed(hashes):
            known[each] = None
            known.move_to_end(each)
        while len(known) > self._blocks:
            known.popitem(last=False)
        return found * size


def ttft_share(cached: int, tokens: int, least: float) -> float:
    """The share of the usual time to the first token that a prompt of `tokens` tokens takes, `cached` of them cached.

    It is the share of the tokens that are computed, but at least `least`.
    """
    return max(least, 1 - cached / tokens) if cached else 1.0
