"""Periodic pauses in which nothing is sent, like those of a server that collects garbage."""


class Freezes:
    """Pauses of `length_us` that begin at every multiple of `every_us` after `epoch_us`; length 0: no pauses."""

    __slots__ = ("_epoch", "_every", "_length")

    def __init__(self, epoch_us: int, every_us: int, length_us: int) -> None:
        self._epoch = epoch_us
        self._every = every_us
        self._length = length_us

    def __bool__(self) -> bool:
        """Whether there are pauses."""
        return self._length > 0

    def frozen(self, now_us: int) -> bool:
        """Whether `now_us` lies in a pause."""
        if not self._length:
            return False
        count, into = divmod(now_us - self._epoch, self._every)
        return count > 0 and into < self._length
