"""How long the body of an answer that is over is waited for, so that its connection can serve the next request."""

LONGEST_NS = 500_000_000
"""From the last word of an answer on, or from its finish reason if its usage may still come."""

SHORTEST_NS = 10_000_000
"""After a wait as short as this there is none."""

TRY_EVERY = 100
"""So often an answer is waited for all the same, until the next look at its time limits."""

SLOW_GAPS = 2
"""A finish reason that comes with a token may stand on every event. So the wait for more is at least so many times the
longest gap of the answer."""


class Linger:
    """What one process has learned of its target.

    Most servers end a body with its last word, or a moment later. A server that leaves it open would cost each stream
    half a second per request, so each time it does, the wait becomes a quarter; after four times there is none. A body
    that ends in time makes the wait whole again. Where the body ends in a read of its own, only a wait can see that: so
    one answer in a hundred is still waited for, or a server that was slow for a moment would lose every connection.
    """

    __slots__ = ("_unwaited", "wait_ns")

    def __init__(self) -> None:
        self.wait_ns = LONGEST_NS
        """For an answer of which nothing more is to come."""
        self._unwaited = 0

    def none_now(self) -> bool:
        """Whether the answer that is over now is not waited for at all."""
        if self.wait_ns:
            return False
        self._unwaited += 1
        return self._unwaited % TRY_EVERY > 0

    def stayed_open(self) -> None:
        """A body didn't end in time."""
        self.wait_ns = self.wait_ns // 4 if self.wait_ns > SHORTEST_NS else 0

    def ended(self) -> None:
        """A body ended in time."""
        self.wait_ns = LONGEST_NS
