"""When nothing is sent: a pause that comes again and again, as of a server that collects garbage."""


class Freezes:
    """At every multiple of `every_us` after `epoch_us` nothing is sent for `length_us`; a length of 0 is no pause."""

    __slots__ = ("_epoch", "_every", "_length")

    def __init__(self, epoch_us: int, every_us: int, length_us: int) -> None:
        self._epoch = epoch_us
        self._every = every_us
        self._length = length_us

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._length > 0

    def frozen(self, now_us: int) -> bool:
        """Whether nothing may be sent at this time."""
        if not self._length:
            return False
        count, into = divmod(now_us - self._epoch, self._every)
        return count > 0 and into < self._length
