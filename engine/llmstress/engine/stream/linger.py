"""How long a stream waits for the end of a body whose answer is complete, so that the connection can be reused."""

LONGEST_NS = 500_000_000
"""The longest wait: from the end event of an answer, or from its finish reason if its usage may still come."""

SHORTEST_NS = 10_000_000
"""A wait as short as this is followed by none."""

TRY_EVERY = 100
"""One answer of so many is waited for in any case, until its time limits are checked the next time."""

SLOW_GAPS = 2
"""A finish reason that comes with a token may stand on every event, so the wait for another event is at least so many
times the longest gap of the answer."""


class Linger:
    """The wait that one process has learned for one task.

    Most servers end a body with its last event, or a moment later. A server that leaves the body open would cost each
    stream half a second per request. So each time this happens, the wait is cut to a quarter; after four times there is
    none. A body that ends in time restores the full wait. If the end comes in a read of its own, only a wait can see
    it:
    one answer in a hundred is still waited for, or a server that was slow for a moment would lose every connection.
    """

    __slots__ = ("_unwaited", "wait_ns")

    def __init__(self) -> None:
        self.wait_ns = LONGEST_NS
        """For an answer of which nothing more can come."""
        self._unwaited = 0

    def none_now(self) -> bool:
        """Whether there is no wait at all for the answer that is complete now."""
        if self.wait_ns:
            return False
        self._unwaited += 1
        return self._unwaited % TRY_EVERY > 0

    def stayed_open(self) -> None:
        """A body did not end in time: shorten the wait."""
        self.wait_ns = self.wait_ns // 4 if self.wait_ns > SHORTEST_NS else 0

    def ended(self) -> None:
        """A body ended in time: restore the full wait."""
        self.wait_ns = LONGEST_NS
