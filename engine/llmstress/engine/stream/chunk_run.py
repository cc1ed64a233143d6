"""The fast path for reads that hold several chunks."""

from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.telemetry.histogram import HIGHEST_US


def take_run(exchange: Exchange, data: bytes, now: int) -> bytes:
    """Take the token events of a read with the fast path's test, chunk by chunk, until one fails it; gives the rest.

    A client that falls behind finds several events in each read. If all of them took the long way, at five times
    the work, it would fall further behind and never recover.
    """
    task = exchange.task
    shape, classify, record_gap = task.shape, task.api.classify, task.samples.gaps.append
    chunks = data.split(shape.end)
    if len(chunks) == 2 and not chunks[1]:
        return data  # a single chunk, which has failed the test already
    kind, notes_tokens, keep_gap = exchange.kind, exchange.notes_tokens, exchange.gaps.append
    last, taken = exchange.last_token, 0
    for chunk in chunks[:-1]:
        payload = shape.payload(chunk)
        if payload is None or classify(payload) is not kind:
            break
        if notes_tokens:
            exchange.note_token(payload, chunk + shape.end, now)
        gap = min((now - last) // 1000, HIGHEST_US)
        record_gap(gap)
        keep_gap(gap)
        last = now
        taken += 1
    exchange.last_token = last
    return shape.end.join(chunks[taken:]) if taken else data
