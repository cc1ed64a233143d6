"""Do the token events of an answer come one by one, or does somebody collect them and send them in blocks?

A block is a read that holds token events. Who collects can't be seen from here: a proxy that fills its buffer, one
that compresses, an engine that writes now and then; but that somebody does can, and by how much `ttft` may be late.
"""

LONG_ANSWER = 8
"""Token events of an answer that tells: the few of a shorter one may well fit into one write of its server."""

_EVENTS = 4
"""Least events of a block, on average. nginx makes blocks of 4 KiB: 16 events of an OpenAI-compatible server. Engines
that guess ahead write two or three at once, and nobody collects those."""

_APART_NS = 10_000_000
"""Least time between two blocks, on average. What comes closer may have been read together because it was made as
fast, and its stamps are off by no more than this."""


def in_blocks(events: int, blocks: int, lasted_ns: int) -> bool:
    """Whether an answer was collected whose token events came in so many reads, the last one `lasted_ns` after the
    first."""
    return events >= _EVENTS * blocks and (blocks == 1 or lasted_ns >= _APART_NS * (blocks - 1))


def late_ns(events: int, first: int, lasted_ns: int) -> int:
    """How late the first token of an answer in blocks was, if the `first` events of its first block were made as fast
    as the others, which came within `lasted_ns` after it; 0 if there are no others to tell."""
    return (first - 1) * lasted_ns // (events - first) if events > first else 0
