"""Prompts that share prefixes as hash ids say."""

from collections.abc import Sequence

import pytest
from helpers.block_caches import tokens_shared
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.prompts.blocks import BlockMaker

BLOCK = 16

rows = st.lists(st.tuples(st.integers(1, 5 * BLOCK), st.lists(st.integers(0, 6), max_size=5)), min_size=1, max_size=12)


def words_of(made: BlockMaker, number: int, tokens: int, ids: Sequence[int]) -> list[str]:
    return made.make(number, tokens, ids).split()


@given(st.integers(1, 3000), st.lists(st.integers(0, 2**64 - 1), max_size=200), st.integers(0, 2**63 - 1))
@examples(50)
def test_a_prompt_has_as_many_words_as_tokens(tokens: int, ids: list[int], seed: int) -> None:
    assert len(words_of(BlockMaker(BLOCK, seed, 5), 3, tokens, ids)) == tokens


def test_the_same_id_is_the_same_text_wherever_it_stands() -> None:
    one, other = BlockMaker(512, 1, 2), BlockMaker(512, 1, 2)
    first, second = words_of(one, 0, 1536, [7, 8, 9]), words_of(other, 1, 1100, [9, 7, 7])
    assert first[:512] == second[512:1024]
    assert first[1024:] == second[:512]
    assert second[1024:] == first[: 1100 - 1024]


def test_another_run_has_other_blocks() -> None:
    one, other = (words_of(BlockMaker(512, 1, salt), 0, 512, [7]) for salt in (2, 3))
    assert one[:5] != other[:5]
    assert one[5:] == other[5:]


def cached_words(prompts: Sequence[Sequence[str]], block: int) -> int:
    """Words that a prefix cache of whole blocks has, counted from the texts themselves."""
    known: set[tuple[str, ...]] = set()
    cached = 0
    for words in prompts:
        begins = [tuple(words[:end]) for end in range(block, len(words) + 1, block)]
        cached += block * sum(begin in known for begin in begins)
        known.update(begins)
    return cached


@given(rows)
def test_prompts_share_what_their_ids_say_and_nothing_else(given_rows: list[tuple[int, list[int]]]) -> None:
    made = BlockMaker(BLOCK, 3, 4)
    # a block of which the prompt has only a part is no whole block: cut lists say the same
    prompts = [words_of(made, number, tokens, ids) for number, (tokens, ids) in enumerate(given_rows)]
    cached, total = tokens_shared(given_rows, BLOCK)
    assert total == sum(map(len, prompts))
    assert cached == cached_words(prompts, BLOCK)


@pytest.mark.parametrize(
    ("given_rows", "expected"),
    [
        ([(1024, [1, 2]), (1024, [1, 2])], 1024),
        ([(1024, [1, 2]), (1000, [1, 2])], 512),
        ([(1024, [1, 2]), (1024, [2, 1])], 0),
        ([(1536, [1, 2, 3]), (1536, [1, 4, 3])], 512),
        ([(512, []), (512, [])], 0),
    ],
)
def test_what_a_cache_has(given_rows: list[tuple[int, list[int]]], expected: int) -> None:
    assert tokens_shared(given_rows, 512)[0] == expected
