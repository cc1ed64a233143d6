"""What a prefix cache must have of the prompts of a trace."""

from collections.abc import Iterable, Sequence


def tokens_shared(rows: Iterable[tuple[int, Sequence[int]]], block: int) -> tuple[int, int]:
    """How many tokens of the prompts a prefix cache without a bound has, if the rows come one after the other; and all
    tokens of the prompts.

    A cache holds whole blocks: of each prompt it has the leading blocks of `block` tokens that an earlier prompt began
    with. rows: of each prompt its tokens and the ids of its blocks.
    """
    nodes: dict[tuple[int, int], int] = {}
    cached = total = 0
    for tokens, ids in rows:
        total += tokens
        node = 0
        for id in ids[: tokens // block]:
            after = nodes.get((node, id))
            if after is None:
                after = nodes[node, id] = len(nodes) + 1
            else:
                cached += block
            node = after
    return cached, total
