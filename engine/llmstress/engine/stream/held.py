"""Requests that are counted a moment after their end, because the code of their user may check their answers."""

from collections.abc import Callable

from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange


def held_count(exchange: Exchange, now: int, head: Head | None) -> Callable[[End], None]:
    """What counts a request, which ended ok at stamp `now`, with the end that it is to have."""

    def count(end: End) -> None:
        if end.failed:
            exchange.task.failures.judge(exchange, end, head)  # keeps a sample; it is not sent again
        exchange.record_end(end, now)

    return count
