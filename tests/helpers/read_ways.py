"""Reads an answer of any API in every way that must make no difference: whole, cut, byte by byte, other line ends."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from helpers.bench import END, HEAD, Bench, chunk
from helpers.cuts import one_by_one

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import Meaning
from llmstress.engine.telemetry.messages import Delta, Part


class Seen(NamedTuple):
    """What became of an answer, however it was read."""

    ended: dict[str, int]
    finish: dict[str, int]
    events: int
    output: int
    input: int
    cached: int
    reasoning: int
    unknown: int
    by_usage: int


def read_so(reads: Iterable[bytes], *, api: str, ask: Ask | None = None, fast: bool = True) -> Delta:
    """A request answered by these reads, 10 ms apart from 100 ms on; the connection is lost after them unless that
    was the end of the body."""
    bench = Bench(api=api, ask=ask)
    bench.begin()
    ms = 100
    for data in reads:
        if bench.freed:
            break
        if not fast:
            bench.stream.fast = None
        bench.read(ms, data)
        ms += 10
    if not bench.freed:
        bench.at(ms).lose(None)
    made = bench.cut()
    for part in made.parts.values():
        part.counters.cpu_ns = 0
    return made


def seen(delta: Delta) -> Seen:
    part = delta.parts[2]
    counters = part.counters
    return Seen(
        ended=part.ended,
        finish=part.finish,
        events=counters.events,
        output=counters.output,
        input=counters.input,
        cached=counters.cached_input,
        reasoning=counters.reasoning,
        unknown=counters.events_unknown,
        by_usage=counters.usage_seen,
    )


def read_all_ways(events: list[bytes], *, api: str, ask: Ask | None = None, end: bytes = END) -> Part:
    """What is measured if every event is a read of its own, and proves that nothing but the stamps depends on that.

    `end` is what follows the last event; the connection is closed after it.
    """
    reads = [HEAD, *map(chunk, events), *([end] if end else [])]
    apart = read_so(reads, api=api, ask=ask)
    assert msgspec.to_builtins(apart) == msgspec.to_builtins(read_so(reads, api=api, ask=ask, fast=False))
    expected = seen(apart)
    crlf = [chunk(event.replace(b"\n", b"\r\n")) for event in events]
    body = b"".join(events)
    half = len(body) // 2
    for others in (
        [b"".join(reads)],
        one_by_one(b"".join(reads)),
        [HEAD, *crlf, end],
        one_by_one(b"".join([HEAD, *crlf, end])),
        [HEAD, chunk(body), end],
        [HEAD, chunk(body[:half]), chunk(body[half:]), end],
        one_by_one(HEAD + b"".join(map(chunk, one_by_one(body))) + end),
    ):
        assert seen(read_so([each for each in others if each], api=api, ask=ask)) == expected
    part = apart.parts[2]
    part.settle()
    return part


def took_the_fast_path(events: list[bytes], *, api: str, ask: Ask | None = None) -> list[bool]:
    """For each event, a read of its own, whether the fast path understood it: it tells no event's name."""
    bench = Bench(api=api, ask=ask)
    inner, told = bench.api.classify, list[bool]()

    def classify(data: bytes, name: bytes | None = None) -> Meaning:
        told.append(name is not None)
        return inner(data) if name is None else inner(data, name)

    bench.api.classify = classify
    bench.task.reading = (*bench.task.reading[:-2], classify, bench.task.reading[-1])
    bench.begin()
    bench.read(90, HEAD)
    fast = []
    for number, event in enumerate(events):
        told.clear()
        bench.read(100 + 10 * number, chunk(event))
        fast.append(told == [False])
    return fast
