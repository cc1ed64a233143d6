"""The observer of a request whose user walks away: after a time, after a number of tokens, or when its answer ends."""

from llmstress.engine.stream.observer import Ending, InFlight, Observer, Timer


class Leaver(Observer):
    """Abandons its request. Token events still take the fast path."""

    __slots__ = ("_after_ns", "_in_flight", "_looks", "_timer", "_tokens")

    def __init__(self, after_ns: int | None, tokens: int | None) -> None:
        """after_ns: from the start of the request on; None: no limit. tokens: token events; None: no limit."""
        self._after_ns = after_ns
        self._tokens = tokens
        self._in_flight: InFlight | None = None
        self._timer: Timer | None = None
        self._looks = False  # `_look` is to be called

    def begun(self, in_flight: InFlight, stamp: int) -> None:
        """Start to wait."""
        self._in_flight = in_flight
        if self._after_ns is not None:
            self._timer = in_flight.call_at(stamp + self._after_ns, self._leave)

    def piece(self, data: bytes, stamp: int) -> None:
        """Look at the tokens once this piece has been counted, if it can be the one that brings the last of them."""
        # no event has less than a line
        if self._in_flight is not None and not self._looks and self._are_there(1 + data.count(b"\n")):
            self._looks = True
            self._in_flight.call_at(stamp, self._look)

    def ended(self, ending: Ending) -> None:
        """There is nothing to leave any more."""
        self._in_flight = None
        if self._timer is not None:
            self._timer.cancel()

    def _are_there(self, more: int) -> bool:
        """Whether there are enough tokens, with so many more than have been counted."""
        exchange = self._in_flight.exchange if self._in_flight is not None else None
        return self._tokens is not None and exchange is not None and exchange.event_count + more >= self._tokens

    def _look(self, stamp: int) -> None:
        self._looks = False
        if self._are_there(0):
            self._leave(stamp)

    def _leave(self, stamp: int) -> None:
        if self._in_flight is not None:
            self._in_flight.leave(stamp)
