"""Whether a request, or the end of a complete answer, has taken too long. Pure functions."""

from llmstress.engine.outcome import End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.linger import LONGEST_NS, SLOW_GAPS


def overdue(exchange: Exchange, now: int, *, waits_for_first: bool) -> End | None:
    """The end of a request that has passed one of its time limits at stamp `now`; None: it has time.

    waits_for_first: neither a token has come, nor the begin of an answer in one piece or of an error.
    """
    limits = exchange.task.timeouts
    if 0 < limits.total_ns < now - exchange.start:
        return End("timeout_total", f"not finished {limits.total_ns / 1e9:g} s after its start")
    if waits_for_first:
        if 0 < limits.first_token_ns < now - exchange.start:
            what = "token" if exchange.task.api.streamed else "answer"
            return End("timeout_first_token", f"no {what} {limits.first_token_ns / 1e9:g} s after its start")
    elif 0 < limits.idle_ns < now - exchange.last_token and limits.idle_ns < now - exchange.last_event:
        return End("timeout_idle", f"no event for {limits.idle_ns / 1e9:g} s")
    return None


def longest_wait(exchange: Exchange) -> int:
    """How long the body of a complete answer may stay open (ns)."""
    wait = LONGEST_NS if exchange.awaits_usage else exchange.task.linger.wait_ns
    return wait if exchange.done_at else max(wait, SLOW_GAPS * exchange.doubtful_ns)
