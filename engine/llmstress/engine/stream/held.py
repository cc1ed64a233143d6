"""Requests that are counted a moment after their end, because the code of their user may check their answers."""

from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange


def held(exchange: Exchange, now: int, head: Head | None) -> bool:
    """Whether the observer of a request, which has ended ok at stamp `now`, counts it: it will say how it ended."""

    def count(end: End) -> None:
        if end.failed:
            exchange.task.failures.judge(exchange, end, head, secrets)  # keeps a sample; it is not sent again
        exchange.record_end(end, now)

    observer, secrets = exchange.request.observer, exchange.request.secrets
    return observer is not None and observer.counts(count)
