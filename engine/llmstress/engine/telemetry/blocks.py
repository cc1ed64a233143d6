"""Did the token events of an answer come one by one, or were they collected and sent in blocks?

A block is a read that contains token events. The client cannot see what collects them: a proxy that fills its buffer, a
proxy that compresses, an engine that writes now and then. It can see that they were collected, and how late `ttft` may
be.
"""

LONG_ANSWER = 8
"""Least token events of an answer that is examined: those of a shorter answer may fit into one write of the server."""

_EVENTS = 4
"""Least events of a block, on average. nginx makes blocks of 4 KiB: 16 events of an OpenAI-compatible server. Engines
with speculative decoding write two or three events at once without any collecting."""

_APART_NS = 10_000_000
"""Least time between two blocks, on average. Events that come closer may have been read together because they were
generated that fast, and their stamps are wrong by no more than this."""


def in_blocks(events: int, blocks: int, lasted_ns: int) -> bool:
    """Whether an answer of `events` token events was collected, if they came in `blocks` reads and the last read came
    `lasted_ns` after the first."""
    return events >= _EVENTS * blocks and (blocks == 1 or lasted_ns >= _APART_NS * (blocks - 1))


def late_ns(events: int, first: int, lasted_ns: int) -> int:
    """How late (ns) the first token of an answer in blocks was, if the `first` events of its first block were generated
    as fast as the others, which came within `lasted_ns` after it; 0 if there are no others."""
    return (first - 1) * lasted_ns // (events - first) if events > first else 0
